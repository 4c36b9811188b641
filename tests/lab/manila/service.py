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

#: What of the host's environment a service is to have.
_KEPT = ('PATH', 'TZ')

#: Seconds between two looks at whether something is so by now.
_PAUSE = 0.2


@dataclass(frozen=True)
class Spec:
    """What a service is.

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
        """Start it; see :meth:`wait_ready` for when it does its work."""
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
        """Wait until it does its work.

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
        """End it in good order; stopped already is fine.

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
        """SIGKILL all its processes; dead already is fine."""
        if host.alive(self._process):
            self._process.kill()
        host.kill_all_marked(self._mark)
        self._reap()

    def restart(self) -> None:
        """Stop it, start it, and wait until it does its work."""
        self.stop()
        self.start()
        self.wait_ready()

    def running(self) -> bool:
        """Whether any process of it is there, whoever has started it."""
        return bool(self.pids())

    @property
    def begun(self) -> float:
        """When it was started the last time, in seconds since the epoch."""
        return float(json.loads(self._life.read_text())[0])

    def said(self) -> str:
        """What it has logged since."""
        return self.log(int(json.loads(self._life.read_text())[1]))

    def pids(self) -> dict[int, int]:
        """Its processes, each with its parent."""
        found = host.processes_marked(self._mark)
        if host.alive(self._process):
            found.setdefault(self._process.pid, os.getpid())
        return found

    def memory(self) -> int:
        """Bytes that its processes hold, each page counted once."""
        found = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = Path(f'/proc/{pid}/smaps_rollup').read_text()
                for line in text.splitlines():
                    if line.startswith('Pss:'):
                        found += int(line.split()[1]) * 1024
        return found

    # -- what it says

    def log(self, since: int = 0) -> str:
        """What it has logged, from a place that :meth:`bookmark` gave."""
        with contextlib.suppress(FileNotFoundError):
            with self.log_path.open('rb') as file:
                file.seek(since)
                return file.read().decode(errors='replace')
        return ''

    def bookmark(self) -> int:
        """The place in the log where it will go on."""
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.stat().st_size
        return 0

    def last_words(self, lines: int = 25) -> str:
        """The end of the log."""
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
