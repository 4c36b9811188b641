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
"""Locks of Manila's coordinator, for any driver of tooz.

``[coordination] backend_url`` names the coordinator, and Manila calls it
through tooz. The drivers of tooz behave differently:

* Only ``acquire(blocking=False)`` means the same in all of them: try once, and
  return whether the lock was free. With a time to wait, some drivers return
  False, others raise RetryError, and some wait twice as long.
* A call may take 60 s (Redis) or 30 s (etcd) to fail. So each call runs in a
  thread of its own, and is waited for no longer than ``CALL_TIMEOUT``.
* While a release fails, the driver continues to renew the lease of the lock.
* Manila starts the coordinator before it forks. The thread that renews leases
  does not exist in the child process, which would lose every lock after half
  a minute. So the child process starts the coordinator again.
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

#: Seconds after which the coordinator counts as down.
CALL_TIMEOUT = 10.0

#: The prefix of lock names. MySQL accepts 64 characters: 7 of Manila's, 10 of
#: this prefix, and at most 45 of a kind and an id.
_PREFIX = 'gfs-clone-'

#: The process in which Manila's coordinator was started.
_process = os.getpid()
_starting = threading.Lock()


class AcquiredLock(NamedTuple):
    """A lock of the coordinator that was acquired.

    :param is_held: asks the coordinator whether this process still has it.
    :param release: releases it.
    """

    is_held: Callable[[], bool]
    release: Callable[[], object]


def is_distributed() -> bool:
    """Return whether the coordinator serves more than one host."""
    return not CONF.coordination.backend_url.startswith('file:')


def acquire(key: str) -> AcquiredLock | None:
    """Try once to acquire a lock; return None if another process has it.

    :param key: the name of the lock: 45 characters at most.
    :raises Exception: of any class, from the driver of tooz.
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
    """Start a call in a thread of its own; return its future."""
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
    """Return what the coordinator answers to a call.

    :param on_late: called with an answer that comes after the time-out.
    :raises TimeoutError: no answer came within ``CALL_TIMEOUT``.
    """
    future = start_call(call)
    try:
        return future.result(CALL_TIMEOUT)
    except futures.TimeoutError:
        if future.done():
            raise
    if on_late is not None:
        future.add_done_callback(
            lambda done: None if done.exception() else on_late(done.result())
        )
    raise TimeoutError(f'no answer within {CALL_TIMEOUT:g} s')


class _Coordinator(coordination.Coordinator):  # type: ignore[misc]
    """Manila's coordinator, running until the process exits."""

    def stop(self) -> None:
        """Do nothing: the operations that hold locks release them.

        Manila stops its coordinator before operations in progress have
        ended. Some drivers would then release their locks, and others would
        not return while the coordinator is down.
        """


def _start_here() -> None:
    """Start Manila's coordinator in this process, unless it runs here."""
    global _process
    with _starting:
        inherited = coordination.LOCK_COORDINATOR
        if inherited.started and _process == os.getpid():
            return
        started = _Coordinator(prefix=inherited.prefix)
        started.start()
        coordination.LOCK_COORDINATOR = started
        _process = os.getpid()


def _ownership_check(lock: Any) -> Callable[[], bool]:
    """Return a function that checks whether this process still has a lock.

    tooz can check it for most drivers. Of the others, etcd has a revision for
    each time that a lock was acquired, and MySQL holds a lock as long as its
    connection exists.
    """
    inner: Any = getattr(lock, 'lock', None)
    kind = type(inner).__name__
    if kind == 'Etcd3Lock':
        client = lock.coordinator.coordinator.client
        path = inner.LOCK_PREFIX + inner.name

        def revisions() -> list[Any]:
            entries = client.get(path, metadata=True)
            return [entry['create_revision'] for _, entry in entries]

        acquired = revisions()
        return lambda: bool(acquired) and revisions() == acquired
    if kind == 'MySQLLock':

        def is_connected() -> bool:
            try:
                inner._conn.ping(reconnect=False)
            except Exception:
                return False
            return True

        return is_connected

    def is_owner() -> bool:
        try:
            return bool(inner.is_still_owner())
        except (AttributeError, NotImplementedError):
            return True

    return is_owner
