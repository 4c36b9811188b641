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
"""Deactivate snapshots some seconds after they were last cloned.

A deactivation blocks glusterd for two seconds (10.3 and 11.1), and is not
urgent. So a clone leaves its snapshot active, and a thread of this module
deactivates the snapshot later. Further clones of the snapshot within this time
need no activation.

If manila-share ends before that, the next start of manila-share, or the next
maintenance pass, deactivates the snapshot.
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import threading
import time

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names

LOG = log.getLogger(__name__)

#: Seconds between the last use of a snapshot and its deactivation.
LINGER_SECONDS = 5.0


@dataclasses.dataclass
class _Use:
    """The use of one snapshot by this process."""

    #: The number of running operations.
    count: int = 0
    #: When to deactivate the snapshot (monotonic), if no operation runs.
    due_at: float = 0.0
    #: Whether the snapshot was unmanaged after the last operation began.
    is_forgotten: bool = False


class SnapshotUses:
    """The snapshots that this process clones, or cloned in the last seconds.

    :param deactivate: is called with the id of a snapshot, in a thread of this
        object. If it raises :class:`errors.Held`, another operation has locked
        the snapshot, and the call is repeated later. Other errors are logged.
    """

    def __init__(self, deactivate: Callable[[str], None]) -> None:
        self._deactivate = deactivate
        self._condition = threading.Condition()
        self._uses: dict[str, _Use] = {}
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    @contextlib.contextmanager
    def use(self, snapshot_id: str) -> Iterator[None]:
        """Use a snapshot during the body, and deactivate it later.

        The caller holds the lock of the snapshot when the body begins.
        """
        key = names.canonical_id(snapshot_id)
        with self._condition:
            use = self._uses.setdefault(key, _Use())
            use.count += 1
            use.is_forgotten = False
        try:
            yield
        finally:
            with self._condition:
                if not self._is_stopped:
                    self._end_use(key)

    def _end_use(self, key: str) -> None:
        use = self._uses[key]
        use.count -= 1
        use.due_at = time.monotonic() + LINGER_SECONDS
        if use.is_forgotten and not use.count:
            del self._uses[key]
        else:
            self._start_thread()
            self._condition.notify_all()

    def forget(self, snapshot_id: str) -> None:
        """Do not deactivate a snapshot after its current and past uses.

        The caller holds the lock of the snapshot.
        """
        key = names.canonical_id(snapshot_id)
        with self._condition:
            use = self._uses.get(key)
            if use is None:
                return
            use.is_forgotten = True
            if not use.count:
                del self._uses[key]

    def is_running(self, snapshot_id: str) -> bool:
        """Return whether an operation of this process uses a snapshot."""
        use = self._uses.get(names.canonical_id(snapshot_id))
        return use is not None and use.count > 0

    def is_used(self, snapshot_id: str) -> bool:
        """Return whether this process uses, or will deactivate, a snapshot."""
        return names.canonical_id(snapshot_id) in self._uses

    def deactivate_due(self) -> float | None:
        """Deactivate the snapshots whose last use ended long enough ago.

        :return: seconds until the next deactivation; None if there is none.
        """
        with self._condition:
            now = time.monotonic()
            due_ids = [
                snapshot_id
                for snapshot_id, use in self._uses.items()
                if not use.count and use.due_at <= now
            ]
        for snapshot_id in due_ids:
            self._deactivate_one(snapshot_id)
        with self._condition:
            return self._seconds_until_due()

    def _seconds_until_due(self) -> float | None:
        due_times = [
            use.due_at for use in self._uses.values() if not use.count
        ]
        if not due_times:
            return None
        return max(0.0, min(due_times) - time.monotonic())

    def stop(self) -> None:
        """Deactivate no more snapshots; leave them to maintenance."""
        with self._condition:
            self._is_stopped = True
            self._uses.clear()
            self._condition.notify_all()

    def _deactivate_one(self, snapshot_id: str) -> None:
        with self._condition:
            use = self._uses.get(snapshot_id)
            due_at = use.due_at if use is not None else 0.0
        is_held = False
        try:
            self._deactivate(snapshot_id)
        except errors.Held as error:
            LOG.debug(
                'Snapshot %s: locked by another operation; deactivating it '
                'later: %s',
                snapshot_id,
                error,
            )
            is_held = True
        except Exception as error:
            # Clients of the origin can mount an active snapshot, and each of
            # its bricks uses a process and a mount.
            LOG.warning(
                'Snapshot %s: could not be deactivated after a clone; the '
                'next maintenance pass or clone of the snapshot retries: %s',
                snapshot_id,
                error,
            )
            LOG.debug(
                'Snapshot %s: deactivation failed', snapshot_id, exc_info=True
            )
        with self._condition:
            use = self._uses.get(snapshot_id)
            if use is None or use.count or use.due_at != due_at:
                return  # used again, and due later
            if is_held:
                use.due_at = time.monotonic() + LINGER_SECONDS
            else:
                del self._uses[snapshot_id]

    def _start_thread(self) -> None:
        """Start the thread, unless it is running in this process."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name='Deactivate snapshots', daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while True:
            self.deactivate_due()
            with self._condition:
                seconds = self._seconds_until_due()
                if seconds is None:
                    self._thread = None
                    return
                if seconds:
                    self._condition.wait(seconds)
