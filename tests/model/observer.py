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
"""Record disturbed clients, and clients that can write and may not.

A disturbed client loses a mount that it may keep.

The observer of a cluster checks all clients before and after each remote
command of a driver. A client that was served before and is not served after
was disturbed by that command, if a rule of its share still admits it. Losses
that a power cut or an operator's command causes are not recorded.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import threading

from tests.model import glusterd_state
from tests.model.shared_dict import SharedDict

#: Whether a rule that stays admits an address to a volume.
Entitled = Callable[[str, str], bool]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """A client that lost access although its rule stays."""

    address: str
    volume: str
    #: The remote command after which it was not served.
    step: str

    def __str__(self) -> str:
        return f'{self.address} lost {self.volume} after {self.step}'


@dataclasses.dataclass(frozen=True)
class Breach:
    """A client that could write, although its rule is read-only."""

    address: str
    volume: str
    #: The remote command after which it could write.
    step: str

    def __str__(self) -> str:
        return f'{self.address} could write to {self.volume} after {self.step}'


class Observer:
    """Watches the clients of a cluster."""

    def __init__(self, state: glusterd_state.GlusterdState) -> None:
        self.disturbances: list[Disturbance] = []
        self.breaches: list[Breach] = []
        #: By the name of the back end whose shares it knows.
        self.entitled: dict[str, Entitled] = SharedDict()
        #: By the name of the back end: whether the rule of an address is
        #: read-only, both before and after an operation.
        self.read_only: dict[str, Entitled] = SharedDict()
        self._state = state
        self._served: set[tuple[str, str]] = set()
        self._writers: set[tuple[str, str]] = set()
        #: How many commands are under way.
        self._running = 0
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def command(self, step: str, *, is_read: bool) -> Iterator[None]:
        """Run a remote command, and record the clients that it disturbs.

        :param is_read: the command changes nothing; nobody is looked at.
        """
        if is_read or not self._state.clients:
            yield
            return
        with self._lock:
            if not self._running:
                self._served = self._state.served()
                self._writers = self._state.writers()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                served = self._state.served()
                lost, self._served = self._served - served, served
                for address, volume in sorted(lost):
                    if _is_any(self.entitled, volume, address):
                        self.disturbances.append(
                            Disturbance(address, volume, step)
                        )
                writers = self._state.writers()
                new, self._writers = writers - self._writers, writers
                for address, volume in sorted(new):
                    if _is_any(self.read_only, volume, address):
                        self.breaches.append(Breach(address, volume, step))


def _is_any(known: dict[str, Entitled], volume: str, address: str) -> bool:
    return any(entitled(volume, address) for entitled in known.values())
