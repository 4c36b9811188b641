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
"""Read, activate and deactivate the snapshots that shares are cloned from.

The driver keeps its snapshots inactive, except while it clones them and for
some seconds afterwards (:mod:`.snapshot_deactivation`). After interrupted
clones, :mod:`.clone_cleanup` cleans up.
"""

from collections.abc import Mapping
import dataclasses
from typing import ClassVar

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class SnapshotNotFound(errors.NotPossible):
    """The snapshot to clone does not exist."""

    scheduler_filter: ClassVar[str] = 'CreateFromSnapshotFilter'

    snapshot: str

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: does not exist on the cluster; check '
            f'"gluster snapshot list", and delete the snapshot in Manila'
        )


@dataclasses.dataclass(eq=False)
class SnapshotWithoutData(errors.Unsettled):
    """glusterd has a snapshot, but no node has an LV of it."""

    snapshot: str

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: no node has a logical volume of it, '
            f'so its data is lost; delete the snapshot in Manila'
        )


@dataclasses.dataclass(eq=False)
class SnapshotStillActive(errors.Unsettled):
    """A snapshot is still active on some nodes after its deactivation."""

    snapshot: str
    active_node_names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: still active on '
            f'{", ".join(self.active_node_names)} after its deactivation; '
            f'run "gluster snapshot activate {self.snapshot} force" and then '
            f'"gluster snapshot deactivate {self.snapshot}"'
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """A snapshot to clone, its LVs, and the layout of its origin."""

    snapshot: gluster.Snapshot
    #: The thin pool of the snapshot's LVs, ``vg/thinpool``.
    pool: str
    #: The size of the snapshot's largest brick, in bytes.
    size: int
    #: The layout of the origin volume. A clone has the same layout.
    layout: layouts.Layout
    #: All LVs of each node that has a brick of the snapshot.
    lvs_by_node: Mapping[cluster.Node, tuple[lvm.LogicalVolume, ...]]


class CloneSources:
    """Reads, activates and deactivates the snapshots that are cloned.

    The caller of :meth:`activate` or :meth:`deactivate` holds the lock of the
    snapshot.
    """

    def __init__(self, the_cluster: cluster.Cluster) -> None:
        self._cluster = the_cluster

    def find(
        self, snapshot_id: str
    ) -> tuple[gluster.Snapshot, gluster.Volume | None]:
        """Return a snapshot and its origin (None if glusterd reports none).

        :raises peers.PeersDisconnected: a node is disconnected.
        :raises SnapshotNotFound: the snapshot does not exist.
        """
        name = names.snapshot(snapshot_id)
        snapshot = peers.read_with_all_connected(
            self._cluster, lambda gluster: gluster.snapshot(name)
        )
        if snapshot is None:
            raise SnapshotNotFound(name)
        origin = self._cluster.read(
            lambda gluster: gluster.volume(snapshot.origin)
        )
        return snapshot, origin

    def read_source(
        self, snapshot: gluster.Snapshot, origin: gluster.Volume | None
    ) -> Source:
        """Return a snapshot and the current state of its LVs.

        :raises errors.NotPossible: LVM on a node lists no LV of the snapshot,
            and a thin pool is missing there.
        :raises SnapshotWithoutData: no node has an LV of the snapshot.
        """
        lvs_by_node_name = self._cluster.everywhere(
            lambda node: node.lvm.lvs()
        )
        snapshot_lvs = {
            node: bricks.lvs_named_after(
                lvs_by_node_name[node.name], snapshot.hex_id
            )
            for node in self._cluster.nodes
        }
        nodes_with_bricks = bricks.nodes_with_bricks(self._cluster, origin)
        for node, lvs in snapshot_lvs.items():
            if not lvs and node in nodes_with_bricks:
                bricks.require_pools_visible(node, lvs_by_node_name[node.name])
        all_lvs = [lv for lvs in snapshot_lvs.values() for lv in lvs]
        if not all_lvs:
            raise SnapshotWithoutData(snapshot.name)
        return Source(
            snapshot=snapshot,
            pool=all_lvs[0].pool_name,
            size=max(lv.size for lv in all_lvs),
            layout=layouts.of_volume(origin) if origin else layouts.SINGLE,
            lvs_by_node={
                node: lvs_by_node_name[node.name]
                for node, lvs in snapshot_lvs.items()
                if lvs
            },
        )

    def activate_if_inactive(self, name: str) -> None:
        """Activate a snapshot, unless a clone has left it active."""
        snapshot = self._cluster.read(lambda gluster: gluster.snapshot(name))
        if snapshot is None:
            raise SnapshotNotFound(name)
        if snapshot.is_active:
            return
        try:
            self.activate(name)
        except errors.Error:
            # The snapshot may be active on some nodes only. The next clone
            # would not activate it on the other nodes.
            self._try_deactivate(name)
            raise

    def _try_deactivate(self, name: str) -> None:
        try:
            self.deactivate(name)
        except errors.Error as error:
            LOG.warning(
                'Snapshot %s: could not be deactivated after a failed '
                'activation; the next maintenance pass retries: %s',
                name,
                error,
            )

    def activate(self, name: str) -> None:
        """Start the bricks of a snapshot, so that it can be cloned."""
        force = False

        def activate(gluster: gluster.Gluster) -> None:
            nonlocal force
            try:
                gluster.activate_snapshot(name, force=force)
            except errors.Unknown:
                # If the snapshot is active on this node only, glusterd does
                # not activate it on the other nodes without force.
                force = True
                raise

        self._cluster.change(activate, lambda gluster: False)

    def deactivate(self, name: str) -> None:
        """Stop the bricks of a snapshot; first wait for a running clone.

        glusterd refuses to deactivate a snapshot that is active on some nodes
        only, for example after a disk failure. In this case, activate it on
        all nodes, and deactivate it again.

        :raises SnapshotStillActive: the snapshot is still active on some
            nodes.
        """
        self._deactivate(name)
        if not self.active_node_names(name):
            return
        self._cluster.change(
            lambda gluster: gluster.activate_snapshot(name, force=True),
            lambda gluster: False,
        )
        self._deactivate(name)
        if node_names := self.active_node_names(name):
            raise SnapshotStillActive(name, node_names)

    def _deactivate(self, name: str) -> None:
        self._cluster.change(
            lambda gluster: gluster.deactivate_snapshot(name),
            lambda gluster: not _is_active(gluster.snapshot(name)),
        )

    def active_node_names(self, name: str) -> tuple[str, ...]:
        """Return the names of the nodes on which a snapshot is active.

        Omit nodes whose glusterd does not answer.
        """
        is_active_by_node, _ = self._cluster.try_everywhere(
            lambda node: _is_active(node.gluster.snapshot(name))
        )
        return tuple(
            node for node, is_active in is_active_by_node.items() if is_active
        )

    def snapshots_of_clone(self, share_id: str) -> set[str] | None:
        """Return the ids of the snapshots that a share was cloned from.

        :return: None if the share has no LV; empty if the snapshots were
            deleted.
        """
        name, tag = names.volume(share_id), names.share_tag(share_id)
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        hex_id = volume.hex_id if volume is not None else None
        lvs_by_node_name, _ = self._cluster.try_everywhere(
            lambda node: node.lvm.lvs()
        )
        share_lvs = [
            lv
            for lvs in lvs_by_node_name.values()
            for lv in lvs
            if tag in lv.tags
            or (hex_id and bricks.hex_id_in_name(lv.name) == hex_id)
        ]
        if not share_lvs:
            return None
        origin_hex_ids = {bricks.hex_id_in_name(lv.origin) for lv in share_lvs}
        origin_hex_ids.discard(None)
        if not origin_hex_ids:
            return set()
        return {
            snapshot_id
            for name, snapshot in self._cluster.read(
                lambda gluster: gluster.snapshots()
            ).items()
            if snapshot.hex_id in origin_hex_ids
            and (snapshot_id := names.snapshot_id_from_name(name))
        }


def _is_active(snapshot: gluster.Snapshot | None) -> bool:
    return snapshot is not None and snapshot.is_active
