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

Two operations on one share, or on one snapshot, exclude each other, across
threads and across the processes of a host by oslo.concurrency's external
locks. Where ``[coordination] backend_url`` names something distributed,
Manila's coordinator is asked too, and hosts exclude each other.

A lock is never the last word: an object's name is used once, and gluster
and LVM refuse to make what exists.

Order: that of a share before that of a snapshot, so that no two wait for
each other.
"""

from collections.abc import Iterator
import contextlib
import time

from manila import coordination
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)
CONF = cfg.CONF

_PREFIX = 'manila-glusterfs-clone-'
_threads = lockutils.Semaphores()


def have_a_path() -> bool:
    """Whether there is a directory for the locks between processes."""
    return bool(lockutils.get_lock_path(CONF))


class Locks:
    """Locks that are waited for no longer than ``timeout`` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    @contextlib.contextmanager
    def share(
        self, share_id: str, *, timeout: float | None = None
    ) -> Iterator[None]:
        """Keep others from this share.

        :param timeout: seconds to wait for it, if not as long as usual.
        :raises errors.Held: another operation had it all the time.
        """
        with self._hold(f'share-{share_id}', timeout):
            yield

    @contextlib.contextmanager
    def snapshot(
        self, snapshot_id: str, *, timeout: float | None = None
    ) -> Iterator[None]:
        """Keep others from this snapshot.

        :param timeout: seconds to wait for it, if not as long as usual.
        :raises errors.Held: another operation had it all the time.
        """
        with self._hold(f'snapshot-{snapshot_id}', timeout):
            yield

    @contextlib.contextmanager
    def upkeep(self, host: str) -> Iterator[None]:
        """Keep others from a pass of the upkeep; it is not waited for.

        :param host: whose it is: ``HOST@BACKEND``.
        :raises errors.Held: one goes on.
        """
        with self._hold(f'upkeep-{host}', 0):
            yield

    @contextlib.contextmanager
    def _hold(self, name: str, timeout: float | None) -> Iterator[None]:
        patience = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        # fcntl locks belong to processes: threads need one of their own.
        thread_lock = _threads.get(_PREFIX + name)
        if not thread_lock.acquire(timeout=patience):
            raise _waited(name, patience)
        try:
            process_lock = lockutils.external_lock(name, _PREFIX)
            left = max(0.0, deadline - time.monotonic())
            if not process_lock.acquire(timeout=left):
                raise _waited(name, patience)
            try:
                with self._between_hosts(name, deadline):
                    LOG.debug('Holding the lock %s', name)
                    yield
            finally:
                process_lock.release()
        finally:
            thread_lock.release()

    @contextlib.contextmanager
    def _between_hosts(self, name: str, deadline: float) -> Iterator[None]:
        if CONF.coordination.backend_url.startswith('file:'):
            yield  # reaches no farther than the lock that we have
            return
        lock = coordination.Lock(_PREFIX + name)
        # A number for ``blocking`` is how long to wait.
        if not lock.acquire(blocking=max(1.0, deadline - time.monotonic())):
            raise _waited(name, self._timeout)
        try:
            yield
        finally:
            lock.release()


def _waited(name: str, seconds: float) -> errors.Held:
    return errors.Held(
        f'another operation held the lock {name} for {seconds:g} s; try '
        f'again when it has ended'
    )
