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
"""Orphans: what Manila deleted and the cluster still has.

A share is deleted by force while the cluster refuses it; a node that was
away through a deletion brings a volume back; ``manila-manage share delete``
takes a share out of the database that the driver was never asked to delete.
Its row is afterwards like that of any deleted share.

An orphan is removed only if Manila's database tells that it was of this back
end and was deleted, and if the grace time has passed since then *and* since
this service saw the orphan first, by a clock that nobody sets. So neither a
clock that is off nor rows that appear with old times lead to a removal at
once. All rows are read again just before. What the database does not know may
be another Manila's, or be missed by a backup that was restored: it is named,
and kept. What Manila was told to manage no more bears no mark of ours
(:meth:`~manila_glusterfs_clone.operations.shares.Shares.disown`), and what is
being made has a row that is not deleted.
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

#: Seconds to wait for what somebody is at work on.
_PATIENCE = 1.0

#: How to read what became of instances, deleted or not.
_BECAME: Mapping[
    str, Callable[[Collection[str]], Mapping[str, manila_db.Row]]
] = {
    'snapshot': manila_db.what_became_of_snapshots,
    'share': manila_db.what_became_of_shares,
}


@dataclasses.dataclass(frozen=True)
class Remains:
    """What the cluster has of a share or snapshot instance."""

    #: ``share`` or ``snapshot``.
    kind: str
    id: str
    #: When Manila deleted it; None where its database does not know it.
    deleted_at: datetime.datetime | None = None

    @property
    def name(self) -> str:
        """The name of its volume or snapshot."""
        if self.kind == 'share':
            return names.volume(self.id)
        return names.snapshot(self.id)

    @property
    def remedy(self) -> str:
        """What an operator types to remove it."""
        if self.kind == 'share':
            tag = names.share_tag(self.id)
            gluster = (
                f'gluster volume stop {self.name} force" and "gluster volume'
            )
        else:
            tag, gluster = names.snapshot_tag(self.id), 'gluster snapshot'
        return (
            f'"{gluster} delete {self.name}" and, on each node, unmounting '
            f'what "lvs @{tag}" lists and "lvremove @{tag}"'
        )

    def __str__(self) -> str:
        if self.deleted_at is None:
            return (
                f'Manila does not know of a {self.kind} instance {self.id}, '
                f'not even as deleted, and the cluster has something of it '
                f'({self.name}); it is kept. If it is no other Manila\'s and '
                f'of no use, {self.remedy} remove it'
            )
        return (
            f'Manila deleted the {self.kind} {self.name} at '
            f'{_when(self.deleted_at)} UTC, and the cluster still has '
            f'something of it; it is kept, as glusterfs_clone_orphans is '
            f'"{options.REPORT}". {self.remedy} remove it'
        )


class Orphans:
    """The orphans of one back end.

    :param host: whose shares they are: ``HOST@BACKEND``.
    :param grace: seconds that must have passed since Manila deleted it, and
        since it was seen first.
    :param removes: whether orphans are removed, or only named.
    """

    def __init__(
        self,
        the_shares: shares.Shares,
        the_snapshots: snapshots.Snapshots,
        mutex: locks.Locks,
        remembered: backoff.Backoff,
        *,
        host: str,
        grace: float,
        removes: bool,
    ) -> None:
        self._shares = the_shares
        self._snapshots = the_snapshots
        self._locks = mutex
        self._memory = remembered
        self._host = host
        self._grace = grace
        self._removes = removes
        #: When each was seen first, by the monotonic clock.
        self._first_seen: dict[tuple[str, str], float] = {}

    def until(self) -> datetime.datetime:
        """Return the time by which an orphan must have been deleted.

        To be called before the cluster is read: what is deleted, or no longer
        managed, after that may still have our marks in what was read. An
        orphan that is only reported has no grace time.
        """
        # Manila's times are UTC and do not say so.
        now = datetime.datetime.now(datetime.timezone.utc)
        return now.replace(tzinfo=None) - datetime.timedelta(
            seconds=self._grace if self._removes else 0
        )

    def collect(
        self,
        seen: cluster_state.ClusterState,
        live_shares: Mapping[str, manila_db.Row],
        live_snapshots: Mapping[str, manila_db.Row],
        until: datetime.datetime,
    ) -> None:
        """Remove or name orphans; log what fails once.

        :param seen: of a cluster all nodes of which are there: a node that
            is away would bring back what is removed.
        :param live_shares: what Manila has of this back end, by id.
        """
        # A share is removed only after its snapshots.
        gone = {
            'snapshot': seen.marked_snapshots() - live_snapshots.keys(),
            'share': seen.marked_shares() - live_shares.keys(),
        }
        present = {(kind, each) for kind, ids in gone.items() for each in ids}
        self._first_seen = {
            each: self._first_seen.get(each, time.monotonic())
            for each in present
        }
        for kind, ids in gone.items():
            for row in self._deleted(kind, ids, until):
                self._handle(kind, row, until)

    def _deleted(
        self, kind: str, ids: set[str], until: datetime.datetime
    ) -> list[manila_db.Row]:
        """Return those that Manila deleted; name those it does not know."""
        rows = _BECAME[kind](ids)
        for each in sorted(ids - rows.keys()):
            # Twice, since another Manila may be just removing it.
            unknown = Remains(kind, each)
            if self._memory.is_old(unknown):
                self._memory.warn(unknown, str(unknown))
        return [
            row for row in rows.values() if self._is_orphan(kind, row, until)
        ]

    def _is_orphan(
        self, kind: str, row: manila_db.Row, until: datetime.datetime
    ) -> bool:
        return (
            row.host == self._host
            # Members of snapshots of share groups keep the status they had.
            and (row.status == 'deleted' or kind == 'snapshot')
            and row.deleted_at is not None
            and row.deleted_at <= until
        )

    def _handle(
        self, kind: str, row: manila_db.Row, until: datetime.datetime
    ) -> None:
        remains = Remains(kind, row.id, row.deleted_at)
        seen_for = time.monotonic() - self._first_seen[kind, row.id]
        if not self._removes:
            if self._memory.is_old(remains):
                self._memory.warn(remains, str(remains))
        elif seen_for >= self._grace and self._memory.is_due(row):
            self._remove(remains, row, until)

    def _remove(
        self, remains: Remains, row: manila_db.Row, until: datetime.datetime
    ) -> None:
        what = f'{remains.kind} {remains.name}'
        try:
            with contextlib.ExitStack() as stack:
                # Who has a lock is still at work on it.
                stack.enter_context(
                    self._locks.share(row.share_id, timeout=_PATIENCE)
                )
                if remains.kind == 'snapshot':
                    stack.enter_context(
                        self._locks.snapshot(row.id, timeout=_PATIENCE)
                    )
                # The database may have been restored meanwhile.
                now = _BECAME[remains.kind]([row.id]).get(row.id)
                if now is None or not self._is_orphan(
                    remains.kind, now, until
                ):
                    LOG.info('The %s is not deleted any more', what)
                    return
                if self._is_disowned(remains):
                    LOG.info('The %s was told to be managed no more', what)
                    return
                if remains.kind == 'snapshot':
                    self._snapshots.remove(row.id, row.share_id)
                else:
                    self._shares.remove(row.id)
        except errors.Held as error:
            LOG.info('The %s is being worked on: %s', what, error)
        except errors.Error as error:
            self._memory.warn(
                row,
                f'Manila deleted the {what} at {_when(row.deleted_at)} UTC, '
                f'and what the cluster still has of it could not be removed: '
                f'{error}',
            )
        else:
            LOG.warning(
                'Removed what the cluster still had of the %s, which Manila '
                'deleted at %s UTC',
                what,
                _when(row.deleted_at),
            )

    def _is_disowned(self, remains: Remains) -> bool:
        if remains.kind == 'snapshot':
            return self._snapshots.is_disowned(remains.id)
        return self._shares.is_disowned(remains.id)


def _when(moment: datetime.datetime | None) -> str:
    """Return when something was deleted, to the second."""
    return str(moment).partition('.')[0]
