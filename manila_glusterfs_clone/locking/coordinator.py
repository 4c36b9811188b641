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
"""Manila's coordinator, as the drivers of tooz really behave.

Manila names the coordinator in ``[coordination] backend_url`` and asks it
through tooz. What the drivers have in common is little:

* Only ``acquire(blocking=False)`` means the same everywhere: try once and
  return whether the lock was free. Given a time to wait, some drivers return
  False and others raise RetryError, and some wait twice as long.
* A call may take a minute to fail (Redis), or 30 s (etcd), so every call is
  made in a thread of its own and waited for no longer than ``ANSWER``.
* While a release fails, the driver goes on renewing the lock's lease.
* Manila starts the coordinator before it forks. The thread that renews
  leases does not exist in the child, which would lose every lock after half
  a minute. So it is started again in the process that works.
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

#: Seconds that a call may take before the coordinator counts as down.
ANSWER = 10.0

#: What the names of locks start with. MySQL takes no more than 64
#: characters: 7 of Manila's, these, and 45 of a kind and an id.
_PREFIX = 'gfs-clone-'

#: The process in which Manila's coordinator was started.
_process = os.getpid()
_starting = threading.Lock()


class Taken(NamedTuple):
    """A lock that was taken.

    :param is_ours: asks the coordinator whether it still is.
    :param release: gives it back.
    """

    is_ours: Callable[[], bool]
    release: Callable[[], object]


def is_distributed() -> bool:
    """Return whether the coordinator reaches further than this host."""
    return not CONF.coordination.backend_url.startswith('file:')


def take(key: str) -> Taken | None:
    """Try once for a lock; return None when somebody else has it.

    Raises whatever the driver of tooz raises.

    :param key: the name of the lock: 45 characters at most.
    """
    _start_here()
    lock = coordination.Lock(_PREFIX + key)
    try:
        if not lock.acquire(blocking=False):
            return None
    except tenacity.RetryError:
        return None
    try:
        return Taken(_ownership(lock), lock.release)
    except BaseException:
        lock.release()
        raise


def begin(call: Callable[[], T]) -> 'futures.Future[T]':
    """Begin a call in a thread of its own; return its future answer."""
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def answer(
    call: Callable[[], T], late: Callable[[T], object] | None = None
) -> T:
    """Return the coordinator's answer to a call, if it comes in time.

    :param late: is given an answer that comes when nobody waits any more.
    :raises TimeoutError: none came in time.
    """
    future = begin(call)
    try:
        return future.result(ANSWER)
    except futures.TimeoutError:
        if future.done():
            raise
    if late is not None:
        future.add_done_callback(
            lambda done: None if done.exception() else late(done.result())
        )
    raise TimeoutError(f'no answer within {ANSWER:g} s')


class _Coordinator(coordination.Coordinator):  # type: ignore[misc]
    """Manila's coordinator, for as long as the process lives."""

    def stop(self) -> None:
        """Leave locks to the operations that hold them.

        Manila stops its coordinator before the operations under way have
        ended. Some drivers then release their locks, and others never
        return while the coordinator is down.
        """


def _start_here() -> None:
    """Start Manila's coordinator in this process, unless it runs in it."""
    global _process
    with _starting:
        theirs = coordination.LOCK_COORDINATOR
        if theirs.started and _process == os.getpid():
            return
        ours = _Coordinator(prefix=theirs.prefix)
        ours.start()
        coordination.LOCK_COORDINATOR = ours
        _process = os.getpid()


def _ownership(lock: Any) -> Callable[[], bool]:
    """Return what tells whether a lock that was just taken is still ours.

    tooz answers for most drivers. Of those without an answer, etcd has a
    revision for each time that a lock was taken, and MySQL holds a lock as
    long as its connection lives.
    """
    inner: Any = getattr(lock, 'lock', None)
    kind = type(inner).__name__
    if kind == 'Etcd3Lock':
        client = lock.coordinator.coordinator.client
        path = inner.LOCK_PREFIX + inner.name

        def revisions() -> list[Any]:
            entries = client.get(path, metadata=True)
            return [entry['create_revision'] for _, entry in entries]

        taken = revisions()
        return lambda: bool(taken) and revisions() == taken
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
