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
"""The record of a client that writes all the time."""

from collections.abc import Iterator
import contextlib
import pathlib
import subprocess
import sys
import time
import uuid

import pytest

from tests.lab import writer

#: A mount that anybody may write to.
MOUNT = pathlib.Path('/dev/shm')


@pytest.fixture
def state(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The directory of the writer's notes; its name is that of its file."""
    made = tmp_path / f'written-by-{uuid.uuid4()}'
    made.mkdir()
    yield made
    (MOUNT / made.name).unlink(missing_ok=True)


@contextlib.contextmanager
def writing(at: pathlib.Path, state: pathlib.Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, '-c', writer._PROGRAM, str(at), str(state), '0.01']
    )
    try:
        yield
        (state / 'enough').touch()
        assert process.wait(20) == 0
    finally:
        process.kill()


def wait_for(path: pathlib.Path, lines: int) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or path.read_text().count('\n') < lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lost(state: pathlib.Path, first: int = 1 << 40) -> int:
    words = [str(MOUNT), str(state), state.name, str(first)]
    said = subprocess.run(
        [sys.executable, '-c', writer._LOST, *words],
        check=True,
        capture_output=True,
    )
    return int(said.stdout)


def test_what_is_confirmed_is_there_and_what_is_lost_is_counted(
    state: pathlib.Path,
) -> None:
    with writing(MOUNT, state):
        wait_for(state / 'confirmed', 5)
    assert (state / 'failed').read_text() == ''
    assert lost(state) == 0
    there = MOUNT / state.name
    there.write_text(there.read_text().replace('\n3\n', '\n'))
    assert lost(state) == 1
    # Nothing of the first three writes is.
    assert lost(state, first=3) == 0


def test_what_fails_is_noted_and_never_written_elsewhere(
    tmp_path: pathlib.Path, state: pathlib.Path
) -> None:
    """The directory below a mount that is gone is no share."""
    at = tmp_path / 'mnt'
    at.mkdir()
    with writing(at, state):
        wait_for(state / 'failed', 2)
    begun, ended, message = (
        (state / 'failed').read_text().splitlines()[0].split(maxsplit=2)
    )
    assert float(begun) <= float(ended)
    assert message
    assert not list(at.iterdir())
    assert (state / 'confirmed').read_text() == ''
