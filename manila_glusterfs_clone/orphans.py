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
"""What is on the cluster of shares and snapshots that Manila deleted.

How there comes to be such a thing: a share is deleted by force while the
cluster refuses it; a node that was away through a deletion brings a volume
back; a database is asked to forget what the driver could not delete.

It is removed only if Manila's database tells of it, that it was of this back
end and that it was deleted, some time ago. What the database does not know
may be another Manila's, or be missed by a backup that was restored: it is
named, and left alone. What Manila was told to manage no more bears no mark
of ours (:meth:`~manila_glusterfs_clone.shares.Shares.disown`), and what is
being made has a row that is not deleted.
"""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses
import datetime

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import locks
from manila_glusterfs_clone import memory
from manila_glusterfs_clone import names
from manila_glusterfs_clone import records
from manila_glusterfs_clone import shares
from manila_glusterfs_clone import snapshots
from manila_glusterfs_clone import survey

LOG = log.getLogger(__name__)

#: Seconds to wait for what somebody is at work on.
_PATIENCE = 1.0


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Something with our marks that Manila's database knows nothing of."""

    #: ``share`` or ``snapshot``.
    kind: str
    id: str

    def __str__(self) -> str:
        if self.kind == 'share':
            name = names.volume(self.id)
            tag = names.share_tag(self.id)
            gluster = f'gluster volume stop {name} force" and "gluster volume'
        else:
            name = names.snapshot(self.id)
            tag = names.snapshot_tag(self.id)
            gluster = 'gluster snapshot'
        return (
            f'Manila does not know of a {self.kind} instance {self.id}, not '
            f'even as deleted, and the cluster has something of it ("lvs '
            f'@{tag}" on each node, {name}): it is left as it is. If it is '
            f'no other Manila\'s and of no use, "{gluster} delete {name}" '
            f'and, on each node, unmounting it and "lvremove @{tag}" remove '
            f'it'
        )


class Orphans:
    """Removes what is left of shares and snapshots of one back end.

    :param host: whose shares they are: ``HOST@BACKEND``.
    :param grace: seconds that must have passed since Manila deleted it.
    """

    def __init__(
        self,
        the_shares: shares.Shares,
        the_snapshots: snapshots.Snapshots,
        mutex: locks.Locks,
        remembered: memory.Memory,
        *,
        host: str,
        grace: float,
    ) -> None:
        self._shares = the_shares
        self._snapshots = the_snapshots
        self._locks = mutex
        self._memory = remembered
        self._host = host
        self._grace = datetime.timedelta(seconds=grace)

    def until(self) -> datetime.datetime:
        """Give the time up to which what was deleted is removed.

        To be asked for before the cluster is looked at: what is deleted,
        or no longer managed, from then on may bear our marks there.
        """
        # Manila's times are UTC and do not say so.
        now = datetime.datetime.now(datetime.timezone.utc)
        return now.replace(tzinfo=None) - self._grace

    def collect(
        self,
        seen: survey.Survey,
        live_shares: Mapping[str, records.Row],
        live_snapshots: Mapping[str, records.Row],
        until: datetime.datetime,
    ) -> None:
        """Remove what is Manila's no more; what fails is logged once.

        :param seen: of a cluster all nodes of which are there: a node that
            is away would bring back what is removed.
        :param live_shares: what Manila has of this back end, by id.
        """
        # A share is removed only after its snapshots.
        gone = seen.marked_snapshots() - live_snapshots.keys()
        for row in self._deleted(
            'snapshot', gone, records.what_became_of_snapshots, until
        ):
            self._remove(row, f'snapshot {names.snapshot(row.id)}', row.id)
        gone = seen.marked_shares() - live_shares.keys()
        for row in self._deleted(
            'share', gone, records.what_became_of_shares, until
        ):
            self._remove(row, f'share {names.volume(row.id)}', None)

    def _deleted(
        self,
        kind: str,
        ids: set[str],
        became: Callable[[set[str]], Mapping[str, records.Row]],
        until: datetime.datetime,
    ) -> list[records.Row]:
        """Give those that Manila deleted, and that are to be removed now."""
        rows = became(ids)
        for each in sorted(ids - rows.keys()):
            # Twice, since another Manila may be just removing it.
            unknown = Unknown(kind, each)
            if self._memory.is_old(unknown):
                self._memory.warn(unknown, str(unknown))
        return [
            row
            for row in rows.values()
            if row.host == self._host
            # Members of snapshots of share groups keep the status they had.
            and (row.status == 'deleted' or kind == 'snapshot')
            and row.deleted_at is not None
            and row.deleted_at <= until
            and self._memory.is_due(row)
        ]

    def _remove(
        self, row: records.Row, what: str, snapshot_id: str | None
    ) -> None:
        try:
            with contextlib.ExitStack() as stack:
                # Who has a lock is still at work on it.
                stack.enter_context(
                    self._locks.share(row.share_id, timeout=_PATIENCE)
                )
                if snapshot_id is None:
                    disowned = self._shares.is_disowned(row.id)
                    if not disowned:
                        self._shares.remove(row.id)
                else:
                    stack.enter_context(
                        self._locks.snapshot(snapshot_id, timeout=_PATIENCE)
                    )
                    disowned = self._snapshots.is_disowned(snapshot_id)
                    if not disowned:
                        self._snapshots.remove(snapshot_id, row.share_id)
            if disowned:
                LOG.info('The %s was told to be managed no more', what)
                return
        except errors.Held as error:
            LOG.info('The %s is being worked on: %s', what, error)
        except errors.Error as error:
            self._memory.warn(
                row,
                f'Manila deleted the {what} at {_when(row)} UTC, and '
                f'what the cluster still has of it could not be removed: '
                f'{error}',
            )
        else:
            LOG.warning(
                'Removed what the cluster still had of the %s, which Manila '
                'deleted at %s UTC',
                what,
                _when(row),
            )


def _when(row: records.Row) -> str:
    """Give when something was deleted, to the second."""
    return str(row.deleted_at).partition('.')[0]
