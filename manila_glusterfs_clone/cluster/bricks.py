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
"""The bricks of shares and snapshots, on their nodes.

A brick is a thin LV with XFS on it, mounted, and a directory in that. Its
LV carries what a node must know of it: that it is a brick, of which share,
and where it is mounted (:mod:`~manila_glusterfs_clone.names`).

The bricks of a created share are made here. Those of a clone or snapshot
are made by glusterd, under names of its own: they are found through the
mount that holds the brick, or by the volume id that the names of their LVs
begin with, and then tagged.

Every verb may be repeated: what is so already stays so.
"""

from collections.abc import Callable, Collection, Iterable
import dataclasses
import re

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Where glusterd mounts the bricks of snapshots and clones.
SNAPS_ROOT = '/run/gluster/snaps'
#: Where glusterd keeps what it knows.
GLUSTERD = '/var/lib/glusterd'

#: How long, in seconds, a brick process may take to let go of its mount.
_RELEASE = 30.0

_SNAPS_LV = re.compile(r'(?P<hex>[0-9a-f]{32})_[0-9]+')


@dataclasses.dataclass(frozen=True)
class MountedBrick:
    """Where a brick lies on its node."""

    path: str
    mount_point: str
    lv: lvm.LogicalVolume
    #: All LVs of the node, as read then.
    lvs: tuple[lvm.LogicalVolume, ...]


@dataclasses.dataclass(frozen=True)
class NodeStorage:
    """The LVs and mounts of one node, read together."""

    lvs: tuple[lvm.LogicalVolume, ...]
    mounts: tuple[file_systems.Mount, ...]

    def find_brick(self, path: str) -> MountedBrick | None:
        """Find the mount and the LV that hold a brick.

        A brick is a directory right below its mount point. Nothing farther
        up is looked at: where a brick is not mounted, that would be the
        root file system, which may be a thin volume too.
        """
        target = path.rpartition('/')[0]
        for mount in reversed(self.mounts):
            if mount.target != target:
                continue
            for lv in self.lvs:
                if lv.device == mount.source:
                    return MountedBrick(path, target, lv, self.lvs)
            return None
        return None

    def mount_points(self, lv: lvm.LogicalVolume) -> tuple[str, ...]:
        """Where an LV is mounted, the mount made last first."""
        return tuple(
            mount.target
            for mount in reversed(self.mounts)
            if mount.source == lv.device
        )


def hex_id_in_name(lv_name: str) -> str | None:
    """Give the volume id that glusterd named an LV after, if it did."""
    match = _SNAPS_LV.fullmatch(lv_name)
    return match['hex'] if match else None


def named_after(
    lvs: Iterable[lvm.LogicalVolume], hex_id: str
) -> tuple[lvm.LogicalVolume, ...]:
    """Pick the LVs that glusterd named after a volume id, in hex."""
    return tuple(lv for lv in lvs if hex_id_in_name(lv.name) == hex_id)


def read_storage(node: cluster.Node) -> NodeStorage:
    """Read what LVs there are on a node, and what is mounted."""
    return NodeStorage(lvs=node.lvm.lvs(), mounts=node.file_systems.mounts())


def nodes_with_bricks(
    nodes: cluster.Cluster, volume: gluster.Volume | None
) -> frozenset[cluster.Node]:
    """Give the nodes with a brick of a volume; all where it is not known.

    :raises errors.NotPossible: one of them is not known.
    """
    if volume is None:
        return frozenset(nodes.nodes)
    return frozenset(
        nodes.member(brick.node_uuid).node for brick in volume.bricks
    )


def require_pools_visible(
    node: cluster.Node,
    lvs: Iterable[lvm.LogicalVolume],
    pools: Collection[str] | None = None,
) -> None:
    """Make sure that LVM on a node sees the thin pools it should.

    Where it cannot read a disk it leaves out the VGs on it, reports the
    rest, and ends with status 0 (2.03.16 and 2.03.31): what it does not
    list may be there all the same, and must not be taken for removed.

    :param pools: those that matter, as ``vg/thinpool``; None for all.
    :raises errors.NotPossible: it does not.
    """
    seen = {lv.full_name for lv in lvs if lv.is_thin_pool}
    wanted = node.pools if pools is None else pools
    if unseen := sorted({*wanted} - seen):
        raise errors.NotPossible(
            f'LVM on node {node.name} does not see the thin pool '
            f'{", ".join(unseen)}; its disk may have failed: look with '
            f'"pvs" and "dmesg" there, see that "lvs" lists it, if need be '
            f'by a reboot, and try again'
        )


def make(
    node: cluster.Node, share_id: str, pool: str, size: int, root: str
) -> str:
    """Make the brick of a share.

    :param pool: ``vg/thinpool``.
    :param size: bytes.
    :param root: the directory below which it is mounted.
    :return: the path of the brick, whose directory is not there yet:
        glusterd makes it, and refuses to make it on the root file system.
    """
    vg, thin_pool = names.split_pool(pool)
    name = names.volume(share_id)
    target = names.mount_point(root, share_id)
    node.lvm.create_thin_volume(
        vg,
        thin_pool,
        name,
        size,
        names.brick_tags(share_id, target),
    )
    node.file_systems.make_xfs(f'/dev/{vg}/{name}')
    node.file_systems.make_directory(target)
    node.file_systems.mount(f'/dev/{vg}/{name}', target)
    return names.brick_path(target)


def not_mounted(node: cluster.Node, path: str) -> errors.Unsettled:
    """Say that a brick is not where it has to be."""
    return errors.Unsettled(
        f'brick {path} on node {node.name}',
        f'it is not on a mounted logical volume; "{node_files.SCRIPT_PATH}" '
        f'there mounts it, or tells why it cannot',
    )


def tag_clone_brick(
    node: cluster.Node, share_id: str, path: str
) -> MountedBrick:
    """Find the brick that glusterd made for a clone, and tag its LV.

    :raises errors.Unsettled: it is not mounted, or not on a thin LV.
    """
    seen = read_storage(node)
    place = seen.find_brick(path)
    if place is None:
        require_pools_visible(node, seen.lvs)
        raise not_mounted(node, path)
    if not place.lv.is_thin_volume:
        raise errors.Unsettled(
            f'brick {path} on node {node.name}',
            f'{place.lv.full_name} is not a thin volume, and so none that '
            f'GlusterFS made',
        )
    wanted = names.brick_tags(share_id, place.mount_point)
    if wanted - place.lv.tags:
        node.lvm.add_tags([place.lv.full_name], wanted - place.lv.tags)
    return place


def grow(node: cluster.Node, place: MountedBrick, size: int) -> None:
    """Grow a mounted brick to ``size`` bytes, on line.

    XFS is grown even where the LV has the size already: an earlier try may
    have ended between the two.
    """
    if place.lv.size < size:
        node.lvm.extend(place.lv.full_name, size)
    node.file_systems.grow_xfs(place.mount_point)


def verify_durable(node: cluster.Node, path: str, volume_hex: str) -> None:
    """Make sure that a brick survives a power cut from now on.

    It must be on a mounted file system, bear the id of its volume, and be
    on disk, together with what glusterd noted of the volume.

    :raises errors.Unsettled: it is not as it must be.
    """
    found = node.file_systems.read_volume_id(path)
    if found != volume_hex:
        raise errors.Unsettled(
            f'brick {path} on node {node.name}',
            f'it is marked with the volume id {found or "of none"} and '
            f'belongs to {volume_hex}; see that the right file system is '
            f'mounted there',
        )
    node.file_systems.sync(path, GLUSTERD)


def unmounted(node: cluster.Node) -> tuple[lvm.LogicalVolume, ...]:
    """Give the bricks that are not mounted where their tags say."""
    lvs = node.lvm.lvs(f'@{names.TAG_BRICK}')
    targets = {mount.target for mount in node.file_systems.mounts()}
    return tuple(
        lv
        for lv in lvs
        if lv.tag_value(names.TAG_MOUNT) not in targets | {None}
    )


def remount(node: cluster.Node, lv: lvm.LogicalVolume) -> None:
    """Mount a brick where its tag says."""
    target = lv.tag_value(names.TAG_MOUNT)
    if target is None:
        return
    LOG.warning(
        'Mounting brick %s on %s of node %s, as it was not',
        lv.full_name,
        target,
        node.name,
    )
    if not lv.active:
        node.lvm.activate(lv.full_name)
    node.file_systems.make_directory(target)
    node.file_systems.mount(f'/dev/{lv.full_name}', target)


def reclaim(
    node: cluster.Node,
    unwanted: Callable[[lvm.LogicalVolume], bool],
    keep: Callable[[NodeStorage, lvm.LogicalVolume], bool],
    pools: Collection[str] | None = None,
) -> int:
    """Unmount and remove the LVs that are unwanted, and their mount points.

    Called by
    :func:`~manila_glusterfs_clone.cluster.brick_ownership.reclaim` alone,
    which asks glusterd what is in use.

    Only to be called when glusterd no longer knows the volume: glusterd 11
    does not start while a volume's brick is missing. So that it is forgotten
    also after a power cut, that is first written to disk.

    :param keep: asked before each is removed; whether it is to stay.
    :param pools: those they may lie in, as ``vg/thinpool``; None for all.
    :return: how many there were.
    :raises errors.InUse: one is.
    :raises errors.NotPossible: not all LVs can be seen.
    """
    seen = read_storage(node)
    require_pools_visible(node, seen.lvs, pools)
    found = list(filter(unwanted, seen.lvs))
    if found:
        node.file_systems.sync(GLUSTERD)
    for lv in found:
        if keep(seen, lv):
            continue
        targets = list(seen.mount_points(lv))
        for target in targets:
            _unmount(node, target)
        tagged = lv.tag_value(names.TAG_MOUNT)
        # Before the LV: nothing else tells of them when it is gone.
        for target in sorted({*targets, *([tagged] if tagged else [])}):
            remove_mount_point(node, target)
        LOG.info('Removing %s on node %s', lv.full_name, node.name)
        node.lvm.remove(lv.full_name)
    return len(found)


def remove_mount_point(node: cluster.Node, target: str) -> None:
    """Remove the empty directory that a brick was mounted on."""
    parent = target.rpartition('/')[0]
    if parent.startswith(f'{SNAPS_ROOT}/'):
        node.file_systems.remove_directories(target, parent)
    else:
        node.file_systems.remove_directories(target)


def remove_snapshot_mount_points(
    node: cluster.Node, volume_hex: str, count: int
) -> None:
    """Remove the directories that a snapshot's bricks were mounted on.

    GlusterFS 11.1 leaves them when it deletes a snapshot that was active.

    :param count: how many bricks the snapshot had, on all nodes.
    """
    above = f'{SNAPS_ROOT}/{volume_hex}'
    node.file_systems.remove_directories(
        *(f'{above}/brick{number}' for number in range(1, count + 1)), above
    )


def _unmount(node: cluster.Node, target: str) -> None:
    """Unmount a file system, once no brick process holds it open."""
    attempts = retry.Attempts(_RELEASE, 1.0)
    for _ in attempts:
        try:
            node.file_systems.unmount(target)
            return
        except errors.CommandFailed as error:
            if node.file_systems.mount_at(target) is None:
                return
            attempts.record(error)
    raise attempts.last_failure
