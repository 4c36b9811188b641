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
"""What people and programs read in tables, and the mark of progress."""

import datetime
import io

import pytest

from manila_glusterfs_clone.cmd import columns
from manila_glusterfs_clone.cmd import progress

GIB = 1 << 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ('size', 'text'),
    [
        (0, '0 B'),
        (1023, '1023 B'),
        (1536, '1.5 KiB'),
        (64 * GIB, '64.0 GiB'),
        (5 * GIB * GIB, '5120.0 PiB'),
    ],
)
def test_size(size: int, text: str) -> None:
    column = columns.Size(size)
    assert column.human_readable() == text
    assert column.machine_readable() == size


def test_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert columns.Percent(12.345).human_readable() == '12.3 %'
    assert columns.Percent(95.0, 95).human_readable() == '95.0 %'
    monkeypatch.setattr(columns, 'has_colours', lambda: True)
    assert columns.Percent(95.0, 95).human_readable() == (
        f'{columns.RED}95.0 %\033[0m'
    )
    assert columns.Percent(94.9, 95).human_readable() == '94.9 %'
    assert columns.Percent(95.0, 95).machine_readable() == 95.0


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    column = columns.Coloured('fault', columns.RED)
    assert column.human_readable() == 'fault'
    monkeypatch.setattr('sys.stdout', Terminal())
    assert column.human_readable() == f'{columns.RED}fault\033[0m'
    assert column.machine_readable() == 'fault'


def test_time() -> None:
    moment = datetime.datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc
    )
    column = columns.Time(moment)
    assert column.human_readable() == '2026-01-02 03:04:05 UTC'
    assert column.machine_readable() == '2026-01-02T03:04:05+00:00'
    assert columns.Time(None).human_readable() == 'never'
    assert columns.Time(None).machine_readable() is None


def test_lines() -> None:
    column = columns.Lines(['a', 'b'])
    assert column.human_readable() == 'a\nb'
    assert column.machine_readable() == ['a', 'b']


def test_progress_on_a_terminal_is_cleared() -> None:
    stream = Terminal()
    with progress.shown('Reading', stream):
        pass
    assert 'Reading' in stream.getvalue()
    assert stream.getvalue().endswith('\r\033[K')


def test_no_progress_elsewhere() -> None:
    stream = io.StringIO()
    with progress.shown('Reading', stream):
        pass
    assert stream.getvalue() == ''
