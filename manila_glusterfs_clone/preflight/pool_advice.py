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
"""Check whether thin pools can become full unexpectedly."""

from collections.abc import Iterator, Mapping, Sequence

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.preflight import severity
from manila_glusterfs_clone.tools import lvm

Problem = severity.Problem

_LVM_TIMEOUT = 30.0
_OWN_TAGS = 'manila.'
_SHOWN_LVS = 5


def find(
    pool_names: Sequence[str],
    the_cluster: cluster.Cluster,
    pools_by_node: Mapping[str, thin_pools.NodePools],
) -> Iterator[Problem]:
    """Yield advice about the thin pools on nodes.

    :param pool_names: each as ``vg/thinpool``.
    :param pools_by_node: the thin pools of the nodes whose LVM answered.
    """
    lvs_by_node, _ = the_cluster.try_everywhere(
        lambda node: node.lvm.lvs(timeout=_LVM_TIMEOUT),
        [node for node in the_cluster.nodes if node.name in pools_by_node],
    )
    for node_name, lvs in lvs_by_node.items():
        pools = pools_by_node[node_name]
        for pool_name in pool_names:
            subject = f'thin pool {pool_name} on node {node_name}'
            pool = pools.by_name[pool_name]
            # If the settings of LVM could not be read, a fault reports this.
            if pool is not None and pools.settings_error is None:
                for kind, message in _find_in_policy(pool):
                    yield _advice(subject, kind, message, node_name)
            for kind, message in _find_foreign_lvs(pool_name, lvs):
                yield _advice(subject, kind, message, node_name)


def _advice(subject: str, kind: str, message: str, node_name: str) -> Problem:
    return Problem(
        severity.Level.ADVICE,
        findings.Finding(subject, kind, message, node_name),
    )


def _find_in_policy(pool: thin_pools.ThinPool) -> Iterator[tuple[str, str]]:
    policy = pool.policy
    if policy.is_automatic:
        return
    if policy.threshold >= 100:
        cause = 'thin_pool_autoextend_threshold is 100'
        remedy = 'set a threshold'
    elif not policy.is_monitoring:
        cause = 'activation/monitoring is 0'
        remedy = 'set it to 1'
    else:
        cause = 'thin_pool_autoextend_percent is 0'
        remedy = 'set the size of an extension'
    source = f'profile {pool.profile}' if pool.profile else 'lvm.conf'
    yield (
        'autoextend',
        f'LVM does not extend the pool when it is nearly full ({cause} in '
        f'{source}); monitor its usage, or {remedy} and keep free space in '
        f'the volume group',
    )


def _find_foreign_lvs(
    pool_name: str, lvs: Sequence[lvm.LogicalVolume]
) -> Iterator[tuple[str, str]]:
    """Find the LVs in a thin pool that do not belong to any Manila."""
    foreign_names = sorted(
        lv.full_name
        for lv in lvs
        if lv.pool_name == pool_name
        and not any(tag.startswith(_OWN_TAGS) for tag in lv.tags)
        # glusterd created such an LV for a snapshot or clone.
        and not bricks.hex_id_in_name(lv.name)
    )
    if not foreign_names:
        return
    shown = ', '.join(foreign_names[:_SHOWN_LVS])
    more = len(foreign_names) - _SHOWN_LVS
    yield (
        'shared pool',
        f'the logical volumes {shown}'
        f'{f" and {more} others" if more > 0 else ""} use space of this pool, '
        f'too; move them to another pool if they must not fill this pool',
    )
