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
"""Warn once, and retry ever less often."""

import logging

import pytest

from manila_glusterfs_clone.maintenance import backoff
from tests.unit import fakes


def test_a_complaint_is_logged_until_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = backoff.Backoff()
    for text in ('down', 'down', 'gone', 'gone', 'down'):
        found.begin_pass()
        found.warn_once('a', text)
        found.end_pass()
    with caplog.at_level(logging.WARNING):
        assert [r.getMessage() for r in caplog.records] == [
            'down',
            'gone',
            'down',
        ]


def test_what_came_back_is_complained_of_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = backoff.Backoff()
    for ill in (True, False, True):
        found.begin_pass()
        if ill:
            found.warn_once('a', 'down')
        found.end_pass()
    assert len(caplog.records) == 2


def test_a_pass_that_does_not_come_to_its_end_forgets_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = backoff.Backoff()
    for whole in (True, False, True):
        found.begin_pass()
        if whole:
            found.warn_once('a', 'down')
            found.end_pass()
    assert len(caplog.records) == 1


def test_tries_become_rare() -> None:
    found = backoff.Backoff()
    tried = []
    for number in range(1, 260):
        found.begin_pass()
        if found.is_retry_due('a'):
            tried.append(number)
        found.end_pass()
    assert tried == [1, 2, 4, 8, 16, 32, 64, 128, 192, 256]


def test_after_a_pass_without_it_all_begins_anew() -> None:
    found = backoff.Backoff()
    tried = []
    for number in range(1, 9):
        found.begin_pass()
        if number != 5 and found.is_retry_due('a'):
            tried.append(number)
        found.end_pass()
    assert tried == [1, 2, 4, 6, 7]


def test_old_is_what_came_up_before() -> None:
    found = backoff.Backoff()
    found.begin_pass()
    assert not found.came_up_before('a')
    assert not found.came_up_before('a')
    found.end_pass()
    found.begin_pass()
    assert found.came_up_before('a')
    assert not found.came_up_before('b')


@pytest.mark.parametrize('has_failed', [False, True])
def test_the_time_of_a_key_begins_anew_after_a_pass_without_it(
    clock: fakes.Clock, monkeypatch: pytest.MonkeyPatch, has_failed: bool
) -> None:
    """Also if that pass failed, and so deleted no records."""
    monkeypatch.setattr(backoff, 'time', clock)
    found = backoff.Backoff()
    ages = []
    for number in range(1, 7):
        found.begin_pass()
        if number != 4:
            ages.append(found.seconds_since_first('a'))
        if number != 4 or not has_failed:
            found.end_pass()
        clock.sleep(60)
    assert ages == [0, 60, 120, 0, 60]
