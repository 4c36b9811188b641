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
"""The metrics of a back end, in Prometheus' form.

Every metric has the label ``backend``, the section in manila.conf. Ratios are
between 0 and 1, times are in seconds since the epoch.
"""

import collections
from collections.abc import Iterator, Mapping
import dataclasses

from prometheus_client import core

from manila_glusterfs_clone.cmd import backend_state
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import pass_records
from manila_glusterfs_clone import options

PREFIX = 'manila_glusterfs_clone_'

#: By name: the description, and the labels in addition to ``backend``.
FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    'generated_timestamp_seconds': ('When the metrics were written.', ()),
    'up': ('Whether glusterd answers on a node with a quorum.', ()),
    'node_up': (
        'Whether a node answers: its logical volumes could be read.',
        ('node',),
    ),
    'peers': ('The nodes of the trusted storage pool.', ()),
    'peers_connected': ('The connected nodes.', ()),
    'pool_size_bytes': ('The size of a thin pool.', ('pool', 'node')),
    'pool_provisioned_bytes': (
        'The sum of the sizes of the thin volumes that clients can fill.',
        ('pool', 'node'),
    ),
    'pool_data_used_ratio': ('The used data space.', ('pool', 'node')),
    'pool_metadata_used_ratio': ('The used metadata space.', ('pool', 'node')),
    'pool_healthy': (
        'Whether a thin pool is active, and LVM reports no problem.',
        ('pool', 'node'),
    ),
    'pool_data_limit_ratio': ('glusterfs_clone_max_data_percent.', ()),
    'pool_metadata_limit_ratio': ('glusterfs_clone_max_metadata_percent.', ()),
    'capacity_total_bytes': (
        'The total capacity, as reported to the scheduler.',
        ('pool',),
    ),
    'capacity_free_bytes': (
        'The free capacity, as reported to the scheduler.',
        ('pool',),
    ),
    'capacity_provisioned_bytes': (
        'The provisioned capacity, as reported to the scheduler.',
        ('pool',),
    ),
    'faults': ('The current faults of thin pools.', ()),
    'shares': ('The share instances in Manila.', ('status',)),
    'snapshots': ('The snapshot instances in Manila.', ('status',)),
    'shares_offline': ('The shares in use with an offline part.', ()),
    'bricks': ('The bricks of all shares.', ()),
    'bricks_online': ('The bricks that are online.', ()),
    'differences': (
        'What "reconcile" finds, by kind.',
        ('kind',),
    ),
    'maintenance_interval_seconds': (
        'glusterfs_clone_reconcile_interval; 0 for no passes.',
        (),
    ),
    'maintenance_last_pass_timestamp_seconds': (
        'When the last recorded pass began.',
        (),
    ),
    'maintenance_last_pass_duration_seconds': (
        'How long the last recorded pass took.',
        (),
    ),
    'maintenance_last_pass_failed': (
        'Whether a step of the last recorded pass failed.',
        (),
    ),
    'maintenance_last_action_timestamp_seconds': (
        'When maintenance last changed something, or failed to.',
        (),
    ),
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One value of a metric."""

    name: str
    value: float
    #: The values of the labels in addition to ``backend``.
    labels: tuple[str, ...] = ()


class Collector:
    """Collects the samples of all back ends."""

    def __init__(self) -> None:
        self._samples: list[tuple[str, Sample]] = []

    def add(self, backend_name: str, sample: Sample) -> None:
        self._samples.append((backend_name, sample))

    def collect(self) -> Iterator[core.Metric]:
        """Yield the metrics; prometheus_client calls this."""
        for name, (description, labels) in FAMILIES.items():
            family = core.GaugeMetricFamily(
                PREFIX + name, description, labels=('backend', *labels)
            )
            for backend_name, sample in self._samples:
                if sample.name == name:
                    family.add_metric(
                        (backend_name, *sample.labels), sample.value
                    )
            yield family


def samples(
    read: backend_state.BackendState, settings: options.Settings, now: float
) -> Iterator[Sample]:
    """Yield the samples of one back end; omit what could not be read."""
    yield Sample('generated_timestamp_seconds', now)
    yield Sample('up', read.state is not None)
    limits = settings.limits
    yield Sample('pool_data_limit_ratio', limits.data_percent / 100)
    yield Sample('pool_metadata_limit_ratio', limits.metadata_percent / 100)
    for name, rows in (
        ('shares', read.shares),
        ('snapshots', read.snapshots),
    ):
        statuses = collections.Counter(row.status for row in rows.values())
        for status in sorted({'available', 'error', *statuses}):
            yield Sample(name, statuses[status], (status,))
    yield from _of_cluster(read, settings)
    yield from _of_maintenance(read.history, settings)


def _of_cluster(
    read: backend_state.BackendState, settings: options.Settings
) -> Iterator[Sample]:
    lvs_by_node = read.state.lvs_by_node if read.state else {}
    for node in settings.nodes:
        yield Sample('node_up', node in lvs_by_node, (node,))
    if read.state is None:
        return
    peers = read.state.peers
    yield Sample('peers', len(peers))
    yield Sample('peers_connected', sum(peer.is_connected for peer in peers))
    yield Sample('faults', len(read.faults))
    yield Sample('shares_offline', len(read.offline_share_ids))
    bricks = read.bricks
    yield Sample('bricks', len(bricks))
    yield Sample(
        'bricks_online', sum(brick.is_online is True for brick in bricks)
    )
    kinds = collections.Counter(each.kind for each in read.differences)
    for kind in differences.KINDS:
        yield Sample('differences', kinds[kind], (kind,))
    for node_pool in read.node_pools:
        pool = node_pool.pool
        labels = (pool.name, node_pool.node)
        yield Sample('pool_size_bytes', pool.size, labels)
        yield Sample('pool_provisioned_bytes', pool.provisioned, labels)
        yield Sample('pool_data_used_ratio', pool.data_percent / 100, labels)
        yield Sample(
            'pool_metadata_used_ratio', pool.metadata_percent / 100, labels
        )
        yield Sample(
            'pool_healthy', pool.is_active and not pool.health, labels
        )
    for name, capacity in read.capacities.items():
        yield Sample('capacity_total_bytes', capacity.total_bytes, (name,))
        yield Sample('capacity_free_bytes', capacity.free_bytes, (name,))
        yield Sample(
            'capacity_provisioned_bytes', capacity.provisioned_bytes, (name,)
        )


def _of_maintenance(
    history: pass_records.History, settings: options.Settings
) -> Iterator[Sample]:
    yield Sample('maintenance_interval_seconds', settings.reconcile_interval)
    if (last := history.last) is not None:
        yield Sample(
            'maintenance_last_pass_timestamp_seconds',
            last.began_at.timestamp(),
        )
        yield Sample('maintenance_last_pass_duration_seconds', last.seconds)
        yield Sample(
            'maintenance_last_pass_failed',
            last.outcome == pass_records.FAILED,
        )
    if history.actions:
        yield Sample(
            'maintenance_last_action_timestamp_seconds',
            history.actions[0].at.timestamp(),
        )
