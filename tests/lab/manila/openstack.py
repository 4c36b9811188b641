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
import json
import os
from pathlib import Path
import shlex
import subprocess
from typing import Any

from tests.lab.errors import CommandFailed, LabError
from tests.lab.manila.environment import Environment
from tests.lab.manila import rest
from tests.lab.manila import users
from tests.lab.network import Network


class OpenStack:
    """A user at a shell with the client.

    ::

        share = demo('share', 'create', 'GLUSTERFS', '1', '--wait')
        demo.run('share', 'delete', share['id'], '--wait')
        demo.fail('share', 'service', 'list')
    """

    def __init__(
        self,
        user: users.User,
        environment: Environment,
        network: Network,
        home: Path,
    ) -> None:
        self.user = user
        self.name = user.name
        self._program = environment.program('openstack')
        self._bin = environment.directory / 'bin'
        self._network = network
        self._home = home

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
        return self._network.inside(self._program, *argv)

    def environment(self) -> dict[str, str]:
        """The environment that a command runs in, whole."""
        return {
            'PATH': f'{self._bin}:{os.environ.get("PATH", os.defpath)}',
            'HOME': str(self._home),
            'LC_ALL': 'C.UTF-8',
            'PYTHONWARNINGS': 'ignore',
            **self.user.variables(rest.KEYSTONE),
        }

    def openrc(self) -> str:
        """What a shell in the lab's network has to source."""
        return openrc(self._bin, self.user.variables(rest.KEYSTONE))

    def _run(
        self, argv: tuple[str, ...], timeout: float
    ) -> tuple[int, str, str]:
        self._home.mkdir(exist_ok=True)
        try:
            done = subprocess.run(
                self.argv(*argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment(),
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stdout or b'', error.stderr or b'')
            out, err = (part.decode(errors='replace') for part in said)
            raise self._failed(argv, 124, out, err, in_time=False) from error
        return done.returncode, done.stdout, done.stderr

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
