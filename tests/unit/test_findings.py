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
"""Findings and the health of a back end."""

import dataclasses
import logging

import pytest

from manila_glusterfs_clone import findings

FULL = findings.Finding('pool on gl1', 'full', '96 % full')
DOWN = findings.Finding('node gl2', 'unreachable', 'no route', 'gl2')


def test_findings_are_equal_whatever_their_numbers() -> None:
    fuller = findings.Finding('pool on gl1', 'full', '97 % full')
    assert fuller == FULL
    assert DOWN != FULL


def test_a_finding_names_its_subject_once() -> None:
    finding = findings.Finding('node gl2', 'unreachable', 'node gl2: no route')
    assert str(finding) == 'node gl2: no route'


def test_all_mistakes_are_in_one_message() -> None:
    error = findings.Misconfigured('gold', [FULL, DOWN])
    assert str(error) == (
        'back end gold: unusable; correct this:\n'
        '  * pool on gl1: 96 % full\n'
        '  * node gl2: no route'
    )


def test_the_faults_of_a_part_that_is_not_reported_stay() -> None:
    health = findings.Health('gold')
    health.report({findings.STORAGE: [FULL], findings.SERVICES: [DOWN]})
    health.report({findings.STORAGE: []})
    assert health.faults == (DOWN,)


def test_a_fault_that_is_gone_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    health = findings.Health('gold')
    health.report({findings.STORAGE: [FULL]})
    caplog.clear()
    health.report({findings.STORAGE: []})
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
    health = findings.Health('gold')
    for faults in reports:
        health.report({findings.STORAGE: faults})
        # The checks of other parts do not count.
        health.report({findings.SERVICES: []})
        assert health.faults == tuple(faults)
    assert [record.levelname for record in caplog.records] == levels
