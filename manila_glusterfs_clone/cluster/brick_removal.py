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

#: Seconds to wait until the brick process has closed the file system.
_UNMOUNT_TIMEOUT = 30.0


def reclaim(
    node: cluster.Node,
    is_unwanted: Callable[[lvm.LogicalVolume], bool],
    keep: Callable[[bricks.NodeStorage, lvm.LogicalVolume], bool],
    pool_names: Collection[str] | None = None,
) -> int:
    """Unmount and remove unwanted LVs, and remove their mount points.

    Call this function only through
    :func:`~manila_glusterfs_clone.cluster.brick_ownership.reclaim`, which asks
    glusterd which LVs are in use.

    Before the call, delete the volume or snapshot in glusterd: glusterd 11
    does not start while a brick of a volume is missing. So that the deletion
    survives a power cut, this function writes the configuration of glusterd to
    disk before it removes an LV.

    :param is_unwanted: return whether to remove an LV.
    :param keep: return whether to keep an unwanted LV because it is in use;
        called immediately before the LV is unmounted.
    :param pool_names: the thin pools that LVM must list, as ``vg/thinpool``;
        None for all configured pools.
    :return: the number of unwanted LVs, removed or kept.
    :raises errors.InUse: a process has an LV or its file system open.
    :raises bricks.PoolsNotVisible: LVM does not list a thin pool, and possibly
        not all LVs.
    """
    storage = bricks.read_storage(node)
    bricks.require_pools_visible(node, storage.lvs, pool_names)
    unwanted_lvs = list(filter(is_unwanted, storage.lvs))
    if unwanted_lvs:
        node.file_systems.sync(bricks.GLUSTERD_DIRECTORY)
    for lv in unwanted_lvs:
        if keep(storage, lv):
            continue
        mount_points = list(storage.mount_points(lv))
        for mount_point in mount_points:
            _unmount(node, mount_point)
        tagged_mount_point = lv.tag_value(names.TAG_MOUNT)
        # Remove the mount points before the LV: a retry finds them through
        # the LV.
        for mount_point in sorted(
            {
                *mount_points,
                *([tagged_mount_point] if tagged_mount_point else []),
            }
        ):
            remove_mount_point(node, mount_point)
        LOG.info(
            'Logical volume %s on node %s: no longer in use; removing it',
            lv.full_name,
            node.name,
        )
        node.lvm.remove(lv.full_name)
    return len(unwanted_lvs)


def remove_mount_point(node: cluster.Node, mount_point: str) -> None:
    """Remove the directory that a brick was mounted on.

    If the parent directory is below ``SNAPS_ROOT``, remove the parent, too.

    :raises errors.CommandFailed: a directory is not empty.
    """
    parent = mount_point.rpartition('/')[0]
    if parent.startswith(f'{bricks.SNAPS_ROOT}/'):
        node.file_systems.remove_directories(mount_point, parent)
    else:
        node.file_systems.remove_directories(mount_point)


def remove_snapshot_mount_points(
    node: cluster.Node, hex_id: str, brick_count: int
) -> None:
    """Remove the directories that a snapshot's bricks were mounted on.

    GlusterFS 11.1 leaves these directories when it deletes an active snapshot.

    :param hex_id: the volume id of the snapshot, in hex.
    :param brick_count: the number of all bricks of the snapshot.
    """
    parent = f'{bricks.SNAPS_ROOT}/{hex_id}'
    node.file_systems.remove_directories(
        *(f'{parent}/brick{number}' for number in range(1, brick_count + 1)),
        parent,
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
