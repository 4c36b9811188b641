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
"""Read the state of the whole cluster, once per maintenance pass.

The number of commands does not depend on the number of shares. Every node runs
two commands: ``lvs`` lists its logical volumes (LVs), and ``gluster volume
info`` lists the volumes as glusterd on this node reports them. One node runs
six more commands. The slowest is ``gluster volume status``, which reads the
state of the bricks.
"""

from collections.abc import Mapping
import contextlib
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm


@dataclasses.dataclass(frozen=True)
class ClusterState:
    """The peers, volumes, snapshots and logical volumes of a cluster."""

    #: The mark of this back end on its volumes.
    backend_mark: str
    peers: tuple[gluster.Peer, ...]
    volumes: Mapping[str, gluster.Volume]
    snapshots: Mapping[str, gluster.Snapshot]
    brick_statuses: tuple[gluster.BrickStatus, ...]
    #: The logical volumes of each node, by node name.
    lvs_by_node: Mapping[str, tuple[lvm.LogicalVolume, ...]]
    #: By node name: why the node did not list all its logical volumes.
    errors_by_node: Mapping[str, Exception]
    #: By node name: the volumes that glusterd on the node reports, by name.
    volumes_by_node: Mapping[str, Mapping[str, gluster.Volume]]

    @property
    def is_complete(self) -> bool:
        """Return whether every node is connected and listed all its LVs."""
        return not self.errors_by_node and all(
            peer.is_connected for peer in self.peers
        )

    def volume(self, share_id: str) -> gluster.Volume | None:
        """Return the volume of a share, or None if it does not exist."""
        return self.volumes.get(names.volume(share_id))

    def views_of(self, share_id: str) -> tuple[gluster.Volume, ...]:
        """Return the volume of a share as each node reports it.

        Omit nodes that do not answer or do not have the volume.
        """
        name = names.volume(share_id)
        views = (
            volumes.get(name) for volumes in self.volumes_by_node.values()
        )
        return tuple(view for view in views if view is not None)

    def offline_parts(self, share_id: str) -> frozenset[str]:
        """Return the parts of a share that are offline.

        Omit bricks on disconnected nodes, because they cannot be healed now.
        Omit all bricks if glusterd was busy and did not report their state.

        :return: the ``HOST:PATH`` of bricks. If the volume does not exist or
            is stopped, one text that says so.
        """
        volume = self.volume(share_id)
        if volume is None:
            return frozenset({'it has no volume'})
        if not volume.is_started:
            return frozenset({'its volume is not started'})
        connected_uuids = {
            peer.uuid for peer in self.peers if peer.is_connected
        }
        offline_bricks = {
            (brick.node_uuid, brick.path)
            for brick in self.brick_statuses
            if not brick.is_online and brick.node_uuid in connected_uuids
        }
        return frozenset(
            f'{brick.host}:{brick.path}'
            for brick in volume.bricks
            if (brick.node_uuid, brick.path) in offline_bricks
        )

    def _is_own(self, volume: gluster.Volume | None) -> bool:
        return (
            volume is not None
            and volume.options.get(names.OPTION_BACKEND) == self.backend_mark
        )

    def own_volume_names(self) -> set[str]:
        """Return the names of the volumes with the mark of this back end.

        They include interrupted clones: a clone inherits the mark of its
        origin.
        """
        return {
            name
            for name, volume in self.volumes.items()
            if self._is_own(volume)
        }

    def marked_share_ids(self) -> set[str]:
        """Return the ids of shares that may belong to this back end.

        Either the volume of the share has the mark of this back end. Or an LV
        has the share's tag, and the volume does not exist or has no mark. In
        the second case, only Manila's database shows which back end the share
        belongs to.
        """
        share_ids = set(
            filter(
                None, map(names.share_id_from_name, self.own_volume_names())
            )
        )
        for tag_value in self._tag_values(names.TAG_SHARE):
            name = names.VOLUME_PREFIX + tag_value
            share_id = names.share_id_from_name(name)
            volume = self.volumes.get(name)
            if share_id and (
                volume is None or names.OPTION_BACKEND not in volume.options
            ):
                share_ids.add(share_id)
        return share_ids

    def marked_snapshot_ids(self) -> set[str]:
        """Return the ids of snapshots that may belong to this back end.

        Either the volume of the origin has the mark of this back end. Or an LV
        has the snapshot's tag, and glusterd does not report the snapshot. In
        the second case, only Manila's database shows which back end the
        snapshot belongs to. Omit unmanaged snapshots.
        """
        unmanaged_hex_ids = {
            bricks.hex_id_in_name(lv.name)
            for lvs in self.lvs_by_node.values()
            for lv in lvs
            if names.TAG_UNMANAGED in lv.tags
        }
        snapshot_ids = set()
        for name, snapshot in self.snapshots.items():
            snapshot_id = names.snapshot_id_from_name(name)
            if (
                snapshot_id
                and snapshot.hex_id not in unmanaged_hex_ids
                and self._is_own(self.volumes.get(snapshot.origin))
            ):
                snapshot_ids.add(snapshot_id)
        for tag_value in self._tag_values(names.TAG_SNAPSHOT):
            name = names.SNAPSHOT_PREFIX + tag_value
            snapshot_id = names.snapshot_id_from_name(name)
            if snapshot_id and name not in self.snapshots:
                snapshot_ids.add(snapshot_id)
        return snapshot_ids

    def _tag_values(self, prefix: str) -> set[str]:
        return {
            value
            for lvs in self.lvs_by_node.values()
            for lv in lvs
            if (value := lv.tag_value(prefix)) is not None
        }


def read(the_cluster: cluster.Cluster, backend_mark: str) -> ClusterState:
    """Read the state of a cluster.

    :param backend_mark: the mark of this back end on its volumes.
    :raises errors.Error: no glusterd answers.
    """

    def read_gluster(client: gluster.Gluster) -> ClusterState:
        peers = client.peers()
        volumes = client.volumes()
        brick_statuses: tuple[gluster.BrickStatus, ...] = ()
        if any(volume.is_started for volume in volumes.values()):
            # A busy glusterd does not report the state of its bricks.
            with contextlib.suppress(errors.Busy):
                brick_statuses = client.brick_status(gluster.ALL_VOLUMES)
        return ClusterState(
            backend_mark=backend_mark,
            peers=peers,
            volumes=volumes,
            snapshots=client.snapshots(),
            brick_statuses=brick_statuses,
            lvs_by_node=lvs_by_node,
            errors_by_node=errors_by_node,
            volumes_by_node=volumes_by_node,
        )

    volumes_by_node, _ = the_cluster.try_everywhere(
        lambda node: node.gluster.volumes_in_one_call()
    )
    lvs_by_node, errors_by_node = the_cluster.try_everywhere(_logical_volumes)
    return the_cluster.read(read_gluster)


def _logical_volumes(node: cluster.Node) -> tuple[lvm.LogicalVolume, ...]:
    lvs = node.lvm.lvs()
    # An unmanaged snapshot is identified only by the tags of its LVs. If LVM
    # did not list these LVs, the snapshot would count as an orphan.
    bricks.require_pools_visible(node, lvs)
    return lvs
