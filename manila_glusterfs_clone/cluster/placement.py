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

A pool of Manila is the set of all thin pools with one name, ``vg/thinpool``,
on the nodes. The size of the shares that fit into it depends on their layout.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm

GIB = thin_pools.GIB
ThinPool = thin_pools.ThinPool
find = thin_pools.find
obstacle = thin_pools.obstacle

#: Timeout of the LVM query for capacities, in seconds. All periodic tasks of
#: manila-share wait for this query, and run once a minute. So this timeout
#: plus ssh.commands.MARGIN must be less than a minute.
_CAPACITY_TIMEOUT = 40.0


def _listed(obstacles: Mapping[str, str]) -> str:
    return '; '.join(
        findings.labelled(f'node {node}', reason)
        for node, reason in obstacles.items()
    )


@dataclasses.dataclass(eq=False)
class InsufficientSpace(errors.NotPossible):
    """Thin pools do not have enough space for the bricks or their data."""

    #: ``vg/thinpool``.
    pool: str
    #: The reason and the remedy, by node name.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return f'thin pool {self.pool}: not usable: {_listed(self.obstacles)}'


@dataclasses.dataclass(eq=False)
class TooFewNodesWithSpace(InsufficientSpace):
    """Fewer nodes have enough space for a brick than the layout needs."""

    layout: str
    needed: int
    available: int

    def __str__(self) -> str:
        return (
            f'thin pool {self.pool}: layout {self.layout} needs '
            f'{self.needed} nodes with space, but only {self.available} have '
            f'it; nodes that cannot be used: {_listed(self.obstacles)}'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodesAnswer(errors.NotPossible):
    """Fewer nodes answer than the layout needs."""

    layout: str
    needed: int
    available: int
    #: The reason why a node does not answer, by node name.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return (
            f'layout {self.layout}: needs {self.needed} nodes, but only '
            f'{self.available} answer ({_listed(self.obstacles)}); bring the '
            f'other nodes back, and retry'
        )


@dataclasses.dataclass(frozen=True)
class RequiredSpace:
    """The space that an operation needs in a thin pool of one node."""

    #: ``vg/thinpool``.
    pool: str
    #: The size of the thin LVs that the operation adds, in bytes.
    size: int
    #: All LVs of the node, read immediately before.
    lvs: tuple[lvm.LogicalVolume, ...]


@dataclasses.dataclass(frozen=True)
class Capacity:
    """The capacity of a pool of Manila, in bytes of share sizes."""

    total: int
    free: int
    provisioned: int


class Placement:
    """Chooses nodes for bricks, and reads free space and capacity.

    :param health: receives the mistakes and faults of the thin pools; None to
        report none.
    """

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        limits: options.Limits,
        health: findings.Health | None = None,
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
        :raises TooFewNodesWithSpace: too few nodes have space.
        :raises TooFewNodesAnswer: too few nodes answer.
        """
        members = self._cluster.members()
        pools, failures = self._read_pools(pool, members)
        unreachable = {node: str(error) for node, error in failures.items()}
        for node in self._cluster.nodes:
            if node not in {member.node for member in members}:
                unreachable[node.name] = 'could not be reached'
        brick_size = layout.brick_size(size)
        fitting: list[tuple[int, cluster.Member]] = []
        full: dict[str, str] = {}
        for member in members:
            if member.node.name in failures:
                continue
            thin_pool = pools[member.node.name]
            reason = obstacle(thin_pool, brick_size, self._limits)
            if reason is None and thin_pool is not None:
                fitting.append((-thin_pool.free, member))
            else:
                full[member.node.name] = str(reason)
        if len(fitting) < layout.node_count:
            if full:
                raise TooFewNodesWithSpace(
                    pool=pool,
                    obstacles={**unreachable, **full},
                    layout=layout.name,
                    needed=layout.node_count,
                    available=len(fitting),
                )
            raise TooFewNodesAnswer(
                layout.name, layout.node_count, len(fitting), unreachable
            )
        fitting.sort(key=lambda pair: pair[0])
        return tuple(member for _, member in fitting[: layout.node_count])

    def require_room(
        self, required: Mapping[cluster.Node, RequiredSpace]
    ) -> None:
        """Make sure that thin pools have the required space.

        :raises InsufficientSpace: a thin pool does not have the space.
        """
        for node, space in required.items():
            thin_pool = find(space.lvs, space.pool)
            reason = obstacle(thin_pool, space.size, self._limits)
            if reason is not None:
                raise InsufficientSpace(space.pool, {node.name: reason})

    def capacities(
        self, pools: Sequence[str], layout: layouts.Layout
    ) -> Mapping[str, Capacity]:
        """Return the capacity of each pool for shares of a layout.

        The free capacity is the maximum size of the next share. The bricks of
        this share are placed on the nodes with the most free space. Among
        these, the node with the least free space limits the size. A node that
        does not answer adds no capacity.

        :param pools: the names of the pools, ``vg/thinpool``.
        """
        lvs_by_node, failures = self._cluster.try_everywhere(
            lambda node: node.lvm.lvs(timeout=_CAPACITY_TIMEOUT)
        )
        if self._health is not None:
            mistakes, faults = thin_pools.examine(
                pools, lvs_by_node, failures, self._limits
            )
            self._health.report({findings.STORAGE: [*mistakes, *faults]})
        return {
            name: self._capacity(
                [
                    thin_pool
                    for thin_pool in (
                        find(lvs, name) for lvs in lvs_by_node.values()
                    )
                    if thin_pool is not None
                ],
                layout,
            )
            for name in pools
        }

    def _capacity(
        self, pools: Sequence[ThinPool], layout: layouts.Layout
    ) -> Capacity:
        free = sorted(
            (
                0 if obstacle(pool, 0, self._limits) else pool.free
                for pool in pools
            ),
            reverse=True,
        )
        return Capacity(
            total=layout.share_capacity(sum(pool.size for pool in pools)),
            free=(
                layout.share_size(free[layout.node_count - 1])
                if len(free) >= layout.node_count
                else 0
            ),
            provisioned=layout.share_capacity(
                sum(pool.provisioned for pool in pools)
            ),
        )

    def _read_pools(
        self, pool: str, members: Iterable[cluster.Member]
    ) -> tuple[dict[str, ThinPool | None], dict[str, Exception]]:
        return self._cluster.try_everywhere(
            lambda node: find(node.lvm.lvs(), pool),
            [member.node for member in members],
        )
