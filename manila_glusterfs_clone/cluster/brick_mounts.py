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
"""Find the bricks that are not mounted on a node, and mount them."""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)


def unmounted_lvs(node: cluster.Node) -> tuple[lvm.LogicalVolume, ...]:
    """Return the LVs of unmounted bricks.

    A brick is unmounted if no XFS is mounted at the mount point that the tags
    of its LV record.
    """
    storage = bricks.read_storage(node, f'@{names.TAG_BRICK}')
    mount_points = {mount.target for mount in storage.mounts}
    return tuple(
        lv
        for lv in storage.lvs
        if lv.tag_value(names.TAG_MOUNT) not in mount_points | {None}
    )


def remount(node: cluster.Node, lv: lvm.LogicalVolume) -> None:
    """Mount a brick at the mount point in the tags of its LV."""
    mount_point = lv.tag_value(names.TAG_MOUNT)
    if mount_point is None:
        return
    LOG.warning(
        'Logical volume %s of a brick on node %s: not mounted; mounting it at '
        '%s',
        lv.full_name,
        node.name,
        mount_point,
    )
    node.run(
        *([] if lv.is_active else [lvm.activation(lv.full_name)]),
        *file_systems.mounting(lv.full_name, mount_point),
    )
