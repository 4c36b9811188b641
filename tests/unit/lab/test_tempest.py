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
"""The configuration and the results of tempest."""

import re
import time

import pytest

from tests.lab.manila import backends
from tests.tempest import configuration
from tests.tempest import results
from tests.tempest import run

LINES = """\
{"name": "a.T.test_x", "status": "success", "said": "", "seconds": 1.5}
{"name": "setUpClass (a.U)", "status": "skip", "said": "Odd.", "seconds": 0}
"""


def test_results_are_read() -> None:
    good, skipped = results.parse(LINES)
    assert good == results.Result('a.T.test_x', 'success', '', 1.5)
    assert skipped.said == 'Odd.'


def test_only_known_reasons_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results.parse(LINES)
    monkeypatch.setattr(results, 'rows', lambda path: [['^Even', 'why']])
    assert results.unexplained(found) == found[1:]
    monkeypatch.setattr(results, 'rows', lambda path: [['^Odd', 'why']])
    assert results.unexplained(found) == []


def test_the_log_during_the_first_failure_is_shown() -> None:
    begun = time.mktime((2026, 11, 30, 4, 0, 10, 0, 0, -1))
    log = '\n'.join(
        f'2026-11-30 04:00:{second:02}.123 4711 INFO it is {second}'
        for second in range(0, 60, 10)
    )
    tests = [
        results.Result('a.T.test_later', 'fail', '', 1, begun + 30),
        results.Result('a.T.test_first', 'fail', '', 15, begun),
        results.Result('a.T.test_good', 'success', '', 1, begun - 10),
    ]
    title, *lines = results.log_of_first_failure(tests, log)
    assert 'test_first' in title
    assert [line.split()[-1] for line in lines] == ['10', '20']
    assert results.log_of_first_failure(tests[2:], log) == []


@pytest.mark.parametrize('path', [results.EXCLUDED, results.SKIPPED])
def test_tables_are_patterns_and_reasons(path: object) -> None:
    assert isinstance(path, type(results.SKIPPED))
    rows = results.rows(path)
    assert rows
    for *_, pattern, why in rows:
        re.compile(pattern)
        assert why.endswith('.')


@pytest.mark.parametrize(
    ('test', 'passes'),
    [
        ('api.test_shares.SharesTest.test_x', ['ip']),
        ('api.test_rules.ShareRulesTest.test_x', ['ip', 'cert']),
        ('api.admin.test_multi_backend.T.test_x', ['multi']),
    ],
)
def test_passes(test: str, passes: list[str]) -> None:
    found = [
        each.name
        for each in configuration.PASSES
        if re.search(
            run.regex(each, run.OF_DRIVERS),
            f'manila_tempest_tests.tests.{test}',
        )
    ]
    assert found == passes


def test_what_has_nothing_to_do_with_drivers() -> None:
    test = 'manila_tempest_tests.tests.api.test_limits.T.test_x'
    _, ip, _ = configuration.PASSES
    assert re.search(run.regex(ip, ''), test)
    assert not re.search(run.regex(ip, run.OF_DRIVERS), test)
    assert {each.rules for each in configuration.PASSES} == set(
        backends.BACKENDS
    )
