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
"""Each remote step of each operation goes wrong, in each way.

An operation is carried out once to see its steps. Then, for each step and
each :class:`~tests.model.link.Fault`, it is carried out on a fresh pool
where that step goes wrong; what is half-made is recovered from as in life:
Manila deletes what could not be created, tries again what could not be
deleted or extended, and after a kill starts anew. In the end nothing may be
left over, other shares must be whole, and the next clone must work.
"""

from collections.abc import Callable
import copy
import dataclasses
import uuid

import pytest

from manila_glusterfs_clone import errors
from tests.model import link
from tests.model import pool as pools
from tests.model import service


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


ORIGIN, SNAPSHOT, OTHER, NEW, NEXT = map(_id, range(1, 6))
ALLOWED = '10.0.0.7'


@dataclasses.dataclass(frozen=True)
class Operation:
    """What is done, and what is done about it when it has failed."""

    name: str
    act: Callable[[service.Service], object]
    recover: Callable[[service.Service], object]


def _delete_new_snapshot(manila: service.Service) -> None:
    manila.snapshots.pop(NEW, None)
    manila.backend.snapshots.delete(NEW, ORIGIN)


def _delete_origin(manila: service.Service) -> None:
    # The snapshots go first, as Manila sees to it.
    if SNAPSHOT in manila.snapshots:
        manila.delete_snapshot(SNAPSHOT)
    manila.delete(ORIGIN)


OPERATIONS = [
    Operation('create', lambda m: m.create(NEW), lambda m: m.delete(NEW)),
    Operation(
        'snapshot', lambda m: m.snapshot(NEW, OTHER), _delete_new_snapshot
    ),
    Operation(
        'clone and grow',
        lambda m: m.clone(NEW, SNAPSHOT, 2),
        lambda m: m.delete(NEW),
    ),
    Operation(
        'extend', lambda m: m.extend(OTHER, 3), lambda m: m.extend(OTHER, 3)
    ),
    Operation(
        'access',
        lambda m: m.allow(OTHER, ALLOWED),
        lambda m: m.allow(OTHER, ALLOWED),
    ),
    Operation(
        'delete snapshot',
        lambda m: m.delete_snapshot(SNAPSHOT),
        lambda m: m.delete_snapshot(SNAPSHOT),
    ),
    Operation(
        'delete a clone',
        lambda m: m.delete(OTHER),
        lambda m: m.delete(OTHER),
    ),
    Operation('delete an origin', _delete_origin, _delete_origin),
]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A pool with an origin, its snapshot, and a clone with a client."""

    pool: pools.Pool
    manila: service.Service

    def again(
        self, fault: tuple[int, link.Fault] | None = None
    ) -> service.Service:
        """Give the same scene, untouched, with a fault to come."""
        return _restart(self.manila, copy.deepcopy(self.pool), fault)


def _restart(
    manila: service.Service,
    pool: pools.Pool,
    fault: tuple[int, link.Fault] | None = None,
) -> service.Service:
    """Start manila-share anew; what should be there is remembered."""
    new = service.Service(link.Process(pool, fault))
    new.shares = copy.deepcopy(manila.shares)
    new.snapshots = dict(manila.snapshots)
    return new


@pytest.fixture(scope='module', params=['10.3', '11.1'])
def scene(request: pytest.FixtureRequest, quiet: None) -> Scene:
    pool = pools.Pool(3, request.param)
    with service.in_time_of(pool), service.in_turn():
        manila = service.Service(link.Process(pool))
        manila.create(ORIGIN)
        manila.write(ORIGIN, 'in the snapshot')
        manila.snapshot(SNAPSHOT, ORIGIN)
        manila.write(ORIGIN, 'after the snapshot')
        manila.clone(OTHER, SNAPSHOT, 2)
        manila.check()
    return Scene(pool, manila)


def _attempt(
    scene: Scene, operation: Operation, fault: tuple[int, link.Fault]
) -> list[str]:
    """Carry it out with a fault, recover, and give what is wrong then."""
    manila = scene.again(fault)
    pool = manila.pool
    with service.in_time_of(pool), service.in_turn():
        failed = False
        try:
            operation.act(manila)
        except link.Killed:
            failed = True
            manila = _restart(manila, pool)
        except errors.Error:
            failed = True
        if fault[1] is link.Fault.CUT:
            pool.boot()
            manila = _restart(manila, pool)
            manila.heal_all()
        pool.time.advance(300.0)
        try:
            if failed:
                operation.recover(manila)
            if SNAPSHOT in manila.snapshots:
                # It also puts to rest a snapshot that was left active.
                manila.clone(NEXT, SNAPSHOT, 3)
                manila.delete(NEXT)
            pool.time.advance(5.0)
            found = manila.problems()
        except (errors.Error, AssertionError) as error:
            found = [f'recovering: {error!r}']
    return found


@pytest.mark.parametrize('fault', link.Fault, ids=lambda f: str(f.name))
@pytest.mark.parametrize('operation', OPERATIONS, ids=lambda o: str(o.name))
def test_fault_at_each_step(
    scene: Scene, operation: Operation, fault: link.Fault
) -> None:
    with service.in_turn():
        manila = scene.again()
        with service.in_time_of(manila.pool):
            operation.act(manila)
    steps = manila.process.steps
    assert steps
    broken = []
    for index, step in enumerate(steps):
        if not link.matters(fault, step):
            continue
        found = _attempt(scene, operation, (index, fault))
        if found:
            broken.append(
                f'{index} of {len(steps)}, {step}:\n    '
                + '\n    '.join(found)
            )
    assert not broken, f'{fault.value}:\n' + '\n'.join(broken)
