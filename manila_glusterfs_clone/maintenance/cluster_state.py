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
"""One look at the cluster: what there is of a back end, and how it is.

Of all volumes, snapshots and nodes together, so that looking costs the same
however many shares there are: six commands on one node, of milliseconds
each but for the state of the bricks, and on every node one ``lvs``, and one
``volume info`` for what its own glusterd knows.
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
    """What was seen of a back end, all at about one time."""

    #: Its name, as its volumes are marked with it.
    backend: str
    peers: tuple[gluster.Peer, ...]
    volumes: Mapping[str, gluster.Volume]
    snapshots: Mapping[str, gluster.Snapshot]
    statuses: tuple[gluster.BrickStatus, ...]
    #: By the node's name.
    lvs: Mapping[str, tuple[lvm.LogicalVolume, ...]]
    #: Why nodes did not tell their LVs, by name.
    failed: Mapping[str, Exception]
    #: The volumes as glusterd on each node knows them, by the node's name.
    views: Mapping[str, Mapping[str, gluster.Volume]]

    @property
    def is_whole(self) -> bool:
        """Whether every node is there, and was seen."""
        return not self.failed and all(peer.connected for peer in self.peers)

    def share(self, share_id: str) -> gluster.Volume | None:
        """Give the volume of a share."""
        return self.volumes.get(names.volume(share_id))

    def views_of(self, share_id: str) -> tuple[gluster.Volume, ...]:
        """Give the volume of a share as each node that has it knows it."""
        name = names.volume(share_id)
        found = (volumes.get(name) for volumes in self.views.values())
        return tuple(volume for volume in found if volume is not None)

    def wrong_with(self, share_id: str) -> frozenset[str]:
        """Say in what a share is not on line, as far as can be mended now.

        Bricks on nodes that are away cannot be, and of those of a volume
        that another command was given for nothing is known.
        """
        volume = self.share(share_id)
        if volume is None:
            return frozenset({'it has no volume'})
        if not volume.is_started:
            return frozenset({'its volume is not started'})
        there = {peer.uuid for peer in self.peers if peer.connected}
        down = {
            (brick.node_uuid, brick.path)
            for brick in self.statuses
            if not brick.online and brick.node_uuid in there
        }
        return frozenset(
            f'{brick.host}:{brick.path}'
            for brick in volume.bricks
            if (brick.node_uuid, brick.path) in down
        )

    def _is_ours(self, volume: gluster.Volume | None) -> bool:
        return (
            volume is not None
            and volume.options.get(names.OPTION_BACKEND) == self.backend
        )

    def own_volumes(self) -> set[str]:
        """Name the volumes that bear the mark of this back end.

        A clone that nobody closed yet does too: it has inherited it.
        """
        return {
            name
            for name, volume in self.volumes.items()
            if self._is_ours(volume)
        }

    def marked_shares(self) -> set[str]:
        """Give the ids of shares that something on the cluster is marked of.

        What has LVs only, or a volume that nobody marked, may be of another
        back end: nothing but Manila tells.
        """
        found = set(
            filter(None, map(names.share_id_from_name, self.own_volumes()))
        )
        for tagged in self._tagged(names.TAG_SHARE):
            name = names.VOLUME_PREFIX + tagged
            share_id = names.share_id_from_name(name)
            volume = self.volumes.get(name)
            if share_id and (
                volume is None or names.OPTION_BACKEND not in volume.options
            ):
                found.add(share_id)
        return found

    def marked_snapshots(self) -> set[str]:
        """Give the ids of snapshots that the cluster has something of.

        Of those that Manila was told to manage no more there is nothing.
        """
        unmanaged = {
            bricks.hex_id_in_name(lv.name)
            for lvs in self.lvs.values()
            for lv in lvs
            if names.TAG_UNMANAGED in lv.tags
        }
        found = set()
        for name, snapshot in self.snapshots.items():
            snapshot_id = names.snapshot_id_from_name(name)
            if (
                snapshot_id
                and snapshot.hex_id not in unmanaged
                and self._is_ours(self.volumes.get(snapshot.origin))
            ):
                found.add(snapshot_id)
        for tagged in self._tagged(names.TAG_SNAPSHOT):
            name = names.SNAPSHOT_PREFIX + tagged
            snapshot_id = names.snapshot_id_from_name(name)
            if snapshot_id and name not in self.snapshots:
                found.add(snapshot_id)
        return found

    def _tagged(self, prefix: str) -> set[str]:
        return {
            value
            for lvs in self.lvs.values()
            for lv in lvs
            if (value := lv.tag_value(prefix)) is not None
        }


def read(nodes: cluster.Cluster, backend: str) -> ClusterState:
    """Look at a cluster.

    :param backend: the back end whose marks are looked for.
    :raises errors.Error: glusterd answers on no node.
    """

    def look(line: gluster.Gluster) -> ClusterState:
        peers = line.peers()
        volumes = line.volumes()
        statuses: tuple[gluster.BrickStatus, ...] = ()
        if any(volume.is_started for volume in volumes.values()):
            # While glusterd is busy, no brick is known to be down.
            with contextlib.suppress(errors.Busy):
                statuses = line.brick_status(gluster.ALL_VOLUMES)
        return ClusterState(
            backend=backend,
            peers=peers,
            volumes=volumes,
            snapshots=line.snapshots(),
            statuses=statuses,
            lvs=lvs,
            failed=failed,
            views=views,
        )

    views, _ = nodes.try_everywhere(
        lambda node: node.gluster.volumes_in_one_call()
    )
    lvs, failed = nodes.try_everywhere(_logical_volumes)
    return nodes.read(look)


def _logical_volumes(node: cluster.Node) -> tuple[lvm.LogicalVolume, ...]:
    lvs = node.lvm.lvs()
    # What is not listed may bear a mark that says to leave it alone.
    bricks.require_pools_visible(node, lvs)
    return lvs
