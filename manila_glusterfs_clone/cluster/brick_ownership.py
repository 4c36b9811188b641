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
"""Which logical volumes glusterd uses, whatever their tags say.

An operator can turn the bricks of one object into those of another:
``snapshot restore`` makes the LVs of a snapshot the only bricks of a volume
and leaves their tags; ``lvchange`` and ``lvrename`` change tags and names.
The tags of an LV tell what it was made for. glusterd tells what it is used
for, and what glusterd uses is never removed.

An LV is used by a brick that is mounted from it, whose path tells the name
of the LV, or whose mount point is in the tags of the LV. All bricks that
glusterd knows count, those of stopped volumes as well. glusterd does not
tell the paths of a snapshot's bricks; these are found by name and mount
point.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import functools
import re

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: The path of a brick that glusterd made, with the id that its LV is named
#: after.
_MADE_BY_GLUSTERD = re.compile(
    rf'{re.escape(bricks.SNAPS_ROOT)}/(?:[^/]+/)?(?P<hex>[0-9a-f]{{32}})/'
)
_PREFIXES = (names.TAG_SHARE, names.TAG_SNAPSHOT, names.TAG_MOUNT)


@dataclasses.dataclass(frozen=True)
class LvUser:
    """A volume or snapshot that uses an LV as a brick."""

    name: str
    #: Where the brick is to be mounted; None for a snapshot.
    mount: str | None
    is_unmanaged: bool = False

    def tags(self, lv: lvm.LogicalVolume) -> frozenset[str]:
        """Return those of our tags that the LV should have.

        The LV of a volume that is not ours keeps what mounts it at boot.
        """
        if self.mount is None:
            snapshot_id = names.snapshot_id_from_name(self.name)
            if snapshot_id is None or names.TAG_UNMANAGED in lv.tags:
                return frozenset()
            return frozenset({names.snapshot_tag(snapshot_id)})
        share_id = names.share_id_from_name(self.name)
        if share_id is None or self.is_unmanaged:
            boot = {names.TAG_BRICK, f'{names.TAG_MOUNT}{self.mount}'}
            return lv.tags & boot
        return names.brick_tags(share_id, self.mount)


@dataclasses.dataclass(frozen=True)
class KnownObjects:
    """The volumes and snapshots that one glusterd or several know."""

    volumes: tuple[gluster.Volume, ...] = ()
    snapshots: tuple[gluster.Snapshot, ...] = ()

    def __add__(self, other: 'KnownObjects') -> 'KnownObjects':
        return KnownObjects(
            self.volumes + other.volumes, self.snapshots + other.snapshots
        )

    def names(self) -> dict[str, str]:
        """Return the names of volumes and snapshots by their ids in hex."""
        return {
            **{volume.hex_id: volume.name for volume in self.volumes},
            **{snapshot.hex_id: snapshot.name for snapshot in self.snapshots},
        }

    def origins(self) -> dict[str, str]:
        """Return the ids in hex of the volumes, by those of snapshots."""
        ids = {volume.name: volume.hex_id for volume in self.volumes}
        return {
            snapshot.hex_id: ids[snapshot.origin]
            for snapshot in self.snapshots
            if snapshot.origin in ids
        }


def read_known_objects(line: gluster.Gluster) -> KnownObjects:
    """Read the volumes and snapshots that one glusterd knows."""
    return KnownObjects(
        tuple(line.volumes().values()), tuple(line.snapshots().values())
    )


def is_named_in_path(lv: lvm.LogicalVolume, path: str) -> bool:
    """Return whether the path of a brick tells the name of an LV."""
    made = _MADE_BY_GLUSTERD.match(path)
    if made is not None:
        return bricks.hex_id_in_name(lv.name) == made['hex']
    return path.split('/')[-2] == lv.name


@dataclasses.dataclass(frozen=True)
class LvUsers:
    """What uses the LVs of one node.

    :param elsewhere: the UUIDs of the other nodes.
    """

    known: KnownObjects
    seen: bricks.NodeStorage
    elsewhere: frozenset[str] = frozenset()

    def users_of(self, lv: lvm.LogicalVolume) -> tuple[LvUser, ...]:
        """Return what uses an LV, the surest first."""
        sure, likely = list(self.certain_users_of(lv)), []
        for volume, path in self._paths():
            if path.startswith(
                (f'{lv.tag_value(names.TAG_MOUNT)}/', *self._inside(lv))
            ):
                likely.append(_user(volume, path))
        return tuple(dict.fromkeys([*sure, *likely]))

    def certain_users_of(self, lv: lvm.LogicalVolume) -> Iterator[LvUser]:
        """Go through what uses an LV by its name and mount points."""
        targets = self.seen.mount_points(lv)
        for volume, path in self._paths():
            if (
                is_named_in_path(lv, path)
                or path.rpartition('/')[0] in targets
            ):
                yield _user(volume, path)
        for snapshot in self.known.snapshots:
            if bricks.hex_id_in_name(lv.name) == snapshot.hex_id or any(
                snapshot.hex_id in target.split('/') for target in targets
            ):
                yield LvUser(snapshot.name, None)

    def require_not_renamed(self, lv: lvm.LogicalVolume, node: str) -> None:
        """Make sure that an LV that nothing uses is not a brick renamed.

        :raises errors.NotPossible: it was renamed, and the LV of a brick
            cannot be found.
        """
        made_for = f'{names.VOLUME_PREFIX}{lv.tag_value(names.TAG_SHARE)}'
        if lv.name == made_for or bricks.hex_id_in_name(lv.name):
            return
        for volume, path in self._paths():
            if names.share_id_from_name(volume.name) and not any(
                _user(volume, path) in self.users_of(each)
                for each in self.seen.lvs
            ):
                raise errors.NotPossible(
                    f'{lv.full_name} on node {node} was renamed and may be '
                    f'the brick {path} of volume {volume.name}, whose logical '
                    f'volume cannot be found there; mount that brick or give '
                    f'{lv.full_name} its name back, and try again'
                )

    def _inside(self, lv: lvm.LogicalVolume) -> Iterator[str]:
        for target in self.seen.mount_points(lv):
            yield f'{target.rstrip("/")}/'

    def _paths(self) -> Iterator[tuple[gluster.Volume, str]]:
        for volume in self.known.volumes:
            for brick in volume.bricks:
                if brick.node_uuid not in self.elsewhere:
                    yield volume, brick.path


def _user(volume: gluster.Volume, path: str) -> LvUser:
    marks = (
        volume.options.get(names.OPTION_BACKEND),
        volume.options.get(names.OPTION_SHARE),
    )
    return LvUser(
        volume.name, path.rpartition('/')[0], names.UNMANAGED in marks
    )


def ownership_tags(lv: lvm.LogicalVolume) -> frozenset[str]:
    """Return those tags of an LV that tell whose it is and mount it."""
    return frozenset(
        tag
        for tag in lv.tags
        if tag == names.TAG_BRICK or tag.startswith(_PREFIXES)
    )


def set_ownership_tags(
    node: cluster.Node, lv: lvm.LogicalVolume, wanted: frozenset[str]
) -> None:
    """Replace those tags of an LV that tell whose it is."""
    # In this order: at no moment is it nobody's.
    if missing := wanted - lv.tags:
        node.lvm.add_tags([lv.full_name], missing)
    if wrong := ownership_tags(lv) - wanted:
        node.lvm.remove_tags([lv.full_name], wrong)


def reclaim(
    nodes: cluster.Cluster,
    unwanted: Callable[[cluster.Node, lvm.LogicalVolume], bool],
    pools_of: Mapping[str, Iterable[str]] | None = None,
    on: Iterable[cluster.Node] | None = None,
) -> tuple[dict[str, int], frozenset[LvUser]]:
    """Remove unwanted LVs with their mounts, save those that glusterd uses.

    Both the writer and the glusterd of each node are asked. An LV in use is
    kept, and gets the tags of its user.

    :param pools_of: the pools that the LVs may lie in, by the name of the
        node; None for all.
    :param on: the nodes; None for all.
    :return: how many there were, by the name of the node; and the users of
        those that were kept.
    :raises errors.Error: an LV could not be removed, or glusterd not asked.
    """
    of_writer = functools.cache(lambda: nodes.read(read_known_objects))
    kept: set[LvUser] = set()

    def reclaim_on(node: cluster.Node) -> int:
        of_node = functools.cache(lambda: read_known_objects(node.gluster))
        elsewhere = frozenset(
            member.uuid
            for member in nodes.members()
            if member.node is not node
        )

        def keep(seen: bricks.NodeStorage, lv: lvm.LogicalVolume) -> bool:
            users = LvUsers(of_writer() + of_node(), seen, elsewhere)
            found = users.users_of(lv)
            if not found:
                users.require_not_renamed(lv, node.name)
                return False
            set_ownership_tags(node, lv, found[0].tags(lv))
            kept.add(found[0])
            return True

        pools = None if pools_of is None else [*pools_of.get(node.name, ())]
        return bricks.reclaim(node, lambda lv: unwanted(node, lv), keep, pools)

    found = nodes.everywhere(reclaim_on, on)
    return found, frozenset(kept)


def warn_of_kept(what: str, kept: Iterable[LvUser]) -> None:
    """Log that logical volumes of something deleted stay, and why.

    :param what: such as ``Snapshot NAME``.
    """
    for user in sorted({user.name for user in kept}):
        LOG.warning(
            '%s: %s uses its logical volumes, as a snapshot was restored by '
            'hand or tags were changed; they stay, and get the tags of their '
            'user (nothing to do)',
            what,
            user,
        )


def repair_tags(
    node: cluster.Node,
    share_id: str,
    volume: gluster.Volume,
    path: str,
    ask: Callable[[], KnownObjects],
) -> bool:
    """Give the LV of a share's brick its tags; return whether it lacked any.

    :param ask: for all that glusterd knows; called only if a tag is wrong.
    """
    seen = bricks.read_storage(node)
    target = path.rpartition('/')[0]
    wanted = names.brick_tags(share_id, target)
    place = seen.find_brick(path)
    named = [lv for lv in seen.lvs if is_named_in_path(lv, path)]
    if place is None:
        found = named
    elif place.lv in named or (
        not named and node.file_systems.read_volume_id(path) == volume.hex_id
    ):
        found = [place.lv]
    else:
        return False  # what is mounted there is not the brick
    if len(found) != 1 or ownership_tags(found[0]) == wanted:
        return False
    (lv,) = found
    users = set(LvUsers(ask(), seen).certain_users_of(lv))
    if {user.name for user in users} != {volume.name}:
        return False
    LOG.warning(
        'Brick %s of volume %s on node %s is the logical volume %s, which '
        'was tagged otherwise (%s): a snapshot was restored, or tags were '
        'changed by hand; its tags are set to those of the share',
        path,
        volume.name,
        node.name,
        lv.full_name,
        ', '.join(sorted(ownership_tags(lv))) or 'not at all',
    )
    set_ownership_tags(node, lv, wanted)
    return True
