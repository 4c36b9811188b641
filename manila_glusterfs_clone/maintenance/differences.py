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
"""Find the differences between Manila's database and the cluster.

The next maintenance pass would work on these differences. This module changes
nothing. It calls the same functions as a pass, so an operator sees the same
differences as a pass.

An operation in progress looks like a difference for a moment. An operator has
to act only on a difference that is found twice.
"""

from collections.abc import Iterator
import dataclasses
import datetime

from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import clone_cleanup_candidates
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import instances
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import lost_rule_changes
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options

#: The kinds of differences.
OFFLINE = 'offline'
ACCESS = 'access lists'
TAGS = 'brick tags'
INTERRUPTED = 'interrupted work'
FAILED_DELETION = 'failed deletion'
QUEUED_REQUEST = 'queued request'
QUEUED_RULES = 'queued rules'
RULES_STATUS = 'status of rules'
LEFTOVER = 'clone leftover'
ORPHAN = 'orphan'
UNKNOWN = 'unknown object'
KINDS = (
    OFFLINE,
    ACCESS,
    TAGS,
    INTERRUPTED,
    FAILED_DELETION,
    QUEUED_REQUEST,
    QUEUED_RULES,
    RULES_STATUS,
    LEFTOVER,
    ORPHAN,
    UNKNOWN,
)

#: A pass only asks manila-share to correct these; manila-share does so later.
CORRECTED_LATER = frozenset(
    {INTERRUPTED, FAILED_DELETION, QUEUED_REQUEST, QUEUED_RULES}
)

_NEEDS_ALL_NODES = frozenset({FAILED_DELETION, LEFTOVER, ORPHAN})


@dataclasses.dataclass(frozen=True)
class Difference:
    """An object whose state differs from Manila's database."""

    #: One of :data:`KINDS`.
    kind: str
    #: ``share ID`` or ``snapshot ID``.
    subject: str
    state: str = dataclasses.field(compare=False)
    #: What a pass does, or what the operator has to do.
    action: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class DatedState:
    """The state of the cluster, and when it was read."""

    state: cluster_state.ClusterState
    #: The result of :meth:`.orphans.Orphans.deleted_before`.
    deleted_before: datetime.datetime


class Differences:
    """Finds the differences of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        the_access_audit: access_audit.AccessAudit,
        the_brick_tags: brick_tag_repair.BrickTags,
        the_orphans: orphans.Orphans,
        the_lost_rule_changes: lost_rule_changes.LostRuleChanges,
        *,
        service_host: str,
    ) -> None:
        self._services = the_services
        self._settings = the_services.settings
        self._cluster = the_services.cluster
        self._access_audit = the_access_audit
        self._brick_tags = the_brick_tags
        self._orphans = the_orphans
        self._lost_rule_changes = the_lost_rule_changes
        self._service_host = service_host

    def read_cluster(self) -> DatedState:
        """Read the cluster, for :meth:`find`.

        :raises errors.Error: the cluster could not be read.
        """
        deleted_before = self._orphans.deleted_before()
        state = cluster_state.read(self._cluster, self._settings.backend_mark)
        return DatedState(state, deleted_before)

    def find(self, dated_state: DatedState) -> list[Difference]:
        """Read the database; return how it differs from the cluster."""
        state = dated_state.state
        shares = manila_db.shares(self._service_host)
        snapshots = manila_db.snapshots(self._service_host)
        found = [
            *self._find_in_state(state, shares),
            *self._find_in_statuses(shares, snapshots),
            *self._find_queued_rules(),
            *self._find_wrong_rules_statuses(),
        ]
        for orphan in self._orphans.find(
            state, shares, snapshots, dated_state.deleted_before
        ):
            found.append(self._of_orphan(orphan))
        if state.is_complete:
            return found
        return [
            dataclasses.replace(
                each, action='a pass waits until all nodes are connected'
            )
            if each.kind in _NEEDS_ALL_NODES
            else each
            for each in found
        ]

    def _find_in_state(
        self,
        state: cluster_state.ClusterState,
        shares: dict[str, manila_db.Row],
    ) -> Iterator[Difference]:
        rules = manila_db.rules(self._service_host)
        for share_id, row in shares.items():
            parts = state.offline_parts(share_id)
            if parts and row.status in manila_db.IN_USE:
                yield Difference(
                    OFFLINE,
                    f'share {share_id}',
                    f'offline: {", ".join(sorted(parts))}',
                    'a pass mounts and starts it',
                )
        for share_id, owner in self._access_audit.find(state, rules):
            volume_name = names.volume(share_id)
            if owner:
                yield Difference(
                    ACCESS,
                    f'share {share_id}',
                    f'volume {volume_name} has the mark {owner}',
                    f'a pass changes nothing; run "gluster volume set '
                    f'{volume_name} {names.OPTION_SHARE} {share_id}", or '
                    f'unmanage the share',
                )
            else:
                yield Difference(
                    ACCESS,
                    f'share {share_id}',
                    f'options of volume {volume_name} differ from the access '
                    f'rules in Manila',
                    'a pass sets them',
                )
        for share_id in self._brick_tags.find(state, shares):
            yield Difference(
                TAGS,
                f'share {share_id}',
                'a brick may have wrong tags, or no logical volume',
                'a pass corrects the tags if glusterd identifies the brick',
            )
        for snapshot_id in sorted(
            clone_cleanup_candidates.snapshot_ids(state, shares)
        ):
            yield Difference(
                LEFTOVER,
                f'snapshot {snapshot_id}',
                'active, or with logical volumes of an incomplete clone',
                'a pass deactivates it and cleans up',
            )

    def _find_in_statuses(
        self,
        shares: dict[str, manila_db.Row],
        snapshots: dict[str, manila_db.Row],
    ) -> Iterator[Difference]:
        for api, rows in instances.apis_with_rows(
            self._service_host, shares.values(), snapshots.values()
        ):
            kind = api.kind_name.lower()
            for row in rows:
                if row.status == instances.ERROR_DELETING:
                    yield Difference(
                        FAILED_DELETION,
                        f'{kind} {row.id}',
                        f'{row.status}: its deletion failed',
                        'a pass asks manila-share to delete it again',
                    )
                elif self._has_begun(row):
                    yield Difference(
                        INTERRUPTED,
                        f'{kind} {row.id}',
                        f'{row.status}: in progress, or interrupted',
                        'a pass completes or ends it if no service works on '
                        'it',
                    )
                elif row.status in interrupted_work.OPERATION_BY_STATUS:
                    yield Difference(
                        QUEUED_REQUEST,
                        f'{kind} {row.id}',
                        f'{row.status}, but no service has begun; the request '
                        f'is in the message queue, or lost',
                        _action_for_request(api, row),
                    )

    def _find_queued_rules(self) -> Iterator[Difference]:
        for share_id in self._lost_rule_changes.find():
            yield Difference(
                QUEUED_RULES,
                f'share {share_id}',
                'has access rules to apply or to deny; the request for them '
                'is in the message queue, or lost',
                'a pass asks manila-share to apply all its rules if they stay '
                'in the queue',
            )

    def _find_wrong_rules_statuses(self) -> Iterator[Difference]:
        statuses = self._lost_rule_changes.find_wrong_statuses()
        for share_id, status in sorted(statuses.items()):
            yield Difference(
                RULES_STATUS,
                f'share {share_id}',
                'its access_rules_status is syncing, but Manila has no access '
                'rule to apply or deny',
                f'a pass sets the status to {status}',
            )

    def _has_begun(self, row: manila_db.Row) -> bool:
        """Return whether the work on an instance has begun.

        A process is still doing the work, or the work was interrupted. Only
        the work lock distinguishes these two cases.
        """
        if row.status == instances.EXTENDING_ERROR:
            return True
        operation = interrupted_work.OPERATION_BY_STATUS.get(row.status)
        work = self._services.marks.find(row.id) if operation else None
        return work is not None and work.operation == operation

    def _of_orphan(self, orphan: orphans.Orphan) -> Difference:
        subject = f'{orphan.kind} {orphan.id}'
        if orphan.deleted_at is None:
            return Difference(
                UNKNOWN,
                subject,
                f'{orphan.name} is on the cluster, but not in Manila\'s '
                f'database',
                f'a pass keeps it; if neither you nor another Manila needs '
                f'it, {orphan.remedy}',
            )
        state = (
            f'{orphan.name} is on the cluster, but Manila deleted it at '
            f'{orphan.deleted_at:%Y-%m-%d %H:%M:%S} UTC'
        )
        if self._settings.orphans == options.REMOVE:
            return Difference(ORPHAN, subject, state, 'a pass removes it')
        return Difference(
            ORPHAN,
            subject,
            state,
            f'a pass keeps it, because glusterfs_clone_orphans is '
            f'"{options.REPORT}"; {orphan.remedy}',
        )


def _action_for_request(api: instances.InstanceApi, row: manila_db.Row) -> str:
    """Return what happens if no service begins the work of a request."""
    if row.status == instances.DELETING:
        return 'a pass asks manila-share to delete it again'
    minutes = instances.lost_after_seconds(row.status) / 60
    return (
        f'a pass of manila-share ends it after {minutes:g} minutes; to end it '
        f'now, run "{instances.error_command(api, row.id)}", and then delete '
        f'it or repeat the request'
    )
