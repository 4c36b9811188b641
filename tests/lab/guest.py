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
"""One user-mode Linux guest: a few ordinary processes of the host.

Two words of its command line identify a guest. So a process that did not start
a lab can take it over or remove it.
"""

from collections.abc import Mapping
import contextlib
from dataclasses import dataclass
from pathlib import Path
import shutil
import subprocess
import time

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.kernel import Kernel
from tests.lab.network import NETWORK, Network, Port

#: The words of a command line that name the lab and the node.
_OF_LAB = 'uml_dir={}'
_OF_NODE = 'umid={}'


@dataclass(frozen=True)
class Spec:
    """The description of a guest.

    :param role: 'storage' or 'client'.
    :param memory: MiB.
    :param root: the image below the guest's own copy-on-write file.
    :param disks: the guest's disks after the first: 1 is /dev/ubdb.
    :param cpu: the one of the host that it runs on. Its kernel and its
        processes take turns, so that it never needs two; where it has them,
        every turn wakes up a CPU, and all it does takes twice as long.
    """

    port: Port
    role: str
    memory: int
    kernel: Kernel
    root: Path
    disks: Mapping[int, Path]
    cpu: int


class Guest:
    """The processes of one guest, and its files in *directory*."""

    def __init__(self, spec: Spec, network: Network, directory: Path) -> None:
        self.spec = spec
        self.name = spec.port.name
        self.console = directory / f'{self.name}.console'
        self._network = network
        self._cow = directory / f'{self.name}.cow'
        self._uml = directory / 'uml'
        self._words = (
            _OF_LAB.format(self._uml),
            _OF_NODE.format(self.name),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def argv(self) -> list[str]:
        """Return the command line that boots the guest."""
        spec = self.spec
        return [
            *(*spec.kernel.argv, f'mem={spec.memory}M', *self._words),
            f'ubd0={self._cow},{spec.root}',
            *(f'ubd{number}={path}' for number, path in spec.disks.items()),
            *('root=/dev/ubda', 'rw', 'init=/lib/systemd/systemd'),
            'systemd.show_status=error',
            f'vec0:transport=tap,ifname={self.name},depth=64,gro=1'
            f',mac={spec.port.mac}',
            *('con=null', 'con0=null,fd:1', f'lab.role={spec.role}'),
            f'lab.node={self.name}',
            f'lab.address={spec.port.address}/{NETWORK.prefixlen}',
        ]

    def start(self) -> None:
        """Switch the guest on; it is still booting when this returns."""
        if self.running():
            raise LabError(f'{self.name} runs already')
        # The files of a guest that was killed.
        shutil.rmtree(self._uml / self.name, ignore_errors=True)
        with self.console.open('ab') as console:
            self._process = subprocess.Popen(
                self._network.inside(
                    *('taskset', '--cpu-list', str(self.spec.cpu)),
                    *self.argv(),
                ),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # A session of its own, which Ctrl-C does not reach.
                start_new_session=True,
            )

    def running(self) -> bool:
        """Return whether the guest is on, whichever process started it."""
        return host.alive(self._process) or bool(
            host.processes_with(*self._words)
        )

    def kill(self) -> None:
        """Cut the guest's power, without a sync or a message."""
        if host.alive(self._process):
            self._process.kill()
        host.kill_all_with(*self._words)
        self._reap()

    def wait_off(self, timeout: float) -> bool:
        """Wait at most *timeout* seconds until the guest is off."""
        deadline = time.monotonic() + timeout
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        self._reap()
        return True

    def last_words(self, lines: int = 15) -> str:
        """Return the end of the guest's console output."""
        try:
            text = self.console.read_text(errors='replace')
        except OSError:
            return ''
        return '\n'.join(text.splitlines()[-lines:])

    def _reap(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None


def kill_all(directory: Path) -> None:
    """Cut the power of every guest of the lab in *directory*."""
    host.kill_all_with(_OF_LAB.format(directory / 'uml'))
