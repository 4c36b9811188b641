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
"""The commands of ``python3 -m tests.lab`` for the control plane."""

import argparse
from collections.abc import Callable
import os
from typing import Protocol

from tests.lab.lab import Lab
from tests.lab.manila.control import Manila
from tests.lab.manila import environment
from tests.lab.manila.service import Service
from tests.lab.manila import stores
from tests.lab.manila import users

Say = Callable[[str], None]

_ACTIONS: dict[str, Callable[[Service], None]] = {
    'restart': Service.restart,
    'start': Service.start,
    'stop': Service.stop,
    'kill': Service.kill,
}


class AddVerb(Protocol):
    """Adds a command to the command line of the lab."""

    def __call__(
        self,
        name: str,
        act: Callable[[argparse.Namespace], int],
        says: str,
        /,
    ) -> argparse.ArgumentParser: ...


def offer(up: argparse.ArgumentParser) -> None:
    """Add the option to the command that brings a lab up."""
    up.add_argument(
        '--manila',
        nargs='?',
        const=environment.VERSIONS[0],
        choices=environment.VERSIONS,
        metavar='VERSION',
        help='with a control plane: Manila and all it needs',
    )


def add_verbs(
    verb: AddVerb, named: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the commands for the control plane of a lab."""

    def person(made: argparse.ArgumentParser) -> None:
        named(made)
        made.add_argument(
            '--as',
            dest='user',
            choices=[user.name for user in users.PEOPLE],
            default=users.DEMO.name,
        )

    openstack = verb('openstack', _openstack, "run Manila's client")
    person(openstack)
    openstack.add_argument('command', nargs=argparse.REMAINDER)
    person(verb('shell', _shell, "a shell in the lab's network"))
    service = verb('service', _service, 'start, stop or kill a service')
    named(service)
    service.add_argument('action', choices=_ACTIONS)
    service.add_argument('service')
    log = verb('log', _log, 'print what a service has logged')
    named(log)
    log.add_argument('service')


def prepare(args: argparse.Namespace, say: Say) -> None:
    """Install missing packages before anything is started."""
    if args.manila:
        stores.check()
        environment.of_keystone(say)
        environment.of_manila(args.manila, say)


def up(lab: Lab, args: argparse.Namespace, say: Say) -> None:
    """Bring the control plane up if it is requested, and explain its use."""
    if args.manila:
        manila = Manila(lab, args.manila, say=say)
        manila.up()
        say('to use it from a shell:')
        print(_how(manila), flush=True)


def status(lab: Lab) -> None:
    """Print the running services, if the lab has a control plane."""
    if not Manila.there(lab):
        return
    manila = Manila.attach(lab)
    for service in manila.services:
        power = 'on' if service.running() else 'off'
        print(f'  {service.name:16} {power:3} {service.memory() >> 20} MiB')
    print(_how(manila))


def _how(manila: Manila) -> str:
    lines = [f'  ip netns exec {manila.lab.network.namespace} bash']
    lines += [f'  . {manila.openrc(user.name)}' for user in users.PEOPLE]
    return '\n'.join(lines)


def _attached(args: argparse.Namespace) -> Manila:
    return Manila.attach(Lab.attach(args.name))


def _openstack(args: argparse.Namespace) -> int:
    client = getattr(_attached(args), args.user)
    argv = client.argv(*args.command)
    os.execvpe(argv[0], argv, client.environment())


def _shell(args: argparse.Namespace) -> int:
    argv = _attached(args).shell(args.user)
    os.execvp(argv[0], argv)


def _service(args: argparse.Namespace) -> int:
    manila = _attached(args)
    _ACTIONS[args.action](manila.service(args.service))
    if args.action == 'start':
        manila.service(args.service).wait_ready()
    return 0


def _log(args: argparse.Namespace) -> int:
    print(_attached(args).service(args.service).log(), end='')
    return 0
