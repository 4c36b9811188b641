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
"""Operations on any guest of a lab: scripts, files, power, network."""

from collections.abc import Callable, Iterable, Mapping
import concurrent.futures
from concurrent.futures import ThreadPoolExecutor
import io
import tarfile
import time
from typing import TypeVar

from tests.lab.errors import CommandFailed, LabError, Unexpected
from tests.lab.guest import Guest
from tests.lab.network import HOST, Network, Port
from tests.lab.ssh import Link, Output

T = TypeVar('T')


class Machine:
    """A guest, and the operations on it.

    Scripts are for ``bash -euo pipefail`` and run as root. All times are
    in seconds.
    """

    #: Seconds that one boot may take on a busy machine.
    boot_timeout = 240.0

    def __init__(self, guest: Guest, link: Link, network: Network) -> None:
        self.name = guest.name
        self.guest = guest
        self.link = link
        self._network = network

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.name} {self.address}>'

    @property
    def address(self) -> str:
        return self.port.address

    @property
    def port(self) -> Port:
        return self.guest.spec.port

    # -- scripts

    def execute(
        self, script: str, timeout: float = 60, stdin: bytes = b''
    ) -> Output:
        """Run a script and return its result, whatever its status."""
        if not self.guest.running():
            raise LabError(f'{self.name} is switched off')
        return self.link.run(script, timeout=timeout, stdin=stdin)

    def succeed(
        self, script: str, timeout: float = 60, stdin: bytes = b''
    ) -> str:
        """Run a script that must end with status 0; return its stdout."""
        done = self.execute(script, timeout, stdin)
        if done.status != 0:
            raise self._failed(script, done)
        return done.out

    def fail(self, script: str, timeout: float = 60) -> str:
        """Run a script that must *not* succeed; return all its output."""
        done = self.execute(script, timeout)
        if done.status == 0 or not done.in_time:
            raise self._failed(script, done)
        return done.out + done.err

    def wait_until_succeeds(
        self, script: str, timeout: float = 60, every: float = 1
    ) -> str:
        """Repeat a script until it succeeds; return its stdout."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(5.0, deadline - time.monotonic())
            done = self.execute(script, left)
            if done.status == 0:
                return done.out
            if time.monotonic() + every > deadline:
                raise self._failed(script, done)
            time.sleep(every)

    def _failed(self, script: str, done: Output) -> CommandFailed:
        return CommandFailed(
            *(self.name, script, done.status, done.out, done.err),
            in_time=done.in_time,
        )

    def put(self, data: str | bytes, path: str, mode: int = 0o644) -> None:
        """Write a file as root, and make its directory."""
        self.put_files({path: (data, mode)})

    def put_files(self, files: Mapping[str, tuple[str | bytes, int]]) -> None:
        """Write files, given by path as content and mode, in one request."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode='w') as tar:
            for path, (data, mode) in files.items():
                content = data.encode() if isinstance(data, str) else data
                info = tarfile.TarInfo(path.lstrip('/'))
                info.size, info.mode = len(content), mode
                info.mtime = int(time.time())
                tar.addfile(info, io.BytesIO(content))
        self.succeed('tar -x -C /', stdin=archive.getvalue())

    # -- power

    def switch_on(self) -> None:
        """Switch the guest on and return at once; see :meth:`wait_ready`."""
        self.guest.start()

    def boot(self) -> None:
        """Switch the guest on, and wait until it is ready."""
        self.switch_on()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the boot has ended, even with failed units.

        :raises LabError: when it is not in :attr:`boot_timeout`.
        """
        deadline = time.monotonic() + self.boot_timeout
        while True:
            try:
                self.link.run('true', timeout=10)
                break
            except LabError as error:
                if not self.guest.running():
                    raise LabError(
                        f'{self.name} has switched itself off:\n'
                        f'{self.guest.last_words()}'
                    ) from error
                if time.monotonic() > deadline:
                    raise LabError(
                        f'{self.name} cannot be reached '
                        f'{self.boot_timeout:g} s after it was switched '
                        f'on ({error}):\n{self.guest.last_words()}'
                    ) from error
                time.sleep(0.5)
        left = max(10.0, deadline - time.monotonic())
        # 'degraded' (a unit has failed) counts as up.
        done = self.execute('systemctl is-system-running --wait', left)
        if not done.in_time:
            raise LabError(
                f'{self.name} does not end its boot: '
                f'{self.execute("systemctl list-jobs").out}'
            )

    def crash(self) -> None:
        """Cut the power of the guest, without a sync or a message."""
        self.guest.kill()
        self.link.close()

    def shutdown(self) -> None:
        """Shut the guest down; do nothing if it is off."""
        if self.guest.running():
            try:
                self.link.run('systemctl poweroff', timeout=20)
            except LabError:
                # The connection may end before the answer arrives.
                pass
            if not self.guest.wait_off(120):
                raise LabError(
                    f'{self.name} does not switch off:\n'
                    f'{self.guest.last_words()}'
                )
        self.link.close()

    def reboot(self) -> None:
        """Shut the guest down and boot it again."""
        before = self.boot_id()
        self.shutdown()
        self.boot()
        if self.boot_id() == before:
            raise LabError(f'{self.name} has not been rebooted')

    def boot_id(self) -> str:
        """Return the id of the current boot."""
        return self.succeed('cat /proc/sys/kernel/random/boot_id').strip()

    # -- network

    def cut(self, other: 'Machine') -> None:
        """Drop all packets between this guest and another.

        It holds, through reboots, until it is healed.
        """
        self._network.cut(self.port, other.port)

    def heal(self, other: 'Machine') -> None:
        """Undo :meth:`cut`."""
        self._network.heal(self.port, other.port)

    def cut_from_host(self) -> None:
        """Drop all packets between this guest and the tests.

        The lab's own words to it end in a LabError until it is healed.
        """
        self._network.cut(self.port, HOST)

    def heal_from_host(self) -> None:
        """Undo :meth:`cut_from_host`."""
        self._network.heal(self.port, HOST)
        # It may be waiting for an answer that was thrown away.
        self.link.close()

    # -- systemd

    def unit_is(self, unit: str, state: str = 'active') -> None:
        """Raise Unexpected unless a unit is in a state."""
        found = self.execute(f'systemctl is-active {unit}').out.strip()
        if found != state:
            log = self.execute(f'journalctl -n 30 --no-pager -u {unit}').out
            raise Unexpected(
                f'{unit} on {self.name} is {found}, not {state}:\n{log}'
            )


def side_by_side(do: Callable[[T], object], things: Iterable[T]) -> None:
    """Run an action on all of them at once, and wait for all.

    :raises: the first error there was, after all have ended.
    """
    pool = ThreadPoolExecutor(16)
    try:
        futures = [pool.submit(do, thing) for thing in things]
        concurrent.futures.wait(futures)
    finally:
        # At Ctrl-C do not wait for guests that are about to be killed.
        pool.shutdown(wait=False, cancel_futures=True)
    for future in futures:
        future.result()
