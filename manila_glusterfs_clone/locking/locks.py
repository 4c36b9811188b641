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
"""What must not run at the same time.

Two operations on one share, or on one snapshot, exclude each other: threads
by a lock in memory, the processes of a host by a lock on a file, and hosts by
a lock of the coordinator where ``[coordination] backend_url`` names one that
reaches over them. They are taken in this order and released in reverse, so
that of each host only one thread waits for the coordinator's lock.

Between objects the order is: work, share, snapshot.

A lock is never the last word. The name of an object is used once, gluster and
LVM refuse to make what exists, and a deletion is asked for by Manila. So a
lock that is lost costs no data as long as nothing is *undone* without it:
another host may have taken over what was begun. :meth:`Hold.require` is asked
before that.
"""

from collections.abc import Iterator
import contextlib
import time
import uuid

from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import coordinator
from manila_glusterfs_clone.locking import host_locks
from manila_glusterfs_clone import names

LOG = log.getLogger(__name__)
CONF = cfg.CONF

_PREFIX = 'manila-glusterfs-clone-'
_threads = lockutils.Semaphores()


def have_a_path() -> bool:
    """Return whether there is a directory for the locks of processes."""
    return bool(lockutils.get_lock_path(CONF))


class Hold:
    """Locks that an operation holds."""

    def __init__(self, between_hosts: host_locks.HostLock | None) -> None:
        self._between_hosts = between_hosts

    def require(self) -> None:
        """Check that no lock was lost; those of this host cannot be.

        :raises host_locks.LockLost: one was, or it cannot be known.
        """
        if self._between_hosts is not None:
            self._between_hosts.require()


class Locks:
    """Locks that are waited for no longer than ``timeout`` seconds.

    Each lock may be given a time of its own to wait; 0 means one try. All
    raise

    * errors.Held: somebody else had the lock all the time;
    * errors.NotPossible: it is not the id of an instance, or the lock's file
      or the coordinator cannot be used (:class:`host_locks.NoCoordinator`).

    Nothing was done then.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._hosts = host_locks.HostLocks()

    def work(
        self, instance_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Keep others from a whole verb on this share or snapshot."""
        return self._of('work', instance_id, timeout)

    def share(
        self, share_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Keep others from this share."""
        return self._of('share', share_id, timeout)

    def snapshot(
        self, snapshot_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[Hold]:
        """Keep others from this snapshot."""
        return self._of('snapshot', snapshot_id, timeout)

    def maintenance(
        self, host: str
    ) -> contextlib.AbstractContextManager[Hold]:
        """Keep others from a pass of maintenance; it is not waited for.

        :param host: whose it is: ``HOST@BACKEND``.
        """
        # A host's name may be too long, for a file and for a coordinator.
        key = f'pass-{uuid.uuid5(uuid.NAMESPACE_DNS, host)}'
        return self._hold(f'maintenance-{host}', key, 0)

    @contextlib.contextmanager
    def _of(
        self, kind: str, instance_id: str, timeout: float | None
    ) -> Iterator[Hold]:
        name = f'{kind}-{names.canonical_id(instance_id)}'
        patience = self._timeout if timeout is None else timeout
        with self._hold(name, name, patience) as hold:
            yield hold

    @contextlib.contextmanager
    def _hold(self, name: str, key: str, patience: float) -> Iterator[Hold]:
        deadline = time.monotonic() + patience

        def seconds_left() -> float:
            return max(0.0, deadline - time.monotonic())

        with contextlib.ExitStack() as stack:
            # File locks belong to processes: threads need one of their own.
            threads = _threads.get(_PREFIX + key)
            if not threads.acquire(timeout=patience):
                raise host_locks.held(name, patience)
            stack.callback(threads.release)
            try:
                processes = lockutils.external_lock(key, _PREFIX)
                taken = processes.acquire(timeout=seconds_left())
            except OSError as error:
                raise errors.NotPossible(
                    f'the lock {name} could not be taken, and nothing was '
                    f'done: {error}; check [oslo_concurrency] lock_path'
                ) from error
            if not taken:
                raise host_locks.held(name, patience)
            stack.callback(processes.release)
            between_hosts = None
            if coordinator.is_distributed():
                between_hosts = self._hosts.take(name, key, seconds_left())
                stack.callback(between_hosts.release)
            LOG.debug('Holding the lock %s', name)
            yield Hold(between_hosts)
