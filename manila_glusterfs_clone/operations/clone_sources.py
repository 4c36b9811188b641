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
"""Prepare snapshots for cloning, and find the snapshots of a clone.

A snapshot of ours is active only while it is cloned. This module reads,
activates and deactivates it. :mod:`.clone_cleanup` removes what interrupted
clones leave behind.
"""

from collections.abc import Mapping
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm


@dataclasses.dataclass(eq=False)
class SnapshotNotFound(errors.NotPossible):
    """The snapshot that a share should be made from does not exist."""

    snapshot: str

    def __str__(self) -> str:
        return f'snapshot {self.snapshot} does not exist on the cluster'


@dataclasses.dataclass(eq=False)
class SnapshotWithoutData(errors.Unsettled):
    """glusterd has a snapshot whose LVs do not exist on any node."""

    snapshot: str

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: no node has a logical volume of it, '
            f'and its data is lost; delete it'
        )


@dataclasses.dataclass(eq=False)
class SnapshotPartlyActive(errors.Unsettled):
    """Some nodes have a snapshot active, and others do not."""

    snapshot: str
    active_on: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot}: active on '
            f'{", ".join(self.active_on)}, but not on the other nodes; run '
            f'"gluster snapshot activate {self.snapshot} force" and then '
            f'"gluster snapshot deactivate {self.snapshot}"'
        )


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
    #: All LVs of each node that has a brick of the snapshot.
    nodes: Mapping[cluster.Node, tuple[lvm.LogicalVolume, ...]]


class CloneSources:
    """The snapshots that clones are made from.

    The caller holds the lock of a snapshot that it names.
    """

    def __init__(self, nodes: cluster.Cluster) -> None:
        self._cluster = nodes

    def examine(self, snapshot_id: str) -> Source:
        """Return a snapshot and its LVs, as they are on the cluster.

        :raises SnapshotNotFound: the snapshot does not exist.
        :raises errors.NotPossible: LVM on a node may not see all its LVs.
        :raises SnapshotWithoutData: it has no LVs.
        """
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda gluster: gluster.snapshot(name))
        if snapshot is None:
            raise SnapshotNotFound(name)
        node_lvs = self._cluster.everywhere(lambda node: node.lvm.lvs())
        snapshot_lvs = {
            node: bricks.named_after(node_lvs[node.name], snapshot.hex_id)
            for node in self._cluster.nodes
        }
        origin = self._cluster.read(
            lambda gluster: gluster.volume(snapshot.origin)
        )
        holders = bricks.nodes_with_bricks(self._cluster, origin)
        for node, lvs in snapshot_lvs.items():
            if not lvs and node in holders:
                bricks.require_pools_visible(node, node_lvs[node.name])
        all_lvs = [lv for lvs in snapshot_lvs.values() for lv in lvs]
        if not all_lvs:
            raise SnapshotWithoutData(name)
        return Source(
            snapshot=snapshot,
            pool=all_lvs[0].pool_name,
            size=max(lv.size for lv in all_lvs),
            layout=layouts.of_volume(origin) if origin else layouts.SINGLE,
            nodes={
                node: node_lvs[node.name]
                for node, lvs in snapshot_lvs.items()
                if lvs
            },
        )

    def activate(self, name: str) -> None:
        """Start the bricks of a snapshot, so that it can be cloned."""
        force = False

        def activate(gluster: gluster.Gluster) -> None:
            nonlocal force
            try:
                gluster.activate_snapshot(name, force=force)
            except errors.Unknown:
                # It may be active on some nodes only, including this one.
                # Without force it would stay so.
                force = True
                raise

        self._cluster.change(activate, lambda gluster: False)

    def deactivate(self, name: str) -> None:
        """Stop the bricks of a snapshot, after any clone of it has ended.

        glusterd refuses to deactivate a snapshot that is active on some nodes
        only, as it is after a disk failure. It is activated on all nodes
        first, then.

        :raises SnapshotPartlyActive: it is still active on some nodes.
        """
        self._deactivate(name)
        if not self.active_on(name):
            return
        self._cluster.change(
            lambda gluster: gluster.activate_snapshot(name, force=True),
            lambda gluster: False,
        )
        self._deactivate(name)
        if active_on := self.active_on(name):
            raise SnapshotPartlyActive(name, active_on)

    def _deactivate(self, name: str) -> None:
        self._cluster.change(
            lambda gluster: gluster.deactivate_snapshot(name),
            lambda gluster: not _is_active(gluster.snapshot(name)),
        )

    def active_on(self, name: str) -> tuple[str, ...]:
        """Return the names of nodes whose glusterd has a snapshot active."""
        states, _ = self._cluster.try_everywhere(
            lambda node: _is_active(node.gluster.snapshot(name))
        )
        return tuple(node for node, is_active in states.items() if is_active)

    def snapshots_of_clone(self, share_id: str) -> set[str] | None:
        """Return the ids of the snapshots that a share was cloned from.

        LVM records the origin of each LV, but forgets an origin that is
        removed.

        :return: None if the share has no LV.
        """
        name, tag = names.volume(share_id), names.share_tag(share_id)
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        hex_id = volume.hex_id if volume is not None else None
        node_lvs, _ = self._cluster.try_everywhere(lambda node: node.lvm.lvs())
        share_lvs = [
            lv
            for lvs in node_lvs.values()
            for lv in lvs
            if tag in lv.tags
            or (hex_id and bricks.hex_id_in_name(lv.name) == hex_id)
        ]
        if not share_lvs:
            return None
        origins = {bricks.hex_id_in_name(lv.origin) for lv in share_lvs}
        origins.discard(None)
        if not origins:
            return set()
        return {
            snapshot_id
            for name, snapshot in self._cluster.read(
                lambda gluster: gluster.snapshots()
            ).items()
            if snapshot.hex_id in origins
            and (snapshot_id := names.snapshot_id_from_name(name))
        }


def _is_active(snapshot: gluster.Snapshot | None) -> bool:
    return snapshot is not None and snapshot.is_active
