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
"""One back end: the services of one trusted storage pool, put together."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import clones
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import checks
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.ssh import remote


@dataclasses.dataclass(frozen=True)
class Backend:
    """The services of one back end."""

    settings: options.Settings
    health: findings.Health
    locks: locks.Locks
    marks: work_marks.WorkMarks
    cluster: cluster.Cluster
    thin_pools: placement.Pools
    access: native.NativeAccess
    volumes: volumes.Volumes
    shares: shares.Shares
    snapshots: snapshots.Snapshots
    cloner: clones.Cloner
    sources: clone_sources.Sources
    reconciler: healing.Reconciler

    def check(self) -> None:
        """Find every mistake, and report the faults of today.

        :raises health.Misconfigured: with every mistake.
        """
        checks.run(self.settings, self.cluster, self.health)

    def layout(self, wanted: str | None = None) -> layouts.Layout:
        """Give the layout that is wanted, or else the configured one."""
        return layouts.choose(
            wanted or self.settings.layout, len(self.cluster.nodes)
        )

    def capacities(self) -> Mapping[str, placement.Capacity]:
        """Give the capacity of each pool for shares of the usual layout."""
        return self.thin_pools.capacities(self.settings.pools, self.layout())

    def close(self) -> None:
        """End all connections; those that are needed again are reopened."""
        self.cluster.close()


def open_backend(
    settings: options.Settings, private_storage: Any | None = None
) -> Backend:
    """Put a back end together; nothing is connected to yet.

    :param private_storage: Manila's, of the driver; None without a database.
    """
    credentials = remote.Credentials(
        private_key=settings.ssh_private_key,
        known_hosts=settings.ssh_known_hosts,
    )
    nodes = cluster.Cluster(
        [
            cluster.Node(
                remote.Remote(
                    remote.Address(name, settings.ssh_port, settings.ssh_user),
                    credentials,
                    sudo=settings.ssh_user != 'root',
                ),
                settings.pools,
            )
            for name in settings.nodes
        ],
        settle_timeout=settings.settle_timeout,
    )
    state = findings.Health(settings.backend)
    thin_pools = placement.Pools(nodes, settings.limits, state)
    mutex = locks.Locks(settings.lock_timeout)
    access = native.NativeAccess(
        nodes, tls=settings.tls, server_names=settings.tls_server_names
    )
    the_sources = clone_sources.Sources(nodes, mutex, backend=settings.mark)
    the_volumes = volumes.Volumes(nodes, access, backend=settings.mark)
    the_shares = shares.Shares(
        nodes,
        thin_pools,
        the_volumes,
        access,
        mutex,
        brick_root=settings.brick_root,
    )
    return Backend(
        settings=settings,
        health=state,
        locks=mutex,
        marks=work_marks.WorkMarks(private_storage, mutex),
        cluster=nodes,
        thin_pools=thin_pools,
        access=access,
        volumes=the_volumes,
        shares=the_shares,
        snapshots=snapshots.Snapshots(
            nodes, thin_pools, the_volumes, the_sources, mutex
        ),
        cloner=clones.Cloner(
            nodes, thin_pools, the_shares, the_volumes, the_sources, mutex
        ),
        sources=the_sources,
        reconciler=healing.Reconciler(nodes, the_volumes, the_sources, mutex),
    )
