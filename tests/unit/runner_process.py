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
"""A real process of the runner, on a node of fake programs.

The archive is that of a node, but for the constants that name places. Each
fake program notes its call, and then does what a test has written for it.
"""

from collections.abc import Sequence
import json
import os
import pathlib
import re
import select
import subprocess
import sys
from typing import Any, Protocol

from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone.ssh import step_outcomes

#: The Python to run it with, such as the oldest that is supported.
PYTHON = os.environ.get('MANILA_GLUSTERFS_CLONE_RUNNER_PYTHON', sys.executable)

NONCE = '0123456789abcdef' * 2
SHARE = 'abcdefab-2222-4333-8444-55555555555f'
VOLUME = f'manila-{SHARE}'
SNAPSHOT = f'manila-snap-{SHARE}'
HEX = 'e5ed4f995d434a768aa752256e3e12b0'
CLONE_LV = f'{HEX}_0'
MIB = 1 << 20

#: As many as a runner serves side by side here.
MOST_REQUESTS = 26
#: What a program does that waits for :meth:`Node.go`.
UNTIL_GO = 'until [ -e "$S/go" ]; do /bin/sleep 0.02; done'

#: What a console answers to lines that are no commands for it.
CONSOLE = """
[ $# -le 2 ] || {
    /bin/cat "$S/gluster.out"
    exit "$(/bin/cat "$S/gluster.rc")"
}
echo console >>"$S/calls"
while read -r line; do
    echo "console: $line" >>"$S/calls"
    case $line in
    *hang*) /bin/sleep 60 ;;
    *slow*) /bin/sleep 0.3 ;;
    *die*) echo 'Connection failed.' >&2; exit 1 ;;
    esac
    twice='<cliOutput>twice</cliOutput>' both='<cliOutput>both</cliOutput>'
    late='<cliOutput>late</cliOutput>'
    case $line in
    *both) printf '%s\\n%s\\n' "$both" "$late" ;;
    *twice) echo "$twice"; /bin/sleep 0.05; echo "$late" ;;
    *) printf '<cliOutput><line>%s</line></cliOutput>\\n' "$line"; continue ;;
    esac
    echo late >>"$S/calls"
done
"""


class Node:
    """A node with a runner and fake programs."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.state = root / 'state'
        self.bricks = root / 'bricks'
        self.run = root / 'run'
        self.snaps = self.run / 'snaps'
        self.glusterd = root / 'glusterd'
        self.proc = root / 'proc'
        for directory in (
            self.state,
            self.bricks,
            self.snaps,
            self.glusterd,
            root / 'bin',
            self.proc / 'self',
            self.proc / 'net',
        ):
            directory.mkdir(parents=True)
        for name in verbs.PROGRAMS:
            self.program(name, '')
        self.program('gluster', CONSOLE)
        self.gluster('<cliOutput/>')
        self.lvs(lv(VOLUME))
        self.mounted()
        self.listening('/var/run/glusterd.socket')
        self.settings = root / 'runner.json'
        self.settings.write_text(
            json.dumps(
                {
                    'brick_roots': [str(self.bricks)],
                    'volume_groups': ['gvg', 'tvg'],
                }
            )
        )
        self.file = root / 'runner'
        self.file.write_bytes(
            f'#!{PYTHON} -IS\n'.encode() + archive.build(self._sources())
        )
        self.file.chmod(0o755)

    def program(self, name: str, body: str) -> None:
        """Set what a program does after it has noted its call."""
        path = self.root / 'bin' / name
        path.unlink(missing_ok=True)
        path.write_text(
            f'#!/bin/sh\nS={self.state}\n'
            f'echo "{name} $*" >>"$S/calls"\n{body}\n'
        )
        path.chmod(0o755)

    def gluster(self, output: str, status: int = 0) -> None:
        """Set how a gluster process of its own ends."""
        (self.state / 'gluster.out').write_text(output)
        (self.state / 'gluster.rc').write_text(str(status))

    def lvs(self, *rows: dict[str, str]) -> None:
        """Set what ``lvs`` reports."""
        text = json.dumps({'report': [{'lv': rows}]})
        self.program('lvs', f"/bin/cat <<'REPORT'\n{text}\nREPORT")

    def mounted(self, *mounts: tuple[str, pathlib.Path]) -> None:
        """Set which XFS are mounted, by device number and mount point."""
        lines = ['22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw']
        lines += [
            f'40 1 {device} / {str(target).replace(" ", chr(92) + "040")} '
            f'rw,noatime shared:1 - xfs /dev/mapper/x rw,nouuid'
            for device, target in mounts
        ]
        text = ''.join(f'{line}\n' for line in lines)
        (self.proc / 'self' / 'mountinfo').write_text(text)

    def listening(self, *sockets: str) -> None:
        """Set the sockets that listen, by the names of their files."""
        lines = ['Num RefCount Protocol Flags Type St Inode Path']
        for name in sockets:
            lines += [
                f'0: 00000003 00000000 00000000 0001 03 8 {name}',
                f'0: 00000002 00000000 00010000 0001 01 7 {name}',
            ]
        text = ''.join(f'{line}\n' for line in [*lines, lines[-1][:44]])
        (self.proc / 'net' / 'unix').write_text(text)

    def go(self) -> None:
        """Let programs end that wait for it."""
        (self.state / 'go').touch()

    def calls(self) -> list[str]:
        """Return the calls of programs."""
        path = self.state / 'calls'
        return path.read_text().splitlines() if path.exists() else []

    def start(self) -> subprocess.Popen[bytes]:
        """Start the runner, as sshd would."""
        return subprocess.Popen(
            [str(self.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def _sources(self) -> dict[str, str]:
        texts = archive.sources()
        for module, constant, value in (
            ('child_processes', 'PATH', str(self.root / 'bin')),
            ('child_processes', 'KILL_AFTER, GIVE_UP_AFTER', (0.2, 0.2)),
            ('service', '_MOST_STEPS, _MOST_REQUESTS', (64, MOST_REQUESTS)),
            ('service', 'SETTINGS', str(self.root / 'runner.json')),
            ('validation', 'SNAPS_ROOT', str(self.snaps)),
            ('validation', 'RUN_ROOT', str(self.run)),
            ('validation', 'GLUSTERD', str(self.glusterd)),
            ('procfs', 'PROC', str(self.proc)),
            ('directories', 'GLUSTERD_LOG', str(self.root / 'glusterd.log')),
            ('facts', 'MTAB', str(self.root / 'mtab')),
            ('facts', 'MODULES', str(self.root / 'modules')),
            ('facts', 'LOADED_MODULES', str(self.root / 'loaded')),
            ('facts', 'TLS_DIRECTORIES', (str(self.root / 'tls'),)),
            # That of a node can be set by root only.
            ('directories', 'VOLUME_ID', 'user.glusterfs.volume-id'),
        ):
            path = f'manila_glusterfs_clone/node/runner/{module}.py'
            texts[path], count = re.subn(
                rf'^{constant} = .*$',
                f'{constant} = {value!r}',
                texts[path],
                flags=re.MULTILINE,
            )
            assert count == 1, f'{constant} of {module}'
        return texts


def lv(
    name: str, vg: str = 'gvg', pool: str = 'pool', **fields: str
) -> dict[str, str]:
    """Return a row of a report of LVM."""
    return {
        'vg_name': vg,
        'lv_name': name,
        'lv_size': str(64 * MIB),
        'lv_layout': 'thin,sparse',
        'lv_role': 'public',
        'lv_active': 'active',
        'lv_health_status': '',
        'zero': 'zero',
        'pool_lv': pool,
        'origin': '',
        'data_percent': '1.00',
        'metadata_percent': '',
        'lv_tags': '',
        'lv_dm_path': f'/dev/mapper/{vg}-{name}',
        'lv_metadata_size': '',
        'lv_device_open': '',
        'lv_profile': '',
        'vg_profile': '',
        'vg_free': '0',
        **fields,
    }


class Place(Protocol):
    """A node on which a runner can be started."""

    bricks: pathlib.Path
    run: pathlib.Path
    snaps: pathlib.Path

    def start(self) -> 'subprocess.Popen[bytes]':
        """Start the runner."""


class Talk:
    """A runner that is spoken to frame by frame."""

    def __init__(self, node: Place) -> None:
        self.process = node.start()
        self.frames = frames.Frames(NONCE)
        self._contents: list[dict[str, Any]] = []

    def send(self, content: dict[str, Any]) -> None:
        self.send_bytes(frames.frame(NONCE, content))

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) or 0 :]

    def ask(self, number: int, *asked: step_outcomes.Step) -> None:
        self.send({'id': number, 'steps': [as_json(step) for step in asked]})

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def read(self, count: int = 1, seconds: float = 20.0) -> list[Any]:
        """Return the next answers; fewer at the end of the output."""
        assert self.process.stdout is not None
        while len(self._contents) < count:
            assert select.select([self.process.stdout], [], [], seconds)[0]
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                break
            self._contents += self.frames.feed(data)
        answers = self._contents[:count]
        del self._contents[:count]
        return answers

    def one(self, *asked: step_outcomes.Step) -> Any:
        """Return the answers to one request; of a single step its answer."""
        self.ask(1, *asked)
        answers = self.read(len(asked))
        return answers[0] if len(asked) == 1 else answers

    def value(self, asked: step_outcomes.Step) -> Any:
        """Return the JSON that a step answers."""
        answer = self.one(asked)
        assert answer['outcome'] == 'done', answer
        return json.loads(answer['stdout'])

    def status(self) -> int:
        """Wait for the end of the runner."""
        return self.process.wait(20)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (
            self.process.stdin,
            self.process.stdout,
            self.process.stderr,
        ):
            if pipe is not None:
                pipe.close()


def as_json(step: step_outcomes.Step) -> dict[str, Any]:
    return {
        'verb': step.verb,
        'seconds': step.timeout,
        'values': dict(step.values),
    }


class LocalStream:
    """The streams of a local process, for the driver's side."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self._stdin = process.stdin
        self._open = {process.stdout.fileno(): 0, process.stderr.fileno(): 1}

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stdin.write(view) or 0 :]

    def read(self) -> tuple[bytes, bytes] | None:
        while self._open:
            parts = [b'', b'']
            for descriptor in select.select([*self._open], [], [])[0]:
                data = os.read(descriptor, 1 << 16)
                parts[self._open[descriptor]] = data
                if not data:
                    del self._open[descriptor]
            if any(parts):
                return parts[0], parts[1]
        return None

    def close(self) -> None:
        self._stdin.close()


def step(
    verb: str, seconds: float = 20.0, **values: Any
) -> step_outcomes.Step:
    """Make a step."""
    return step_outcomes.Step(verb, values, seconds)


def outcomes(answers: Sequence[Any]) -> list[str]:
    """Return the outcome and kind of answers."""
    return [
        ' '.join(filter(None, (answer['outcome'], answer.get('kind'))))
        for answer in answers
    ]
