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
"""Repair a brick that is down, so that glusterd can start it.

A brick cannot start in these states (observed on GlusterFS 10.3 and 11.1):

* The brick is not mounted, or its logical volume is not active.
* Its XFS file system has shut itself down, because a write to the disk or to
  the thin pool failed. All access to the file system then fails with EIO,
  except ``statfs``. So ``df`` and ``gluster volume status NAME detail`` show
  no error. The brick process exits at its next health check, within half a
  minute. To repair the file system, the driver unmounts and mounts it: XFS
  replays its log when it is mounted.
* The brick does not have the id of its volume. ``gluster volume start NAME
  force`` writes a missing id. If a brick has another id, glusterd refuses to
  start any brick of the volume.

A repair first corrects the tags of the brick's logical volume, if glusterd
identifies this logical volume. After that, the repair needs a logical volume
with the tags of the share and of the mount point. If no XFS is mounted at the
mount point, the repair mounts the logical volume. If another XFS is mounted
there, an operator has to act.
"""

from collections.abc import Callable
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_mounts
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: The hidden directory in which GlusterFS stores the metadata of a brick.
_BRICK_METADATA = '.glusterfs'


@dataclasses.dataclass(eq=False)
class BrickNotRepaired(errors.Unsettled):
    """A brick stays offline until an operator acts."""

    path: str
    node: str

    def _sentence(self, state: str) -> str:
        return f'brick {self.path} on node {self.node}: {state}'


@dataclasses.dataclass(eq=False)
class ForeignMount(BrickNotRepaired):
    """A file system outside LVM is mounted as a brick."""

    mount_point: str

    def __str__(self) -> str:
        return self._sentence(
            f'a file system outside LVM is mounted at {self.mount_point}, so '
            f'the driver does not mount the logical volume of the share '
            f'there. Compare the data of both. If the logical volume has the '
            f'newer data, unmount the file system; a later maintenance pass '
            f'then mounts the logical volume'
        )


@dataclasses.dataclass(eq=False)
class BrickLost(BrickNotRepaired):
    """No logical volume on the node has the tags of a brick."""

    tags: tuple[str, ...]

    def __str__(self) -> str:
        return self._sentence(
            f'lost, because no logical volume has its tags '
            f'({", ".join(self.tags)}); run "gluster volume reset-brick" to '
            f'replace the brick. If the volume has other copies, the new '
            f'brick receives their data'
        )


@dataclasses.dataclass(eq=False)
class ForeignLogicalVolume(BrickNotRepaired):
    """A logical volume without the tags of a brick is mounted as the brick."""

    logical_volume: str
    tags: tuple[str, ...]

    def __str__(self) -> str:
        return self._sentence(
            f'logical volume {self.logical_volume} is mounted as the brick, '
            f'but does not have all tags of the brick '
            f'({", ".join(self.tags)}). So the driver does not repair the '
            f'brick. If {self.logical_volume} has the data of the share, add '
            f'the tags with "lvchange --addtag"; otherwise unmount '
            f'{self.logical_volume}'
        )


@dataclasses.dataclass(eq=False)
class NotMountable(BrickNotRepaired):
    """The file system of a brick cannot be mounted."""

    logical_volume: str
    cause: errors.CommandFailed

    def __str__(self) -> str:
        return self._sentence(
            f'its file system cannot be mounted: {self.cause}; look for disk '
            f'errors in the output of "dmesg" on the node. If the disk '
            f'failed, repair it and reboot the node; otherwise run '
            f'"xfs_repair /dev/{self.logical_volume}"'
        )


@dataclasses.dataclass(eq=False)
class BrickEmpty(BrickNotRepaired):
    """A brick has the wrong volume id or none, and no brick metadata."""

    def __str__(self) -> str:
        return self._sentence(
            f'has no {_BRICK_METADATA}, so it is empty or not a brick; look '
            f'into the directory. If its data is lost, run "gluster volume '
            f'reset-brick" to replace the brick'
        )


@dataclasses.dataclass(eq=False)
class ForeignVolumeId(BrickNotRepaired):
    """A brick has the id of another volume or snapshot of the cluster."""

    logical_volume: str
    #: The name and the id of the volume that the brick belongs to.
    volume: str
    hex_id: str
    #: The name of the volume or snapshot whose id the brick has.
    owner: str

    def __str__(self) -> str:
        return self._sentence(
            f'has the volume id of {self.owner}, so volume {self.volume} '
            f'cannot start while the brick is mounted. If '
            f'{self.logical_volume} has the data of {self.volume}, run '
            f'"setfattr -n trusted.glusterfs.volume-id -v 0x{self.hex_id} '
            f'{self.path}"; otherwise unmount {self.logical_volume}'
        )


def repair(
    node: cluster.Node,
    share_id: str,
    volume: gluster.Volume,
    path: str,
    read_objects: Callable[[], brick_ownership.KnownObjects],
) -> None:
    """Repair a brick that is down; do not start it.

    :param read_objects: reads all volumes and snapshots of the cluster; called
        only if the tags or the volume id of the brick are wrong.
    :raises BrickNotRepaired: an operator has to act.
    """
    if not _is_tagged(node, share_id, path):
        brick_ownership.repair_tags(node, share_id, volume, path, read_objects)
    brick, was_mounted = _mount(node, share_id, path)
    try:
        hex_id = node.file_systems.read_volume_id(path)
    except errors.BadFileSystem as error:
        _remount(node, brick, volume.name, error)
        hex_id = node.file_systems.read_volume_id(path)
    if hex_id != volume.hex_id:
        try:
            _write_volume_id(node, brick, volume, hex_id, read_objects)
        except errors.Unsettled:
            if not was_mounted:
                # While a brick with another id is mounted, glusterd starts no
                # brick of the volume.
                node.run(file_systems.unmounting(brick.mount_point))
            raise


def _is_tagged(node: cluster.Node, share_id: str, path: str) -> bool:
    """Return whether a logical volume on a node has the tags of a brick.

    If the brick is mounted, check only its own logical volume.
    """
    storage = bricks.read_storage(node)
    brick = storage.find_brick(path)
    tags = names.brick_tags(share_id, path.rpartition('/')[0])
    lvs = storage.lvs if brick is None else [brick.lv]
    return any(tags <= lv.tags for lv in lvs)


def _mount(
    node: cluster.Node, share_id: str, path: str
) -> tuple[bricks.MountedBrick, bool]:
    """Mount a brick from the logical volume that has the brick's tags.

    :return: the brick, and whether it was already mounted.
    """
    mount_point = path.rpartition('/')[0]
    tags = {names.share_tag(share_id), names.mount_tag(mount_point)}
    storage = bricks.read_storage(node)
    brick = storage.find_brick(path)
    if brick is not None:
        if not tags <= brick.lv.tags:
            raise ForeignLogicalVolume(
                path, node.name, brick.lv.full_name, tuple(sorted(tags))
            )
        return brick, True
    if any(mount.target == mount_point for mount in storage.mounts):
        raise ForeignMount(path, node.name, mount_point)
    for lv in storage.lvs:
        if tags <= lv.tags:
            try:
                brick_mounts.remount(node, lv)
            except errors.CommandFailed as error:
                raise NotMountable(
                    path, node.name, lv.full_name, error
                ) from error
            brick = bricks.MountedBrick(path, mount_point, lv, storage.lvs)
            return brick, False
    bricks.require_pools_visible(node, storage.lvs)
    raise BrickLost(path, node.name, tuple(sorted(tags)))


def _remount(
    node: cluster.Node,
    brick: bricks.MountedBrick,
    volume_name: str,
    cause: errors.BadFileSystem,
) -> None:
    # The brick has lost the writes that were not synced. The other bricks have
    # no record of this loss, so only a full heal finds all differences.
    LOG.warning(
        'Brick %s on node %s: its file system has shut itself down; '
        'remounting it (the last writes may be missing, so run "gluster '
        'volume heal %s full" afterwards): %s',
        brick.path,
        node.name,
        volume_name,
        cause,
    )
    # While the brick process runs, this raises InUse.
    node.run(file_systems.unmounting(brick.mount_point))
    try:
        node.run(
            *file_systems.mounting(brick.lv.full_name, brick.mount_point),
            file_systems.volume_id_reading(brick.path),
        )
    except errors.CommandFailed as error:
        raise NotMountable(
            brick.path, node.name, brick.lv.full_name, error
        ) from error


def _write_volume_id(
    node: cluster.Node,
    brick: bricks.MountedBrick,
    volume: gluster.Volume,
    hex_id: str | None,
    read_objects: Callable[[], brick_ownership.KnownObjects],
) -> None:
    """Write the id of a volume to its brick.

    Do not overwrite the id of another volume or snapshot of the cluster: the
    logical volume may have the data of that object. The brick of a clone is an
    exception: after a power cut, it may still have the id of its snapshot
    (GlusterFS 10.3) or of its origin (11.1). Overwrite that id.

    :param hex_id: the id that the brick has; None if it has none.
    """
    path = brick.path
    if not node.file_systems.is_directory(f'{path}/{_BRICK_METADATA}'):
        raise BrickEmpty(path, node.name)
    if hex_id is not None:
        known_objects = read_objects()
        owner = known_objects.names().get(hex_id)
        snapshot_hex_id = bricks.hex_id_in_name(brick.lv.origin)
        inherited_hex_ids = {
            snapshot_hex_id,
            known_objects.origins().get(snapshot_hex_id or ''),
        }
        if owner is not None and hex_id not in inherited_hex_ids:
            raise ForeignVolumeId(
                path,
                node.name,
                brick.lv.full_name,
                volume.name,
                volume.hex_id,
                owner,
            )
    LOG.warning(
        'Brick %s on node %s: its volume id is %s; writing the id of volume '
        '%s',
        path,
        node.name,
        f'0x{hex_id}' if hex_id else 'missing',
        volume.name,
    )
    node.file_systems.write_volume_id(path, volume.hex_id)
    bricks.verify_durable(node, path, volume.hex_id)
