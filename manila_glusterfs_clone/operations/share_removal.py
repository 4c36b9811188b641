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
"""Remove all parts of a finished or unfinished share from the cluster.

The module removes deleted shares, shares whose creation failed, and orphans.
The removal is idempotent. If manila-share is killed during a removal, the
volume may be stopped or deleted. The remaining LVs keep the share's tag, so
the next removal finds them.
"""

import dataclasses
import functools

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import glusterd_start
from manila_glusterfs_clone.cluster import leftover_directories
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volume_start
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class ShareHasSnapshots(errors.NotPossible):
    """A share cannot be removed, because its volume has snapshots."""

    volume: str
    snapshot_count: int

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: has snapshots ({self.snapshot_count}); '
            f'delete the snapshots that "gluster snapshot list {self.volume}" '
            f'lists, and retry'
        )


class ShareRemoval:
    """Removes shares of one back end from the cluster."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        the_volumes: volumes.Volumes,
        *,
        brick_root: str,
    ) -> None:
        self._cluster = the_cluster
        self._volumes = the_volumes
        self._brick_root = brick_root

    def remove(self, share_id: str) -> None:
        """Remove the volume, LVs and mount points of a share.

        The caller holds the share's lock. This method first tags the LVs, so
        that the next removal finds them if this removal is interrupted. It
        removes the LVs after the volume, because glusterd 11 does not start
        while a brick of a clone is missing.

        :raises errors.NotPossible: a node is disconnected, or LVM on a node
            does not list a thin pool.
        :raises ShareHasSnapshots: the volume has snapshots.
        :raises deletion_on_nodes.MissingOnNodes: glusterd on some nodes lacks
            the volume; nothing was removed.
        :raises deletion_on_nodes.StillKnown: glusterd on a node still has the
            volume; no LV was removed.
        """
        volume_name = names.volume(share_id)
        share_tag = names.share_tag(share_id)
        find = functools.partial(
            deletion_on_nodes.find_on_all_nodes,
            self._cluster,
            f'volume {volume_name}',
            lambda gluster: gluster.volume(volume_name),
        )
        volume = find()
        pool_names_by_node: dict[str, set[str]] | None = None
        if volume is None:
            self._wait_for_running_creation(volume_name)
            volume = find()
        if volume is not None:
            if volume.snapshot_count:
                raise ShareHasSnapshots(volume_name, volume.snapshot_count)
            pool_names_by_node = self._tag_lvs(share_id, volume)
            LOG.info('Volume %s: deleting it', volume_name)
            self._cluster.change(
                lambda gluster: gluster.stop_volume(volume_name),
                lambda gluster: (
                    not volume_start.is_started(gluster.volume(volume_name))
                ),
            )
            self._cluster.change(
                lambda gluster: self._delete_volume(gluster, volume_name),
                lambda gluster: gluster.volume(volume_name) is None,
            )
        mount_point = names.mount_point(self._brick_root, share_id)

        def remove_leftovers(
            node: cluster.Node, unwanted_lv_count: int
        ) -> None:
            if not unwanted_lv_count:
                # The mount point may exist without an LV of the share.
                node.run(brick_removal.mount_point_removal(mount_point))
            leftover_directories.remove_of_volume(node, volume_name)

        deletion_on_nodes.finish(
            self._cluster,
            f'volume {volume_name}',
            is_known=lambda gluster: gluster.volume(volume_name) is not None,
            # An LV with the name of the volume belongs to the share, even if
            # an operator has removed its tags: the name contains the share id.
            is_unwanted=lambda node, lv: (
                share_tag in lv.tags or lv.name == volume_name
            ),
            pool_names_by_node=pool_names_by_node,
            remove_leftovers=remove_leftovers,
        )

    def _wait_for_running_creation(self, volume_name: str) -> None:
        """Wait until glusterd has ended a running creation of a volume.

        If manila-share was killed while it created the share, glusterd may
        still be creating the volume, and hold the volume's lock. While
        glusterd answers Busy, retry a command that needs this lock. Stopping
        a volume that does not exist is no error.
        """
        self._cluster.change(
            lambda gluster: gluster.stop_volume(volume_name),
            lambda gluster: False,
        )

    def _delete_volume(
        self, gluster: gluster.Gluster, volume_name: str
    ) -> None:
        glusterd_start.await_started(self._cluster)
        gluster.delete_volume(volume_name)

    def _tag_lvs(
        self, share_id: str, volume: gluster.Volume
    ) -> dict[str, set[str]]:
        """Tag the LVs of all bricks, even LVs that glusterd created.

        After the volume is deleted, the removal finds the LVs of a clone only
        by their tags.

        :return: the thin pools of the LVs, by node name.
        :raises errors.NotPossible: LVM on a node lists no LV of the brick, and
            a thin pool is missing there.
        """
        share_tag = names.share_tag(share_id)
        pool_names_by_node: dict[str, set[str]] = {}

        def tag_lvs_of_brick(node: cluster.Node, brick_path: str) -> None:
            lvs = node.lvm.lvs()
            brick_tags = names.brick_tags(
                share_id, brick_path.rpartition('/')[0]
            )
            tagged_lvs = {lv for lv in lvs if share_tag in lv.tags}
            brick_lvs = {
                lv
                for lv in lvs
                if brick_ownership.is_named_in_path(lv, brick_path)
                or brick_tags <= lv.tags
            }
            if not brick_lvs:
                bricks.require_pools_visible(node, lvs)
                brick = bricks.read_storage(node).find_brick(brick_path)
                brick_lvs = {brick.lv} if brick is not None else set()
            pool_names_by_node[node.name] = {
                lv.pool_name for lv in tagged_lvs | brick_lvs if lv.pool
            }
            for lv in brick_lvs:
                brick_ownership.set_ownership_tags(node, lv, brick_tags)

        self._volumes.for_each_brick(volume, tag_lvs_of_brick)
        return pool_names_by_node
