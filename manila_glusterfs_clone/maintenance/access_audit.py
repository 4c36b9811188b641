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
"""Compare the access lists on the cluster with Manila's access rules.

Access lists can differ from the rules after an operator set or reset options,
a node missed a change, or a change of rules failed. The audit finds volumes by
the share ids in Manila's database, not by the driver's marks: "gluster volume
reset" removes the marks together with the access lists.

The audit uses the cluster state that its caller has read. If all volumes have
the right access lists and marks, the audit runs no command.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses

from oslo_log import log

from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds to wait for the lock of a share.
_LOCK_TIMEOUT = 1.0


class AccessAudit:
    """Compares and corrects the access lists of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        the_backoff: backoff.Backoff,
        *,
        service_host: str,
    ) -> None:
        self._services = the_services
        self._backoff = the_backoff
        self._service_host = service_host
        #: Ids of shares whose last correction failed: clients without a rule
        #: may still be connected.
        self._unverified_share_ids: set[str] = set()

    def find(
        self,
        state: cluster_state.ClusterState,
        rules: Mapping[str, protocols.Rules],
    ) -> Iterator[tuple[str, str]]:
        """Yield the shares whose options differ from Manila's rules.

        Yield pairs of a share id and an owner. The owner is '' if
        :meth:`audit` corrects the share. If the volume has the mark of another
        owner, yield this mark; :meth:`audit` then corrects nothing.
        """
        for share_id, wanted_rules in rules.items():
            volume = state.volume(share_id)
            if volume is None:
                continue
            views = (volume, *state.views_of(share_id))
            owner = volumes.other_owner(share_id, views)
            if owner or not self._is_correct(share_id, views, wanted_rules):
                yield share_id, owner or ''

    def audit(
        self,
        state: cluster_state.ClusterState,
        rules: Mapping[str, protocols.Rules],
    ) -> None:
        """Correct the access lists that differ from Manila's rules.

        If the correction of a share fails, log the error, and try again in a
        later pass.

        :param rules: the access rules by share id, read after the cluster
            state.
        """
        self._unverified_share_ids = set(
            filter(state.volume, self._unverified_share_ids)
        )
        for share_id, wanted_rules in rules.items():
            backoff_key = 'rules', share_id
            try:
                self._audit(state, share_id, wanted_rules)
            except errors.Held as error:
                LOG.info(
                    'Share %s: in use by another operation; not correcting '
                    'its access lists now: %s',
                    share_id,
                    error,
                )
            except errors.Error as error:
                self._backoff.warn_once(
                    backoff_key,
                    f'Volume {names.volume(share_id)}: the options for '
                    f'Manila\'s access rules could not be set or verified; a '
                    f'later maintenance pass or the next start of '
                    f'manila-share retries: {error}',
                )
            except Exception as error:
                LOG.debug('Share %s: audit failed', share_id, exc_info=True)
                self._backoff.warn_once(
                    backoff_key,
                    f'Share {share_id}: its access lists could not be '
                    f'compared or corrected; a later maintenance pass or the '
                    f'next start of manila-share retries: {error}',
                )

    def _audit(
        self,
        state: cluster_state.ClusterState,
        share_id: str,
        wanted_rules: protocols.Rules,
    ) -> None:
        volume = state.volume(share_id)
        if volume is None:
            return
        views = (volume, *state.views_of(share_id))
        if owner := volumes.other_owner(share_id, views):
            backoff_key = 'owner', share_id
            # Warn in the second pass, not in the first: until a clone is
            # complete, it has the mark of its origin. The cluster may have
            # been read before the clone was complete.
            if not self._backoff.came_up_before(backoff_key):
                return
            self._backoff.warn_once(
                backoff_key,
                f'Volume {volume.name}: has the mark {owner}, although it '
                f'belongs to share {share_id} in Manila; its access lists '
                f'stay unchanged (to keep the share in Manila, run "gluster '
                f'volume set {volume.name} {names.OPTION_SHARE} {share_id}"; '
                f'otherwise unmanage the share)',
            )
        elif not self._is_correct(share_id, views, wanted_rules):
            if self._backoff.is_retry_due(('rules', share_id)):
                self._correct(state, share_id)

    def _is_correct(
        self,
        share_id: str,
        views: Sequence[gluster.Volume],
        wanted_rules: protocols.Rules,
    ) -> bool:
        """Return whether a volume has the right options on all nodes.

        If the last correction of the share failed, return False.

        :param views: the volume, as each node reports it.
        """
        permanent_options = self._services.volumes.permanent_options(
            share_id, views[0]
        )
        return share_id not in self._unverified_share_ids and all(
            self._services.protocol.has_rules(
                view, wanted_rules.active, wanted_rules.changing
            )
            and volume_options.has_options(view, permanent_options)
            for view in views
        )

    def _correct(
        self, state: cluster_state.ClusterState, share_id: str
    ) -> None:
        """Make a volume admit exactly the clients that have an access rule."""
        volume_name = names.volume(share_id)
        with self._services.locks.share(share_id, timeout=_LOCK_TIMEOUT):
            # Read the rules and the volume again: another operation may have
            # changed them since the pass read them.
            wanted_rules = manila_db.rules(self._service_host, share_id).get(
                share_id
            )
            if wanted_rules is None:
                return
            volume = self._services.volumes.get_in_use(share_id)
            nodes_with_volume = [
                node
                for node in self._services.cluster.nodes
                if volume_name in state.volumes_by_node.get(node.name, ())
            ]
            volume_by_node, _ = self._services.cluster.try_everywhere(
                lambda node: node.gluster.volume(volume_name),
                nodes_with_volume,
            )
            views = [volume, *filter(None, volume_by_node.values())]
            if self._is_correct(share_id, views, wanted_rules):
                return
            self._unverified_share_ids.add(share_id)
            rules = self._rules_to_grant(volume, wanted_rules)
            options = self._services.volumes.permanent_options(
                share_id, volume
            )
            self._services.protocol.apply(
                volume_name,
                rules,
                is_revoking=True,
                extra_options=options,
                node_uuids=[
                    member.uuid for member in self._services.cluster.members()
                ],
            )
            self._unverified_share_ids.discard(share_id)
        previous_values = {
            f'{option} {view.options.get(option, "not set")}'
            for view in views
            for option in self._services.protocol.options_to_change(
                view, rules, options
            )
        }
        if not previous_values:
            # An earlier correction set the options, but could not verify
            # them.
            LOG.warning(
                'Volume %s: all nodes confirm the options that an earlier '
                'pass set for Manila\'s access rules; clients without a rule '
                'have no access',
                volume_name,
            )
            return
        LOG.warning(
            'Volume %s: its options differed from Manila\'s access rules '
            '(they were: %s); the driver has set the options again, so '
            'clients have only the access that their rules grant',
            volume_name,
            ', '.join(sorted(previous_values)),
        )

    def _rules_to_grant(
        self, volume: gluster.Volume, wanted_rules: protocols.Rules
    ) -> tuple[protocols.Rule, ...]:
        """Return the active rules, and changing rules that a volume grants.

        Manila has already sent the request to grant or revoke the changing
        rules. Until manila-share handles this request, the clients of these
        rules stay connected. They have the access level of the active rules,
        because a volume has only one level.
        """
        active_rules = protocols.writable_first(wanted_rules.active)
        changing_rules = self._services.protocol.granted_rules(
            volume, wanted_rules.changing
        )
        if active_rules:
            level = active_rules[0].access_level
            changing_rules = tuple(
                dataclasses.replace(rule, access_level=level)
                for rule in changing_rules
            )
        return (*active_rules, *changing_rules)
