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
"""Create, extend, delete and unmanage shares, and set their access rules.

If manila-share is killed during an operation, the result depends on the
operation:

create
    The volume of the share may exist, and LVs with the share's tag. The
    volume denies all clients before it is started. Deleting the share removes
    the volume and the LVs.
delete
    See :mod:`~manila_glusterfs_clone.operations.share_removal`.
extend
    The bricks may have different sizes. The smallest brick determines the
    size that clients see. Extending the share again grows the smaller bricks.
"""

from collections.abc import Sequence

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


class Shares:
    """Operations on the shares of one back end."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        the_placement: placement.Placement,
        the_volumes: volumes.Volumes,
        removal: share_removal.ShareRemoval,
        sources: clone_sources.CloneSources,
        cleanup: clone_cleanup.CloneCleanup,
        protocol: protocols.Protocol,
        the_locks: locks.Locks,
        *,
        brick_root: str,
    ) -> None:
        self._cluster = the_cluster
        self._placement = the_placement
        self._volumes = the_volumes
        self._share_removal = removal
        self._sources = sources
        self._clone_cleanup = cleanup
        self._protocol = protocol
        self._locks = the_locks
        self._brick_root = brick_root

    def create(
        self, share_id: str, pool: str, size: int, layout: layouts.Layout
    ) -> gluster.Volume:
        """Create an empty share, and return its volume.

        The volume is online. A new volume denies all clients; an existing
        volume keeps its access list.

        :param pool: the thin pool for the share, ``vg/thinpool``.
        :param size: the size of the share, in bytes.
        """
        volume_name = names.volume(share_id)
        with self._locks.share(share_id) as lock:
            volume, all_peers = self._cluster.read(
                # Both are in one request.
                lambda gluster: (gluster.volume(volume_name), gluster.peers())
            )
            if volumes.has_mark(volume, share_id):
                LOG.info('Share %s: already created; starting it', share_id)
                return self._volumes.bring_online(share_id)
            peers.require_connected(self._cluster, all_peers)
            members = self._placement.choose_nodes(pool, layout, size)
            with undo.undo_on_failure(
                lambda: self.remove(share_id),
                f'share {share_id}',
                lock.require,
            ):
                return self._build(share_id, pool, size, layout, members)

    def _build(
        self,
        share_id: str,
        pool: str,
        size: int,
        layout: layouts.Layout,
        members: tuple[cluster.Member, ...],
    ) -> gluster.Volume:
        volume_name = names.volume(share_id)
        brick_size = layout.brick_size(size)
        paths = self._cluster.everywhere(
            lambda node: bricks.make(
                node, share_id, pool, brick_size, self._brick_root
            ),
            [member.node for member in members],
        )
        brick_names = [
            f'{member.peer_name}:{paths[member.node.name]}'
            for member in members
        ]
        self._cluster.change(
            lambda gluster: gluster.create_volume(
                volume_name, layout.create_arguments, brick_names
            ),
            lambda gluster: gluster.volume(volume_name) is not None,
        )
        volume = self._volumes.deny_all(share_id)
        return self._volumes.bring_finished_online(volume)

    def extend(self, share_id: str, size: int) -> None:
        """Grow a share to ``size`` bytes; clients can use it meanwhile."""
        with self._locks.share(share_id):
            # Every brick must grow. So ask each node, even if it was down
            # recently: it may be up again.
            self._cluster.forget_failures()
            volume = self._volumes.get(share_id)
            brick_by_node = self._volumes.mounted_bricks(volume)
            brick_size = layouts.of_volume(volume).brick_size(size)
            self._placement.require_room(
                {
                    node: placement.RequiredSpace(
                        brick.lv.pool_name,
                        max(0, brick_size - brick.lv.size),
                        brick.node_lvs,
                        needs_new_lvs=False,
                    )
                    for node, brick in brick_by_node.items()
                }
            )
            self._cluster.everywhere(
                lambda node: bricks.grow(
                    node, brick_by_node[node], brick_size, volume.hex_id
                ),
                brick_by_node,
            )

    def complete_extension(self, share_id: str) -> None:
        """Complete an extension that failed on some nodes.

        Grow every brick to the size of the largest brick: XFS cannot shrink.
        """
        volume = self._volumes.get(share_id)
        brick_by_node = self._volumes.mounted_bricks(volume)
        largest_size = max(brick.lv.size for brick in brick_by_node.values())
        self.extend(
            share_id, layouts.of_volume(volume).share_size(largest_size)
        )

    def size(self, share_id: str) -> int:
        """Return the size that clients see, in bytes.

        The smallest brick determines this size.
        """
        volume = self._volumes.get(share_id)
        brick_by_node = self._volumes.mounted_bricks(volume)
        smallest_size = min(brick.lv.size for brick in brick_by_node.values())
        return layouts.of_volume(volume).share_size(smallest_size)

    def update_access(
        self,
        share_id: str,
        old_rules: Sequence[protocols.Rule],
        new_rules: Sequence[protocols.Rule],
        *,
        is_revoking: bool,
    ) -> dict[str, errors.NotPossible]:
        """Grant exactly the rules in ``old_rules`` and ``new_rules``.

        First disconnect the clients of revoked rules, and then grant the new
        rules. If the disconnection fails, Manila sets the new rules to error.

        After a restart, Manila passes all rules as new. Rules that the volume
        already grants stay granted, so their clients stay connected.

        All granted rules of a volume have the same access level, so rules with
        another level are refused. The level of old rules takes precedence,
        then the level of new rules that the volume already grants, then
        ``rw``. So a new rule never disconnects the client of another rule.

        :param old_rules: rules that Manila does not pass as new or changed.
        :param new_rules: rules that Manila passes as new, or whose level
            changed.
        :param is_revoking: whether the volume may grant more access than the
            rules, so that clients lose access.
        :return: why rules were refused, by access id.
        """
        volume_name = names.volume(share_id)
        with self._locks.share(share_id):
            granted_rules, other_rules = self._split_rules(
                volume_name, new_rules
            )
            first_rules = [
                *protocols.writable_first(old_rules),
                *granted_rules,
            ]
            if is_revoking:
                refusals = self._protocol.apply(
                    volume_name, first_rules, is_revoking=True
                )
                if not other_rules:
                    return dict(refusals)
            return dict(
                self._protocol.apply(
                    volume_name,
                    [*first_rules, *other_rules],
                    is_revoking=False,
                )
            )

    def _split_rules(
        self, volume_name: str, rules: Sequence[protocols.Rule]
    ) -> tuple[list[protocols.Rule], list[protocols.Rule]]:
        """Return the rules that a volume already grants, and the others.

        In both lists, the rules whose access level takes precedence come
        first. Among the granted rules, these are the rules that the volume
        grants with the wanted level.
        """
        if not rules:
            return [], []
        volume = self._cluster.read(
            lambda gluster: gluster.volume(volume_name)
        )
        current_rules = (
            self._protocol.granted_rules(volume, rules) if volume else ()
        )
        granted_ids = {rule.access_id for rule in current_rules}
        sorted_rules = protocols.writable_first(rules)
        granted_rules = [r for r in sorted_rules if r.access_id in granted_ids]
        other_rules = [
            rule for rule in sorted_rules if rule.access_id not in granted_ids
        ]
        granted_rules.sort(key=lambda rule: rule not in current_rules)
        return granted_rules, other_rules

    def unmanage(self, share_id: str) -> None:
        """Mark a volume as unmanaged, and remove the share's tag from its LVs.

        The LVs keep the tags that nodes need to mount bricks at boot.

        :raises errors.NotPossible: a node is disconnected, or LVM on a node
            does not list a thin pool.
        """
        tag = names.share_tag(share_id)

        def remove_tags(node: cluster.Node) -> None:
            lvs = node.lvm.lvs()
            bricks.require_pools_visible(node, lvs)
            if tagged_lv_names := [
                lv.full_name for lv in lvs if tag in lv.tags
            ]:
                node.run(lvm.untagging(tagged_lv_names, [tag]))

        with self._locks.share(share_id):
            peers.require_all_connected(self._cluster)
            # Remove the tags last: if marking the volume fails, Manila still
            # has the share, and the deletion of the share needs the tags.
            self._volumes.unmanage(share_id)
            self._cluster.everywhere(remove_tags)

    def is_unmanaged(self, share_id: str) -> bool:
        """Return whether a share is marked as unmanaged on any node."""
        name = names.volume(share_id)
        volume_by_node = self._cluster.everywhere(
            lambda node: node.gluster.volume(name)
        )
        return any(
            volume is not None
            and names.UNMANAGED
            in (
                volume.options.get(names.OPTION_BACKEND),
                volume.options.get(names.OPTION_SHARE),
            )
            for volume in volume_by_node.values()
        )

    def delete(self, share_id: str, *, is_clone: bool = False) -> None:
        """Delete a share and all its data; do nothing if it does not exist.

        After the deletion of a clone, clean up only the snapshots that the
        clone was created from: another Manila may be cloning other snapshots.
        If the clone has no LV, its snapshots are unknown. Then clean up the
        snapshots of all volumes with this back end's mark.

        :param is_clone: whether the share was created from a snapshot.
        """
        if not is_clone:
            self._delete(share_id)
            return
        snapshot_ids = self._sources.snapshots_of_clone(share_id)
        self._delete(share_id)
        if snapshot_ids is None:
            self._clone_cleanup.clean_up_own()
        else:
            self._clone_cleanup.clean_up_snapshots(snapshot_ids)

    def _delete(self, share_id: str) -> None:
        with self._locks.share(share_id):
            self.remove(share_id)

    def remove(self, share_id: str) -> None:
        """Delete a share; the caller holds its lock."""
        self._share_removal.remove(share_id)
