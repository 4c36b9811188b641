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
"""Marks for the operations that are in progress."""

from collections.abc import Iterator
import pathlib

from oslo_config import cfg
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks

ID = 'aaaaaaaa-0000-4000-8000-000000000000'
EXTEND = work_marks.Work(work_marks.EXTEND, 7)


class Storage:
    """Manila's private storage of a driver, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def update(self, instance_id: str, values: dict[str, str]) -> None:
        self.values.update(values)

    def get(self, instance_id: str) -> dict[str, str]:
        return dict(self.values)

    def delete(self, instance_id: str, keys: list[str]) -> None:
        for key in keys:
            self.values.pop(key, None)


@pytest.fixture
def marks(tmp_path: pathlib.Path) -> Iterator[work_marks.WorkMarks]:
    group = 'oslo_concurrency'
    cfg.CONF.set_override('lock_path', str(tmp_path), group=group)
    yield work_marks.WorkMarks(Storage(), locks.Locks(0.01))
    cfg.CONF.clear_override('lock_path', group=group)


def test_an_operation_is_marked_and_locked(
    marks: work_marks.WorkMarks,
) -> None:
    with marks.locked_and_marked(ID, EXTEND):
        assert marks.find(ID) == EXTEND
        with pytest.raises(errors.Held):
            with marks.locked_and_marked(ID, EXTEND):
                pass
    assert marks.find(ID) is None


def test_an_operation_that_fails_leaves_no_mark(
    marks: work_marks.WorkMarks,
) -> None:
    with pytest.raises(ValueError):
        with marks.locked_and_marked(ID, EXTEND):
            raise ValueError
    assert marks.find(ID) is None


def test_the_mark_stays_for_the_parts_that_follow(
    marks: work_marks.WorkMarks,
) -> None:
    delete = work_marks.Work(work_marks.DELETE)
    with marks.mark_begin(ID, delete):
        pass
    assert marks.find(ID) == delete


def test_without_storage_nothing_is_marked() -> None:
    marks = work_marks.WorkMarks(None, locks.Locks(1))
    marks.set(ID, EXTEND)
    marks.remove(ID)
    assert marks.find(ID) is None
