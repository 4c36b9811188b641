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
"""Acquire, check and release locks between hosts.

If the coordinator goes down, operations that need a lock wait. They fail if
the outage lasts ``_OUTAGE_SECONDS``. An operation that begins after this time
fails after one attempt, so a long outage does not delay every operation.

A process can lose a lock that it has not released:

* the lease of the lock ends while the process is stopped or the network is
  down;
* the connection to the coordinator breaks;
* an operator removes the lock.

:meth:`HostLock.require` checks whether the process still has the lock.
"""

from collections.abc import Callable
import dataclasses
import threading
import time
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import tooz_coordinator

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: Operations stop waiting for the coordinator this many seconds after the
#: start of its outage.
_OUTAGE_SECONDS = 60.0
#: Seconds between two calls while the coordinator is down.
_REST_SECONDS = 2.0
#: The first and the longest pause between two attempts to acquire a lock, in
#: seconds.
_PAUSES = (0.05, 1.0)


@dataclasses.dataclass(eq=False)
class LockHeld(errors.Held):
    """Another operation held a lock for the whole waiting time."""

    lock: str
    seconds: float

    def __str__(self) -> str:
        return (
            f'lock {self.lock}: still held by another operation after '
            f'{self.seconds:g} s; retry when that operation has ended'
        )


@dataclasses.dataclass(eq=False)
class NoCoordinator(errors.NotPossible):
    """The coordinator did not answer a request for a lock."""

    lock: str
    #: The message of the error of the call.
    failure: str

    def __str__(self) -> str:
        return (
            f'lock {self.lock}: the coordinator did not answer, so nothing '
            f'was done: {self.failure}; check that the coordinator in '
            f'[coordination] backend_url runs and can be reached from this '
            f'host, and retry'
        )


@dataclasses.dataclass(eq=False)
class LockLost(errors.Unknown):
    """A lock between hosts was lost, or was possibly lost."""

    lock: str
    #: Why the coordinator did not answer; empty if it answered.
    failure: str = ''

    def __str__(self) -> str:
        state = (
            f'may be lost, because the coordinator did not answer '
            f'({self.failure})'
            if self.failure
            else 'lost, because its lease ended, the connection to the '
            'coordinator broke, or an operator removed it'
        )
        return (
            f'lock {self.lock}: {state}; another host may have worked on the '
            f'same object'
        )


class HostLocks:
    """The locks between hosts that one process uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: When the coordinator went down (monotonic); None if it is up.
        self._down_since: float | None = None
        #: The earliest time of the next call (monotonic).
        self._next_call_at = 0.0
        #: The message of the last error.
        self._failure_message = ''

    def acquire(self, name: str, key: str, seconds: float) -> 'HostLock':
        """Wait until a lock is free, and acquire it.

        :param name: the name of the lock in messages.
        :param key: the name of the lock in the coordinator.
        :param seconds: the maximum waiting time; 0 to try once.
        :raises LockHeld: another process held the lock for the whole time.
        :raises NoCoordinator: the coordinator did not answer.
        """
        deadline = time.monotonic() + seconds
        pause, longest_pause = _PAUSES
        while True:
            wait_until = deadline
            problem: errors.Error = LockHeld(name, seconds)
            try:
                acquired_lock = self.call(
                    lambda: tooz_coordinator.acquire(key), _release_until_done
                )
                if acquired_lock is not None:
                    return HostLock(self, name, acquired_lock)
            except Exception as error:
                problem = NoCoordinator(name, _message(error))
                problem.__cause__ = error
                if self._down_since is not None:
                    patience_seconds = min(seconds, _OUTAGE_SECONDS)
                    wait_until = min(
                        deadline, self._down_since + patience_seconds
                    )
            seconds_left = wait_until - time.monotonic()
            if seconds_left <= 0:
                raise problem
            time.sleep(min(pause, seconds_left))
            pause = min(2 * pause, longest_pause)

    def call(
        self,
        call: Callable[[], T],
        on_late: Callable[[T], object] | None = None,
        *,
        must_start: bool = False,
    ) -> T:
        """Call the coordinator, and record whether it is down.

        While the coordinator is down, make one call per ``_REST_SECONDS``, and
        refuse other calls.

        :param on_late: called with the result if the call returns after the
            timeout.
        :param must_start: if true, start the call even if it is refused, but
            do not wait for its result.
        :raises TimeoutError: the call was refused, or did not return in time.
        :raises Exception: the error of the tooz driver, of any class.
        """
        with self._lock:
            now = time.monotonic()
            if self._down_since is not None:
                if now >= self._next_call_at:
                    self._next_call_at = now + _REST_SECONDS
                else:
                    if must_start:
                        tooz_coordinator.start_call(call)
                    raise TimeoutError(self._failure_message)
        try:
            answer = tooz_coordinator.run_call(call, on_late)
        except Exception as error:
            with self._lock:
                now = time.monotonic()
                if self._down_since is None:
                    self._down_since = now
                self._next_call_at = now + _REST_SECONDS
                self._failure_message = _message(error)
            raise
        self._down_since = None
        return answer


class HostLock:
    """A lock between hosts that this process acquired."""

    def __init__(
        self,
        host_locks: HostLocks,
        name: str,
        acquired_lock: tooz_coordinator.AcquiredLock,
    ) -> None:
        self._host_locks = host_locks
        self._name = name
        self._acquired_lock = acquired_lock

    def require(self) -> None:
        """Verify that this process still has the lock.

        :raises LockLost: the lock was lost, or the coordinator did not answer.
        """
        self._check(lambda: self._host_locks.call(self._acquired_lock.is_held))

    def release(self) -> None:
        """Release the lock; log errors instead of raising them."""

        def release() -> bool:
            try:
                return _release(self._acquired_lock)
            except Exception:
                # Retry, because the tooz driver continues to renew the lease
                # of the lock until a release succeeds or this process exits.
                threading.Thread(
                    target=_release_until_done,
                    args=(self._acquired_lock,),
                    daemon=True,
                ).start()
                raise

        try:
            self._check(
                lambda: self._host_locks.call(release, must_start=True)
            )
        except LockLost as error:
            LOG.warning(
                'Lock %s: possibly lost before its release; check the load of '
                'this host and its connection to the coordinator: %s',
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


def _release(acquired_lock: tooz_coordinator.AcquiredLock) -> bool:
    """Release a lock; return whether this process still had the lock."""
    has_lock = acquired_lock.is_held()
    try:
        acquired_lock.release()
    except Exception:
        if has_lock:
            raise
    return has_lock


def _release_until_done(
    acquired_lock: tooz_coordinator.AcquiredLock | None,
) -> None:
    """Release a lock, if any, and retry until the release succeeds."""
    while acquired_lock is not None:
        try:
            _release(acquired_lock)
            return
        except Exception as error:
            LOG.debug(
                'Coordinator: releasing a lock failed; retrying: %s', error
            )
            time.sleep(_REST_SECONDS)


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__
