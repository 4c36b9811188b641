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
"""A lab is removed if, and only if, no process can take it down any more."""

import dataclasses
import os
from pathlib import Path
import signal
import subprocess
import time

import pytest

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab import lab_directory


@pytest.fixture
def record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> lab_directory.Record:
    monkeypatch.setenv('MANILA_GLUSTERFS_CLONE_LAB_STATE', str(tmp_path))
    image = tmp_path.parent / 'image'
    (image / 'kernel').mkdir(parents=True, exist_ok=True)
    pid = os.getpid()
    return lab_directory.Record(
        *('x', '10.3', 0, 0, 768, 448, str(image)),
        *(pid, host.started(pid) or 0),
    )


def test_what_is_saved_is_loaded(record: lab_directory.Record) -> None:
    lab_directory.claim(record)
    assert lab_directory.load('x') == record
    assert lab_directory.every() == [record]


def test_a_name_is_taken_once(record: lab_directory.Record) -> None:
    lab_directory.claim(record)
    with pytest.raises(LabError, match='up already'):
        lab_directory.claim(record)


def test_labs_take_turns(record: lab_directory.Record) -> None:
    names = ('b', 'a', 'c')
    made = [
        lab_directory.claim(dataclasses.replace(record, name=name))
        for name in names
    ]
    assert [each.turn for each in made] == [0, 1, 2]
    lab_directory.destroy(made[1])
    again = lab_directory.claim(dataclasses.replace(record, name='d'))
    assert again.turn == 1
    assert lab_directory.load('d') == again


@pytest.mark.parametrize('name', ['', '../x', 'X', 'a' * 25, 'a b'])
def test_names_that_are_none(record: lab_directory.Record, name: str) -> None:
    with pytest.raises(LabError, match='no name'):
        lab_directory.claim(dataclasses.replace(record, name=name))


def test_abandoned(record: lab_directory.Record) -> None:
    # The pid is somebody else's by now.
    other = dataclasses.replace(record, born=record.born - 1)
    assert not record.abandoned()
    assert other.abandoned()
    assert not dataclasses.replace(other, detached=True).abandoned()


def test_services_end_with_their_lab(record: lab_directory.Record) -> None:
    lab_directory.claim(record)
    mark = f'{record.directory}/manila-share'
    process = subprocess.Popen(
        ['sleep', '60'], env={**os.environ, host.MARK: mark}
    )
    while not host.processes_marked(mark):
        time.sleep(0.01)
    lab_directory.destroy(record)
    assert process.wait() == -signal.SIGKILL


def test_the_next_one_sweeps(record: lab_directory.Record) -> None:
    lab_directory.claim(dataclasses.replace(record, born=record.born - 1))
    (record.directory / 'root_key').write_text('')
    lab_directory.claim(record)
    assert [path.name for path in record.directory.iterdir()] == ['lab.json']
    lab_directory.destroy(record)
    lab_directory.destroy(record)
    assert not record.directory.exists()
