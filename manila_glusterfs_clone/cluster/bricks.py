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
"""Create, find, tag and grow the bricks of volumes on their nodes.

A brick is a directory in an XFS file system on a thin LV. The tags of the LV
mark it as the LV of a brick, and record the share id and the mount point
(:mod:`~manila_glusterfs_clone.names`).

:func:`make` creates the bricks of a new share. glusterd creates the bricks
of clones and snapshots, and chooses the names of their LVs. This driver finds
such an LV by the mount of the brick, or by the volume id at the beginning of
the LV's name. Then the driver tags the LV.

All functions except :func:`make` are idempotent.
"""

from collections.abc import Collection, Iterable
import dataclasses
import re

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Where glusterd mounts the bricks of snapshots and clones.
SNAPS_ROOT = '/run/gluster/snaps'
#: Where glusterd stores its configuration.
GLUSTERD_DIRECTORY = '/var/lib/glusterd'

_GLUSTERD_LV_NAME = re.compile(r'(?P<hex>[0-9a-f]{32})_[0-9]+')


@dataclasses.dataclass(eq=False)
class PoolsNotVisible(errors.NotPossible):
    """LVM on a node does not list all required thin pools."""

    node: str
    #: ``vg/thinpool``.
    pool_names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'node {self.node}: LVM does not list thin pool '
            f'{", ".join(self.pool_names)}; check the disk with "pvs" and '
            f'"dmesg" there, reboot the node if needed, and retry when "lvs" '
            f'lists the thin pool'
        )


@dataclasses.dataclass(eq=False)
class BrickNotMounted(errors.Unsettled):
    """The brick of a volume is not on a mounted logical volume."""

    node: str
    path: str

    def __str__(self) -> str:
        return (
            f'brick {self.path} on node {self.node}: not on a mounted logical '
            f'volume; run "{node_files.SCRIPT_PATH}" there to mount it; if it '
            f'is still not mounted, check with "findmnt" what is mounted at '
            f'the parent directory of the brick'
        )


@dataclasses.dataclass(eq=False)
class NotThin(errors.Unsettled):
    """The LV of a clone's brick is not thin, so glusterd did not create it."""

    node: str
    path: str
    logical_volume: str

    def __str__(self) -> str:
        return (
            f'brick {self.path} on node {self.node}: logical volume '
            f'{self.logical_volume} is not thin, so GlusterFS did not create '
            f'it; check what is mounted at the parent directory of the brick'
        )


@dataclasses.dataclass(eq=False)
class WrongVolumeId(errors.Unsettled):
    """A brick directory does not have the id of its volume."""

    node: str
    path: str
    #: In hex; None if the brick has no id or does not exist.
    actual: str | None
    expected: str

    def __str__(self) -> str:
        actual = 'missing' if self.actual is None else self.actual
        return (
            f'brick {self.path} on node {self.node}: its volume id is '
            f'{actual}, expected {self.expected}; mount the right file system '
            f'at the parent directory of the brick'
        )


@dataclasses.dataclass(frozen=True)
class MountedBrick:
    """A brick, its mount point and its LV."""

    path: str
    mount_point: str
    lv: lvm.LogicalVolume
    #: All LVs of the node, from the same query as ``lv``.
    node_lvs: tuple[lvm.LogicalVolume, ...]


@dataclasses.dataclass(frozen=True)
class NodeStorage:
    """The LVs and the XFS mounts of one node."""

    lvs: tuple[lvm.LogicalVolume, ...]
    mounts: tuple[file_systems.Mount, ...]

    def find_brick(self, path: str) -> MountedBrick | None:
        """Return the mount point and the LV of a brick.

        The mount point of a brick is its parent directory. Ignore mounts above
        this directory, such as the root file system.

        :return: None if no XFS is mounted on the parent directory, or if the
            XFS is not on an LV.
        """
        mount_point = path.rpartition('/')[0]
        for mount in reversed(self.mounts):
            if mount.target != mount_point:
                continue
            for lv in self.lvs:
                if lv.device == mount.source:
                    return MountedBrick(path, mount_point, lv, self.lvs)
            return None
        return None

    def mount_points(self, lv: lvm.LogicalVolume) -> tuple[str, ...]:
        """Return the mount points of an LV, the latest mount first."""
        return tuple(
            mount.target
            for mount in reversed(self.mounts)
            if mount.source == lv.device
        )


def hex_id_in_name(lv_name: str) -> str | None:
    """Return the volume id in the name of an LV that glusterd created.

    :return: the id in hex; None if glusterd did not choose the name.
    """
    match = _GLUSTERD_LV_NAME.fullmatch(lv_name)
    return match['hex'] if match else None


def lvs_named_after(
    lvs: Iterable[lvm.LogicalVolume], hex_id: str
) -> tuple[lvm.LogicalVolume, ...]:
    """Return the LVs whose names begin with a volume id (in hex)."""
    return tuple(lv for lv in lvs if hex_id_in_name(lv.name) == hex_id)


def read_storage(node: cluster.Node, *lv_names: str) -> NodeStorage:
    """Read the LVs and the XFS mounts of a node.

    :param lv_names: the LVs or tags (``@tag``) to select; none for all LVs.
    """
    lvs, mounts = node.lvs_and_mounts(*lv_names)
    return NodeStorage(lvs=lvs, mounts=mounts)


def nodes_with_bricks(
    the_cluster: cluster.Cluster, volume: gluster.Volume | None
) -> frozenset[cluster.Node]:
    """Return the nodes with a brick of a volume.

    :param volume: None if glusterd does not report the volume; then return
        all nodes, because each of them may have a brick.
    :raises cluster.NoReachableMember: a brick is on a node that is not
        configured, or whose glusterd has never answered.
    """
    if volume is None:
        return frozenset(the_cluster.nodes)
    return frozenset(
        the_cluster.member(brick.node_uuid).node for brick in volume.bricks
    )


def require_pools_visible(
    node: cluster.Node,
    lvs: Iterable[lvm.LogicalVolume],
    pool_names: Collection[str] | None = None,
) -> None:
    """Make sure that LVM on a node lists all required thin pools.

    If LVM cannot read a disk, it omits the VGs on that disk, lists all other
    VGs, and exits with status 0 (2.03.16 and 2.03.31). So an LV that LVM does
    not list can still exist.

    :param lvs: the LVs that LVM listed.
    :param pool_names: the thin pools to check, as ``vg/thinpool``; None for
        all configured pools of the node.
    :raises PoolsNotVisible: LVM does not list one of the thin pools.
    """
    visible_names = {lv.full_name for lv in lvs if lv.is_thin_pool}
    required_names = node.pool_names if pool_names is None else pool_names
    if missing_names := sorted({*required_names} - visible_names):
        raise PoolsNotVisible(node.name, tuple(missing_names))


def make(
    node: cluster.Node, share_id: str, pool: str, size: int, brick_root: str
) -> str:
    """Create the LV and the file system of a brick; mount the file system.

    :param pool: ``vg/thinpool``.
    :param size: bytes.
    :param brick_root: the directory that contains the mount points of bricks.
    :return: the path of the brick directory, which glusterd creates together
        with the volume.
    """
    vg, thin_pool = names.split_pool(pool)
    lv = f'{vg}/{names.volume(share_id)}'
    mount_point = names.mount_point(brick_root, share_id)
    tags = names.brick_tags(share_id, mount_point)
    node.run(
        lvm.creation(lv, thin_pool, size, tags),
        file_systems.xfs_creation(lv),
        *file_systems.mounting(lv, mount_point),
    )
    return names.brick_path(mount_point)


def adopt(
    node: cluster.Node,
    share_id: str,
    path: str,
    least_size: int,
    *,
    is_repeated: bool = False,
) -> None:
    """Tag the LV of a brick that glusterd created for a clone, and grow it.

    :param least_size: bytes; a brick that is larger keeps its size.
    :param is_repeated: whether an earlier attempt may have been interrupted
        between the growth of the LV and the growth of the XFS.
    :raises PoolsNotVisible: no LV was found, and LVM does not list all pools.
    :raises BrickNotMounted: the brick is not on a mounted LV.
    :raises NotThin: the LV of the brick is not thin.
    """
    storage = read_storage(node)
    brick = storage.find_brick(path)
    if brick is None:
        require_pools_visible(node, storage.lvs)
        raise BrickNotMounted(node.name, path)
    if not brick.lv.is_thin_volume:
        raise NotThin(node.name, path, brick.lv.full_name)
    wanted_tags = names.brick_tags(share_id, brick.mount_point)
    the_steps = []
    if missing_tags := wanted_tags - brick.lv.tags:
        the_steps.append(lvm.tagging([brick.lv.full_name], missing_tags))
    if is_repeated or brick.lv.size < least_size:
        the_steps += _growth(brick, least_size)
    node.run(*the_steps)


def _growth(brick: MountedBrick, size: int) -> list[step_outcomes.Step]:
    """Return the steps that grow the LV and the mounted XFS of a brick.

    Grow the XFS even if the LV already has this size: an earlier attempt may
    have been interrupted after the LV was grown.
    """
    the_steps = [file_systems.xfs_growth(brick.mount_point)]
    if brick.lv.size < size:
        the_steps.insert(0, lvm.extension(brick.lv.full_name, size))
    return the_steps


def verify_durable(
    node: cluster.Node, path: str, hex_id: str, *first: step_outcomes.Step
) -> None:
    """Make sure that a brick survives a power cut.

    Verify by the volume id that the brick directory is on the right file
    system. Write this file system and the configuration of glusterd to disk.

    :param hex_id: the volume id, in hex.
    :param first: steps to run first, in the same request.
    :raises WrongVolumeId: the brick directory has another id, or none.
    """
    try:
        results = node.run(
            *first,
            file_systems.volume_id_reading(path),
            file_systems.syncing(path, GLUSTERD_DIRECTORY),
        )
    except errors.CommandFailed as error:
        # For example, the brick directory does not exist.
        actual = node.file_systems.read_volume_id(path)
        if actual == hex_id:
            raise
        raise WrongVolumeId(node.name, path, actual, hex_id) from error
    actual = file_systems.volume_id(results[-2])
    if actual != hex_id:
        raise WrongVolumeId(node.name, path, actual, hex_id)


def grow(
    node: cluster.Node, brick: MountedBrick, size: int, hex_id: str
) -> None:
    """Grow the LV and the mounted XFS of a brick, and write it to disk.

    :param size: bytes.
    :param hex_id: the volume id, in hex.
    :raises WrongVolumeId: the brick directory has another id, or none.
    """
    verify_durable(node, brick.path, hex_id, *_growth(brick, size))
