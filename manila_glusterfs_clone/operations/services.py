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
"""Build the objects that carry out the operations of one back end."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import clones
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import registry
from manila_glusterfs_clone.ssh import commands


#: The capacity of each pool, by pool name.
Capacities = Mapping[str, placement.Capacity]


@dataclasses.dataclass(frozen=True)
class Services:
    """The objects that carry out the operations of one back end."""

    settings: options.Settings
    health: fault_log.FaultLog
    locks: locks.Locks
    marks: work_marks.WorkMarks
    cluster: cluster.Cluster
    placement: placement.Placement
    protocol: protocols.Protocol
    volumes: volumes.Volumes
    shares: shares.Shares
    snapshots: snapshots.Snapshots
    clones: clones.CloneCreator
    clone_sources: clone_sources.CloneSources
    clone_cleanup: clone_cleanup.CloneCleanup

    def layout(self, name: str | None = None) -> layouts.Layout:
        """Return the layout for a new share.

        :param name: the layout in the share type; None for the configured one.
        """
        return layouts.layout_by_name(
            name or self.settings.layout, len(self.cluster.nodes)
        )

    def capacities(self) -> Capacities:
        """Return the capacity of each pool for the configured layout."""
        return self.placement.capacities(self.settings.pools, self.layout())

    def close(self) -> None:
        """Leave active snapshots to maintenance; close all SSH connections.

        The next command opens a new connection.
        """
        self.clone_cleanup.uses.stop()
        self.cluster.close()


def open_services(
    settings: options.Settings, private_storage: Any | None = None
) -> Services:
    """Return the objects of one back end, without connecting to a node.

    :param private_storage: Manila's private storage of the driver; None
        without a database.
    """
    credentials = commands.Credentials(
        private_key=settings.ssh_private_key,
        known_hosts=settings.ssh_known_hosts,
    )
    the_cluster = cluster.Cluster(
        [
            cluster.Node(
                commands.Remote(
                    commands.Address(
                        name, settings.ssh_port, settings.ssh_user
                    ),
                    credentials,
                    sudo=settings.ssh_user != 'root',
                ),
                settings.pools,
            )
            for name in settings.nodes
        ],
        settle_timeout=settings.settle_timeout,
    )
    health = fault_log.FaultLog(settings.backend)
    the_placement = placement.Placement(the_cluster, settings.limits, health)
    the_locks = locks.Locks(settings.lock_timeout)
    protocol = registry.PROTOCOLS[registry.DEFAULT].from_settings(
        the_cluster, settings
    )
    sources = clone_sources.CloneSources(the_cluster)
    cleanup = clone_cleanup.CloneCleanup(
        the_cluster, sources, the_locks, backend_mark=settings.backend_mark
    )
    the_volumes = volumes.Volumes(
        the_cluster, protocol, backend_mark=settings.backend_mark
    )
    removal = share_removal.ShareRemoval(
        the_cluster, the_volumes, brick_root=settings.brick_root
    )
    return Services(
        settings=settings,
        health=health,
        locks=the_locks,
        marks=work_marks.WorkMarks(private_storage, the_locks),
        cluster=the_cluster,
        placement=the_placement,
        protocol=protocol,
        volumes=the_volumes,
        shares=shares.Shares(
            the_cluster,
            the_placement,
            the_volumes,
            removal,
            sources,
            cleanup,
            protocol,
            the_locks,
            brick_root=settings.brick_root,
        ),
        snapshots=snapshots.Snapshots(
            the_cluster, the_placement, the_volumes, cleanup, the_locks
        ),
        clones=clones.CloneCreator(
            the_cluster,
            the_placement,
            removal,
            the_volumes,
            sources,
            cleanup,
            the_locks,
        ),
        clone_sources=sources,
        clone_cleanup=cleanup,
    )
