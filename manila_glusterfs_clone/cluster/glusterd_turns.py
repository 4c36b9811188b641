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
"""Let the gluster commands of several operations take turns.

glusterd runs one change at a time (11.1). If the commands of eight
clones alternated, each clone would take as long as all eight. Therefore the
operation that began first goes first. Changes of access rules go before other
operations: they are short, and a client may have to be disconnected.

Commands that only read take no turn. There is one exception: if glusterd locks
a volume for a read command, the driver retries the command like a change.

Turns apply within one process. If the commands of two processes collide,
glusterd refuses one of them, and the driver retries it.
"""

import bisect
from collections.abc import Iterator
import contextlib
import contextvars
import itertools
import threading
import time

#: An urgent operation goes before operations that began up to this many
#: seconds earlier. It does not go before those that have waited longer.
URGENCY_SECONDS = 60.0
#: If a command runs longer than this, glusterd hangs. The waiting commands
#: then start, so that all commands fail at about the same time.
LONGEST_TURN_SECONDS = 20.0

#: The monotonic time at which the operation of the current thread began,
#: less :data:`URGENCY_SECONDS` if the operation is urgent.
_began_at: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    'began_at', default=None
)


@contextlib.contextmanager
def operation(*, is_urgent: bool = False) -> Iterator[None]:
    """Give all commands in the body the same place in the order of operations.

    A command outside of such a body is an operation of its own.
    """
    now = time.monotonic()
    token = _began_at.set(now - URGENCY_SECONDS if is_urgent else now)
    try:
        yield
    finally:
        _began_at.reset(token)


class Turns:
    """The turns of the commands of this process on one cluster."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._numbers = itertools.count()
        #: The places of waiting commands, the next one first.
        self._waiting: list[tuple[float, int]] = []
        #: The monotonic time at which each running command began.
        self._begun_at: dict[tuple[float, int], float] = {}

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and keep it during the body."""
        began_at = _began_at.get()
        if began_at is None:
            began_at = time.monotonic()
        place = began_at, next(self._numbers)
        with self._condition:
            bisect.insort(self._waiting, place)
            try:
                while not self._is_next(place):
                    self._condition.wait(self._seconds_left())
                self._begun_at[place] = time.monotonic()
            finally:
                self._waiting.remove(place)
                self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                del self._begun_at[place]
                self._condition.notify_all()

    def _is_next(self, place: tuple[float, int]) -> bool:
        return place == self._waiting[0] and not self._seconds_left()

    def _seconds_left(self) -> float | None:
        """Return how long the running command may keep its turn.

        :return: seconds; None if no command runs, or a command hangs.
        """
        first_begun_at = min(self._begun_at.values(), default=None)
        if first_begun_at is None:
            return None
        seconds = first_begun_at + LONGEST_TURN_SECONDS - time.monotonic()
        return seconds if seconds > 0 else None
