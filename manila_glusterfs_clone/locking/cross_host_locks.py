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
"""Locks between hosts: waiting for them, checking and releasing them.

An outage of the coordinator costs one wait, not one for each lock.

A lock can be lost while it is held: its lease ends while the process is
stopped or the network is down, its connection breaks, or an operator breaks
the lock. The holder can check whether it still has the lock.
"""

from collections.abc import Callable
import dataclasses
import threading
import time
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import coordinator

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: Seconds to wait for the end of an outage of the coordinator.
_OUTAGE = 60.0
#: Seconds between two calls while the coordinator is down.
_REST = 2.0
#: Seconds between two tries for a lock: the first and the longest pause.
_PAUSES = (0.05, 1.0)


@dataclasses.dataclass(eq=False)
class LockHeld(errors.Held):
    """Another operation held a lock for the whole time."""

    lock: str
    seconds: float

    def __str__(self) -> str:
        return (
            f'another operation held the lock {self.lock} for '
            f'{self.seconds:g} s; try again when it has ended'
        )


@dataclasses.dataclass(eq=False)
class NoCoordinator(errors.NotPossible):
    """The coordinator did not answer when it was asked for a lock."""

    lock: str
    #: The error of the coordinator, or of its driver.
    failure: str

    def __str__(self) -> str:
        return (
            f'the coordinator did not answer for the lock {self.lock}, so '
            f'nothing was done: {self.failure}; check that the coordinator '
            f'of [coordination] backend_url is running and can be reached '
            f'from this host, then try again'
        )


@dataclasses.dataclass(eq=False)
class LockLost(errors.Unknown):
    """A lock between hosts was lost while an operation held it."""

    lock: str
    #: Why the coordinator could not be asked; empty if it answered.
    failure: str = ''

    def __str__(self) -> str:
        state = (
            f'may be lost, as the coordinator did not answer ({self.failure})'
            if self.failure
            else 'was lost: its lease or connection ended, or it was broken'
        )
        return (
            f'the lock {self.lock} {state}; another host may have worked on '
            f'the same object meanwhile'
        )


class HostLocks:
    """Acquires locks between hosts, for one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        #: The current outage: its start, the next call, and the error.
        self._down_since: float | None = None
        self._next_call = 0.0
        self._failure = ''

    def acquire(self, name: str, key: str, seconds: float) -> 'HostLock':
        """Return a lock as soon as it is free.

        :param name: of the lock, for messages.
        :param key: its name in the coordinator.
        :param seconds: to wait for it; 0 for one try.
        :raises LockHeld: another process held it for the whole time.
        :raises NoCoordinator: the coordinator did not answer.
        """
        deadline = time.monotonic() + seconds
        pause, longest = _PAUSES
        while True:
            until = deadline
            problem: errors.Error = LockHeld(name, seconds)
            try:
                acquired = self.call(
                    lambda: coordinator.acquire(key), _release_until_done
                )
                if acquired is not None:
                    return HostLock(self, name, acquired)
            except Exception as error:
                problem = NoCoordinator(name, _message(error))
                problem.__cause__ = error
                if self._down_since is not None:
                    patience = min(seconds, _OUTAGE)
                    until = min(deadline, self._down_since + patience)
            seconds_left = until - time.monotonic()
            if seconds_left <= 0:
                raise problem
            time.sleep(min(pause, seconds_left))
            pause = min(2 * pause, longest)

    def call(
        self,
        call: Callable[[], T],
        on_late: Callable[[T], object] | None = None,
        *,
        always: bool = False,
    ) -> T:
        """Return what the coordinator answers; note whether it answers.

        :param on_late: called with an answer that comes after the time-out.
        :param always: start the call even while the coordinator is down, but
            do not wait for the answer then.
        :raises Exception: of any class, from the driver of tooz.
        """
        with self._guard:
            now = time.monotonic()
            if self._down_since is not None:
                if now >= self._next_call:
                    self._next_call = now + _REST
                else:
                    if always:
                        coordinator.start_call(call)
                    raise TimeoutError(self._failure)
        try:
            answer = coordinator.run_call(call, on_late)
        except Exception as error:
            with self._guard:
                now = time.monotonic()
                if self._down_since is None:
                    self._down_since = now
                self._next_call = now + _REST
                self._failure = _message(error)
            raise
        self._down_since = None
        return answer


class HostLock:
    """A lock between hosts that this process has acquired."""

    def __init__(
        self,
        host_locks: HostLocks,
        name: str,
        acquired: coordinator.AcquiredLock,
    ) -> None:
        self._host_locks = host_locks
        self._name = name
        self._acquired = acquired

    def require(self) -> None:
        """Check that the lock was not lost.

        :raises LockLost: it was, or the coordinator did not answer.
        """
        self._check(lambda: self._host_locks.call(self._acquired.is_held))

    def release(self) -> None:
        """Release the lock, and warn if it was lost; never raises."""

        def release() -> bool:
            try:
                return _release(self._acquired)
            except Exception:
                # The driver would renew the lease of a lock that was not
                # released until this process exits.
                threading.Thread(
                    target=_release_until_done,
                    args=(self._acquired,),
                    daemon=True,
                ).start()
                raise

        try:
            self._check(lambda: self._host_locks.call(release, always=True))
        except LockLost as error:
            LOG.warning(
                'Lock %s: lost while it was held; maintenance checks the '
                'object: %s (if this happens again, check the load of this '
                'host and its connection to the coordinator)',
                self._name,
                error,
            )

    def _check(self, is_held: Callable[[], bool]) -> None:
        try:
            has_lock = is_held()
        except Exception as error:
            raise LockLost(self._name, _message(error)) from error
        if not has_lock:
            raise LockLost(self._name)


def _release(acquired: coordinator.AcquiredLock) -> bool:
    """Release a lock; return whether this process had it until then."""
    has_lock = acquired.is_held()
    try:
        acquired.release()
    except Exception:
        if has_lock:
            raise
    return has_lock


def _release_until_done(acquired: coordinator.AcquiredLock | None) -> None:
    """Release a lock, retrying until the coordinator is up."""
    while acquired is not None:
        try:
            _release(acquired)
            return
        except Exception as error:
            LOG.debug('Releasing a lock failed; retrying: %s', error)
            time.sleep(_REST)


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__
