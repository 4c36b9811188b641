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

Nothing is reserved: each time the LVM of every node is asked. A pool of
Manila is one ``vg/thinpool`` on all nodes. How much data it can hold depends
on the layout of the shares.
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

#: Seconds in which a node has to report its capacity. All periodic tasks of
#: manila-share wait for it: with remote.MARGIN added it has to be shorter
#: than their period of a minute.
_CAPACITY_TIMEOUT = 40.0


def _listed(obstacles: Mapping[str, str]) -> str:
    return '; '.join(
        f'node {node}: {reason}' for node, reason in obstacles.items()
    )


@dataclasses.dataclass(eq=False)
class InsufficientSpace(errors.NotPossible):
    """Thin pools cannot take the bricks or the data that they should."""

    #: ``vg/thinpool``.
    pool: str
    #: The reason and the remedy, by node name.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return (
            f'thin pool {self.pool} cannot be used: {_listed(self.obstacles)}'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodesWithSpace(InsufficientSpace):
    """Fewer nodes have enough space for a brick than the layout needs."""

    layout: str
    needed: int
    available: int

    def __str__(self) -> str:
        return (
            f'layout {self.layout} needs {self.needed} nodes with space in '
            f'thin pool {self.pool}, but only {self.available} have it '
            f'({_listed(self.obstacles)})'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodesAnswer(errors.NotPossible):
    """Fewer nodes can be asked for space than the layout needs."""

    layout: str
    needed: int
    available: int
    #: The reason, by the name of each node that cannot be asked.
    obstacles: Mapping[str, str]

    def __str__(self) -> str:
        return (
            f'layout {self.layout} needs {self.needed} nodes, but only '
            f'{self.available} answer ({_listed(self.obstacles)}); bring the '
            f'others back and try again'
        )


@dataclasses.dataclass(frozen=True)
class RequiredSpace:
    """How much a thin pool of one node has to take."""

    #: ``vg/thinpool``.
    pool: str
    #: Bytes that are added to the sizes of its thin volumes.
    size: int
    #: The LVs of the node, as just read.
    lvs: tuple[lvm.LogicalVolume, ...]


@dataclasses.dataclass(frozen=True)
class Capacity:
    """The capacity of a pool for shares, in bytes of shares."""

    total: int
    free: int
    provisioned: int


class Placement:
    """The placement of bricks on the thin pools of the nodes.

    :param health: the faults of the pools are reported to it.
    """

    def __init__(
        self,
        nodes: cluster.Cluster,
        limits: options.Limits,
        health: findings.Health | None = None,
    ) -> None:
        self._cluster = nodes
        self._limits = limits
        self._health = health

    def choose_nodes(
        self, pool: str, layout: layouts.Layout, size: int
    ) -> tuple[cluster.Member, ...]:
        """Return the nodes for the bricks of a share.

        Nodes with more free space come first; among equals the configured
        order decides.

        :param size: of the share, in bytes.
        :raises TooFewNodesWithSpace: too few nodes have space.
        :raises TooFewNodesAnswer: too few nodes answer.
        """
        members = self._cluster.members()
        pools, failures = self._read_pools(pool, members)
        unreachable = {node: str(error) for node, error in failures.items()}
        for node in self._cluster.nodes:
            if node not in {member.node for member in members}:
                unreachable[node.name] = 'it could not be reached'
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
                full[member.node.name] = f'pool {pool}: {reason}'
        if len(fitting) < layout.nodes:
            if full:
                raise TooFewNodesWithSpace(
                    pool=pool,
                    obstacles={**unreachable, **full},
                    layout=layout.name,
                    needed=layout.nodes,
                    available=len(fitting),
                )
            raise TooFewNodesAnswer(
                layout.name, layout.nodes, len(fitting), unreachable
            )
        fitting.sort(key=lambda pair: pair[0])
        return tuple(member for _, member in fitting[: layout.nodes])

    def require_room(
        self, required: Mapping[cluster.Node, RequiredSpace]
    ) -> None:
        """Make sure that thin pools can take more.

        :raises InsufficientSpace: a pool cannot.
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

        The free capacity is what the next share can have: it is limited by
        the smallest free space among the nodes that it takes. A node that
        does not answer has no capacity.
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
            total=layout.usable(sum(pool.size for pool in pools)),
            free=(
                layout.share_size(free[layout.nodes - 1])
                if len(free) >= layout.nodes
                else 0
            ),
            provisioned=layout.usable(sum(pool.provisioned for pool in pools)),
        )

    def _read_pools(
        self, pool: str, members: Iterable[cluster.Member]
    ) -> tuple[dict[str, ThinPool | None], dict[str, Exception]]:
        return self._cluster.try_everywhere(
            lambda node: find(node.lvm.lvs(), pool),
            [member.node for member in members],
        )
