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
"""Running scripts in a guest: the host's ssh client, one connection a node.

A script runs under ``bash -euo pipefail``, itself under ``timeout``. The
status of the script and how long it took come back as the last bytes of
stderr, so that *the script failed*, *its time was up* and *the link broke*
are never taken for each other: ssh's own 255 may also be gluster's, and
timeout's 124 that of a ``timeout`` in the script.
"""

import contextlib
from dataclasses import dataclass
import math
import os
from pathlib import Path
import re
import shlex
import signal
import subprocess

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.network import Network

#: Seconds for the connection, in addition to those of the script.
_GRACE = 25

_TRAILER = re.compile(rb'\d+ \d+')


@dataclass(frozen=True)
class Output:
    """The result of a script.

    :param in_time: False: it was killed when its time was up.
    """

    status: int
    out: str
    err: str
    in_time: bool = True


class Link:
    """Access to a node as root.

    :param directory: where the key, known_hosts and sockets are.
    """

    def __init__(
        self, node: str, address: str, network: Network, directory: Path
    ) -> None:
        self.node = node
        self._network = network
        self._socket = directory / f'ssh-{node}'
        self._target = f'root@{address}'
        self._options = [
            *('-F', 'none', '-i', str(directory / 'root_key')),
            *('-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes'),
            *('-o', f'UserKnownHostsFile={directory / "known_hosts"}'),
            *('-o', 'GlobalKnownHostsFile=/dev/null'),
            *('-o', 'StrictHostKeyChecking=yes', '-o', 'LogLevel=ERROR'),
            *('-o', 'ConnectTimeout=3', '-o', 'ServerAliveInterval=15'),
            *('-o', 'ControlMaster=auto', '-o', 'ControlPersist=yes'),
            *('-o', f'ControlPath={self._socket}'),
        ]

    def argv(self, *command: str) -> list[str]:
        """Return the command line of a command, or a shell, on the node."""
        return self._network.inside(
            'ssh', *self._options, self._target, *command
        )

    def run(
        self, script: str, *, timeout: float, stdin: bytes = b''
    ) -> Output:
        """Run a script on the node.

        :param timeout: seconds for the script.
        :raises LabError: when the node cannot be reached, or the link
            breaks while the script runs.
        """
        seconds = math.ceil(timeout)
        command = (
            f'timeout -k 5 {seconds} bash -euo pipefail -c '
            f'{shlex.quote(script)}; printf "\\0%d %d" $? $SECONDS >&2'
        )
        try:
            done = subprocess.run(
                self.argv(command),
                input=stdin,
                capture_output=True,
                timeout=timeout + _GRACE,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f'{self.node} has not answered for {timeout + _GRACE:.0f} s '
                f'(script: {script.strip()!r})'
            ) from error
        err, mark, trailer = done.stderr.rpartition(b'\0')
        if not mark or not _TRAILER.fullmatch(trailer):
            said = done.stderr.decode(errors='replace').strip()
            raise LabError(f'no answer from {self.node} over SSH: {said}')
        status, took = (int(word) for word in trailer.split())
        return Output(
            status,
            done.stdout.decode(errors='replace'),
            err.decode(errors='replace'),
            in_time=status not in (124, 137) or took < seconds,
        )

    def close(self) -> None:
        """End the background ssh that holds the connection, if any.

        Asked nicely it would first wait for the sessions it carries.
        """
        title = f'ssh: {self._socket} [mux]'.encode()
        for pid, line in host.processes('cmdline'):
            if line.startswith(title):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self._socket.unlink(missing_ok=True)
