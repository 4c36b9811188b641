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
"""The circuit breaker: a node that is down costs one time-out in all."""

from collections.abc import Sequence
import types
from typing import Any

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes
from tests.unit import fakes
from tests.unit.ssh import ssh_helpers

TIMEOUT = 15.0
READ = ssh_helpers.READ


class Clock:
    """A clock that advances only when a fake waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Node:
    """A node that answers, refuses at once, or does not answer at all."""

    name = 'gl1'

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked = 0
        self.failure: errors.Error | None = None
        self.takes = 0.0

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        self.asked += 1
        self.clock.now += self.takes
        if self.failure is not None:
            raise self.failure
        return commands.Result(self.name, step.argv, 0, 'well', '')

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        return [self.run(step) for step in the_steps]

    def outcomes(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        return tuple(self.run(step) for step in the_steps)

    def greet(self) -> greetings.Greeting:
        self.run(READ)
        return fakes.GREETING

    def close(self) -> None:
        pass

    def power_off(self) -> None:
        self.failure = errors.Down('gl1', 'no route to host')
        self.takes = TIMEOUT

    def power_on(self) -> None:
        self.failure = None
        self.takes = 0.1


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    clock = Clock()
    monkeypatch.setattr(
        circuit_breaker,
        'time',
        types.SimpleNamespace(monotonic=clock.monotonic),
    )
    return Node(clock)


def test_a_node_that_is_down_costs_one_time_out(node: Node) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.power_off()
    begun = node.clock.now
    for _ in range(100):
        with pytest.raises(errors.Down) as caught:
            link.run(READ)
        assert caught.value.node == 'gl1'
        with pytest.raises(errors.Down):
            link.greet()
    assert node.clock.now - begun == TIMEOUT
    assert node.asked == 1
    assert link.is_known_down


def test_the_node_is_tried_again_later(node: Node) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.power_off()
    with pytest.raises(errors.Down):
        link.run(READ)
    node.power_on()
    node.clock.now += circuit_breaker.RETRY_SECONDS
    assert not link.is_known_down
    assert link.run(READ).stdout == 'well'
    assert node.asked == 2


def test_one_command_tries_and_the_others_fail_at_once(node: Node) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.power_off()
    with pytest.raises(errors.Down):
        link.run(READ)
    node.clock.now += circuit_breaker.RETRY_SECONDS
    refused_meanwhile = []

    def run_again(step: commands.Step, **options: Any) -> commands.Result:
        with pytest.raises(errors.Down):
            link.run(READ)
        refused_meanwhile.append(step.argv)
        return commands.Result('gl1', step.argv, 0, '', '')

    node.run = run_again  # type: ignore[method-assign]
    link.run(READ)
    assert refused_meanwhile == [READ.argv]
    assert not link.is_known_down


@pytest.mark.parametrize(
    'failure',
    [
        greetings.WrongRelease('gl1', 0, 0),
        greetings.NoRunner('gl1', 'sudo: command not found'),
    ],
)
def test_a_node_whose_runner_is_replaced_is_used_at_once(
    node: Node, failure: errors.Error
) -> None:
    """A slow node takes longer to answer than a quick failure lasts."""
    link = circuit_breaker.CircuitBreaker(node)
    node.failure, node.takes = failure, 5.0
    with pytest.raises(type(failure)):
        link.run(READ)
    assert not link.is_known_down
    node.power_on()
    link.run(READ)


def test_a_quick_failure_is_not_remembered(node: Node) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.failure = errors.Unreachable('gl1', 'connection refused')
    for _ in range(3):
        with pytest.raises(errors.Unreachable):
            link.run(READ)
    assert node.asked == 3
    assert not link.is_known_down


@pytest.mark.parametrize('how', ['reset', 'close'])
def test_reset(node: Node, how: str) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.power_off()
    with pytest.raises(errors.Down):
        link.run(READ)
    node.power_on()
    getattr(link, how)()
    assert link.run(READ).stdout == 'well'


@pytest.mark.parametrize(
    'failure',
    [
        errors.TimedOut('gl1', ['lvs'], 60),
        errors.LinkLost('gl1', ['lvs'], 'connection reset'),
        errors.CommandFailed('gl1', ['lvs'], 5, '', 'no such LV'),
    ],
)
def test_a_failed_command_does_not_mean_that_the_node_is_down(
    node: Node, failure: errors.Error
) -> None:
    link = circuit_breaker.CircuitBreaker(node)
    node.failure = failure
    node.takes = 60.0
    for _ in range(2):
        with pytest.raises(type(failure)):
            link.run(READ)
    assert node.asked == 2
