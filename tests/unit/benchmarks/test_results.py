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

import pathlib

import pytest

from tests.benchmarks import document
from tests.benchmarks import results

MACHINE = {'date': '2026-01-31', 'CPUs': '2'}


def result() -> results.Result:
    rounds = [
        {'ours': 4.0, 'by hand': 5.0},
        {'ours': 3.0, 'by hand': 6.0},
        {'ours': 5.0, 'by hand': 4.0},
    ]
    return results.Result(
        'clone', '11.1', MACHINE, rounds, [('ours', 'by hand')]
    )


def test_a_ratio_is_of_figures_of_one_round() -> None:
    assert result().seconds()['ours'] == results.Spread(3.0, 4.0, 5.0)
    quotients = result().quotients()
    assert quotients == {('ours', 'by hand'): results.Spread(0.5, 0.8, 1.25)}


def test_a_result_is_kept_in_a_file(tmp_path: pathlib.Path) -> None:
    path = result().save(tmp_path / 'new')
    assert path.name == 'clone-11.1.json'
    assert results.Result.load(path) == result()


def test_text() -> None:
    lines = str(result()).splitlines()
    assert lines[0] == 'clone, GlusterFS 11.1:'
    assert lines[-1] == '  ours / by hand: 0.50 / 0.80 / 1.25'


def test_the_page_of_the_documentation(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[pathlib.Path] = []
    monkeypatch.setattr(document, 'draw', lambda _, path: drawn.append(path))
    document.write([result()], tmp_path)
    assert drawn == [tmp_path / 'benchmarks' / 'clone-11.1.svg']
    page = (tmp_path / 'benchmarks.rst').read_text()
    assert '.. image:: benchmarks/clone-11.1.svg' in page
    assert '   * - ours ÷ by hand\n     - 0.50 / 0.80 / 1.25' in page
    assert '3 rounds; date 2026-01-31, CPUs 2' in page
