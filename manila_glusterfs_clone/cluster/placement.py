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
"""Choose nodes for shares, check free space, and report the capacity.

This driver does not reserve space. It queries LVM on the nodes each time that
it needs to know the free space.

A pool of Manila is the set of the thin pools that have the same name,
``vg/thinpool``, on the nodes. The total size of the shares that fit into a
pool depends on the layout of the shares.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import ClassVar

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm

GIB = thin_pools.GIB
ThinPool = thin_pools.ThinPool
reason_without_room = thin_pool_faults.reason_without_room

#: Timeout of the LVM query for capacities, in seconds. A periodic task of
#: manila-share makes this query, by default once a minute, and the other
#: periodic tasks wait for it. So the sum of this timeout, lvmconfig.TIMEOUT,
#: and 2 * ssh.commands.MARGIN_SECONDS must be less than a minute.
_CAPACITY_TIMEOUT = 30.0


def _list_obstacles(obstacles: Mapping[str, str]) -> str:
    return '; '.join(
        findings.labelled(f'node {node}', reason)
        for node, reason in obstacles.items()
    )


@dataclasses.dataclass(eq=False)
class InsufficientSpace(errors.NotPossible):
    """A thin pool has a fault, or not enough space for an operation."""

    scheduler_filter: ClassVar[str] = 'CapacityFilter'

    #: ``vg/thinpool``.
    pool: str
    #: The reason and the remedy, by node name.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return (
            f'thin pool {self.pool}: not usable: '
            f'{_list_obstacles(self.obstacles)}'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodesWithSpace(InsufficientSpace):
    """Fewer nodes have enough space for a brick than the layout needs."""

    layout: str
    needed_count: int
    available_count: int

    def __str__(self) -> str:
        return (
            f'thin pool {self.pool}: layout {self.layout} needs '
            f'{self.needed_count} nodes with space, available: '
            f'{self.available_count}; nodes that cannot be used: '
            f'{_list_obstacles(self.obstacles)}'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodesAnswer(errors.NotPossible):
    """LVM answers on fewer nodes than the layout needs."""

    layout: str
    needed_count: int
    available_count: int
    #: Why LVM does not answer, by node name.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return (
            f'layout {self.layout}: needs {self.needed_count} nodes, '
            f'available: {self.available_count}; repair these nodes, and '
            f'retry: {_list_obstacles(self.obstacles)}'
        )


@dataclasses.dataclass(frozen=True)
class RequiredSpace:
    """The space that an operation needs in a thin pool of one node."""

    #: ``vg/thinpool``.
    pool: str
    #: The size that the operation adds to the LVs that clients can write to,
    #: in bytes; 0 for a snapshot.
    size: int
    #: All LVs of the node, read immediately before the check of the space.
    lvs: tuple[lvm.LogicalVolume, ...]
    #: Whether the operation creates LVs, so that LVM's limit for them applies.
    needs_new_lvs: bool = True


@dataclasses.dataclass(frozen=True)
class Capacity:
    """The capacity of a pool of Manila: sizes of shares, in bytes."""

    total_bytes: int
    free_bytes: int
    provisioned_bytes: int


class Placement:
    """Chooses nodes for bricks, and reads free space and capacity.

    :param health: receives the mistakes and faults of the thin pools; None to
        report none.
    """

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        limits: options.Limits,
        health: fault_log.FaultLog | None = None,
    ) -> None:
        self._cluster = the_cluster
        self._limits = limits
        self._health = health

    def choose_nodes(
        self, pool: str, layout: layouts.Layout, size: int
    ) -> tuple[cluster.Member, ...]:
        """Return the nodes for the bricks of a share.

        Choose the nodes with the most free space. If two nodes have the same
        free space, prefer the node that is configured first.

        :param pool: ``vg/thinpool``.
        :param size: the size of the share, in bytes.
        :raises TooFewNodesWithSpace: too few nodes can be used, and at least
            one thin pool has a fault or too little space.
        :raises TooFewNodesAnswer: LVM answers on too few nodes.
        """
        members = self._cluster.members()
        pool_by_node, failures = self._read_pools(pool, members)
        unreachable_reasons = {
            node: str(error) for node, error in failures.items()
        }
        for node in self._cluster.nodes:
            if node not in {member.node for member in members}:
                unreachable_reasons[node.name] = 'could not be reached'
        brick_size = layout.brick_size(size)
        candidates: list[tuple[int, cluster.Member]] = []
        full_reasons: dict[str, str] = {}
        for member in members:
            if member.node.name in failures:
                continue
            thin_pool = pool_by_node[member.node.name]
            reason = reason_without_room(thin_pool, brick_size, self._limits)
            if reason is None and thin_pool is not None:
                candidates.append((-thin_pool.free_bytes, member))
            else:
                full_reasons[member.node.name] = str(reason)
        if len(candidates) < layout.node_count:
            if full_reasons:
                raise TooFewNodesWithSpace(
                    pool=pool,
                    obstacles={**unreachable_reasons, **full_reasons},
                    layout=layout.name,
                    needed_count=layout.node_count,
                    available_count=len(candidates),
                )
            raise TooFewNodesAnswer(
                layout.name,
                layout.node_count,
                len(candidates),
                unreachable_reasons,
            )
        candidates.sort(key=lambda pair: pair[0])
        return tuple(member for _, member in candidates[: layout.node_count])

    def require_room(
        self, space_by_node: Mapping[cluster.Node, RequiredSpace]
    ) -> None:
        """Make sure that thin pools have the required space.

        :raises InsufficientSpace: a thin pool has a fault, or is too full.
        """
        pool_by_node = self._cluster.everywhere(
            lambda node: _find_pool(node, space_by_node[node]), space_by_node
        )
        for node, space in space_by_node.items():
            reason = reason_without_room(
                pool_by_node[node.name],
                space.size,
                self._limits,
                needs_new_lvs=space.needs_new_lvs,
            )
            if reason is not None:
                raise InsufficientSpace(space.pool, {node.name: reason})

    def capacities(
        self, pool_names: Sequence[str], layout: layouts.Layout
    ) -> Mapping[str, Capacity]:
        """Return the capacity of each pool for shares of a layout.

        The free capacity is the maximum size of the next share. The driver
        places the bricks of this share on the nodes with the most free space.
        Of these nodes, the one with the least free space limits the size. A
        node that does not answer adds no capacity.

        :param pool_names: the names of the pools, ``vg/thinpool``.
        """
        pools_by_node, errors_by_node = self._cluster.try_everywhere(
            lambda node: thin_pools.read(node, pool_names, _CAPACITY_TIMEOUT)
        )
        if self._health is not None:
            mistakes, faults = thin_pool_faults.find_problems(
                pool_names, pools_by_node, errors_by_node, self._limits
            )
            self._health.report({fault_log.STORAGE: [*mistakes, *faults]})
        return {
            name: self._capacity(
                [
                    pool
                    for pools in pools_by_node.values()
                    if (pool := pools.by_name[name]) is not None
                ],
                layout,
            )
            for name in pool_names
        }

    def _capacity(
        self, node_pools: Sequence[ThinPool], layout: layouts.Layout
    ) -> Capacity:
        free_sizes = sorted(
            (self._free_bytes(pool) for pool in node_pools), reverse=True
        )
        return Capacity(
            total_bytes=layout.share_capacity(
                sum(pool.size for pool in node_pools)
            ),
            free_bytes=(
                layout.share_size(free_sizes[layout.node_count - 1])
                if len(free_sizes) >= layout.node_count
                else 0
            ),
            provisioned_bytes=layout.share_capacity(
                sum(pool.provisioned for pool in node_pools)
            ),
        )

    def _free_bytes(self, pool: ThinPool) -> int:
        if reason_without_room(pool, 1, self._limits) is None:
            return pool.free_bytes
        return 0

    def _read_pools(
        self, pool: str, members: Iterable[cluster.Member]
    ) -> tuple[dict[str, ThinPool | None], dict[str, Exception]]:
        return self._cluster.try_everywhere(
            lambda node: thin_pools.find_and_recheck(
                node, node.lvm.lvs(), pool
            ),
            [member.node for member in members],
        )


def _find_pool(node: cluster.Node, space: RequiredSpace) -> ThinPool | None:
    find = (
        thin_pools.find_and_recheck if space.needs_new_lvs else thin_pools.find
    )
    return find(node, space.lvs, space.pool)
