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
"""Names of steps stay the same; a table tells what its cells say."""

import dataclasses
import pathlib

import pytest

from tests.fault_table import __main__ as command
from tests.fault_table import kinds
from tests.fault_table import render
from tests.fault_table import steps
from tests.fault_table import table

ID = '0d0a4f6e-1c43-4d7a-9f6a-3d4d1c2b3a4f'

CELLS = [
    table.Cell('model', '10.3', 'create', 'gl1: lvs', *rest)
    for rest in (
        ('REFUSED', table.UNDONE),
        ('REFUSED', table.DONE),
        ('KILLED_AFTER', table.NOT_APPLICABLE, 'a read has no effect'),
        ('SLOW', table.REPEATED),
    )
]
NOT_TRIED = table.Cell(
    'model', '10.3', 'create', 'gl1: lvs', 'HANGS', table.NOT_TRIED
)
BROKEN = table.Cell(
    'cluster',
    '11.1',
    'clone',
    'gluster snapshot clone',
    'HANGS',
    table.BROKEN,
    f'gl2: LV manila-{ID} is left over\nmore',
)
RUN = table.Run('cluster', '11.1', '2026-11-25', 'GlusterFS 11.1, LVM 2.03')


@pytest.mark.parametrize(
    ('node', 'argv', 'name'),
    [
        ('gl2', ['lvchange', '--addtag=a', '--addtag=b', 'vg/lv'], None),
        ('gl2', ['lvs', '--units=b'], 'gl2: lvs'),
        (
            'gl1',
            ['gluster', 'snapshot', 'clone', f'manila-{ID}', 'x'],
            'gluster snapshot clone',
        ),
        (
            'gl1',
            ['gluster', '--mode=script', '--xml', 'volume', 'set', 'v'],
            'gluster volume set',
        ),
        (
            'gl1',
            ['gluster', 'volume', 'start', 'v', 'force'],
            'gluster volume start force',
        ),
        ('gl3', ['gluster', 'pool', 'list'], 'gl3: gluster pool list'),
    ],
)
def test_a_step_is_called_by_few_words(
    node: str, argv: list[str], name: str | None
) -> None:
    assert steps.name(node, argv) == (name or 'gl2: lvchange --addtag')


def test_what_differs_in_each_run_is_put_in_words() -> None:
    text = f'manila-{ID} manila-snap-{ID} {"a" * 32}_0 {ID}'
    assert steps.stable(text) == 'manila-SHARE manila-snap-SNAPSHOT HEX_0 ID'


def test_cells_come_back_from_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'cells.csv'
    table.append(path, CELLS)
    table.note_run(path, RUN)
    table.append(path, [BROKEN])
    table.note_run(path, RUN)
    assert table.read(path) == [*CELLS, BROKEN]
    assert table.read_runs(path) == [RUN]


@pytest.mark.parametrize(
    ('fault', 'outcome'), [('HANGS', 'fine'), ('NO_SUCH', table.DONE)]
)
def test_a_cell_has_words_that_are_known(fault: str, outcome: str) -> None:
    with pytest.raises(ValueError):
        table.Cell('model', '10.3', 'create', 'lvs', fault, outcome)


def test_one_word_for_several_cells() -> None:
    assert table.word(CELLS[:2]) == 'done/undone'
    assert table.word(CELLS[2:3]) == '–'  # noqa: RUF001
    assert table.word([*CELLS, BROKEN]) == table.BROKEN
    assert table.word([]) == '?'


def test_what_was_not_tried_has_no_word() -> None:
    assert table.word([NOT_TRIED]) == ''
    assert table.word([NOT_TRIED, CELLS[0]]) == table.UNDONE
    assert table.word([NOT_TRIED, BROKEN]) == table.BROKEN
    # The fault applies to one of the two.
    assert table.word([NOT_TRIED, CELLS[2]]) == ''
    assert [cell.tried for cell in [*CELLS, NOT_TRIED, BROKEN]] == [
        *(True, True, False, True),
        *(False, True),
    ]


def test_only_what_does_not_apply_has_a_reason() -> None:
    assert table.reasons([*CELLS, NOT_TRIED, BROKEN]) == {
        'a read has no effect': ['KILLED_AFTER']
    }


def test_reasons_have_one_order_whatever_the_run() -> None:
    cells = [
        table.Cell('model', '10.3', 'o', 's', 'HANGS', '-', reason)
        for reason in ('one reads', 'another writes')
    ]
    told = [list(table.reasons(some)) for some in (cells, cells[::-1])]
    assert told == [['another writes', 'one reads']] * 2


def test_every_fault_has_a_column() -> None:
    for fault in table.FAULTS:
        cell = table.Cell('model', '10.3', 'o', 's', fault.name, table.DONE)
        assert fault.value in render.show([cell], [])
    assert len({fault.name for fault in table.FAULTS}) == len(table.FAULTS)
    assert len(kinds.Fault) == 8


def test_what_is_shown() -> None:
    shown = render.show([*CELLS, NOT_TRIED, BROKEN], [RUN])
    assert 'Real cluster, GlusterFS 11.1 (2026-11-25, GlusterFS' in shown
    assert 'killed>: a read has no effect' in shown
    assert (
        '3 cells: 1 done, 1 undone, 0 deleted, 1 repeated, 0 remedied, '
        '0 BROKEN; 1 do not apply, 1 not tried; 0 clients disturbed\n'
    ) in shown
    assert f'    gl2: LV manila-{ID} is left over\n    more' in shown
    assert shown.endswith('4 cells, 1 of them broken\n')


def test_a_disturbed_client_makes_a_cell_broken(
    tmp_path: pathlib.Path,
) -> None:
    disturbing = dataclasses.replace(CELLS[1], disturbed=2)
    path = tmp_path / 'cells.csv'
    table.append(path, [*CELLS, disturbing])
    cells = table.read(path)
    assert cells[-1] == disturbing
    assert table.broken(cells) == [disturbing]
    assert table.disturbed(cells) == '2'
    assert table.disturbed(cells[:1]) == '0'
    assert table.disturbed([CELLS[2], NOT_TRIED]) == ''
    assert '2 clients disturbed' in render.show(cells, [])


def test_the_exit_status_tells_of_what_is_broken(
    tmp_path: pathlib.Path,
) -> None:
    good, bad, none = (tmp_path / name for name in ('good', 'bad', 'none'))
    table.append(good, CELLS)
    table.append(bad, [BROKEN])
    table.append(none, [])
    assert command.main(['show', str(good)]) == 0
    assert command.main(['show', str(good), str(bad)]) == 1
    assert command.main(['show', str(none)]) == 1


def test_what_is_documented(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'cells'
    table.append(path, [*CELLS, NOT_TRIED, BROKEN])
    table.note_run(path, RUN)
    (tmp_path / 'faults').mkdir()
    (tmp_path / 'faults' / 'old.csv').write_text('old')
    assert command.main(['document', str(path)], tmp_path) == 1
    text = (tmp_path / 'faults.rst').read_text()
    assert '2026-11-25, GlusterFS 11.1, LVM 2.03. 1 cells:' in text
    assert 'manila-SHARE is left over more' in ' '.join(text.split())
    assert 'empty\n    not in the sample of this run;' in text
    assert f'``{table.NOT_TRIED}``' not in text
    files = {file.name for file in (tmp_path / 'faults').iterdir()}
    assert files == {
        'model-10.3-faults.csv',
        'model-10.3-variants.csv',
        'cluster-11.1-faults.csv',
    }
    for file in files:
        assert f':file: faults/{file}\n' in text
    model = (tmp_path / 'faults' / 'model-10.3-faults.csv').read_text()
    assert model.splitlines()[1] == (
        'create,gl1: lvs,?,–,?,?,?,,?,done/undone,0'  # noqa: RUF001
    )
