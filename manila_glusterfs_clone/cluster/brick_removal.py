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
"""Unmount and remove the logical volumes of bricks, and their mount points."""

from collections.abc import Callable, Collection

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Seconds in which a brick process has to close its file system.
_UNMOUNT_TIMEOUT = 30.0


def reclaim(
    node: cluster.Node,
    is_unwanted: Callable[[lvm.LogicalVolume], bool],
    keep: Callable[[bricks.NodeStorage, lvm.LogicalVolume], bool],
    pools: Collection[str] | None = None,
) -> int:
    """Unmount and remove unwanted LVs, and remove their mount points.

    Only :func:`~manila_glusterfs_clone.cluster.brick_ownership.reclaim` calls
    this: it asks glusterd which LVs are in use.

    glusterd must have forgotten the volume before: glusterd 11 does not start
    while a brick of a volume is missing. Its configuration is written to disk
    first, so that the volume stays forgotten after a power cut.

    :param keep: called before an LV is removed; return whether to keep it.
    :param pools: the thin pools of the LVs, as ``vg/thinpool``; None for all
        pools.
    :return: how many LVs were unwanted.
    :raises errors.InUse: a process holds an LV or its mount open.
    :raises bricks.PoolsNotVisible: LVM may not list all LVs.
    """
    storage = bricks.read_storage(node)
    bricks.require_pools_visible(node, storage.lvs, pools)
    unwanted = list(filter(is_unwanted, storage.lvs))
    if unwanted:
        node.file_systems.sync(bricks.GLUSTERD)
    for lv in unwanted:
        if keep(storage, lv):
            continue
        mount_points = list(storage.mount_points(lv))
        for mount_point in mount_points:
            _unmount(node, mount_point)
        tagged = lv.tag_value(names.TAG_MOUNT)
        # Before the LV is removed: only it leads to its mount points.
        for mount_point in sorted(
            {*mount_points, *([tagged] if tagged else [])}
        ):
            remove_mount_point(node, mount_point)
        LOG.info(
            'Logical volume %s on node %s is not in use; removing it',
            lv.full_name,
            node.name,
        )
        node.lvm.remove(lv.full_name)
    return len(unwanted)


def remove_mount_point(node: cluster.Node, mount_point: str) -> None:
    """Remove the empty directory that a brick was mounted on."""
    parent = mount_point.rpartition('/')[0]
    if parent.startswith(f'{bricks.SNAPS_ROOT}/'):
        node.file_systems.remove_directories(mount_point, parent)
    else:
        node.file_systems.remove_directories(mount_point)


def remove_snapshot_mount_points(
    node: cluster.Node, volume_hex: str, count: int
) -> None:
    """Remove the directories that a snapshot's bricks were mounted on.

    GlusterFS 11.1 leaves them when it deletes a snapshot that was active.

    :param count: the number of bricks of the snapshot, on all nodes.
    """
    parent = f'{bricks.SNAPS_ROOT}/{volume_hex}'
    node.file_systems.remove_directories(
        *(f'{parent}/brick{number}' for number in range(1, count + 1)), parent
    )


def _unmount(node: cluster.Node, mount_point: str) -> None:
    """Unmount a file system as soon as no brick process holds it open."""
    attempts = retry.Attempts(_UNMOUNT_TIMEOUT, 1.0)
    for _ in attempts:
        try:
            node.file_systems.unmount(mount_point)
            return
        except errors.CommandFailed as error:
            if node.file_systems.mount_at(mount_point) is None:
                return
            attempts.record(error)
    raise attempts.last_failure
