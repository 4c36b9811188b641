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
"""Capacity and placement.

Nothing is booked: LVM is asked, and its answer is the truth. A pool of
Manila is one ``vg/thinpool`` on all nodes; what it can hold depends on how
many nodes a share takes there.
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

#: Seconds that a node has to tell its capacity. All periodic tasks of
#: manila-share wait for it, and with what remote.MARGIN adds it has to be
#: shorter than their period of a minute.
_PATIENCE = 40.0


class InsufficientSpace(errors.NotPossible):
    """Thin pools cannot take what is to be put on them.

    :param pool: its name, ``vg/thinpool``.
    :param obstacles: what is in the way, by the name of the node.
    """

    def __init__(
        self, pool: str, obstacles: Mapping[str, str], reason: str
    ) -> None:
        super().__init__(reason)
        self.args = (pool, dict(obstacles), reason)
        self.pool = pool
        self.obstacles = dict(obstacles)


@dataclasses.dataclass(frozen=True)
class RequiredSpace:
    """What is to be put on a pool of a node."""

    #: ``vg/thinpool``.
    pool: str
    #: How many bytes more are to be promised of it.
    size: int
    #: The LVs of the node, as just read.
    lvs: tuple[lvm.LogicalVolume, ...]


@dataclasses.dataclass(frozen=True)
class Capacity:
    """What shares can still have of a pool, copies divided out. Bytes."""

    total: int
    free: int
    provisioned: int


class Placement:
    """The thin pools of the nodes."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        limits: options.Limits,
        state: findings.Health | None = None,
    ) -> None:
        self._cluster = nodes
        self._limits = limits
        self._health = state

    def choose_nodes(
        self, name: str, layout: layouts.Layout, size: int
    ) -> tuple[cluster.Member, ...]:
        """Choose the nodes for the bricks of a share, roomiest first.

        Among equals the configured order decides.

        :raises InsufficientSpace: too few nodes have it.
        :raises errors.NotPossible: too few nodes answer.
        """
        members = self._cluster.members()
        states, failed = self._ask(name, members)
        obstacles = {node: str(error) for node, error in failed.items()}
        full = {}
        for node in self._cluster.nodes:
            if node not in {member.node for member in members}:
                obstacles[node.name] = 'it could not be reached'
        fit = []
        for member in members:
            if member.node.name in failed:
                continue
            pool = states[member.node.name]
            reason = obstacle(pool, size, self._limits)
            if reason is None and pool is not None:
                fit.append((-pool.free, member))
            else:
                full[member.node.name] = f'pool {name}: {reason}'
        if len(fit) < layout.bricks:
            obstacles |= full
            said = '; '.join(f'{k}: {v}' for k, v in obstacles.items())
            text = (
                f'the layout {layout.name} takes {layout.bricks} nodes with '
                f'room in {name} and there are {len(fit)} ({said})'
            )
            if full:
                raise InsufficientSpace(name, obstacles, text)
            raise errors.NotPossible(text)
        fit.sort(key=lambda pair: pair[0])
        return tuple(member for _, member in fit[: layout.bricks])

    def require_room(
        self, needs: Mapping[cluster.Node, RequiredSpace]
    ) -> None:
        """Make sure that nodes can take more.

        :raises InsufficientSpace: one cannot, and why.
        """
        for node, need in needs.items():
            pool = find(need.lvs, need.pool)
            reason = obstacle(pool, need.size, self._limits)
            if reason is not None:
                raise InsufficientSpace(
                    need.pool,
                    {node.name: reason},
                    f'thin pool {need.pool} on node {node.name} cannot be '
                    f'used: {reason}',
                )

    def capacities(
        self, names: Sequence[str], layout: layouts.Layout
    ) -> Mapping[str, Capacity]:
        """Give the capacity of each pool, for shares of this layout.

        Free is what the next share can have: of the nodes it takes, that of
        the one with the least. A node that does not answer has none.
        """
        found, failed = self._cluster.try_everywhere(
            lambda node: node.lvm.lvs(timeout=_PATIENCE)
        )
        if self._health is not None:
            mistakes, faults = thin_pools.examine(
                names, found, failed, self._limits
            )
            self._health.report({findings.STORAGE: [*mistakes, *faults]})
        return {
            name: self._capacity(
                [
                    pool
                    for pool in (find(lvs, name) for lvs in found.values())
                    if pool is not None
                ],
                layout,
            )
            for name in names
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
            total=sum(pool.size for pool in pools) // layout.copies,
            free=free[layout.bricks - 1] if len(free) >= layout.bricks else 0,
            provisioned=sum(pool.provisioned for pool in pools)
            // layout.copies,
        )

    def _ask(
        self, name: str, members: Iterable[cluster.Member]
    ) -> tuple[dict[str, ThinPool | None], dict[str, Exception]]:
        return self._cluster.try_everywhere(
            lambda node: find(node.lvm.lvs(), name),
            [member.node for member in members],
        )
