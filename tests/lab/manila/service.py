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
"""One service of a control plane: its processes, its log, its health.

All processes of a service have its mark (see host.processes_marked). So a
process that did not start the service can take it over, kill it or remove it,
with its workers, whatever the processes call themselves.
"""

from collections.abc import Callable, Mapping
import contextlib
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import signal
import subprocess
import time

from tests.lab.errors import LabError, Unexpected
from tests.lab import host
from tests.lab.network import Network

#: The variables of the host's environment that a service gets.
_KEPT = ('PATH', 'TZ')

#: Seconds between two checks of a condition.
_PAUSE = 0.2


@dataclass(frozen=True)
class Spec:
    """The description of a service.

    :param probe: says what is still missing until the service does its
        work, and '' when it does. What it said of itself in an earlier life
        says nothing: see Service.begun and Service.said.
    :param ready_in: seconds that it may take on a busy machine.
    :param stops_in: seconds that it may take to end in good order.
    """

    name: str
    argv: tuple[str, ...]
    probe: Callable[['Service'], str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_in: float = 120
    stops_in: float = 60


class Service:
    """A service, running or not.

    :param mark: of all services of the lab.
    :param directory: where its log is.
    """

    def __init__(
        self, spec: Spec, network: Network, mark: str, directory: Path
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.log_path = directory / f'{self.name}.log'
        self._network = network
        self._mark = f'{mark}/{self.name}'
        self._home = directory / 'home'
        self._life = directory / f'{self.name}.life'
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f'<Service {self.name} {sorted(self.pids())}>'

    # -- on and off

    def start(self) -> None:
        """Start the service; :meth:`wait_ready` waits until it works."""
        if self.pids():
            raise LabError(f'{self.name} runs already')
        self._home.mkdir(exist_ok=True)
        self._life.write_text(json.dumps([time.time(), self.bookmark()]))
        with self.log_path.open('ab') as log:
            log.write(f'=== {time.strftime("%F %T")} start\n'.encode())
            log.flush()
            self._process = subprocess.Popen(
                self._network.inside(*self.spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                env=self._environment(),
                # A session of its own: Ctrl-C is for the lab, not for it.
                start_new_session=True,
            )

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the service works.

        :param timeout: seconds; what the service may take unless given.
        :raises LabError: when it has died, or does not in time.
        """
        seconds = timeout or self.spec.ready_in
        deadline = time.monotonic() + seconds
        while True:
            # The dead may have left all the signs of life that are looked
            # for.
            if not self.running():
                raise LabError(f'{self.name} has died:\n{self.last_words()}')
            if not (missing := self.spec.probe(self)):
                return
            if time.monotonic() > deadline:
                raise LabError(
                    f'{self.name} is not ready after {seconds:g} s '
                    f'({missing}):\n{self.last_words()}'
                )
            time.sleep(_PAUSE)

    def stop(self) -> None:
        """Stop the service; do nothing if it is stopped.

        :raises Unexpected: when it does not end in time. It is killed then.
        """
        deadline = time.monotonic() + self.spec.stops_in
        pids = self.pids()
        for pid, parent in pids.items():
            # The others end at the behest of these.
            if parent not in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
        while self.running():
            if time.monotonic() > deadline:
                self.kill()
                raise Unexpected(
                    f'{self.name} has not ended {self.spec.stops_in:g} s '
                    f'after SIGTERM:\n{self.last_words()}'
                )
            time.sleep(_PAUSE)
        self._reap()

    def kill(self) -> None:
        """SIGKILL all processes of the service."""
        if host.alive(self._process):
            self._process.kill()
        host.kill_all_marked(self._mark)
        self._reap()

    def restart(self) -> None:
        """Stop the service, start it, and wait until it works."""
        self.stop()
        self.start()
        self.wait_ready()

    def running(self) -> bool:
        """Return whether any process of the service runs."""
        return bool(self.pids())

    @property
    def begun(self) -> float:
        """Return the time of the last start, in seconds since the epoch."""
        return float(json.loads(self._life.read_text())[0])

    def said(self) -> str:
        """Return the log since the last start."""
        return self.log(int(json.loads(self._life.read_text())[1]))

    def pids(self) -> dict[int, int]:
        """Return its processes, each with its parent."""
        found = host.processes_marked(self._mark)
        if host.alive(self._process):
            found.setdefault(self._process.pid, os.getpid())
        return found

    def memory(self) -> int:
        """Return the bytes that its processes use, each page counted once."""
        found = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = Path(f'/proc/{pid}/smaps_rollup').read_text()
                for line in text.splitlines():
                    if line.startswith('Pss:'):
                        found += int(line.split()[1]) * 1024
        return found

    # -- its log

    def log(self, since: int = 0) -> str:
        """Return the log from a place that :meth:`bookmark` returned."""
        with contextlib.suppress(FileNotFoundError):
            with self.log_path.open('rb') as file:
                file.seek(since)
                return file.read().decode(errors='replace')
        return ''

    def bookmark(self) -> int:
        """Return the current end of the log."""
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.stat().st_size
        return 0

    def last_words(self, lines: int = 25) -> str:
        """Return the end of the log as text."""
        return host.tail(self.log_path, lines)

    def _environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return {
            **kept,
            'HOME': str(self._home),
            'LC_ALL': 'C.UTF-8',
            'PYTHONWARNINGS': 'ignore',
            # Workers that give themselves a title would write it over the
            # environment, the mark included.
            'SPT_NOENV': '1',
            host.MARK: self._mark,
            **self.spec.env,
        }

    def _reap(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None
