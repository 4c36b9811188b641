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
"""Find the logical volumes that glusterd uses, and remove only unused ones.

The tags of an LV name the object that the LV was created for. glusterd reports
the object that uses the LV now. These objects can differ after an operator has
run ``lvchange``, ``lvrename`` or ``snapshot restore``. A ``snapshot restore``
turns the LVs of a snapshot into bricks of a volume, and keeps their tags.
This driver never removes an LV that glusterd uses, even if the tags name
another object.

A brick uses an LV in three cases: the brick is mounted from the LV, the path
of the brick contains the LV's name, or the tags of the LV contain the brick's
mount point. This includes bricks of stopped volumes. glusterd does not report
the paths of a snapshot's bricks. So this module identifies the LVs of a
snapshot by their names and mount points.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import functools
import re

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

_GLUSTERD_BRICK_PATH = re.compile(
    rf'{re.escape(bricks.SNAPS_ROOT)}/(?:[^/]+/)?(?P<hex>[0-9a-f]{{32}})/'
)
_OWNERSHIP_PREFIXES = (names.TAG_SHARE, names.TAG_SNAPSHOT, names.TAG_MOUNT)


@dataclasses.dataclass(eq=False)
class RenamedBrick(errors.NotPossible):
    """An LV was renamed; it is possibly the missing LV of a brick."""

    node: str
    logical_volume: str
    volume: str
    path: str

    def __str__(self) -> str:
        return (
            f'logical volume {self.logical_volume} on node {self.node}: '
            f'renamed; it is possibly the missing logical volume of brick '
            f'{self.path} of volume {self.volume}; mount the brick, or give '
            f'{self.logical_volume} its old name, and retry'
        )


@dataclasses.dataclass(frozen=True)
class LvUser:
    """A volume or snapshot with a brick on an LV."""

    name: str
    #: The mount point of the brick; None for a snapshot.
    mount_point: str | None
    is_unmanaged: bool = False

    def tags(self, lv: lvm.LogicalVolume) -> frozenset[str]:
        """Return the tags of this driver that the LV should have.

        If the volume is unmanaged or not a share of this driver, the LV keeps
        only the tags that nodes need to mount the brick at boot.
        """
        if self.mount_point is None:
            snapshot_id = names.snapshot_id_from_name(self.name)
            if snapshot_id is None or names.TAG_UNMANAGED in lv.tags:
                return frozenset()
            return frozenset({names.snapshot_tag(snapshot_id)})
        share_id = names.share_id_from_name(self.name)
        if share_id is None or self.is_unmanaged:
            mount_tag = f'{names.TAG_MOUNT}{self.mount_point}'
            return lv.tags & {names.TAG_BRICK, mount_tag}
        return names.brick_tags(share_id, self.mount_point)


@dataclasses.dataclass(frozen=True)
class KnownObjects:
    """The volumes and snapshots that glusterd on one or more nodes reports."""

    volumes: tuple[gluster.Volume, ...] = ()
    snapshots: tuple[gluster.Snapshot, ...] = ()

    def __add__(self, other: 'KnownObjects') -> 'KnownObjects':
        return KnownObjects(
            self.volumes + other.volumes, self.snapshots + other.snapshots
        )

    def names(self) -> dict[str, str]:
        """Return the names of volumes and snapshots, by volume id in hex."""
        return {
            **{volume.hex_id: volume.name for volume in self.volumes},
            **{snapshot.hex_id: snapshot.name for snapshot in self.snapshots},
        }

    def origins(self) -> dict[str, str]:
        """Return the volume ids of origins, by volume id of the snapshot.

        Omit a snapshot whose origin is not in ``volumes``.
        """
        ids = {volume.name: volume.hex_id for volume in self.volumes}
        return {
            snapshot.hex_id: ids[snapshot.origin]
            for snapshot in self.snapshots
            if snapshot.origin in ids
        }


def read_known_objects(gluster: gluster.Gluster) -> KnownObjects:
    """Read the volumes and snapshots that one glusterd reports."""
    volumes, snapshots = gluster.volumes_and_snapshots()
    return KnownObjects(tuple(volumes.values()), tuple(snapshots.values()))


def is_named_in_path(lv: lvm.LogicalVolume, brick_path: str) -> bool:
    """Return whether a brick path contains an LV's name or volume id."""
    match = _GLUSTERD_BRICK_PATH.match(brick_path)
    if match is not None:
        return bricks.hex_id_in_name(lv.name) == match['hex']
    return brick_path.split('/')[-2] == lv.name


@dataclasses.dataclass(frozen=True)
class LvUsers:
    """The volumes and snapshots that use the LVs of one node.

    :param known_objects: the volumes and snapshots that can be users.
    :param storage: the LVs and mounts of the node.
    :param other_node_uuids: ignore the bricks on these nodes.
    """

    known_objects: KnownObjects
    storage: bricks.NodeStorage
    other_node_uuids: frozenset[str] = frozenset()

    def users_of(self, lv: lvm.LogicalVolume) -> tuple[LvUser, ...]:
        """Return the certain users of an LV, then the likely ones.

        A likely user is a volume with a brick below a mount point of the LV,
        or below the mount point in the tags of the LV.
        """
        certain_users = list(self.certain_users_of(lv))
        likely_users: list[LvUser] = []
        prefixes = (
            f'{lv.tag_value(names.TAG_MOUNT)}/',
            *(f'{m.rstrip("/")}/' for m in self.storage.mount_points(lv)),
        )
        for volume, path in self._brick_paths():
            if path.startswith(prefixes):
                likely_users.append(_lv_user(volume, path))
        return tuple(dict.fromkeys([*certain_users, *likely_users]))

    def certain_users_of(self, lv: lvm.LogicalVolume) -> Iterator[LvUser]:
        """Yield the users that the LV's name or mount points identify."""
        mount_points = self.storage.mount_points(lv)
        for volume, path in self._brick_paths():
            if (
                is_named_in_path(lv, path)
                or path.rpartition('/')[0] in mount_points
            ):
                yield _lv_user(volume, path)
        for snapshot in self.known_objects.snapshots:
            if bricks.hex_id_in_name(lv.name) == snapshot.hex_id or any(
                snapshot.hex_id in mount_point.split('/')
                for mount_point in mount_points
            ):
                yield LvUser(snapshot.name, None)

    def require_not_renamed(
        self, lv: lvm.LogicalVolume, node_name: str
    ) -> None:
        """Make sure that an unused LV is not the missing LV of a brick.

        :raises RenamedBrick: the LV was renamed, and a share's brick on the
            node has no LV.
        """
        original_name = f'{names.VOLUME_PREFIX}{lv.tag_value(names.TAG_SHARE)}'
        if lv.name == original_name or bricks.hex_id_in_name(lv.name):
            return
        for volume, path in self._brick_paths():
            if names.share_id_from_name(volume.name) and not any(
                _lv_user(volume, path) in self.users_of(other_lv)
                for other_lv in self.storage.lvs
            ):
                raise RenamedBrick(node_name, lv.full_name, volume.name, path)

    def _brick_paths(self) -> Iterator[tuple[gluster.Volume, str]]:
        for volume in self.known_objects.volumes:
            for brick in volume.bricks:
                if brick.node_uuid not in self.other_node_uuids:
                    yield volume, brick.path


def _lv_user(volume: gluster.Volume, brick_path: str) -> LvUser:
    marks = (
        volume.options.get(names.OPTION_BACKEND),
        volume.options.get(names.OPTION_SHARE),
    )
    return LvUser(
        volume.name, brick_path.rpartition('/')[0], names.UNMANAGED in marks
    )


def ownership_tags(lv: lvm.LogicalVolume) -> frozenset[str]:
    """Return the brick, share, snapshot and mount point tags of an LV.

    Include ``TAG_UNMANAGED`` only if the LV is a brick: an operator then
    restored an unmanaged snapshot.
    """
    tags = {tag for tag in lv.tags if tag.startswith(_OWNERSHIP_PREFIXES)}
    if names.TAG_BRICK in lv.tags:
        tags |= lv.tags & {names.TAG_BRICK, names.TAG_UNMANAGED}
    return frozenset(tags)


def set_ownership_tags(
    node: cluster.Node, lv: lvm.LogicalVolume, wanted_tags: frozenset[str]
) -> None:
    """Replace the ownership tags of an LV (:func:`ownership_tags`)."""
    missing_tags = wanted_tags - lv.tags
    tagged_lv = dataclasses.replace(lv, tags=lv.tags | missing_tags)
    unwanted_tags = ownership_tags(tagged_lv) - wanted_tags
    node.run(*lvm.retagging([lv.full_name], missing_tags, unwanted_tags))


def reclaim(
    the_cluster: cluster.Cluster,
    is_unwanted: Callable[[cluster.Node, lvm.LogicalVolume], bool],
    pool_names_by_node: Mapping[str, Iterable[str]] | None = None,
    nodes: Iterable[cluster.Node] | None = None,
) -> tuple[dict[str, int], frozenset[LvUser]]:
    """Unmount and remove unwanted LVs, except those that are in use.

    An LV is in use if glusterd on the writer or on the node of the LV reports
    an object that uses the LV. Keep such an LV, and tag it for this object.

    :param pool_names_by_node: the thin pools that LVM must list; None for all
        configured pools.
    :param nodes: the nodes; None for all.
    :return: the number of unwanted LVs, removed or kept, by node name; and the
        objects that use the kept LVs.
    :raises errors.Error: an LV cannot be removed, or glusterd does not answer.
    """
    read_from_writer = functools.cache(
        lambda: the_cluster.read(read_known_objects)
    )
    kept_lv_users: set[LvUser] = set()

    def reclaim_on(node: cluster.Node) -> int:
        read_from_node = functools.cache(
            lambda: read_known_objects(node.gluster)
        )
        other_node_uuids = frozenset(
            member.uuid
            for member in the_cluster.members()
            if member.node is not node
        )

        def keep(storage: bricks.NodeStorage, lv: lvm.LogicalVolume) -> bool:
            known_objects = read_from_writer() + read_from_node()
            lv_users = LvUsers(known_objects, storage, other_node_uuids)
            users = lv_users.users_of(lv)
            if not users:
                lv_users.require_not_renamed(lv, node.name)
                return False
            set_ownership_tags(node, lv, users[0].tags(lv))
            kept_lv_users.add(users[0])
            return True

        pool_names = (
            None
            if pool_names_by_node is None
            else [*pool_names_by_node.get(node.name, ())]
        )
        return brick_removal.reclaim(
            node, lambda lv: is_unwanted(node, lv), keep, pool_names
        )

    lv_counts = the_cluster.everywhere(reclaim_on, nodes)
    return lv_counts, frozenset(kept_lv_users)


def repair_tags(
    node: cluster.Node,
    share_id: str,
    volume: gluster.Volume,
    brick_path: str,
    read_objects: Callable[[], KnownObjects],
) -> bool:
    """Correct the tags of the LV of a share's brick.

    :param read_objects: read all volumes and snapshots of the cluster; called
        only if a tag is wrong.
    :return: whether tags were corrected.
    """
    storage = bricks.read_storage(node)
    mount_point = brick_path.rpartition('/')[0]
    wanted_tags = names.brick_tags(share_id, mount_point)
    brick = storage.find_brick(brick_path)
    named_lvs = [lv for lv in storage.lvs if is_named_in_path(lv, brick_path)]
    if brick is None:
        candidate_lvs = named_lvs
    elif brick.lv in named_lvs or (
        not named_lvs
        and node.file_systems.read_volume_id(brick_path) == volume.hex_id
    ):
        candidate_lvs = [brick.lv]
    else:
        return False  # another LV is mounted there
    if (
        len(candidate_lvs) != 1
        or ownership_tags(candidate_lvs[0]) == wanted_tags
    ):
        return False
    (lv,) = candidate_lvs
    users = set(LvUsers(read_objects(), storage).certain_users_of(lv))
    if {user.name for user in users} != {volume.name}:
        return False
    LOG.warning(
        'Brick %s of volume %s on node %s: logical volume %s has wrong tags: '
        '%s; an operator restored a snapshot or changed tags; setting the '
        'tags of the share',
        brick_path,
        volume.name,
        node.name,
        lv.full_name,
        ', '.join(sorted(ownership_tags(lv))) or 'none',
    )
    set_ownership_tags(node, lv, wanted_tags)
    return True
