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
"""A brick that is down is put in order on its node, so that it can start.

What keeps a brick from starting, as seen on GlusterFS 10.3 and 11.1:

* It is not mounted, or its LV is not active.
* Its XFS has shut itself down, since a write to its disk or to its thin pool
  failed. All that is asked of it then ends in EIO (``statfs`` does not, so
  that ``df`` and gluster's own ``detail`` show nothing), and the brick process
  ends itself within half a minute, at its next health check. Unmounting and
  mounting replays the log of the file system.
* It does not bear the id of its volume. ``start force`` writes one that is
  missing; one that is another's it refuses, for all bricks of the volume.

Only what is proved to be a share's own is touched: the tags of the LV say of
which share it is and where it is mounted, and it is mounted there.
"""

from collections.abc import Callable

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: The hidden directory in which a brick keeps its own affairs.
_AFFAIRS = '.glusterfs'


def repair(
    node: cluster.Node,
    share_id: str,
    volume: gluster.Volume,
    path: str,
    ask: Callable[[], brick_ownership.KnownObjects],
) -> None:
    """Put a brick that gluster says is down in order; it is not started.

    :param ask: for what there is; called only where the tags of a brick or
        the id that it bears are wrong.
    :raises errors.Unsettled: it cannot be, and what an operator can do.
    """
    what = f'brick {path} on node {node.name}'
    if not _is_tagged(node, share_id, path):
        brick_ownership.repair_tags(node, share_id, volume, path, ask)
    place, was_mounted = _mounted(node, share_id, path, what)
    try:
        found = node.file_systems.read_volume_id(path)
    except errors.BadFileSystem as error:
        _mount_again(node, place, what, volume.name, error)
        found = node.file_systems.read_volume_id(path)
    if found != volume.hex_id:
        try:
            _mark(node, place, volume, found, ask)
        except errors.Unsettled:
            if not was_mounted:
                # glusterd starts no brick of the volume while it is.
                node.file_systems.unmount(place.mount_point)
            raise


def _is_tagged(node: cluster.Node, share_id: str, path: str) -> bool:
    """Return whether the LV of a brick has the tags of its share."""
    seen = bricks.read_storage(node)
    place = seen.find_brick(path)
    wanted = names.brick_tags(share_id, path.rpartition('/')[0])
    lvs = seen.lvs if place is None else [place.lv]
    return any(wanted <= lv.tags for lv in lvs)


def _mounted(
    node: cluster.Node, share_id: str, path: str, what: str
) -> tuple[bricks.MountedBrick, bool]:
    """See that a brick is mounted, from the LV that is its share's.

    :return: where it is, and whether it was mounted before.
    """
    target = path.rpartition('/')[0]
    seen = bricks.read_storage(node)
    place = seen.find_brick(path)
    if place is not None:
        _require_own(place.lv.tags, share_id, target, what, place.lv.full_name)
        return place, True
    if any(mount.target == target for mount in seen.mounts):
        raise errors.Unsettled(
            what,
            f'something that is no logical volume there is mounted on '
            f'{target}, and the logical volume of the share is not mounted '
            f'over it: it may be older. Remove the one that is of no use',
        )
    for lv in seen.lvs:
        if {names.share_tag(share_id), names.mount_tag(target)} <= lv.tags:
            try:
                bricks.remount(node, lv)
            except errors.CommandFailed as error:
                raise _not_mounted(what, lv.full_name, error) from error
            return bricks.MountedBrick(path, target, lv, seen.lvs), False
    bricks.require_pools_visible(node, seen.lvs)
    raise errors.Unsettled(
        what,
        f'no logical volume there has the tags of it '
        f'({names.share_tag(share_id)}, {names.mount_tag(target)}): it is '
        f'lost, and the volume goes on with its other copies; "gluster '
        f'volume reset-brick" puts a new one in its place',
    )


def _require_own(
    tags: frozenset[str], share_id: str, target: str, what: str, lv: str
) -> None:
    wanted = {names.share_tag(share_id), names.mount_tag(target)}
    if not wanted <= tags:
        raise errors.Unsettled(
            what,
            f'{lv} is mounted there, and its tags do not say that it is this '
            f'share\'s ({", ".join(sorted(wanted))}); it is not touched. '
            f'Unmount it if it is not the brick, tag it with "lvchange '
            f'--addtag" if it is',
        )


def _mount_again(
    node: cluster.Node,
    place: bricks.MountedBrick,
    what: str,
    volume: str,
    cause: errors.BadFileSystem,
) -> None:
    # What the brick took last and had not synced is lost there, and the
    # other copies do not know that it is.
    LOG.warning(
        'Mounting %s again, as its file system has shut itself down: %s; '
        'what was written last may lack there until it is looked up by a '
        'client, or healed by "gluster volume heal %s full"',
        what,
        cause,
        volume,
    )
    # Refused by the kernel as long as the brick process runs.
    node.file_systems.unmount(place.mount_point)
    try:
        node.file_systems.mount(
            f'/dev/{place.lv.full_name}', place.mount_point
        )
        node.file_systems.read_volume_id(place.path)
    except errors.CommandFailed as error:
        raise _not_mounted(what, place.lv.full_name, error) from error


def _not_mounted(
    what: str, lv: str, error: errors.CommandFailed
) -> errors.Unsettled:
    return errors.Unsettled(
        what,
        f'its file system cannot be mounted: {error}; look for errors of its '
        f'disk with "dmesg" there, and reboot the node when the disk is well '
        f'again; if it is, "xfs_repair /dev/{lv}" repairs the file system',
    )


def _mark(
    node: cluster.Node,
    place: bricks.MountedBrick,
    volume: gluster.Volume,
    found: str | None,
    ask: Callable[[], brick_ownership.KnownObjects],
) -> None:
    """Have a brick bear the id of its volume again.

    An id of something else that the cluster has is not overwritten: the LV
    may hold the data of that. A clone is the exception: it inherits the id
    of its snapshot (10.3) or of the volume that was taken of (11.1), and
    power may be cut before its own is on disk.
    """
    path = place.path
    what = f'brick {path} on node {node.name}'
    if not node.file_systems.exists(f'{path}/{_AFFAIRS}'):
        raise errors.Unsettled(
            what,
            f'it is not marked with the id of its volume, and has no '
            f'{_AFFAIRS}: it is empty, or no brick; look at it, and if it is '
            f'lost, "gluster volume reset-brick" puts a new one in its place',
        )
    if found is not None:
        catalog = ask()
        owner = catalog.names().get(found)
        source = bricks.hex_id_in_name(place.lv.origin)
        inherited = {source, catalog.origins().get(source or '')}
        if owner is not None and found not in inherited:
            raise errors.Unsettled(
                what,
                f'it is marked with the id of {owner}, and is '
                f'not touched; volume {volume.name} cannot be started as '
                f'long as it is mounted. If {place.lv.full_name} does hold '
                f'the data of {volume.name}, mark it so: "setfattr -n '
                f'trusted.glusterfs.volume-id -v 0x{volume.hex_id} {path}"',
            )
    LOG.warning(
        'Marking %s with the id of volume %s, as it bore %s',
        what,
        volume.name,
        f'0x{found}' if found else 'none',
    )
    node.file_systems.write_volume_id(path, volume.hex_id)
    bricks.verify_durable(node, path, volume.hex_id)
