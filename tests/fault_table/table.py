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
"""The outcome of each fault at each step: cells, stored in a CSV file.

Several runs may append to one file at the same time.
"""

from collections.abc import Iterable, Iterator
import csv
import dataclasses
import fcntl
import io
import pathlib
from typing import Any

from tests.fault_table import kinds
from tests.fault_table import steps

DONE = 'done'
UNDONE = 'undone'
DELETED = 'deleted'
REPEATED = 'repeated'
REMEDIED = 'remedied'
BROKEN = 'BROKEN'
#: The fault does not apply to the step; the detail of the cell says why.
NOT_APPLICABLE = '-'
#: The fault applies to the step, and was left out.
NOT_TRIED = 'not tried'

#: What each outcome means.
OUTCOMES = {
    DONE: 'the operation succeeded despite the fault',
    UNDONE: ('the operation failed with an error and left nothing behind'),
    DELETED: (
        'the operation failed or was killed; what it left was removed when '
        'the user deleted it, or by maintenance'
    ),
    REPEATED: 'the operation failed or was killed; a retry finished it',
    REMEDIED: (
        'the retry failed and named a node on which to restart glusterd; '
        'after the restart a retry finished the operation'
    ),
    BROKEN: 'any other outcome; listed in full below the table',
    NOT_APPLICABLE: 'the fault does not apply to the step; see the reasons',
    NOT_TRIED: (
        'not in the sample of this run; the model tries every step on both '
        'releases'
    ),
}

#: All faults, in the order of the columns.
FAULTS: tuple[kinds.Fault | kinds.Variant, ...] = (
    *kinds.Fault,
    *kinds.Variant,
)

_RUN = 'run'


@dataclasses.dataclass(frozen=True)
class Cell:
    """The outcome of one fault at one step of an operation."""

    #: ``model``, ``cluster``, or ``cluster-NODES-LAYOUT``.
    tier: str
    #: That of GlusterFS.
    release: str
    operation: str
    #: As :func:`tests.fault_table.steps.name` calls it.
    step: str
    #: The name of a member of the enumerations in ``kinds``.
    fault: str
    #: A key of :data:`OUTCOMES`.
    outcome: str
    #: In full what is wrong, or why the fault does not apply.
    detail: str = ''
    #: How many clients lost access though their rule stays.
    disturbed: int = 0

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f'{self.outcome!r} is no outcome')
        if self.fault not in {fault.name for fault in FAULTS}:
            raise ValueError(f'{self.fault!r} is no fault')

    @property
    def tried(self) -> bool:
        """Return whether the fault was tried at the step."""
        return self.outcome not in (NOT_APPLICABLE, NOT_TRIED)


@dataclasses.dataclass(frozen=True)
class Run:
    """The date and the versions of a run."""

    tier: str
    release: str
    #: As in 2026-11-25.
    date: str
    #: Such as ``GlusterFS 11.1, LVM 2.03.31, Linux 6.12``, or ``model``.
    versions: str


def append(path: str | pathlib.Path, cells: Iterable[Cell]) -> None:
    """Append cells to a file, and make the file if it is missing."""
    _append(path, map(dataclasses.astuple, cells))


def note_run(path: str | pathlib.Path, run: Run) -> None:
    """Append the date and the versions of the cells of a tier and release."""
    _append(path, [(run.tier, run.release, _RUN, run.date, run.versions)])


def _append(path: str | pathlib.Path, rows: Iterable[tuple[str, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    with open(path, 'a', encoding='utf-8', newline='') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text.getvalue())


def read(*paths: str | pathlib.Path) -> list[Cell]:
    """Read the cells of files, in their order."""
    return [_cell(*row) for row in _rows(paths) if row[2] != _RUN]


def _cell(*row: str) -> Cell:
    values: list[Any] = [*row]
    values[7:] = map(int, row[7:])
    return Cell(*values)


def read_runs(*paths: str | pathlib.Path) -> list[Run]:
    """Return the runs that made the cells of files, each once."""
    found = [
        Run(row[0], row[1], *row[3:]) for row in _rows(paths) if row[2] == _RUN
    ]
    return list(dict.fromkeys(found))


def _rows(paths: Iterable[str | pathlib.Path]) -> Iterator[list[str]]:
    for path in paths:
        with open(path, encoding='utf-8', newline='') as file:
            yield from csv.reader(file)


def groups(cells: Iterable[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """Group cells by tier and release."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.tier, cell.release), []).append(cell)
    return dict(sorted(found.items(), reverse=True))


def rows(
    cells: Iterable[Cell],
) -> dict[tuple[str, str], dict[str, list[Cell]]]:
    """Group cells by operation and step, and these by fault.

    A step that is there several times in an operation is one row.
    """
    found: dict[tuple[str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        row = found.setdefault((cell.operation, cell.step), {})
        row.setdefault(cell.fault, []).append(cell)
    return found


def word(cells: Iterable[Cell]) -> str:
    """Return the outcomes of one row and fault in a word or a few.

    What is broken hides all else, and what was tried hides what was not,
    which has no word; no cell at all is a question mark.
    """
    cells = list(cells)
    found = {cell.outcome for cell in cells}
    if BROKEN in found:
        return BROKEN
    tried = {cell.outcome for cell in cells if cell.tried}
    if tried:
        return '/'.join(word for word in OUTCOMES if word in tried)
    if NOT_TRIED in found:
        return ''
    return '–' if found else '?'  # noqa: RUF001


def counts(cells: Iterable[Cell]) -> dict[str, int]:
    """Return the counts of all outcomes."""
    found = dict.fromkeys(OUTCOMES, 0)
    for cell in cells:
        found[cell.outcome] += 1
    return found


def broken(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells that are broken, or that disturbed a client."""
    return [cell for cell in cells if cell.outcome == BROKEN or cell.disturbed]


def disturbed(cells: Iterable[Cell]) -> str:
    """Return how many clients were disturbed; '' if nothing was tried."""
    tried = [cell.disturbed for cell in cells if cell.tried]
    return str(sum(tried)) if tried else ''


def reasons(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the reasons why faults do not apply, each with its faults.

    The order of the cells is another in each run.
    """
    found: dict[str, list[str]] = {}
    for cell in cells:
        if cell.outcome == NOT_APPLICABLE:
            faults = found.setdefault(steps.stable(cell.detail), [])
            if cell.fault not in faults:
                faults.append(cell.fault)
    return dict(sorted(found.items()))
