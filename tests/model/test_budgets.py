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
"""Operations end within their time, whatever fault the cluster has."""

import contextlib
import uuid

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from tests.model import budgets
from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import scene as scenes
from tests.model import turns


@pytest.fixture(scope='module')
def scene(quiet: None) -> scenes.Scene:
    return scenes.Scene('11.1')


@pytest.mark.parametrize(
    'condition', budgets.CONDITIONS, ids=lambda c: str(c.name)
)
@pytest.mark.parametrize(
    'operation', scenes.OPERATIONS, ids=lambda o: str(o.name)
)
def test_an_operation_ends_within_its_budget(
    scene: scenes.Scene,
    operation: scenes.Operation,
    condition: budgets.Condition,
) -> None:
    """It may be refused; nobody is disturbed, and others are untouched."""
    manila = scene.again()
    pool = manila.pool
    with model_backend.in_time_of(pool), turns.in_turn():
        condition.begin(manila.process)
        begun = pool.time.now
        try:
            operation.act(manila)
        except errors.Error:
            assert condition is not budgets.CONDITIONS[0]
        took = pool.time.now - begun
        assert not list(pool.others.problems(pool))
    assert took <= condition.budget(operation.name)
    assert not pool.observer.disturbances


# -- a look at all shares, as when manila-share starts

#: Seconds that a fault may cost a look at all shares.
FAULT = 60.0


def start(condition: budgets.Condition, shares: int) -> float:
    """Return how long it takes to look at so many shares."""
    pool = neighbours.pool()
    with model_backend.in_time_of(pool), turns.in_turn():
        manila = model_backend.ModelBackend(link.Process(pool))
        for number in range(shares):
            share = str(uuid.UUID(int=number + 1))
            manila.create(share)
            manila.allow(share, '10.0.0.5')
        manila = scenes.restart(manila, pool)
        condition.begin(manila.process)
        begun = pool.time.now
        manila.heal_all()
        took = pool.time.now - begun
        assert not pool.observer.disturbances
    return took


def extra(condition: budgets.Condition) -> float:
    """Return how much longer a look at many shares takes in a condition."""
    return start(condition, 8) - start(budgets.CONDITIONS[0], 8)


@pytest.mark.parametrize(
    'condition', budgets.CONDITIONS[1:], ids=lambda c: str(c.name)
)
def test_a_fault_costs_a_start_a_constant(
    quiet: None, condition: budgets.Condition
) -> None:
    assert extra(condition) <= max(FAULT, condition.more)


def test_a_time_out_for_each_share_would_be_found(
    quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        circuit_breaker.CircuitBreaker,
        '_recording',
        lambda self: contextlib.nullcontext(),
    )
    assert extra(budgets.CONDITIONS[2]) > FAULT
