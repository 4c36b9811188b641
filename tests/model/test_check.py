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
"""``check`` finds what is wrong, and its remedies help."""

import pathlib
import random

import pytest

from tests.model import link
from tests.model import model_cluster
from tests.model import neighbours
from tests.model import operator_host
from tests.model import plants

STATUSES = {'mistake': 2, 'fault': 1, 'warning': 1, 'advice': 0}
ALWAYS = {'shared pool'}
PAIRS = 120


@pytest.fixture
def host(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> operator_host.OperatorHost:
    pool: model_cluster.ModelCluster = neighbours.pool('11.1')
    for node in pool.nodes.values():
        node.lvm.settings |= plants.AUTOEXTEND
    return operator_host.OperatorHost(pool, tmp_path, capsys)


def kinds(outcome: operator_host.Outcome) -> dict[tuple[str, str], str]:
    """Return the messages of the problems, by level and kind."""
    found: dict[tuple[str, str], str] = {}
    for row in outcome.rows:
        if row['Kind'] not in ALWAYS:
            key = row['Level'], row['Kind']
            found[key] = found.get(key, '') + row['Message'] + '\n'
    return found


def require(host: operator_host.OperatorHost, *made: plants.Plant) -> None:
    """Check that all plants are found, with their remedies."""
    outcome = host.run('check', '--json')
    found = kinds(outcome)
    for plant in made:
        message = found.get((plant.level, plant.kind), '')
        assert plant.remedy in message, (plant.name, found)
    assert outcome.status == max(STATUSES[level] for level, _ in found)
    assert outcome.stderr == ''


def test_nothing_is_wrong(host: operator_host.OperatorHost) -> None:
    before = host.pool.time.now
    outcome = host.run('check', '--json')
    assert kinds(outcome) == {}
    assert outcome.status == 0
    assert host.pool.time.now - before < 10
    # It says what shares the pool: the operator's logical volumes, not those
    # of another Manila.
    messages = [row['Message'] for row in outcome.rows]
    assert len(messages) == 3
    assert all('gvg/archive, gvg/backup use' in each for each in messages)


@pytest.mark.parametrize('plant', plants.PLANTS, ids=str)
def test_a_problem_is_found_and_the_remedy_clears_it(
    host: operator_host.OperatorHost, plant: plants.Plant
) -> None:
    undo = plant.make(host)
    require(host, plant)
    undo()
    outcome = host.run('check', '--json')
    assert kinds(outcome) == {}
    assert outcome.status == 0


def test_there_are_enough_plants() -> None:
    assert len(plants.PLANTS) >= 30
    assert len(plants.pairs()) > PAIRS


@pytest.mark.parametrize(
    'pair',
    random.Random(1).sample(plants.pairs(), PAIRS),
    ids=lambda pair: f'{pair[0]}, {pair[1]}',
)
def test_two_problems_at_a_time(
    host: operator_host.OperatorHost,
    pair: tuple[plants.Plant, plants.Plant],
) -> None:
    one, other = pair
    undo_one, undo_other = one.make(host), other.make(host)
    require(host, one, other)
    undo_one()
    require(host, other)
    undo_other()
    assert kinds(host.run('check', '--json')) == {}


def test_check_changes_nothing(host: operator_host.OperatorHost) -> None:
    host.run('check')
    changes = [
        step
        for step in host.process.steps
        if isinstance(step, link.Step) and not step.is_read
    ]
    assert not changes
