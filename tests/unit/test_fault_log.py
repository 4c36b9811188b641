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
"""Faults are logged when they begin, and when they end."""

import dataclasses
import logging

import pytest

from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings

FULL = findings.Finding('pool on gl1', 'full', '96 % full')
DOWN = findings.Finding('node gl2', 'unreachable', 'no route', 'gl2')


def test_the_faults_of_a_part_that_is_not_reported_stay() -> None:
    health = fault_log.FaultLog('gold')
    health.report({fault_log.STORAGE: [FULL], fault_log.SERVICES: [DOWN]})
    health.report({fault_log.STORAGE: []})
    assert health.faults == (DOWN,)


def test_a_fault_that_is_gone_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    health = fault_log.FaultLog('gold')
    health.report({fault_log.STORAGE: [FULL]})
    caplog.clear()
    health.report({fault_log.STORAGE: []})
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.args == ('gold', 'pool on gl1', 'full')


SHORT = dataclasses.replace(FULL, kind='lvm limit', ends_soon=True)


@pytest.mark.parametrize(
    ('reports', 'levels'),
    [
        ([[SHORT], []], []),
        ([[SHORT], [SHORT], [SHORT], []], ['WARNING', 'INFO']),
        ([[SHORT], [], [SHORT], []], []),
        (
            [[SHORT], [dataclasses.replace(SHORT, ends_soon=False)], []],
            ['WARNING', 'INFO'],
        ),
        ([[SHORT], [FULL, SHORT], [FULL], []], ['WARNING', 'INFO', 'INFO']),
    ],
)
def test_a_fault_that_ends_soon_is_logged_at_the_second_check(
    caplog: pytest.LogCaptureFixture,
    reports: list[list[findings.Finding]],
    levels: list[str],
) -> None:
    caplog.set_level(logging.INFO)
    health = fault_log.FaultLog('gold')
    for faults in reports:
        health.report({fault_log.STORAGE: faults})
        # The checks of other parts do not count.
        health.report({fault_log.SERVICES: []})
        assert health.faults == tuple(faults)
    assert [record.levelname for record in caplog.records] == levels
