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
"""Attempts, the pauses between them, and their deadline."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from tests.unit import fakes


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def test_the_attempts_end_after_the_deadline(time: fakes.Clock) -> None:
    assert len(list(retry.Attempts(3.0, 1.0))) == 4
    assert time.slept == [1.0, 1.0, 1.0]


def test_at_least_one_attempt_is_made(time: fakes.Clock) -> None:
    assert len(list(retry.Attempts(0.0, 1.0))) == 1
    assert not time.slept


def test_the_time_of_an_attempt_counts(time: fakes.Clock) -> None:
    attempts = retry.Attempts(10.0, 1.0)
    for _ in attempts:
        time.now += 6.0
    assert time.slept == [1.0]
    assert attempts.elapsed_seconds == 13.0
    assert attempts.seconds_left == 0.0


def test_pauses_double_up_to_the_longest(time: fakes.Clock) -> None:
    list(retry.Attempts(20.0, 1.0, 5.0))
    assert time.slept == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_jitter_shortens_a_pause_to_half_at_most(time: fakes.Clock) -> None:
    list(retry.Attempts(200.0, 4.0, jitter=True))
    assert all(2.0 <= seconds <= 4.0 for seconds in time.slept)
    assert len(set(time.slept)) > 3


def test_a_pause_of_given_length_does_not_make_the_next_longer(
    time: fakes.Clock,
) -> None:
    attempts = retry.Attempts(100.0, 1.0, 8.0, jitter=True)
    attempts.pause(7.0)
    assert time.slept == [7.0]
    assert attempts.next_pause == 1.0


def test_the_last_failure_is_kept() -> None:
    attempts = retry.Attempts(1.0, 1.0)
    with pytest.raises(LookupError):
        _ = attempts.last_failure
    for node in ('gl1', 'gl2'):
        attempts.record(errors.Unreachable(node, 'no route'))
    assert isinstance(attempts.last_failure, errors.Unreachable)
    assert attempts.last_failure.node == 'gl2'
