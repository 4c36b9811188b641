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
"""The same operations on clusters of each shape.

One to four nodes, each layout that fits, the brick of a single copy on each of
the nodes, and each node as the writer; with foreign objects in the cluster.
"""

from collections.abc import Iterator
import dataclasses

import pytest

from manila_glusterfs_clone import layouts
from tests.model import budgets
from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import turns

STAYS, GOES = '10.0.0.5', '10.0.0.6'


@dataclasses.dataclass(frozen=True)
class Shape:
    """A cluster, and where things are in it, by the numbers of nodes."""

    nodes: int
    layout: str
    #: The node with the most room.
    roomiest: int
    #: The first node that is configured.
    writer: int

    def __str__(self) -> str:
        return (
            f'{self.nodes} nodes, {self.layout}, room on {self.roomiest}, '
            f'writer {self.writer}'
        )


def shapes() -> Iterator[Shape]:
    for nodes in range(1, 5):
        for layout in layouts.LAYOUTS:
            if layout.node_count > nodes:
                continue
            for roomiest in range(1, nodes + 1):
                for writer in {1, nodes}:
                    yield Shape(nodes, layout.name, roomiest, writer)


@pytest.mark.parametrize('shape', shapes(), ids=str)
def test_life_in_a_cluster_of_each_shape(
    shape: Shape, ids: Iterator[str]
) -> None:
    pool = neighbours.pool(count=shape.nodes)
    for node in pool.nodes.values():
        thin = node.lvm.pools['pool']
        roomiest = node.name == f'gl{shape.roomiest}'
        thin.data_percent = 10.0 if roomiest else 50.0
    names = sorted(pool.nodes, key=lambda name: name != f'gl{shape.writer}')
    origin, snapshot, clone = (next(ids) for _ in range(3))
    with model_backend.in_time_of(pool), turns.in_turn():
        manila = model_backend.ModelBackend(
            link.Process(pool), layout=shape.layout, nodes=tuple(names)
        )
        made = manila.create(origin)
        if len(made.bricks) < shape.nodes:
            assert f'gl{shape.roomiest}' in {b.host for b in made.bricks}
        manila.allow(origin, STAYS, GOES)
        manila.write(origin, 'kept')
        manila.snapshot(snapshot, origin)
        manila.clone(clone, snapshot, 2)
        manila.allow(clone, STAYS, GOES)
        for share in (origin, clone):
            manila.allow(share, STAYS)
            assert pool.mounted(manila.shares[share].volume) == {STAYS}
        manila.extend(origin, 2)
        manila.check()
        assert pool.read(manila.shares[clone].volume) == 'kept'
        new = model_backend.ModelBackend(
            link.Process(pool), layout=shape.layout, nodes=tuple(names)
        )
        new.shares, new.snapshots = manila.shares, manila.snapshots
        new.heal()
        new.check()
        new.delete_snapshot(snapshot)
        new.delete(origin)
        new.delete(clone)
        new.check()
    for operation, took in manila.took + new.took:
        assert took <= budgets.USUAL[operation], operation
