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
"""Acquire locks of Manila's coordinator, with any tooz driver.

``[coordination] backend_url`` in manila.conf names the coordinator, for
example etcd. Manila calls it through a driver of the tooz library. This module
works around these problems:

* If a lock does not become free in time, some tooz drivers return False, some
  raise RetryError, and some wait twice as long as requested. So this module
  only calls ``acquire(blocking=False)``, which tries once.
* A call can take 60 s (Redis) or 30 s (etcd) to fail. So :func:`run_call` runs
  each call in its own thread, and waits for at most ``CALL_TIMEOUT`` seconds.
* If a release fails, the tooz driver keeps the lock: it continues to renew the
  lease of the lock. So callers have to retry the release.
* Manila starts the coordinator before it forks. In the child process, no
  thread renews the leases, so every lock would be lost after half a minute. So
  this module starts the coordinator again in the child process.
"""

from collections.abc import Callable
from concurrent import futures
import os
import threading
from typing import Any, NamedTuple, TypeVar

from manila import coordination
from oslo_config import cfg
import tenacity

CONF = cfg.CONF

T = TypeVar('T')

#: Seconds to wait for an answer of the coordinator.
CALL_TIMEOUT = 10.0

#: The prefix of lock names. MySQL accepts names of at most 64 characters:
#: Manila's prefix has 7, this prefix has 10, the caller's key at most 45.
_PREFIX = 'gfs-clone-'

#: The id of the process in which Manila's coordinator was started.
_started_in_pid = os.getpid()
_start_lock = threading.Lock()


class AcquiredLock(NamedTuple):
    """A lock of the coordinator that this process has acquired.

    :param is_held: asks the coordinator whether this process still has the
        lock.
    """

    is_held: Callable[[], bool]
    release: Callable[[], object]


def is_distributed() -> bool:
    """Return whether the coordinator serves more than one host."""
    return not CONF.coordination.backend_url.startswith('file:')


def acquire(key: str) -> AcquiredLock | None:
    """Try once to acquire a lock; return None if another process has it.

    :param key: the name of the lock, at most 45 characters.
    :raises Exception: the error of the tooz driver, of any class.
    """
    _start_here()
    lock = coordination.Lock(_PREFIX + key)
    try:
        if not lock.acquire(blocking=False):
            return None
    except tenacity.RetryError:
        return None
    try:
        return AcquiredLock(_ownership_check(lock), lock.release)
    except BaseException:
        lock.release()
        raise


def start_call(call: Callable[[], T]) -> 'futures.Future[T]':
    """Start a call in a new thread, and return the future of its result."""
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_call(
    call: Callable[[], T], on_late: Callable[[T], object] | None = None
) -> T:
    """Run a call to the coordinator, and return the result.

    :param on_late: called with the result if the call returns after the
        timeout.
    :raises TimeoutError: the call did not return within ``CALL_TIMEOUT``.
    :raises Exception: the error of the call.
    """
    future = start_call(call)
    if futures.wait([future], CALL_TIMEOUT).done:
        return future.result()
    if on_late is not None:
        future.add_done_callback(
            lambda done: None if done.exception() else on_late(done.result())
        )
    raise TimeoutError(f'no answer within {CALL_TIMEOUT:g} s')


class _Coordinator(coordination.Coordinator):  # type: ignore[misc]
    """Manila's coordinator, which runs until the process exits."""

    def stop(self) -> None:
        """Do nothing: each operation releases its own locks.

        Manila stops its coordinator while operations are still in progress.
        Some tooz drivers would then release the locks of these operations.
        Other tooz drivers would not return while the coordinator is down.
        """


def _start_here() -> None:
    """Start Manila's coordinator if this process has not started it yet."""
    global _started_in_pid
    with _start_lock:
        inherited_coordinator = coordination.LOCK_COORDINATOR
        if inherited_coordinator.started and _started_in_pid == os.getpid():
            return
        new_coordinator = _Coordinator(prefix=inherited_coordinator.prefix)
        new_coordinator.start()
        coordination.LOCK_COORDINATOR = new_coordinator
        _started_in_pid = os.getpid()


def _ownership_check(lock: Any) -> Callable[[], bool]:
    """Return a function that checks whether this process still has a lock.

    For etcd, compare revisions: each time that a process acquires the lock,
    etcd stores a new revision. For MySQL, check the connection: MySQL keeps
    the lock as long as the connection exists. Most other tooz drivers have
    their own check. If a driver has none, assume that this process still has
    the lock.
    """
    tooz_lock: Any = getattr(lock, 'lock', None)
    class_name = type(tooz_lock).__name__
    if class_name == 'Etcd3Lock':
        client = lock.coordinator.coordinator.client
        path = tooz_lock.LOCK_PREFIX + tooz_lock.name

        def revisions() -> list[Any]:
            entries = client.get(path, metadata=True)
            return [entry['create_revision'] for _, entry in entries]

        acquired_revisions = revisions()
        return lambda: (
            bool(acquired_revisions) and revisions() == acquired_revisions
        )
    if class_name == 'MySQLLock':

        def is_connected() -> bool:
            try:
                tooz_lock._conn.ping(reconnect=False)
            except Exception:
                return False
            return True

        return is_connected

    def is_owner() -> bool:
        try:
            return bool(tooz_lock.is_still_owner())
        except (AttributeError, NotImplementedError):
            return True

    return is_owner
