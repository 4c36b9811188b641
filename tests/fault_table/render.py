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
"""The table of faults as text for a terminal, and for the documentation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
import itertools
import pathlib
import textwrap

from tests.fault_table import kinds
from tests.fault_table import steps
from tests.fault_table import table

#: What stands above the columns in a terminal, in few letters.
_SHORT = {
    kinds.Fault.KILLED_BEFORE: 'killed<',
    kinds.Fault.KILLED_AFTER: 'killed>',
    kinds.Fault.LINK_CUT: 'cut',
    kinds.Fault.POWER_CUT: 'power',
    kinds.Fault.GLUSTERD_KILLED: 'glusterd',
    kinds.Fault.HANGS: 'hangs',
    kinds.Fault.GARBLED: 'garbled',
    kinds.Fault.REFUSED: 'refused',
    kinds.Variant.KILLED_SLOW: 'killed~',
    kinds.Variant.UNREACHABLE: 'no link',
    kinds.Variant.LOST_BEFORE: 'cut<',
    kinds.Variant.SLOW: 'cut~',
    kinds.Variant.POWER_CUT_MIDWAY: 'power~',
    kinds.Variant.POWER_CUT_AFTER: 'power>',
    kinds.Variant.REBOOTED: 'reboot',
    kinds.Variant.PEER_REBOOTED: 'peer',
    kinds.Variant.GLUSTERD_KILLED_MIDWAY: 'glusterd~',
    kinds.Variant.HANGS_IDLE: 'hangs<',
    kinds.Variant.GIVEN_UP: 'gave up',
    kinds.Variant.LEFT_OUT: 'left out',
}

_HEAD = """\
.. Made by python3 -m tests.fault_table document, which overwrites it.

=======================
A fault at every step
=======================

Each operation is run once to record its remote steps. Then it is run once
for each step and each fault, with the fault at that step. Recovery is the
same as in production: the service is restarted if it was killed, the node
boots if it lost power, and the user deletes what is in ``error`` or retries.
After that every share is complete or gone, every byte that was confirmed to a
client as stable is there, nothing is left over on any node, and the next clone
works. ``tools/test faults`` runs all of this, prints these tables, and fails
if any cell is ``BROKEN``.

The cells:

{outcomes}

A step that an operation has several times is one row; the outcomes are
separated by slashes.

The last column counts disturbed clients: clients that were disconnected or saw
an error although a rule admits them before and after the operation. In the
model each share has one client; on a cluster one client writes all the time.

On the clusters each step of the clone and of its deletion is tried with each
of the first six faults on one of the two releases, which alternates from step
to step. Of everything else a sample is tried. The cluster has three nodes, and
the shares have the layout replica-3, unless a heading says otherwise. On these
other clusters each operation has each fault once. An empty cell was not tried;
a dash means that the fault does not apply.

In the model a fault has variants that cannot be produced at will on a cluster;
they have tables of their own.
"""


def show(cells: Sequence[table.Cell], runs: Sequence[table.Run]) -> str:
    """Return tables, reasons, counts, and broken cells as text."""
    parts = []
    for (tier, release), found in table.groups(cells).items():
        parts.append(f'{_title(tier, release)} ({_made(tier, release, runs)})')
        for columns in (kinds.Fault, kinds.Variant):
            chosen = _of(found, columns)
            if chosen:
                parts += ['', *_table(chosen, tuple(columns))]
        parts += ['', *_reasons(found)]
        parts += ['', _counts(found), '']
    lost = table.broken(cells)
    for cell in lost:
        parts.append(
            f'{table.BROKEN}: {cell.tier} {cell.release}, {cell.operation}, '
            f'{cell.step}, {cell.fault}:\n    '
            + cell.detail.replace('\n', '\n    ')
        )
    tried = sum(cell.tried for cell in cells)
    parts.append(f'{tried} cells, {len(lost)} of them broken')
    return '\n'.join(parts) + '\n'


def _of(
    cells: Iterable[table.Cell],
    columns: type[kinds.Fault] | type[kinds.Variant],
) -> list[table.Cell]:
    names = {fault.name for fault in columns}
    return [cell for cell in cells if cell.fault in names]


def _title(tier: str, release: str) -> str:
    if tier == 'model':
        return f'Model of GlusterFS {release}'
    _, _, shape = tier.partition('-')
    if not shape:
        return f'Real cluster, GlusterFS {release}'
    nodes, _, layout = shape.partition('-')
    return f'Real cluster of {nodes} nodes, {layout}, GlusterFS {release}'


def _made(tier: str, release: str, runs: Iterable[table.Run]) -> str:
    found = [
        f'{run.date}, {run.versions}'
        for run in runs
        if (run.tier, run.release) == (tier, release)
    ]
    return found[-1] if found else 'of unknown date'


def _table(
    cells: Iterable[table.Cell],
    columns: Sequence[kinds.Fault | kinds.Variant],
) -> Iterator[str]:
    rows = table.rows(cells)
    lines = [[step, *_words(row, columns)] for (_, step), row in rows.items()]
    heads = ['', *(_SHORT[fault] for fault in columns), 'disturbed']
    widths = [
        max(map(len, column)) for column in zip(heads, *lines, strict=True)
    ]
    yield _line(heads, widths)
    operation = ''
    for (name, _), line in zip(rows, lines, strict=True):
        if name != operation:
            yield f'{name}:'
            operation = name
        yield _line(line, widths)
    yield ''
    for fault in columns:
        yield f'{_SHORT[fault]:>{max(map(len, heads))}}: {fault.value}'


def _words(
    row: Mapping[str, Iterable[table.Cell]],
    columns: Iterable[kinds.Fault | kinds.Variant],
) -> Iterator[str]:
    """Return the words of a row: an outcome per fault, and the count."""
    for fault in columns:
        yield table.word(row.get(fault.name, ()))
    yield table.disturbed(itertools.chain(*row.values()))


def _line(words: Iterable[str], widths: Iterable[int]) -> str:
    padded = [
        f'{word:<{width}}' for word, width in zip(words, widths, strict=True)
    ]
    return f'  {"  ".join(padded)}'.rstrip()


def _reasons(cells: Iterable[table.Cell]) -> Iterator[str]:
    for reason, faults in table.reasons(cells).items():
        told = ', '.join(_SHORT[_fault(name)] for name in faults)
        yield f'  – {told}: {reason}'  # noqa: RUF001


def _fault(name: str) -> kinds.Fault | kinds.Variant:
    return next(fault for fault in table.FAULTS if fault.name == name)


def _counts(cells: Sequence[table.Cell]) -> str:
    counted = table.counts(cells)
    without = counted.pop(table.NOT_APPLICABLE)
    left_out = counted.pop(table.NOT_TRIED)
    told = ', '.join(f'{number} {word}' for word, number in counted.items())
    return (
        f'{sum(counted.values())} cells: {told}; {without} do not apply, '
        f'{left_out} {table.NOT_TRIED}; '
        f'{table.disturbed(cells) or 0} clients disturbed'
    )


def document(
    cells: Sequence[table.Cell], runs: Sequence[table.Run], where: pathlib.Path
) -> None:
    """Write ``faults.rst`` and the files of its tables.

    :param where: the directory of the documentation's sources.
    """
    files = where / 'faults'
    files.mkdir(exist_ok=True)
    for old in files.glob('*.csv'):
        old.unlink()
    outcomes = [
        f'``{word}``\n{_wrapped(meaning, "    ")}'
        for word, meaning in table.OUTCOMES.items()
        if word not in (table.NOT_APPLICABLE, table.NOT_TRIED)
    ]
    outcomes.append('–\n    the fault does not apply')  # noqa: RUF001
    outcomes.append(
        f'empty\n{_wrapped(table.OUTCOMES[table.NOT_TRIED], "    ")}'
    )
    parts = [_HEAD.format(outcomes='\n'.join(outcomes))]
    for (tier, release), found in table.groups(cells).items():
        title = _title(tier, release)
        parts.append(f'{title}\n{"=" * len(title)}\n')
        made = f'{_made(tier, release, runs)}. {_counts(found)}.'
        parts.append(_wrapped(made) + '\n')
        for columns in (kinds.Fault, kinds.Variant):
            chosen = _of(found, columns)
            if not chosen:
                continue
            name = f'{tier}-{release}-{columns.__name__.lower()}s.csv'
            _write(files / name, chosen, tuple(columns))
            parts.append(_csv_table(f'faults/{name}', len(columns) + 1))
        reasons = [
            _item(f'{", ".join(_fault(n).value for n in faults)}: {reason}')
            for reason, faults in table.reasons(found).items()
        ]
        if reasons:
            parts.append(
                'Where a fault does not apply:\n\n' + '\n'.join(reasons) + '\n'
            )
        if lost := table.broken(found):
            told = [
                _item(
                    f'{c.operation}, {c.step}, {_fault(c.fault).value}: '
                    f'{" ".join(steps.stable(c.detail).split())}'
                )
                for c in lost
            ]
            parts.append('Broken:\n\n' + '\n'.join(told) + '\n')
    (where / 'faults.rst').write_text('\n'.join(parts), encoding='utf-8')


def _wrapped(text: str, first: str = '', rest: str | None = None) -> str:
    return textwrap.fill(
        text,
        width=79,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _item(text: str) -> str:
    return _wrapped(text, '* ', '  ')


def _csv_table(file: str, columns: int) -> str:
    widths = ' '.join(['14', '20', *['8'] * columns])
    return (
        f'.. csv-table::\n   :file: {file}\n   :header-rows: 1\n'
        f'   :widths: {widths}\n'
    )


def _write(
    path: pathlib.Path,
    cells: Iterable[table.Cell],
    columns: Sequence[kinds.Fault | kinds.Variant],
) -> None:
    with open(path, 'w', encoding='utf-8', newline='') as file:
        out = csv.writer(file, lineterminator='\n')
        heads = (fault.value for fault in columns)
        out.writerow(['Operation', 'Step', *heads, 'clients disturbed'])
        for (operation, step), row in table.rows(cells).items():
            out.writerow([operation, step, *_words(row, columns)])
