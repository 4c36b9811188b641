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
"""Remove everything that the cluster has of one share, complete or not.

This is how a share is deleted, and how a failed creation is undone. It only
goes forward and may be repeated: a killed caller leaves a volume that may be
stopped or deleted, and LVs that have the share's tag until they are removed.
"""

import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import leftover_directories
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class ShareHasSnapshots(errors.NotPossible):
    """The volume of a share cannot be deleted while it has snapshots."""

    volume: str
    count: int

    def __str__(self) -> str:
        return (
            f'volume {self.volume} has {self.count} snapshots; delete them '
            f'first ("gluster snapshot list {self.volume}" lists them)'
        )


class ShareRemoval:
    """Removes the shares of one back end from its cluster."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        the_volumes: volumes.Volumes,
        *,
        brick_root: str,
    ) -> None:
        self._cluster = nodes
        self._volumes = the_volumes
        self._brick_root = brick_root

    def remove(self, share_id: str) -> None:
        """Remove the volume, LVs and mount points of a share.

        The caller holds the share's lock. The order keeps the remains
        recognisable and every node able to boot: first the LVs are tagged,
        then the volume is deleted, and only then its LVs are removed.

        :raises errors.NotPossible: a node is disconnected.
        :raises ShareHasSnapshots: the volume has snapshots.
        """
        name = names.volume(share_id)
        tag = names.share_tag(share_id)
        # A node that missed the deletion restores the volume on its peers
        # when it is connected again.
        peers.require_all_connected(self._cluster)
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        pools_of: dict[str, set[str]] | None = None
        if volume is None:
            self._await_creation(name)
            volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is not None:
            if volume.snapshot_count:
                raise ShareHasSnapshots(name, volume.snapshot_count)
            pools_of = self._tag_lvs(share_id, volume)
            LOG.info('Volume %s: deleting it', name)
            self._cluster.change(
                lambda gluster: gluster.stop_volume(name),
                lambda gluster: not volumes.is_started(gluster.volume(name)),
            )
            self._cluster.change(
                lambda gluster: self._delete_volume(gluster, name),
                lambda gluster: gluster.volume(name) is None,
            )
        mount_point = names.mount_point(self._brick_root, share_id)

        def remove_leftovers(node: cluster.Node, lv_count: int) -> None:
            if not lv_count:
                # The mount point may exist without an LV.
                brick_removal.remove_mount_point(node, mount_point)
            leftover_directories.remove_of_volume(node, name)

        deletion_on_nodes.finish(
            self._cluster,
            f'volume {name}',
            is_known=lambda gluster: gluster.volume(name) is not None,
            # The name of a created brick is used once: an LV of that name is
            # the share's although somebody has removed its tags.
            is_unwanted=lambda node, lv: tag in lv.tags or lv.name == name,
            pools_of=pools_of,
            remove_leftovers=remove_leftovers,
        )

    def _await_creation(self, name: str) -> None:
        """Wait until glusterd has ended any creation of a volume.

        glusterd may still be creating it for a process that was killed. It
        holds the lock of the volume's name meanwhile, so stopping the volume
        is refused until the creation has ended.
        """
        self._cluster.change(
            lambda gluster: gluster.stop_volume(name), lambda gluster: False
        )

    def _delete_volume(self, gluster: gluster.Gluster, name: str) -> None:
        peers.await_started(self._cluster)
        gluster.delete_volume(name)

    def _tag_lvs(
        self, share_id: str, volume: gluster.Volume
    ) -> dict[str, set[str]]:
        """Tag the LVs of all bricks, including those that glusterd made.

        After the volume is deleted, only the tags show whose they are.

        :return: the thin pools of the LVs, by the name of the node.
        :raises errors.NotPossible: LVM may not see an LV, so that it would
            not be removed.
        """
        tag = names.share_tag(share_id)
        pools_of: dict[str, set[str]] = {}

        def tag_lvs(node: cluster.Node, path: str) -> None:
            lvs = node.lvm.lvs()
            brick_tags = names.brick_tags(share_id, path.rpartition('/')[0])
            tagged = {lv for lv in lvs if tag in lv.tags}
            brick_lvs = {
                lv
                for lv in lvs
                if brick_ownership.is_named_in_path(lv, path)
                or brick_tags <= lv.tags
            }
            if not brick_lvs:
                bricks.require_pools_visible(node, lvs)
                brick = bricks.read_storage(node).find_brick(path)
                brick_lvs = {brick.lv} if brick is not None else set()
            pools_of[node.name] = {
                lv.pool_name for lv in tagged | brick_lvs if lv.pool
            }
            for lv in brick_lvs:
                brick_ownership.set_ownership_tags(node, lv, brick_tags)

        self._volumes.for_each_brick(volume, tag_lvs)
        return pools_of
