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
"""Remove or report orphans, which Manila deleted and the cluster still has.

An object becomes an orphan in three ways:

* The cluster refuses to delete a share, and an administrator forces the
  deletion in Manila.
* A node that was down during a deletion restores the object on its peers.
* ``manila-manage share delete`` deletes a share from the database without
  calling the driver.

This module removes an orphan under these conditions:

* Manila's database has the row of the object. The row is marked as deleted,
  and names this back end.
* The grace time has passed since the deletion, and also since this service
  first saw the orphan. The second period is measured by the monotonic clock.
  So a wrong clock, or an old time in a restored row, causes no immediate
  removal.

This module reads the row again just before the removal.

An object without a row is reported and kept: it may belong to another Manila,
or the database may have been restored from an older backup. An unmanaged
object is no orphan: it has no mark of this back end
(:meth:`~manila_glusterfs_clone.operations.shares.Shares.unmanage`). An object
that is being created is no orphan: its row is not deleted.
"""

from collections.abc import Callable, Collection, Mapping
import contextlib
import dataclasses
import datetime
import time

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone import options

LOG = log.getLogger(__name__)

#: Seconds to wait for the lock of a share or snapshot.
_LOCK_TIMEOUT = 1.0

#: By kind: the function that reads the rows with given ids, even deleted rows.
_READ_ROWS: Mapping[
    str, Callable[[Collection[str]], Mapping[str, manila_db.Row]]
] = {
    'snapshot': manila_db.snapshots_by_id,
    'share': manila_db.shares_by_id,
}


@dataclasses.dataclass(frozen=True)
class Orphan:
    """An object on the cluster that Manila deleted, or that has no row."""

    #: ``share`` or ``snapshot``.
    kind: str
    id: str
    #: When Manila deleted the object; None if the database has no row of it.
    deleted_at: datetime.datetime | None = None

    @property
    def name(self) -> str:
        """Return the name of the volume or snapshot on the cluster."""
        if self.kind == 'share':
            return names.volume(self.id)
        return names.snapshot(self.id)

    @property
    def remedy(self) -> str:
        """Return the commands that remove the object."""
        if self.kind == 'share':
            tag = names.share_tag(self.id)
            gluster_command = (
                f'gluster volume stop {self.name} force" and "gluster volume'
            )
        else:
            tag = names.snapshot_tag(self.id)
            gluster_command = 'gluster snapshot'
        return (
            f'run "{gluster_command} delete {self.name}" and, on each node, '
            f'unmount what "lvs @{tag}" lists and run "lvremove @{tag}"'
        )

    def __str__(self) -> str:
        if self.deleted_at is None:
            return (
                f'{self.kind.capitalize()} {self.name}: on the cluster, but '
                f'Manila\'s database has no {self.kind} instance {self.id}, '
                f'not even a deleted one; keeping it. If neither you nor '
                f'another Manila needs it, {self.remedy}'
            )
        return (
            f'{self.kind.capitalize()} {self.name}: Manila deleted it at '
            f'{_format_time(self.deleted_at)} UTC, but the cluster still '
            f'has it; keeping it, because glusterfs_clone_orphans is '
            f'"{options.REPORT}". To remove it, {self.remedy}'
        )


class Orphans:
    """Removes or reports the orphans of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    :param grace_seconds: the grace time, in seconds.
    :param must_remove: whether to remove orphans, or to report them.
    """

    def __init__(
        self,
        the_shares: shares.Shares,
        the_snapshots: snapshots.Snapshots,
        the_locks: locks.Locks,
        the_backoff: backoff.Backoff,
        *,
        service_host: str,
        grace_seconds: float,
        must_remove: bool,
    ) -> None:
        self._shares = the_shares
        self._snapshots = the_snapshots
        self._locks = the_locks
        self._backoff = the_backoff
        self._service_host = service_host
        self._grace_seconds = grace_seconds
        self._must_remove = must_remove
        #: By kind and id: when the orphan was first seen, by the monotonic
        #: clock.
        self._first_seen_at: dict[tuple[str, str], float] = {}

    def deleted_before(self) -> datetime.datetime:
        """Return the time before which Manila must have deleted an orphan.

        Call this before the cluster is read: an object that is deleted or
        unmanaged later may still have its mark in the cluster state. If
        orphans are only reported, there is no grace time.
        """
        # Times in Manila's database are in UTC, without a time zone.
        now = datetime.datetime.now(datetime.timezone.utc)
        return now.replace(tzinfo=None) - datetime.timedelta(
            seconds=self._grace_seconds if self._must_remove else 0
        )

    def remove_or_report(
        self,
        state: cluster_state.ClusterState,
        live_shares: Mapping[str, manila_db.Row],
        live_snapshots: Mapping[str, manila_db.Row],
        deleted_before: datetime.datetime,
        *,
        is_requested: bool = False,
    ) -> None:
        """Remove or report orphans; log each failure once.

        :param state: must be complete: a node that is down would restore the
            removed objects on its peers.
        :param live_shares: the rows of this back end's shares that are not
            deleted, by id.
        :param live_snapshots: the same for this back end's snapshots.
        :param deleted_before: the result of :meth:`deleted_before`.
        :param is_requested: whether an operator has seen the orphans, and
            wants them removed. Then do not wait for the grace time since this
            service first saw an orphan.
        """
        candidates = _candidates(state, live_shares, live_snapshots)
        keys = {
            (kind, instance_id)
            for kind, ids in candidates.items()
            for instance_id in ids
        }
        self._first_seen_at = {
            key: self._first_seen_at.get(key, time.monotonic()) for key in keys
        }
        for kind, ids in candidates.items():
            for row in self._orphan_rows(kind, ids, deleted_before):
                self._handle(kind, row, deleted_before, is_requested)

    def find(
        self,
        state: cluster_state.ClusterState,
        live_shares: Mapping[str, manila_db.Row],
        live_snapshots: Mapping[str, manila_db.Row],
        deleted_before: datetime.datetime,
    ) -> list[Orphan]:
        """Return the orphans, and the objects without a row.

        The parameters are those of :meth:`remove_or_report`.
        """
        found = []
        candidates = _candidates(state, live_shares, live_snapshots)
        for kind, ids in candidates.items():
            rows = _READ_ROWS[kind](ids)
            found += [Orphan(kind, each) for each in sorted(ids - rows.keys())]
            found += [
                Orphan(kind, row.id, row.deleted_at)
                for row in rows.values()
                if self._is_orphan(kind, row, deleted_before)
            ]
        return found

    def _orphan_rows(
        self, kind: str, ids: set[str], deleted_before: datetime.datetime
    ) -> list[manila_db.Row]:
        """Return the rows of orphans; report objects that have no row."""
        rows = _READ_ROWS[kind](ids)
        for instance_id in sorted(ids - rows.keys()):
            # Report an object in the second pass that finds it: in the first,
            # another Manila may be deleting the object.
            unknown_orphan = Orphan(kind, instance_id)
            if self._backoff.came_up_before(unknown_orphan):
                self._backoff.warn_once(unknown_orphan, str(unknown_orphan))
        return [
            row
            for row in rows.values()
            if self._is_orphan(kind, row, deleted_before)
        ]

    def _is_orphan(
        self, kind: str, row: manila_db.Row, deleted_before: datetime.datetime
    ) -> bool:
        return (
            row.host == self._service_host
            # When Manila deletes the snapshots of a share group, it does not
            # set their status to deleted.
            and (row.status == 'deleted' or kind == 'snapshot')
            and row.deleted_at is not None
            and row.deleted_at <= deleted_before
        )

    def _handle(
        self,
        kind: str,
        row: manila_db.Row,
        deleted_before: datetime.datetime,
        is_requested: bool,
    ) -> None:
        orphan = Orphan(kind, row.id, row.deleted_at)
        seconds_known = time.monotonic() - self._first_seen_at[kind, row.id]
        if not self._must_remove:
            if self._backoff.came_up_before(orphan):
                self._backoff.warn_once(orphan, str(orphan))
        elif (
            is_requested or seconds_known >= self._grace_seconds
        ) and self._backoff.is_retry_due(row):
            self._remove(orphan, row, deleted_before)

    def _remove(
        self,
        orphan: Orphan,
        row: manila_db.Row,
        deleted_before: datetime.datetime,
    ) -> None:
        name = f'{orphan.kind.capitalize()} {orphan.name}'
        try:
            with contextlib.ExitStack() as stack:
                # Another operation may still use the object.
                stack.enter_context(
                    self._locks.share(row.share_id, timeout=_LOCK_TIMEOUT)
                )
                if orphan.kind == 'snapshot':
                    stack.enter_context(
                        self._locks.snapshot(row.id, timeout=_LOCK_TIMEOUT)
                    )
                # The database may have been restored since the row was read.
                current_row = _READ_ROWS[orphan.kind]([row.id]).get(row.id)
                if current_row is None or not self._is_orphan(
                    orphan.kind, current_row, deleted_before
                ):
                    LOG.info(
                        '%s: no longer deleted in the database; keeping it',
                        name,
                    )
                    return
                if self._is_unmanaged(orphan):
                    LOG.info('%s: unmanaged; keeping it', name)
                    return
                if orphan.kind == 'snapshot':
                    self._snapshots.remove(row.id, row.share_id)
                else:
                    self._shares.remove(row.id)
        except errors.Held as error:
            LOG.info(
                '%s: in use by another operation; not removing it now: %s',
                name,
                error,
            )
        except errors.Error as error:
            when = _format_time(row.deleted_at)
            self._backoff.warn_once(
                row,
                f'{name}: Manila deleted it at {when} UTC, but it could not '
                f'be removed from the cluster; a later maintenance pass '
                f'retries: {error}',
            )
        else:
            LOG.warning(
                '%s: removed from the cluster, because Manila deleted it at '
                '%s UTC',
                name,
                _format_time(row.deleted_at),
            )

    def _is_unmanaged(self, orphan: Orphan) -> bool:
        if orphan.kind == 'snapshot':
            return self._snapshots.is_unmanaged(orphan.id)
        return self._shares.is_unmanaged(orphan.id)


def _candidates(
    state: cluster_state.ClusterState,
    live_shares: Mapping[str, manila_db.Row],
    live_snapshots: Mapping[str, manila_db.Row],
) -> dict[str, set[str]]:
    """Return the ids of objects that are not in use, by kind."""
    # Snapshots first: a share with snapshots cannot be removed.
    return {
        'snapshot': state.marked_snapshot_ids() - live_snapshots.keys(),
        'share': state.marked_share_ids() - live_shares.keys(),
    }


def _format_time(moment: datetime.datetime | None) -> str:
    """Return a time as text, without fractions of a second."""
    return str(moment).partition('.')[0]
