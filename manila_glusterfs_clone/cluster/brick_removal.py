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

from collections.abc import Callable, Collection, Sequence

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import file_systems
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
    for lv in unwanted_lvs:
        if not keep(storage, lv):
            LOG.info(
                'Logical volume %s on node %s: no longer in use; removing it',
                lv.full_name,
                node.name,
            )
            _remove(node, lv, storage.mount_points(lv))
    return len(unwanted_lvs)


def _remove(
    node: cluster.Node, lv: lvm.LogicalVolume, mount_points: Sequence[str]
) -> None:
    """Unmount and remove an LV as soon as no brick process has it open."""
    tagged_mount_point = lv.tag_value(names.TAG_MOUNT)
    directories = {*mount_points}
    if tagged_mount_point:
        directories.add(tagged_mount_point)
    # Remove the mount points before the LV: a retry finds them through the LV.
    last_steps = [
        *map(mount_point_removal, sorted(directories)),
        lvm.removal(lv.full_name),
    ]
    attempts = retry.Attempts(_UNMOUNT_TIMEOUT, 1.0)
    for _ in attempts:
        unmount_steps = [*map(file_systems.unmounting, mount_points)]
        try:
            node.run(
                file_systems.syncing(bricks.GLUSTERD_DIRECTORY),
                *unmount_steps,
                *last_steps,
            )
            return
        except errors.CommandFailed as error:
            if tuple(error.argv) not in {step.argv for step in unmount_steps}:
                raise
            mount_points = bricks.read_storage(node).mount_points(lv)
            if not mount_points:
                # Another process has unmounted the file system.
                node.run(*last_steps)
                return
            attempts.record(error)
    raise attempts.last_failure


def mount_point_removal(mount_point: str) -> step_outcomes.Step:
    """Return the step that removes the directory of a mounted brick.

    If the parent directory is below ``SNAPS_ROOT``, the step removes it, too.
    The step fails if a directory is not empty.
    """
    parent = mount_point.rpartition('/')[0]
    if parent.startswith(f'{bricks.SNAPS_ROOT}/'):
        return file_systems.directory_removal(mount_point, parent)
    return file_systems.directory_removal(mount_point)


def snapshot_mount_point_removal(
    hex_id: str, brick_count: int
) -> step_outcomes.Step:
    """Return the step that removes the mount points of a snapshot's bricks.

    :param hex_id: the volume id of the snapshot, in hex.
    :param brick_count: the number of all bricks of the snapshot.
    """
    parent = f'{bricks.SNAPS_ROOT}/{hex_id}'
    paths = [f'{parent}/brick{n}' for n in range(1, brick_count + 1)]
    return file_systems.directory_removal(*paths, parent)
