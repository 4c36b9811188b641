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
"""Locks of shares and snapshots, between threads, processes and hosts.

Each lock has three parts, which are acquired in this order:

* A lock in memory excludes other threads.
* A file lock excludes other processes on the host.
* A lock of the coordinator excludes other hosts. This part exists if
  ``[coordination] backend_url`` names a coordinator for several hosts.

So for each lock, at most one thread per host waits for the coordinator.

The *work* lock of an instance lasts for a whole request of Manila. An
operation that needs several locks acquires the work lock first, then the share
lock, then the snapshot lock.

In most cases, the loss of a lock between hosts does not endanger data: names
of objects are never reused, and gluster and LVM refuse to create an object
that exists. The undo of a failed operation is an exception: another host may
have continued the operation, and the undo would destroy its work. So the
driver calls :meth:`Hold.require` before it undoes an operation.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import time
import uuid

from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.locking import tooz_coordinator
from manila_glusterfs_clone import names

LOG = log.getLogger(__name__)
CONF = cfg.CONF

_PREFIX = 'manila-glusterfs-clone-'
#: The kind of the *queue lock*. A clone holds the queue lock of its snapshot
#: while it waits for the lock of the snapshot. Further clones of the snapshot
#: wait for the queue lock. A kind is short, because the name of a lock (kind
#: and id) has at most 45 characters (:mod:`.tooz_coordinator`).
_QUEUE = 'queue'
_thread_locks = lockutils.Semaphores()


def has_lock_path() -> bool:
    """Return whether the directory for file locks is configured."""
    return bool(lockutils.get_lock_path(CONF))


@dataclasses.dataclass(eq=False)
class LockUnusable(errors.NotPossible):
    """The file of a lock cannot be created or locked."""

    lock: str
    failure: str

    def __str__(self) -> str:
        return (
            f'lock {self.lock}: its file cannot be locked, so nothing was '
            f'done: {self.failure}; check the directory in [oslo_concurrency] '
            f'lock_path'
        )


class Hold:
    """A lock that this process acquired, with all its parts."""

    def __init__(self, host_lock: cross_host_locks.HostLock | None) -> None:
        self._host_lock = host_lock

    def require(self) -> None:
        """Verify that this process still has the lock between hosts, if any.

        :raises cross_host_locks.LockLost: the lock was lost, or the
            coordinator did not answer.
        """
        if self._host_lock is not None:
            self._host_lock.require()


class Locks:
    """The locks of the operations of one back end.

    Each method returns a context that holds a lock during its body. The
    context waits for the lock for at most ``timeout`` seconds; 0 means to try
    once. The default is the ``timeout`` of the constructor. The context raises
    these errors:

    * cross_host_locks.LockHeld: another operation held the lock for the whole
      waiting time;
    * LockUnusable: the file of the lock cannot be created or locked;
    * cross_host_locks.NoCoordinator: the coordinator did not answer;
    * names.NotAnId: the id is not a UUID.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._host_locks = cross_host_locks.HostLocks()

    def work(
        self, instance_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Lock a share or snapshot for a whole request of Manila."""
        return self._lock_instance('work', instance_id, timeout)

    def share(
        self, share_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Lock a share against other changes to its volume."""
        return self._lock_instance('share', share_id, timeout)

    def snapshot(
        self, snapshot_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Lock a snapshot against other changes, and against other clones."""
        return self._lock_instance('snapshot', snapshot_id, timeout)

    @contextlib.contextmanager
    def snapshot_to_clone(self, snapshot_id: str) -> Iterator[Hold]:
        """Lock a snapshot like :meth:`snapshot`, for a clone.

        While the clone waits for the lock, :meth:`is_clone_waiting` returns
        true in all processes on all hosts.
        """
        deadline = time.monotonic() + self._timeout
        with contextlib.ExitStack() as stack:
            with self._lock_instance(_QUEUE, snapshot_id, None):
                seconds_left = max(0.0, deadline - time.monotonic())
                hold = stack.enter_context(
                    self.snapshot(snapshot_id, timeout=seconds_left)
                )
            yield hold

    def is_clone_waiting(self, snapshot_id: str) -> bool:
        """Return whether a clone waits for the lock of its snapshot."""
        try:
            with self._lock_instance(_QUEUE, snapshot_id, 0):
                return False
        except cross_host_locks.LockHeld:
            return True

    def maintenance(
        self, service_host: str
    ) -> contextlib.AbstractContextManager[Hold]:
        """Lock the maintenance of a back end for one pass; try only once.

        :param service_host: the name of the service in Manila:
            ``HOST@BACKEND``.
        """
        # Hash this name, because it can be too long for the name of a lock.
        key = f'pass-{uuid.uuid5(uuid.NAMESPACE_DNS, service_host)}'
        return self._hold(f'maintenance-{service_host}', key, 0)

    @contextlib.contextmanager
    def _lock_instance(
        self, kind: str, instance_id: str, timeout: float | None
    ) -> Iterator[Hold]:
        name = f'{kind}-{names.canonical_id(instance_id)}'
        seconds = self._timeout if timeout is None else timeout
        with self._hold(name, name, seconds) as hold:
            yield hold

    @contextlib.contextmanager
    def _hold(self, name: str, key: str, seconds: float) -> Iterator[Hold]:
        deadline = time.monotonic() + seconds

        def seconds_left() -> float:
            return max(0.0, deadline - time.monotonic())

        with contextlib.ExitStack() as stack:
            # A file lock does not exclude threads of the same process.
            thread_lock = _thread_locks.get(_PREFIX + key)
            if not thread_lock.acquire(timeout=seconds):
                raise cross_host_locks.LockHeld(name, seconds)
            stack.callback(thread_lock.release)
            try:
                file_lock = lockutils.external_lock(key, _PREFIX)
                is_acquired = file_lock.acquire(timeout=seconds_left())
            except OSError as error:
                raise LockUnusable(name, str(error)) from error
            if not is_acquired:
                raise cross_host_locks.LockHeld(name, seconds)
            stack.callback(file_lock.release)
            host_lock = None
            if tooz_coordinator.is_distributed():
                host_lock = self._host_locks.acquire(name, key, seconds_left())
                stack.callback(host_lock.release)
            LOG.debug('Lock %s: acquired', name)
            yield Hold(host_lock)
