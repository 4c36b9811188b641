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
"""Locks between hosts: waited for, checked, given back.

An outage of the coordinator is waited for once, not once for each lock.

A lock can be lost while it is held: its lease ends while the process is
stopped or the network is down, its connection breaks, an operator breaks it.
The holder can ask whether it still has the lock.
"""

from collections.abc import Callable
import threading
import time
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import coordinator

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: Seconds that an outage of the coordinator is waited for.
_OUTAGE = 60.0
#: Seconds between two calls while the coordinator is down.
_REST = 2.0
#: Seconds between two tries for a lock that is held: the first, the longest.
_PAUSES = (0.05, 1.0)


class NoCoordinator(errors.NotPossible):
    """The coordinator could not be asked for a lock.

    :param lock: the name of the lock.
    :param failure: what the coordinator, or its driver, answered.
    """

    def __init__(self, lock: str, failure: str) -> None:
        super().__init__(failure)
        self.args = (lock, failure)
        self.lock = lock

    def __str__(self) -> str:
        return (
            f'the lock {self.lock} could not be asked for, and nothing was '
            f'done: {self.reason}; check that the coordinator of '
            f'[coordination] backend_url is running and can be reached from '
            f'this host, then try again'
        )


class LockLost(errors.Unknown):
    """A lock between hosts was lost while an operation held it.

    :param lock: the name of the lock.
    :param failure: why the coordinator could not be asked, if so.
    """

    def __init__(self, lock: str, failure: str) -> None:
        super().__init__(lock, failure)
        self.lock = lock
        self.failure = failure

    def __str__(self) -> str:
        found = (
            f'may be lost, as the coordinator could not be asked '
            f'({self.failure})'
            if self.failure
            else 'was lost: its lease or connection ended, or it was broken'
        )
        return (
            f'the lock {self.lock} {found}; another host may have worked on '
            f'the same object since it was taken'
        )


class HostLocks:
    """The locks between hosts of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        #: When the present outage began; when to ask again; what failed.
        self._down_since: float | None = None
        self._ask_after = 0.0
        self._failure = ''

    def take(self, name: str, key: str, seconds: float) -> 'HostLock':
        """Return a lock as soon as it is free.

        :param name: what it is called in messages.
        :param key: what it is called by the coordinator.
        :param seconds: to wait for it; 0 for one try.
        :raises errors.Held: somebody else had it all the time.
        :raises NoCoordinator: the coordinator could not be asked.
        """
        deadline = time.monotonic() + seconds
        pause, longest = _PAUSES
        while True:
            until = deadline
            problem: errors.Error = held(name, seconds)
            try:
                taken = self.ask(lambda: coordinator.take(key), _insist)
                if taken is not None:
                    return HostLock(self, name, taken)
            except Exception as error:
                problem = NoCoordinator(name, _words(error))
                problem.__cause__ = error
                if self._down_since is not None:
                    patience = min(seconds, _OUTAGE)
                    until = min(deadline, self._down_since + patience)
            left = until - time.monotonic()
            if left <= 0:
                raise problem
            time.sleep(min(pause, left))
            pause = min(2 * pause, longest)

    def ask(
        self,
        call: Callable[[], T],
        late: Callable[[T], object] | None = None,
        *,
        even_now: bool = False,
    ) -> T:
        """Return the coordinator's answer; note whether it gives one.

        :param even_now: make the call although the coordinator is down,
            but do not wait for the answer.
        :raises Exception: whatever the driver of tooz raises.
        """
        with self._guard:
            now = time.monotonic()
            if self._down_since is not None:
                if now >= self._ask_after:
                    self._ask_after = now + _REST
                else:
                    if even_now:
                        coordinator.begin(call)
                    raise TimeoutError(self._failure)
        try:
            found = coordinator.answer(call, late)
        except Exception as error:
            with self._guard:
                now = time.monotonic()
                if self._down_since is None:
                    self._down_since = now
                self._ask_after = now + _REST
                self._failure = _words(error)
            raise
        self._down_since = None
        return found


class HostLock:
    """A lock between hosts that is held."""

    def __init__(
        self, ours: HostLocks, name: str, taken: coordinator.Taken
    ) -> None:
        self._ours = ours
        self._name = name
        self._taken = taken

    def require(self) -> None:
        """Check that the lock was not lost.

        :raises LockLost: it was, or the coordinator could not be asked.
        """
        self._check(lambda: self._ours.ask(self._taken.is_ours))

    def release(self) -> None:
        """Give the lock back, and warn if it was lost; never raises."""

        def give_back() -> bool:
            try:
                return _given_back(self._taken)
            except Exception:
                # The lease of a lock that was not released would be renewed
                # for as long as this process lives.
                threading.Thread(
                    target=_insist, args=(self._taken,), daemon=True
                ).start()
                raise

        try:
            self._check(lambda: self._ours.ask(give_back, even_now=True))
        except LockLost as error:
            LOG.warning(
                'Lock %s: lost while it was held; maintenance checks the '
                'object (if this happens again, look at the load of this '
                'host and at its connection to the coordinator): %s',
                self._name,
                error,
            )

    def _check(self, is_ours: Callable[[], bool]) -> None:
        try:
            ours = is_ours()
        except Exception as error:
            raise LockLost(self._name, _words(error)) from error
        if not ours:
            raise LockLost(self._name, '')


def held(name: str, seconds: float) -> errors.Held:
    """Return the error for a lock that somebody else had all the time."""
    return errors.Held(
        f'another operation held the lock {name} for {seconds:g} s; try '
        f'again when it has ended'
    )


def _given_back(taken: coordinator.Taken) -> bool:
    """Release a lock; return whether it was ours until then."""
    ours = taken.is_ours()
    try:
        taken.release()
    except Exception:
        if ours:
            raise
    return ours


def _insist(taken: coordinator.Taken | None) -> None:
    """Release a lock, however long the coordinator is down."""
    while taken is not None:
        try:
            _given_back(taken)
            return
        except Exception as error:
            LOG.debug('Releasing a lock failed; next try soon: %s', error)
            time.sleep(_REST)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
