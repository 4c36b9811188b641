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
"""Read the state of a back end, for the commands that show it."""

from collections.abc import Mapping
import dataclasses

from manila_glusterfs_clone import backend
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import pass_records
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import services


@dataclasses.dataclass(frozen=True)
class NodePool:
    """A thin pool on one node."""

    node: str
    pool: thin_pools.ThinPool
    #: Why nothing can be created in the pool; None if the pool is usable.
    fault: thin_pool_faults.Fault | None


@dataclasses.dataclass(frozen=True)
class BrickState:
    """A brick of a share."""

    share_id: str
    node: str
    path: str
    #: None if the state is unknown.
    is_online: bool | None


@dataclasses.dataclass(frozen=True)
class BackendState:
    """The state of one back end: Manila's database and the cluster."""

    shares: Mapping[str, manila_db.Row]
    snapshots: Mapping[str, manila_db.Row]
    history: pass_records.History
    #: None if no glusterd answered.
    state: cluster_state.ClusterState | None
    #: Why the cluster could not be read; empty if it could.
    failure: str
    #: The capacity that is reported to the scheduler, by pool; empty if the
    #: cluster could not be read.
    capacities: Mapping[str, placement.Capacity]
    faults: tuple[findings.Finding, ...]
    node_pools: tuple[NodePool, ...]
    differences: tuple[differences.Difference, ...]

    @property
    def bricks(self) -> tuple[BrickState, ...]:
        """Return the bricks of all shares in Manila's database."""
        if self.state is None:
            return ()
        online = {
            (brick.node_uuid, brick.path): brick.is_online
            for brick in self.state.brick_statuses
        }
        return tuple(
            BrickState(
                share_id,
                brick.host,
                brick.path,
                # glusterd lists neither the bricks of stopped volumes nor
                # those of disconnected nodes.
                online.get(
                    (brick.node_uuid, brick.path),
                    None if self.state.brick_statuses else False,
                ),
            )
            for share_id in self.shares
            if (volume := self.state.volume(share_id)) is not None
            for brick in volume.bricks
        )

    @property
    def offline_share_ids(self) -> frozenset[str]:
        """Return the ids of the shares in use that have an offline part."""
        if self.state is None:
            return frozenset()
        return frozenset(
            share_id
            for share_id, row in self.shares.items()
            if row.status in manila_db.IN_USE
            and self.state.offline_parts(share_id)
        )

    @property
    def connected_count(self) -> int:
        """Return the number of nodes that are connected and answer."""
        if self.state is None:
            return 0
        return min(
            sum(peer.is_connected for peer in self.state.peers),
            len(self.state.lvs_by_node),
        )

    def volume_status(self, share_id: str) -> str:
        """Return the status of a share's volume, as shown to operators."""
        if self.state is None:
            return 'unknown'
        volume = self.state.volume(share_id)
        if volume is None:
            return 'missing'
        if volume.options.get(names.OPTION_SHARE) == names.UNMANAGED:
            return 'unmanaged'
        return volume.status.lower()


def read(the_backend: backend.Backend, service_host: str) -> BackendState:
    """Read the state of a back end; change nothing.

    If the cluster cannot be read, return only the data of Manila's database.
    """
    the_services = the_backend.services
    finder = the_backend.maintenance.differences
    found: tuple[differences.Difference, ...] = ()
    state: cluster_state.ClusterState | None = None
    capacities: Mapping[str, placement.Capacity] = {}
    failure = ''
    try:
        dated_state = finder.read_cluster()
        state = dated_state.state
        found = tuple(finder.find(dated_state))
        capacities = the_services.capacities()
    except errors.Error as error:
        failure = str(error)
    return BackendState(
        shares=manila_db.shares(service_host),
        snapshots=manila_db.snapshots(service_host),
        history=the_backend.maintenance.records.read(),
        state=state,
        failure=failure,
        capacities=capacities,
        faults=the_services.health.faults,
        node_pools=_node_pools(state, the_services) if state else (),
        differences=found,
    )


def _node_pools(
    state: cluster_state.ClusterState, the_services: services.Services
) -> tuple[NodePool, ...]:
    settings = the_services.settings
    return tuple(
        NodePool(
            node.name,
            pool,
            thin_pool_faults.find_fault(pool, settings.limits),
        )
        for name in settings.pools
        for node in the_services.cluster.nodes
        if (lvs := state.lvs_by_node.get(node.name)) is not None
        and (pool := thin_pools.find(node, lvs, name)) is not None
    )
