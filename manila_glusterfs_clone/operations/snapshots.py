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
"""The verbs on snapshots.

A snapshot of ours is inactive, except while it is cloned. What a caller
that is killed leaves behind is a snapshot whose LVs may not be tagged yet;
deleting the snapshot finds them by the id that glusterd named them after.
"""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion
from manila_glusterfs_clone.cluster import leftover_directories
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


class Snapshots:
    """The snapshots of the shares of one back end."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: placement.Placement,
        the_volumes: volumes.Volumes,
        cleanup: clone_cleanup.CloneCleanup,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._volumes = the_volumes
        self._cleanup = cleanup
        self._locks = mutex

    def create(self, snapshot_id: str, share_id: str) -> None:
        """Take a snapshot of a share, all bricks at one moment.

        :raises errors.NotPossible: there are as many as there may be,
            glusterd would delete older ones, a pool has no room, or a copy
            of some data is not up to date.
        """
        name = names.snapshot(snapshot_id)
        with self._locks.share(share_id):
            if self._cluster.read(lambda line: line.snapshot(name)):
                # It may be in use, and must not be undone.
                LOG.info('Snapshot %s exists already', snapshot_id)
                with self._locks.snapshot(snapshot_id):
                    self._tag_lvs(snapshot_id, {})
                return
            volume = self._volumes.get(share_id)
            self._require_permitted(volume)
            peers.require_all_connected(self._cluster)
            self._pools.require_room(
                {
                    node: placement.RequiredSpace(
                        place.lv.pool_name, 0, place.lvs
                    )
                    for node, place in self._volumes.mounted_bricks(
                        volume
                    ).items()
                }
            )
            if layouts.of_volume(volume).is_healed:
                replica_heal.heal(self._cluster, volume.name)
            with (
                self._locks.snapshot(snapshot_id) as lock,
                undo.undo_on_failure(
                    lambda: self.remove(snapshot_id, share_id),
                    f'snapshot {snapshot_id}',
                    lock.require,
                ),
            ):
                self._cluster.change(
                    lambda line: line.create_snapshot(name, volume.name),
                    lambda line: line.snapshot(name) is not None,
                )
                self._tag_lvs(snapshot_id, {})

    def complete(self, snapshot_id: str, share_id: str) -> bool:
        """Complete a snapshot whose creation was interrupted.

        :return: whether it is whole; if not, it is to be deleted.
        """
        name = names.snapshot(snapshot_id)
        with self._locks.share(share_id), self._locks.snapshot(snapshot_id):
            if self._cluster.read(lambda line: line.snapshot(name)) is None:
                return False
            try:
                self._tag_lvs(snapshot_id, {})
            except errors.Unsettled as error:
                LOG.warning('%s', error)
                return False
        return True

    def _require_permitted(self, volume: gluster.Volume) -> None:
        name = volume.name
        config = self._cluster.read(lambda line: line.snapshot_config(name))
        if config.auto_delete:
            raise errors.NotPossible(
                'the snapshot option auto-delete of the cluster is '
                'enabled: glusterd would delete the oldest snapshots of '
                'a share by itself; "gluster snapshot config '
                'auto-delete disable" ends that'
            )
        if volume.snapshot_count >= config.hard_limit:
            raise errors.NotPossible(
                f'volume {name} has {volume.snapshot_count} snapshots, and '
                f'glusterd lets it have {config.hard_limit}; delete some, or '
                f'raise the limit, up to {gluster.MAX_SNAPSHOTS}: "gluster '
                f'snapshot config {name} snap-max-hard-limit NUMBER" for the '
                f'volume, and without its name for the cluster'
            )

    def _tag_lvs(
        self, snapshot_id: str, pools_of: dict[str, set[str]]
    ) -> None:
        """Tag the LVs that glusterd made for a snapshot.

        :param pools_of: is given the thin pools that they lie in, by the
            name of the node.
        :raises errors.NotPossible: there may be one that LVM does not see,
            and that would stay.
        """
        name = names.snapshot(snapshot_id)
        tag = names.snapshot_tag(snapshot_id)
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            raise errors.Unsettled(
                f'snapshot {name}',
                'it is gone just after it was taken; take another one',
            )

        def claim(node: cluster.Node) -> int:
            lvs = node.lvm.lvs()
            found = bricks.named_after(lvs, snapshot.hex_id)
            if not found and node in holders:
                bricks.require_pools_visible(node, lvs)
            pools_of[node.name] = {lv.pool_name for lv in found if lv.pool}
            bare = [lv.full_name for lv in found if tag not in lv.tags]
            if bare:
                node.lvm.add_tags(bare, [tag])
            return len(found)

        origin = self._cluster.read(lambda line: line.volume(snapshot.origin))
        holders = bricks.nodes_with_bricks(self._cluster, origin)
        found = self._cluster.everywhere(claim)
        if origin is not None and sum(found.values()) != len(origin.bricks):
            raise errors.Unsettled(
                f'snapshot {name}',
                f'it has {sum(found.values())} logical volumes for the '
                f'{len(origin.bricks)} bricks of its volume ('
                + ', '.join(f'{node}: {n}' for node, n in found.items())
                + '); delete it and take another one',
            )

    def delete(self, snapshot_id: str, share_id: str) -> None:
        """Delete a snapshot; fine if there is none."""
        with (
            self._locks.share(share_id),
            self._locks.snapshot(snapshot_id),
        ):
            self.remove(snapshot_id, share_id)

    def remove(self, snapshot_id: str, share_id: str) -> None:
        """Remove whatever there is of a snapshot.

        The caller holds the snapshot's lock. glusterd may report success
        and leave an LV behind, so the nodes are asked.
        """
        name = names.snapshot(snapshot_id)
        # A node that missed the deletion brings it back when it is
        # connected again.
        peers.require_all_connected(self._cluster)
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            self._await_transactions(names.volume(share_id))
            snapshot = self._cluster.read(lambda line: line.snapshot(name))
        pools_of: dict[str, set[str]] | None = None
        if snapshot is not None:
            pools_of = {}
            self._claim_leniently(snapshot_id, pools_of)
            # Nothing else tells of what clones have left when it is gone.
            self._cleanup.clean_up(name)
            self._remove_mount_points(snapshot)
            self._cluster.change(
                lambda line: line.delete_snapshot(name),
                lambda line: line.snapshot(name) is None,
            )
        tag = names.snapshot_tag(snapshot_id)

        deletion.finish(
            self._cluster,
            f'snapshot {name}',
            is_known=lambda line: line.snapshot(name) is not None,
            is_unwanted=lambda node, lv: tag in lv.tags,
            pools_of=pools_of,
            remove_leftovers=lambda node, _: (
                leftover_directories.remove_of_snapshot(node, name)
            ),
            find_blocked=lambda node: _find_tagged(node, tag),
        )

    def unmanage(self, snapshot_id: str) -> None:
        """Leave a snapshot to whoever manages it from now on, as it is.

        :raises errors.NotPossible: a node is away, and would keep our marks.
        """
        name = names.snapshot(snapshot_id)
        tag = names.snapshot_tag(snapshot_id)

        def disown(node: cluster.Node) -> None:
            seen = node.lvm.lvs()
            bricks.require_pools_visible(node, seen)
            lvs = [
                lv
                for lv in seen
                if tag in lv.tags or bricks.hex_id_in_name(lv.name) == hex_id
            ]
            if lvs:
                # In this order: at no moment is it nobody's.
                full_names = [lv.full_name for lv in lvs]
                node.lvm.add_tags(full_names, [names.TAG_UNMANAGED])
                node.lvm.remove_tags(full_names, [tag])

        with self._locks.snapshot(snapshot_id):
            peers.require_all_connected(self._cluster)
            snapshot = self._cluster.read(lambda line: line.snapshot(name))
            hex_id = snapshot.hex_id if snapshot else '(none)'
            self._cluster.everywhere(disown)

    def is_unmanaged(self, snapshot_id: str) -> bool:
        """Whether a snapshot was left to somebody else."""
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            return False
        seen = self._cluster.everywhere(lambda node: node.lvm.lvs())
        return any(
            names.TAG_UNMANAGED in lv.tags
            for lvs in seen.values()
            for lv in bricks.named_after(lvs, snapshot.hex_id)
        )

    def _remove_mount_points(self, snapshot: gluster.Snapshot) -> None:
        """Remove what it was mounted on, while it tells what that was."""
        volume = self._cluster.read(lambda line: line.volume(snapshot.origin))
        count = len(volume.bricks) if volume is not None else 0
        self._cluster.everywhere(
            lambda node: brick_removal.remove_snapshot_mount_points(
                node, snapshot.hex_id, count
            )
        )

    def _await_transactions(self, volume: str) -> None:
        """Wait until nothing is being done to a volume.

        A snapshot that is not there yet may be being taken, at the behest
        of a process that was killed. Taking one holds the volume's lock in
        glusterd, and so asking for the state of the bricks is refused until
        that has ended.
        """
        found = self._cluster.read(lambda line: line.volume(volume))
        if found is not None and found.is_started:
            self._cluster.change(
                lambda line: _ignore(line.brick_status(volume)),
                lambda line: False,
            )

    def _claim_leniently(
        self, snapshot_id: str, pools_of: dict[str, set[str]]
    ) -> None:
        try:
            self._tag_lvs(snapshot_id, pools_of)
        except errors.Unsettled as error:
            LOG.warning('Deleting it all the same: %s', error)


def _find_tagged(node: cluster.Node, tag: str) -> str | None:
    """Return the name of an LV with a tag, if the node has one.

    10.3 keeps a snapshot whose LV it cannot remove, to remove it when it is
    started again, and may not start as long as it cannot.
    """
    tagged = (lv.full_name for lv in node.lvm.lvs() if tag in lv.tags)
    return next(tagged, None)


def _ignore(_answer: object) -> None:
    """Take an answer that was asked for its lock's sake."""
