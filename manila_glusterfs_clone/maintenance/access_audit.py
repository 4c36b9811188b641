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
"""Access lists on the cluster against the access rules of Manila.

Manila's database says which volumes are ours and who may mount them. What
stands on the cluster may be changed by anybody: an operator resets or sets
options, a node misses a change, a rule fails. So the lists are compared,
whoever changed them, and not the marks: "gluster volume reset" removes the
marks together with the lists.

What is compared comes with the survey of a pass; where all lists are as
wanted this costs no command.
"""

from collections.abc import Mapping, Sequence

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
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds to wait for a share that another operation works on.
_PATIENCE = 1.0


class AccessAudit:
    """Compares and sets the access lists of one back end.

    :param host: whose shares are compared: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        waits: backoff.Backoff,
        *,
        host: str,
    ) -> None:
        self._services = the_services
        self._memory = waits
        self._host = host
        #: Shares whose access lists were set, while it was not verified that
        #: clients without a rule are disconnected.
        self._unverified: set[str] = set()

    def audit(
        self,
        seen: cluster_state.ClusterState,
        rules: Mapping[str, protocols.Rules],
    ) -> None:
        """Set the access lists that are not those of Manila's rules.

        What fails is logged and tried again in a later pass; it does not
        keep the other shares from their turn.

        :param rules: by share instance, read after the survey.
        """
        self._unverified = set(filter(seen.share, self._unverified))
        for share_id, wanted in rules.items():
            key = 'rules', share_id
            try:
                self._audit(seen, share_id, wanted)
            except errors.Held as error:
                LOG.info(
                    'Share %s: another operation works on it; its access '
                    'lists are compared in the next pass (%s)',
                    share_id,
                    error,
                )
            except errors.Error as error:
                self._memory.warn(
                    key,
                    f'Volume {names.volume(share_id)}: its options are not '
                    f'those of Manila\'s access rules, and setting them '
                    f'failed; they are set again in a later pass: {error}',
                )
            except Exception as error:
                LOG.debug('Share %s: audit failed', share_id, exc_info=True)
                self._memory.warn(
                    key,
                    f'Share {share_id}: its access lists could not be '
                    f'compared: {error}',
                )

    def _audit(
        self,
        seen: cluster_state.ClusterState,
        share_id: str,
        wanted: protocols.Rules,
    ) -> None:
        volume = seen.share(share_id)
        if volume is None:
            return
        views = (volume, *seen.views_of(share_id))
        if owner := volumes.other_owner(share_id, views):
            key = 'owner', share_id
            # A clone that was finished after the survey has its parent's
            # mark there.
            if not self._memory.is_old(key):
                return
            self._memory.warn(
                key,
                f'Volume {volume.name}: Manila has share {share_id} in use, '
                f'and the volume is marked as {owner}; its access lists are '
                f'left as they are (unmanage the share, or run "gluster '
                f'volume set {volume.name} {names.OPTION_SHARE} {share_id}")',
            )
        elif not self._is_right(share_id, views, wanted):
            if self._memory.is_due(('rules', share_id)):
                self._set(seen, share_id)

    def _is_right(
        self,
        share_id: str,
        views: Sequence[gluster.Volume],
        wanted: protocols.Rules,
    ) -> bool:
        """Return whether all nodes have what Manila wants of a volume."""
        standing = self._services.volumes.standing_options(share_id, views[0])
        return share_id not in self._unverified and all(
            self._services.protocol.holds(view, wanted.active, wanted.changing)
            and volume_options.has_options(view, standing)
            for view in views
        )

    def _set(self, seen: cluster_state.ClusterState, share_id: str) -> None:
        """Have a volume admit exactly the clients that have a rule."""
        name = names.volume(share_id)
        with self._services.locks.share(share_id, timeout=_PATIENCE):
            # An operation that was under way may have ended since.
            wanted = manila_db.rules(self._host, share_id).get(share_id)
            if wanted is None:
                return
            volume = self._services.volumes.in_use(share_id)
            asked = [
                node
                for node in self._services.cluster.nodes
                if name in seen.views.get(node.name, ())
            ]
            found, _ = self._services.cluster.try_everywhere(
                lambda node: node.gluster.volume(name), asked
            )
            views = [volume, *filter(None, found.values())]
            if self._is_right(share_id, views, wanted):
                return
            self._unverified.add(share_id)
            rules = (
                *wanted.active,
                # Whoever changes these does so under the same lock.
                *self._services.protocol.admitted(volume, wanted.changing),
            )
            options = self._services.volumes.standing_options(share_id, volume)
            self._services.protocol.apply(
                name,
                rules,
                revoking=True,
                more=options,
                on=[
                    member.uuid for member in self._services.cluster.members()
                ],
            )
            self._unverified.discard(share_id)
        options |= self._services.protocol.plan(rules).options
        changed = {
            f'{option} {view.options.get(option, "not set")}'
            for view in views
            for option, value in options.items()
            if view.options.get(option) != value
        }
        LOG.warning(
            'Volume %s: its options were not those of Manila\'s access rules '
            '(it had %s); they are set again, and clients without a rule are '
            'disconnected',
            name,
            ', '.join(sorted(changed)) or native.REJECT,
        )
