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
"""How many requests and gluster commands each operation costs.

One more is noticed here. Who finds a way to do with less lowers the number.
"""

from collections.abc import Callable
import dataclasses
import functools
import uuid

import pytest

from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import scene as scenes
from tests.model import turns


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an operation costs on three nodes."""

    #: Requests to the runners of all nodes together.
    requests: int
    #: Commands of gluster on all nodes together.
    gluster: int
    #: The gluster commands that change something.
    changes: int


COSTS = {
    'create share': Cost(27, 21, 3),
    'create snapshot': Cost(14, 10, 1),
    'clone and grow': Cost(39, 34, 6),
    'after a clone': Cost(9, 7, 1),
    'extend': Cost(7, 2, 0),
    'allow access': Cost(8, 10, 1),
    'deny access': Cost(21, 17, 1),
    'make read-only': Cost(16, 13, 1),
    'make writable': Cost(29, 27, 2),
    'delete snapshot': Cost(27, 16, 1),
    'delete a clone': Cost(30, 28, 2),
    'delete an origin': Cost(57, 44, 3),
}


def cost(
    manila: model_backend.ModelBackend, act: Callable[[], object]
) -> Cost:
    process = manila.process
    requests, step_count = process.requests, len(process.steps)
    act()
    commands = [s for s in process.steps[step_count:] if s.is_gluster]
    return Cost(
        process.requests - requests,
        len(commands),
        sum(not step.is_read for step in commands),
    )


@pytest.fixture(scope='module', params=['10.3', '11.1'])
def scene(request: pytest.FixtureRequest, quiet: None) -> scenes.Scene:
    return scenes.Scene(request.param)


@pytest.mark.parametrize(
    'operation', scenes.OPERATIONS, ids=lambda o: str(o.name)
)
def test_an_operation_costs_no_more(
    scene: scenes.Scene, operation: scenes.Operation
) -> None:
    manila = scene.again()
    with model_backend.in_time_of(manila.pool), turns.in_turn():
        # Each process reads the members once.
        manila.services.cluster.members()
        found = cost(manila, lambda: operation.act(manila))
        assert found == COSTS[operation.name]
        after = cost(manila, manila.pool.time.run_deferred)
        if operation.name == 'clone and grow':
            assert after == COSTS['after a clone']
        else:
            assert after == Cost(0, 0, 0)


def test_a_clone_of_an_active_snapshot_costs_less(scene: scenes.Scene) -> None:
    """Measure a clone that waited for another one, or that follows soon."""
    manila = scene.again()
    with model_backend.in_time_of(manila.pool), turns.in_turn():
        manila.clone(scenes.NEW, scenes.SNAPSHOT, 2)
        usual = COSTS['clone and grow']
        assert cost(
            manila, lambda: manila.clone(scenes.NEXT, scenes.SNAPSHOT, 2)
        ) == Cost(usual.requests - 2, usual.gluster - 2, usual.changes - 1)


def test_the_number_of_shares_does_not_matter(quiet: None) -> None:
    pool = neighbours.pool()
    with model_backend.in_time_of(pool), turns.in_turn():
        manila = model_backend.ModelBackend(link.Process(pool))
        manila.services.cluster.members()
        for number in range(1, 21):
            share, snapshot = (
                str(uuid.UUID(int=kind << 32 | number)) for kind in (1, 2)
            )
            create = functools.partial(manila.create, share)
            take = functools.partial(manila.snapshot, snapshot, share)
            found = [cost(manila, create), cost(manila, take)]
            assert found == [
                COSTS['create share'],
                COSTS['create snapshot'],
            ]
