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
"""The real ``openstack`` client, as one of the lab's users."""

from collections.abc import Mapping
import contextlib
import json
import os
from pathlib import Path
import shlex
import signal
import socket
import subprocess
import threading
from typing import Any

from tests.lab.errors import CommandFailed, LabError
from tests.lab.manila.environment import Environment
from tests.lab.manila import loaded
from tests.lab.manila import rest
from tests.lab.manila import users
from tests.lab.network import Network


class Client:
    """The program of all users, loaded at its first use; see loaded.

    :param home: the home directory of its users.
    """

    def __init__(
        self, environment: Environment, network: Network, home: Path
    ) -> None:
        self._python = environment.program('python')
        self._network = network
        self.program = environment.program('openstack')
        self.directory = environment.directory / 'bin'
        self.home = home
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def argv(self, *argv: str) -> list[str]:
        """The command line of a command, in the lab's network."""
        return self._network.inside(self.program, *argv)

    def run(
        self,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        timeout: float,
    ) -> tuple[int, str, str]:
        """Run a command; its exit status, stdout and stderr.

        :param environment: that it runs in, whole.
        :param timeout: seconds.
        :raises TimeoutError: when it has no end in time; it is killed then.
        """
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        pid = None
        with ours, ours.makefile('rb') as talk:
            try:
                with theirs, self._lock:
                    channel = self._channel or self._load()
                    socket.send_fds(channel, [b' '], [theirs.fileno()])
                asked = {'argv': argv, 'env': dict(environment)}
                ours.sendall(json.dumps(asked).encode() + b'\n')
                pid = int(talk.readline())
                status, out, err = json.loads(talk.read())
                return status, out, err
            except TimeoutError:
                if pid is not None:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                raise
            except (OSError, ValueError) as error:
                raise LabError(
                    f'the openstack client has crashed ({error})'
                ) from error

    def close(self) -> None:
        """End what is loaded."""
        with self._lock:
            channel, self._channel = self._channel, None
            if channel and self._process:
                channel.close()
                self._process.wait(30)

    def _load(self) -> socket.socket:
        self.home.mkdir(exist_ok=True)
        self._channel, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        with theirs:
            self._process = subprocess.Popen(
                self._network.inside(
                    self._python, loaded.__file__, str(theirs.fileno())
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self.environment(),
                pass_fds=[theirs.fileno()],
            )
        return self._channel

    def environment(self) -> dict[str, str]:
        """What the environments of all commands have in common."""
        return {
            'PATH': f'{self.directory}:{os.environ.get("PATH", os.defpath)}',
            'HOME': str(self.home),
            'LC_ALL': 'C.UTF-8',
            'PYTHONWARNINGS': 'ignore',
        }


class OpenStack:
    """A user at a shell with the client.

    ::

        share = demo('share', 'create', 'GLUSTERFS', '1', '--wait')
        demo.run('share', 'delete', share['id'], '--wait')
        demo.fail('share', 'service', 'list')
    """

    def __init__(self, user: users.User, client: Client) -> None:
        self.user = user
        self.name = user.name
        self._client = client

    def __call__(self, *argv: str, timeout: float = 120) -> Any:
        """Run a command that must succeed; what it shows, as JSON has it.

        :param argv: what comes after ``openstack``.
        :raises CommandFailed: when it is refused, or takes longer than
            *timeout* seconds.
        """
        said = self.run(*argv, '-f', 'json', timeout=timeout)
        try:
            return json.loads(said)
        except ValueError as error:
            raise LabError(
                f'openstack {shlex.join(argv)} did not print JSON: {said!r}'
            ) from error

    def run(self, *argv: str, timeout: float = 120) -> str:
        """Run a command that must succeed; its stdout."""
        status, out, err = self._run(argv, timeout)
        if status != 0:
            raise self._failed(argv, status, out, err)
        return out

    def fail(self, *argv: str, timeout: float = 120) -> str:
        """Run a command that must be refused; all it said."""
        status, out, err = self._run(argv, timeout)
        if status == 0:
            raise self._failed(argv, status, out, err)
        return out + err

    def argv(self, *argv: str) -> list[str]:
        """The command line of a command, in the lab's network."""
        return self._client.argv(*argv)

    def environment(self) -> dict[str, str]:
        """The environment that a command runs in, whole."""
        return {
            **self._client.environment(),
            **self.user.variables(rest.KEYSTONE),
        }

    def openrc(self) -> str:
        """What a shell in the lab's network has to source."""
        return openrc(
            self._client.directory, self.user.variables(rest.KEYSTONE)
        )

    def _run(
        self, argv: tuple[str, ...], timeout: float
    ) -> tuple[int, str, str]:
        try:
            return self._client.run(argv, self.environment(), timeout)
        except TimeoutError as error:
            raise self._failed(argv, 124, '', '', in_time=False) from error

    def _failed(
        self,
        argv: tuple[str, ...],
        status: int,
        out: str,
        err: str,
        in_time: bool = True,
    ) -> CommandFailed:
        script = f'openstack {shlex.join(argv)}'
        return CommandFailed(self.name, script, status, out, err, in_time)


def openrc(programs: Path, variables: Mapping[str, str]) -> str:
    """The text of a file to source: the client, and who one is."""
    lines = [f'export PATH={shlex.quote(str(programs))}:$PATH']
    lines += [
        f'export {name}={shlex.quote(value)}'
        for name, value in variables.items()
    ]
    lines.append('export PYTHONWARNINGS=ignore')
    return '\n'.join(lines) + '\n'
