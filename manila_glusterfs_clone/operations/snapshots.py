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
"""Take, complete, delete and unmanage snapshots of shares.

The driver keeps its snapshots inactive, except while it clones them. If
manila-share is killed while it takes a snapshot, the LVs of the snapshot may
have no tags. The deletion of the snapshot finds these LVs by their names.
"""

import dataclasses
import functools

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import leftover_directories
from manila_glusterfs_clone.cluster import parallel
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import snapshot_limits
from manila_glusterfs_clone.operations import snapshot_lvs
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class SnapshotVanished(errors.Unsettled):
    """A snapshot that glusterd has taken does not exist any more."""

    snapshot: str

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: was taken, but does not exist any '
            f'more; take another snapshot'
        )


class Snapshots:
    """Operations on the snapshots of the shares of one back end."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        the_placement: placement.Placement,
        the_volumes: volumes.Volumes,
        cleanup: clone_cleanup.CloneCleanup,
        the_locks: locks.Locks,
    ) -> None:
        self._cluster = the_cluster
        self._placement = the_placement
        self._volumes = the_volumes
        self._clone_cleanup = cleanup
        self._locks = the_locks

    def create(self, snapshot_id: str, share_id: str) -> None:
        """Take a snapshot of all bricks of a share at the same moment.

        :raises errors.NotPossible: :mod:`.snapshot_limits` forbids the
            snapshot, a node is disconnected, a pool lacks space, or self-heal
            of the volume is not complete.
        """
        name = names.snapshot(snapshot_id)
        volume_name = names.volume(share_id)
        with self._locks.share(share_id):
            (taken, volume, config), all_peers = self._cluster.read(
                # Both are in one request.
                lambda gluster: (
                    gluster.snapshot_and_origin(name, volume_name),
                    gluster.peers(),
                )
            )
            if taken is not None:
                # Do not undo a failure here: the snapshot may be in use.
                LOG.info(
                    'Snapshot %s: already taken; tagging its logical volumes',
                    snapshot_id,
                )
                with self._locks.snapshot(snapshot_id):
                    self._tag_lvs(snapshot_id)
                return
            if volume is None or config is None:
                raise volumes.VolumeNotFound(volume_name)
            snapshot_limits.require_permitted(volume, config)
            peers.require_connected(self._cluster, all_peers)
            with parallel.beside(
                f'Self-heal of volume {volume.name}:',
                lambda: self._heal(volume),
            ) as healing:
                self._require_room(volume)
                healing.result()
            with (
                self._locks.snapshot(snapshot_id) as lock,
                undo.undo_on_failure(
                    lambda: self.remove(snapshot_id, share_id),
                    f'snapshot {snapshot_id}',
                    lock.require,
                ),
            ):
                self._cluster.change(
                    lambda gluster: gluster.create_snapshot(name, volume_name),
                    lambda gluster: gluster.snapshot(name) is not None,
                )
                self._tag_lvs(snapshot_id, volume)

    def _heal(self, volume: gluster.Volume) -> None:
        """Wait until all copies of the files of a volume are equal."""
        if layouts.of_volume(volume).has_self_heal:
            replica_heal.heal(self._cluster, volume.name)

    def _require_room(self, volume: gluster.Volume) -> None:
        """Make sure that the thin pools of a volume have room."""
        brick_by_node = self._volumes.mounted_bricks(volume)
        self._placement.require_room(
            {
                node: placement.RequiredSpace(
                    brick.lv.pool_name, 0, brick.node_lvs
                )
                for node, brick in brick_by_node.items()
            }
        )

    def complete(self, snapshot_id: str, share_id: str) -> bool:
        """Tag the LVs of a snapshot whose creation was interrupted.

        :return: whether the snapshot exists, and has an LV for each brick. If
            not, the user must delete it.
        """
        name = names.snapshot(snapshot_id)
        with self._locks.share(share_id), self._locks.snapshot(snapshot_id):
            snapshot = self._cluster.read(
                lambda gluster: gluster.snapshot(name)
            )
            if snapshot is None:
                return False
            try:
                self._tag_lvs(snapshot_id)
            except errors.Unsettled as error:
                LOG.warning(
                    'Snapshot %s: unusable after an interrupted creation: %s',
                    snapshot_id,
                    error,
                )
                return False
        return True

    def _tag_lvs(
        self, snapshot_id: str, origin: gluster.Volume | None = None
    ) -> None:
        """Tag the LVs that glusterd created for a snapshot.

        :param origin: the volume of the snapshot; None to read it.
        :raises errors.NotPossible: LVM on a node lists no LV of the snapshot,
            and a thin pool is missing there.
        :raises errors.Unsettled: the snapshot does not exist, or the numbers
            of its LVs and bricks differ.
        """
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda gluster: gluster.snapshot(name))
        if snapshot is None:
            raise SnapshotVanished(name)
        snapshot_lvs.tag(
            self._cluster, snapshot, origin or self._origin(snapshot)
        )

    def _origin(self, snapshot: gluster.Snapshot) -> gluster.Volume | None:
        return self._cluster.read(
            lambda gluster: gluster.volume(snapshot.origin)
        )

    def delete(self, snapshot_id: str, share_id: str) -> None:
        """Delete a snapshot; do nothing if it does not exist."""
        with (
            self._locks.share(share_id),
            self._locks.snapshot(snapshot_id),
        ):
            self.remove(snapshot_id, share_id)

    def remove(self, snapshot_id: str, share_id: str) -> None:
        """Remove all parts of a snapshot from the cluster.

        The caller holds the snapshot's lock. glusterd can report success
        although it left an LV. This method removes such LVs on every node.
        """
        name = names.snapshot(snapshot_id)
        find = functools.partial(
            deletion_on_nodes.find_on_all_nodes,
            self._cluster,
            f'snapshot {name}',
            lambda gluster: gluster.snapshot(name),
        )
        snapshot = find()
        if snapshot is None:
            self._await_transactions(names.volume(share_id))
            snapshot = find()
        pool_names_by_node: dict[str, set[str]] | None = None
        if snapshot is not None:
            self._clone_cleanup.deactivate(snapshot)
            tagged = snapshot_lvs.tag_to_delete(
                self._cluster, snapshot, self._origin(snapshot)
            )
            pool_names_by_node = tagged.pool_names_by_node
            # Clean up first: only the snapshot identifies the LVs that
            # interrupted clones left.
            self._clone_cleanup.clean_up_lvs(snapshot, tagged.lvs_by_node)
            self._cluster.change(
                lambda gluster: gluster.delete_snapshot(name),
                lambda gluster: gluster.snapshot(name) is None,
            )
        tag = names.snapshot_tag(snapshot_id)
        deletion_on_nodes.finish(
            self._cluster,
            f'snapshot {name}',
            is_known=lambda gluster: gluster.snapshot(name) is not None,
            is_unwanted=lambda node, lv: tag in lv.tags,
            pool_names_by_node=pool_names_by_node,
            remove_leftovers=lambda node, _: (
                leftover_directories.remove_of_snapshot(node, name)
            ),
            find_blocked_lv=lambda node: _find_tagged_lv(node, tag),
        )

    def unmanage(self, snapshot_id: str) -> None:
        """Tag a snapshot's LVs as unmanaged, and remove the snapshot's tag.

        :raises errors.NotPossible: a node is disconnected, or LVM on a node
            does not list a thin pool.
        """
        name = names.snapshot(snapshot_id)
        tag = names.snapshot_tag(snapshot_id)

        def replace_tags(node: cluster.Node) -> None:
            lvs = node.lvm.lvs()
            bricks.require_pools_visible(node, lvs)
            own_lvs = [
                lv
                for lv in lvs
                if tag in lv.tags or bricks.hex_id_in_name(lv.name) == hex_id
            ]
            if own_lvs:
                full_names = [lv.full_name for lv in own_lvs]
                node.run(
                    *lvm.retagging(full_names, [names.TAG_UNMANAGED], [tag])
                )

        with self._locks.snapshot(snapshot_id):
            peers.require_all_connected(self._cluster)
            snapshot = self._cluster.read(
                lambda gluster: gluster.snapshot(name)
            )
            if snapshot is not None and snapshot.is_active:
                # A clone leaves its snapshot active for some seconds.
                self._clone_cleanup.clean_up(name)
            hex_id = snapshot.hex_id if snapshot else '(none)'
            self._cluster.everywhere(replace_tags)
            # From now on, only the operator changes the snapshot.
            self._clone_cleanup.uses.forget(snapshot_id)

    def is_unmanaged(self, snapshot_id: str) -> bool:
        """Return whether a snapshot exists and has the unmanaged tag."""
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda gluster: gluster.snapshot(name))
        if snapshot is None:
            return False
        lvs_by_node = self._cluster.everywhere(lambda node: node.lvm.lvs())
        return any(
            names.TAG_UNMANAGED in lv.tags
            for lvs in lvs_by_node.values()
            for lv in bricks.lvs_named_after(lvs, snapshot.hex_id)
        )

    def _await_transactions(self, volume: str) -> None:
        """Wait until glusterd has ended its transactions on a volume.

        If manila-share was killed while it took the snapshot, glusterd may
        still be taking it, and hold the volume's lock. While glusterd answers
        Busy, retry a command that needs this lock.
        """
        origin = self._cluster.read(lambda gluster: gluster.volume(volume))
        if origin is not None and origin.is_started:

            def read_status(gluster: gluster.Gluster) -> None:
                gluster.brick_status(volume)

            self._cluster.change(read_status, lambda gluster: False)


def _find_tagged_lv(node: cluster.Node, tag: str) -> str | None:
    """Return the name of an LV with a tag, or None if the node has none.

    If glusterd 10.3 cannot remove the LV of a snapshot, it keeps the snapshot.
    It retries the removal at its next start, and this start can fail.
    """
    tagged_names = (lv.full_name for lv in node.lvm.lvs() if tag in lv.tags)
    return next(tagged_names, None)
