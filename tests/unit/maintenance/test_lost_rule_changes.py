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
"""Changes of access rules that a stopped service lost are repeated."""

import pytest

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import lost_rule_changes
from tests.unit import fakes
from tests.unit.maintenance.fake_cluster import A, B, HOST
from tests.unit.maintenance.manila_database import Asked
from tests.unit.maintenance.manila_database import Database


class Passes:
    """Runs one pass a minute."""

    def __init__(self, clock: fakes.Clock) -> None:
        self._clock = clock
        self._backoff = backoff.Backoff()
        self._changes = lost_rule_changes.LostRuleChanges(
            self._backoff, service_host=HOST
        )

    def run(self, minutes: int, *, is_requested: bool = False) -> None:
        for _ in range(minutes):
            self._backoff.begin_pass()
            self._changes.repeat(is_requested=is_requested)
            self._changes.correct_statuses()
            self._backoff.end_pass()
            self._clock.sleep(60)


@pytest.fixture
def passes(clock: fakes.Clock, monkeypatch: pytest.MonkeyPatch) -> Passes:
    monkeypatch.setattr(backoff, 'time', clock)
    return Passes(clock)


@pytest.mark.parametrize(
    'state', ['queued_to_apply', 'queued_to_update', 'queued_to_deny']
)
def test_a_rule_that_waits_for_minutes(
    database: Database, asked: Asked, passes: Passes, state: str
) -> None:
    share = database.share(A)
    database.rule(share, '10.0.0.5')
    database.rule(share, '10.0.0.6', state)
    passes.run(5)
    assert asked == []
    passes.run(1)
    assert asked == [('update_access', {'id': A, 'host': HOST})]
    # It is repeated ever more rarely.
    passes.run(6)
    assert len(asked) == 3


def test_a_rule_that_an_operator_sees_waiting(
    database: Database, asked: Asked, passes: Passes
) -> None:
    database.rule(database.share(A), '10.0.0.5', 'queued_to_deny')
    passes.run(1, is_requested=True)
    assert asked == []
    passes.run(1, is_requested=True)
    assert asked == [('update_access', {'id': A, 'host': HOST})]


@pytest.mark.parametrize(
    'state', ['active', 'applying', 'updating', 'denying', 'error']
)
def test_a_rule_that_does_not_wait(
    database: Database, asked: Asked, passes: Passes, state: str
) -> None:
    database.rule(database.share(A), '10.0.0.5', state)
    passes.run(60)
    assert asked == []


@pytest.mark.parametrize(
    ('host', 'status'),
    [
        ('other@gold#gvg/pool', 'available'),
        (f'{HOST}#gvg/pool', 'deleting'),
        (f'{HOST}#gvg/pool', 'error'),
    ],
)
def test_other_shares_are_left_alone(
    database: Database, asked: Asked, passes: Passes, host: str, status: str
) -> None:
    share = database.share(A, host=host, status=status)
    database.rule(share, '10.0.0.5', 'queued_to_deny')
    passes.run(60)
    assert asked == []


def test_a_rule_that_manila_applies_meanwhile(
    database: Database, asked: Asked, passes: Passes
) -> None:
    """The time of the next rule begins anew."""
    share = database.share(A)
    for number in range(5, 8):
        rule = database.rule(share, f'10.0.0.{number}', 'queued_to_apply')
        passes.run(4)
        database.set_rule(rule, A, 'active')
        passes.run(1)
    assert asked == []


@pytest.mark.parametrize(
    ('states', 'status'),
    [
        ([], 'active'),
        (['active'], 'active'),
        (['active', 'error'], 'error'),
        (['error', 'applying'], 'syncing'),
        (['error', 'queued_to_deny'], 'syncing'),
    ],
)
def test_status_without_a_rule_to_change(
    database: Database,
    asked: Asked,
    passes: Passes,
    states: list[str],
    status: str,
) -> None:
    share = database.share(A, access_rules_status='syncing')
    for number, state in enumerate(states):
        database.rule(share, f'10.0.0.{number}', state)
    passes.run(1)
    assert database.read_share(A)['access_rules_status'] == 'syncing'
    passes.run(2)
    assert database.read_share(A)['access_rules_status'] == status


def test_a_level_whose_change_was_interrupted(database: Database) -> None:
    states = ('active', 'applying', 'updating', 'denying', 'error')
    shares = [database.share(A), database.share(B, host='other@backend#p')]
    for share in shares:
        for state in states:
            database.rule(share, state, state)
    lost_rule_changes.LostRuleChanges(
        backoff.Backoff(), service_host=HOST
    ).queue_interrupted()
    same = {state: state for state in states}
    assert database.rule_states(A) == same | {'updating': 'queued_to_update'}
    assert database.rule_states(B) == same
