# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The lab on the command line: ``python3 -m tests.lab``.

``up`` stays in the foreground and takes the lab down at Ctrl-C. With
``--detach`` it ends when the lab is up, and ``down`` takes the lab down.
"""

import argparse
from collections.abc import Callable
import contextlib
import os
import signal
import sys
import time
from typing import NoReturn

from tests.lab import dresses
from tests.lab.errors import LabError, Unexpected
from tests.lab import host
from tests.lab.lab import Lab
from tests.lab import lab_directory
from tests.lab.manila import cli as plane


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status is 2 for a LabError."""
    args = _parser().parse_args(argv)
    act: Callable[[argparse.Namespace], int] = args.act
    try:
        return act(args)
    except LabError as error:
        print(f'lab: {error}', file=sys.stderr)
        return 2
    except Unexpected as error:
        print(f'unexpected: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python3 -m tests.lab', description=__doc__
    )
    verbs = parser.add_subparsers(required=True, metavar='VERB')

    def verb(
        name: str, act: Callable[[argparse.Namespace], int], says: str
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=says, description=says)
        made.set_defaults(act=act)
        return made

    def named(made: argparse.ArgumentParser) -> None:
        made.add_argument('--name', default='lab', help='of the lab')

    up = verb('up', _up, 'bring a lab up')
    up.add_argument('--release', default='10.3', help='of GlusterFS')
    up.add_argument('--nodes', type=int, default=3)
    up.add_argument('--clients', type=int, default=2)
    up.add_argument('--detach', action='store_true', help='let it live on')
    up.add_argument(
        '--dress',
        action='append',
        default=[],
        metavar='[NODE=]NAME',
        help='change all nodes, or one, to be as nodes are elsewhere: '
        f'{", ".join(dresses.DRESSES)} (may be repeated)',
    )
    plane.offer(up)
    named(up)
    down = verb('down', _down, 'take a lab down')
    down.add_argument('which', nargs='?', metavar='NAME')
    named(down)
    verb('status', _status, 'say what labs there are')
    ssh = verb('ssh', _ssh, 'be root on a guest')
    named(ssh)
    ssh.add_argument('guest')
    ssh.add_argument('command', nargs=argparse.REMAINDER)
    for name, act, says in (
        ('crash', _crash, "cut a guest's power"),
        ('boot', _boot, 'switch a guest on'),
    ):
        made = verb(name, act, says)
        named(made)
        made.add_argument('guest')
    leaks = verb('leaks', _leaks, 'say what is left on the nodes')
    named(leaks)
    leaks.add_argument('--share', action='append', default=[], metavar='ID')
    leaks.add_argument('--snapshot', action='append', default=[], metavar='ID')
    plane.add_verbs(verb, named)
    keep = verb('keep', _keep, 'take a lab down when stdin ends (internal)')
    keep.add_argument('which', metavar='NAME')
    return parser


def _up(args: argparse.Namespace) -> int:
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f'{time.monotonic() - begun:5.1f} {text}', flush=True)

    def stop(_number: int, _frame: object) -> NoReturn:
        raise SystemExit(143)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    worn = []
    for dress in args.dress:
        node_name, _, name = dress.rpartition('=')
        worn.append((node_name, name, dresses.named(name)))
    lab = Lab(args.release, args.nodes, args.clients, args.name, say=say)
    try:
        plane.prepare(args, say)
        lab.up()
        for node_name, name, put_on in worn:
            for node in [lab.node(node_name)] if node_name else lab.nodes:
                say(f'{node.name} is dressed as {name}')
                put_on(lab, node)
        plane.up(lab, args, say)
        if args.detach:
            lab.detach()
            return 0
        say('Ctrl-C takes it down')
        while True:
            signal.pause()
    finally:
        if not args.detach:
            lab.down()


def _down(args: argparse.Namespace) -> int:
    lab_directory.destroy(lab_directory.load(args.which or args.name))
    return 0


def _status(_args: argparse.Namespace) -> int:
    for record in lab_directory.every():
        how = (
            'abandoned'
            if record.abandoned()
            else 'detached'
            if record.detached
            else f'owned by pid {record.owner}'
        )
        print(f'{record.name}: GlusterFS {record.release}, {how}')
        lab = Lab.attach(record.name)
        for machine in lab.machines:
            power = 'on' if machine.guest.running() else 'off'
            print(f'  {machine.name:4} {machine.address:12} {power}')
        plane.status(lab)
        print(f'  manila key  {record.directory / "manila_key"}')
        print(f'  known hosts {record.directory / "known_hosts"}')
    return 0


def _ssh(args: argparse.Namespace) -> int:
    argv = Lab.attach(args.name)[args.guest].link.argv(*args.command)
    os.execvp(argv[0], argv)


def _crash(args: argparse.Namespace) -> int:
    Lab.attach(args.name)[args.guest].crash()
    return 0


def _boot(args: argparse.Namespace) -> int:
    Lab.attach(args.name)[args.guest].boot()
    return 0


def _leaks(args: argparse.Namespace) -> int:
    found = Lab.attach(args.name).leaks(args.share, args.snapshot)
    for leak in found:
        print(leak)
    return 1 if found else 0


def _keep(args: argparse.Namespace) -> int:
    """Wait until stdin is closed, which happens when the owner ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    record = lab_directory.load(args.which)
    sys.stdin.buffer.read()
    # Not the lab that has come after it under the same name.
    with (
        host.locked(lab_directory.root() / '.lock'),
        contextlib.suppress(LabError),
    ):
        now = lab_directory.load(args.which)
        if now.owner == record.owner and now.born == record.born:
            if not now.detached:
                lab_directory.destroy(now)
    return 0
