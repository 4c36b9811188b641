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
"""Snapshots as what clones are made from.

A snapshot of ours is active only while it is cloned. A maker of clones that
is killed, or a glusterd that gives up half-way, leaves behind

* the snapshot active, so that whoever could mount the origin when it was
  taken can mount it;
* LVs of a volume that nobody has tagged yet. Were the snapshot deleted,
  nothing would tell any more what they are, and if the origin goes too,
  glusterd 11 does not start while it cannot mount them;
* LVs of no volume at all. 11.1 leaves them when a node refuses.

The snapshot identifies all three, and they are cleaned up here. glusterd may
still work for a killed process; deactivating the snapshot waits for its lock.
"""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
import contextlib
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Seconds to wait for the lock of a snapshot that somebody clones.
_PATIENCE = 1.0


@dataclasses.dataclass(frozen=True)
class Source:
    """A snapshot as the source of a clone."""

    snapshot: gluster.Snapshot
    #: The thin pool of its LVs, ``vg/thinpool``.
    pool: str
    #: Size of its bricks, in bytes.
    size: int
    #: The layout of its origin, and so of its clones.
    layout: layouts.Layout
    #: Those that have a brick of it, and all LVs of each as read then.
    nodes: Mapping[cluster.Node, tuple[lvm.LogicalVolume, ...]]


class CloneSources:
    """The snapshots that clones are made from.

    The caller holds the lock of a snapshot that is named.

    :param backend: the back end whose mark the volumes of our shares bear.
    """

    def __init__(
        self, nodes: cluster.Cluster, mutex: locks.Locks, *, backend: str
    ) -> None:
        self._cluster = nodes
        self._locks = mutex
        self._backend = backend

    def examine(self, snapshot_id: str) -> Source:
        """Look at a snapshot and its LVs.

        :raises errors.NotPossible: there is none, or LVM on a node does not
            see all there may be of it.
        :raises errors.Unsettled: it has no LVs.
        """
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            raise errors.NotPossible(
                f'snapshot {name} does not exist on the cluster'
            )
        seen = self._cluster.everywhere(lambda node: node.lvm.lvs())
        lvs = {
            node: bricks.named_after(seen[node.name], snapshot.hex_id)
            for node in self._cluster.nodes
        }
        origin = self._cluster.read(lambda line: line.volume(snapshot.origin))
        holders = bricks.nodes_with_bricks(self._cluster, origin)
        for node, found in lvs.items():
            if not found and node in holders:
                bricks.require_pools_visible(node, seen[node.name])
        own = [lv for found in lvs.values() for lv in found]
        if not own:
            raise errors.Unsettled(
                f'snapshot {name}',
                'no node has a logical volume of it, and its data is lost; '
                'delete it',
            )
        return Source(
            snapshot=snapshot,
            pool=own[0].pool_name,
            size=max(lv.size for lv in own),
            layout=layouts.of_volume(origin) if origin else layouts.SINGLE,
            nodes={n: seen[n.name] for n, found in lvs.items() if found},
        )

    def activate(self, name: str) -> None:
        """Start the bricks of a snapshot, so that it can be cloned."""
        force = False

        def activate(line: gluster.Gluster) -> None:
            nonlocal force
            try:
                line.activate_snapshot(name, force=force)
            except errors.Unknown:
                # It may be active on some nodes, the one that tells
                # included, and without force it would stay so.
                force = True
                raise

        self._cluster.change(activate, lambda line: False)

    def deactivate(self, name: str) -> None:
        """Stop the bricks of a snapshot, when no clone is under way.

        glusterd refuses where the snapshot is active on some nodes only, as
        a node whose disk failed leaves it; then it is activated on all.

        :raises errors.Unsettled: it is active on some nodes still.
        """
        self._deactivate(name)
        if not self._active_on(name):
            return
        self._cluster.change(
            lambda line: line.activate_snapshot(name, force=True),
            lambda line: False,
        )
        self._deactivate(name)
        if still := self._active_on(name):
            raise errors.Unsettled(
                f'snapshot {name}',
                f'it is active on {", ".join(still)} and on other nodes it '
                f'is not; "gluster snapshot activate {name} force" and '
                f'"gluster snapshot deactivate {name}" end that',
            )

    def _deactivate(self, name: str) -> None:
        self._cluster.change(
            lambda line: line.deactivate_snapshot(name),
            lambda line: not _is_active(line.snapshot(name)),
        )

    def _active_on(self, name: str) -> list[str]:
        """Name the nodes whose own glusterd has a snapshot active."""
        seen, _ = self._cluster.try_everywhere(
            lambda node: _is_active(node.gluster.snapshot(name))
        )
        return [node for node, active in seen.items() if active]

    def clean_up_snapshot(self, name: str) -> None:
        """Put a snapshot to rest, and see to what clones of it have left.

        What belongs to a volume is tagged, so that it is found later on;
        what belongs to none is removed.
        """
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            return
        if snapshot.is_active or self._active_on(name):
            LOG.warning('Putting snapshot %s to rest', name)
            self.deactivate(name)
        source = snapshot.hex_id
        bare = self._cluster.everywhere(
            lambda node: tuple(
                lv
                for lv in node.lvm.lvs()
                if _is_bare_clone(lv)
                and bricks.hex_id_in_name(lv.origin) == source
            )
        )
        if not any(bare.values()):
            return
        # Those that a volume has are kept, and tagged as its bricks.
        full_names = {
            node: {lv.full_name for lv in lvs} for node, lvs in bare.items()
        }
        brick_ownership.reclaim(
            self._cluster,
            lambda node, lv: lv.full_name in full_names[node.name],
            on=[node for node in self._cluster.nodes if bare[node.name]],
        )

    def snapshots_of_clone(self, share_id: str) -> set[str] | None:
        """Return the ids of the snapshots that a share was cloned from.

        The origins of its LVs tell them; LVM forgets an origin when it is
        removed.

        :return: None if the share has no LV.
        """
        name, tag = names.volume(share_id), names.share_tag(share_id)
        volume = self._cluster.read(lambda line: line.volume(name))
        hex_id = volume.hex_id if volume is not None else None
        seen, _ = self._cluster.try_everywhere(lambda node: node.lvm.lvs())
        own = [
            lv
            for lvs in seen.values()
            for lv in lvs
            if tag in lv.tags
            or (hex_id and bricks.hex_id_in_name(lv.name) == hex_id)
        ]
        if not own:
            return None
        origins = {bricks.hex_id_in_name(lv.origin) for lv in own} - {None}
        if not origins:
            return set()
        return {
            snapshot_id
            for name, snapshot in self._cluster.read(
                lambda line: line.snapshots()
            ).items()
            if snapshot.hex_id in origins
            and (snapshot_id := names.snapshot_id_from_name(name))
        }

    def clean_up_own(self) -> None:
        """Settle the snapshots of volumes that bear the mark of our back end.

        Only for where nothing tells which snapshot may need it.
        """
        with _logged():
            volumes = self._cluster.read(lambda line: line.volumes())
            self.clean_up_volumes(
                {
                    name
                    for name, volume in volumes.items()
                    if volume.options.get(names.OPTION_BACKEND)
                    == self._backend
                }
            )

    def clean_up_volumes(self, origins: Collection[str]) -> None:
        """Settle snapshots that nobody is at work on; log what fails.

        :param origins: names of the volumes whose snapshots are ours.
        """
        with _logged():
            self._tidy(
                lambda snapshot_id, snapshot: snapshot.origin in origins
            )

    def clean_up_snapshots(self, snapshot_ids: Collection[str]) -> None:
        """Settle these snapshots, unless somebody is at work on them."""
        with _logged():
            self._tidy(
                lambda snapshot_id, snapshot: snapshot_id in snapshot_ids
            )

    def _tidy(self, is_ours: Callable[[str, gluster.Snapshot], bool]) -> None:
        snapshots = {
            name: snapshot
            for name, snapshot in self._cluster.read(
                lambda line: line.snapshots()
            ).items()
            if (snapshot_id := names.snapshot_id_from_name(name))
            and is_ours(snapshot_id, snapshot)
        }
        if not snapshots:
            return
        seen, _ = self._cluster.try_everywhere(lambda node: node.lvm.lvs())
        for snapshot_id in sorted(
            snapshots_to_clean_up(snapshots, seen.values())
        ):
            self._tidy_one(snapshot_id)

    def _tidy_one(self, snapshot_id: str) -> None:
        try:
            # Who is at work on it has the lock, and settles it.
            with self._locks.snapshot(snapshot_id, timeout=_PATIENCE):
                peers.require_all_connected(self._cluster)
                self.clean_up_snapshot(names.snapshot(snapshot_id))
        except errors.Held as error:
            LOG.info('Snapshot %s is being worked on: %s', snapshot_id, error)
        except errors.Error as error:
            LOG.warning('Snapshot %s is left as it is: %s', snapshot_id, error)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except errors.Error as error:
        LOG.error('Snapshots could not be read: %s', error)


def snapshots_to_clean_up(
    snapshots: Mapping[str, gluster.Snapshot],
    nodes: Iterable[Sequence[lvm.LogicalVolume]],
) -> set[str]:
    """Return the ids of snapshots that a clone may have left something of.

    :param snapshots: those of our shares, by name.
    :param nodes: the LVs of each.
    """
    lvs = [lv for node in nodes for lv in node]
    unmanaged = {
        bricks.hex_id_in_name(lv.name)
        for lv in lvs
        if names.TAG_UNMANAGED in lv.tags
    }
    cloned = {
        bricks.hex_id_in_name(lv.origin) for lv in lvs if _is_bare_clone(lv)
    }
    return {
        snapshot_id
        for name, snapshot in snapshots.items()
        if (snapshot_id := names.snapshot_id_from_name(name))
        and snapshot.hex_id not in unmanaged
        and (snapshot.is_active or snapshot.hex_id in cloned)
    }


def _is_active(snapshot: gluster.Snapshot | None) -> bool:
    return snapshot is not None and snapshot.is_active


def _is_bare_clone(lv: lvm.LogicalVolume) -> bool:
    """Whether glusterd made it of a snapshot, and nobody claimed it yet."""
    return not lv.tags and bool(
        bricks.hex_id_in_name(lv.name) and bricks.hex_id_in_name(lv.origin)
    )
