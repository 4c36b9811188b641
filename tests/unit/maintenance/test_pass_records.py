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
"""The records of passes of maintenance."""

import logging
import threading
from typing import Any

import pytest

from manila_glusterfs_clone.maintenance import pass_records

HOST = 'host@gold'
OWN = logging.getLogger('manila_glusterfs_clone.maintenance.healing')
OTHER = logging.getLogger('manila_glusterfs_clone.operations.shares')


class Storage:
    """Manila's private storage, with the limit of its database."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, str]] = {}

    def get(self, entity_id: str) -> dict[str, str]:
        return dict(self.values.get(entity_id, {}))

    def update(self, entity_id: str, values: dict[str, str]) -> None:
        assert len(entity_id) == 36
        for name, value in values.items():
            assert isinstance(value, str)
            assert len(name) < 256 and len(value) < 1024
        self.values.setdefault(entity_id, {}).update(values)


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def records(storage: Storage) -> pass_records.PassRecords:
    return pass_records.PassRecords(storage, HOST)


def make(*messages: str) -> pass_records.PassRecord:
    with pass_records.recording(pass_records.PASS) as record:
        for message in messages:
            OWN.warning('%s', message)
    return record


def test_nothing_is_recorded_yet(records: pass_records.PassRecords) -> None:
    assert records.read() == pass_records.History(None, ())


def test_a_pass_and_its_actions(records: pass_records.PassRecords) -> None:
    record = make('one', 'two')
    record.fail('why')
    record.failed_steps = ('heal shares',)
    records.write(record)
    history = records.read()
    assert history.last is not None
    assert history.last.outcome == pass_records.FAILED
    assert history.last.failure == 'why'
    assert history.last.failed_steps == ('heal shares',)
    assert (
        abs((history.last.began_at - record.began_at).total_seconds()) < 1e-3
    )
    assert [action.message for action in history.actions] == ['two', 'one']


def test_the_last_actions_are_kept(records: pass_records.PassRecords) -> None:
    for number in range(30):
        records.write(make(f'{number} a', f'{number} b'))
    records.write(make())
    messages = [action.message for action in records.read().actions]
    assert len(messages) == pass_records.MAX_ACTIONS
    assert messages[:3] == ['29 b', '29 a', '28 b']


def test_another_back_end_has_its_own_records(
    storage: Storage, records: pass_records.PassRecords
) -> None:
    records.write(make('one'))
    other = pass_records.PassRecords(storage, 'host@silver')
    assert other.read().last is None


@pytest.mark.parametrize('message', ['x' * 5000, '…ü€"\\' * 2000, '\0' * 900])
def test_long_messages_are_cut(
    records: pass_records.PassRecords, message: str
) -> None:
    record = make(message)
    record.fail(message)
    records.write(record)
    (action,) = records.read().actions
    assert action.message[:50] == message[:50]
    assert (last := records.read().last) is not None
    assert last.failure.endswith('…')
    assert action.message.endswith('…')


def test_only_lines_of_maintenance_are_actions() -> None:
    """Users' requests are served in other threads at the same time."""

    def serve() -> None:
        OTHER.warning('a request')
        OWN.warning('work on a node')

    with pass_records.recording(pass_records.PASS) as record:
        OTHER.warning('called by maintenance')
        OTHER.info('not for operators')
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    OWN.warning('later')
    assert [action.message for action in record.actions] == [
        'called by maintenance',
        'work on a node',
    ]


def test_a_skipped_pass_is_not_recorded(
    records: pass_records.PassRecords,
) -> None:
    record = make()
    record.outcome = pass_records.SKIPPED
    records.write(record)
    assert records.read().last is None


def test_records_that_cannot_be_read_are_ignored(
    storage: Storage, records: pass_records.PassRecords
) -> None:
    records.write(make('one', 'two'))
    (values,) = storage.values.values()
    values['glusterfs_clone_last_pass'] = '{"outcome": 1'
    values['glusterfs_clone_action_00'] = '[]'
    history = records.read()
    assert history.last is None
    assert [action.message for action in history.actions] == ['one']


def test_a_storage_that_fails_does_no_harm(
    records: pass_records.PassRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: Any) -> None:
        raise RuntimeError('database is down')

    monkeypatch.setattr(Storage, 'update', fail)
    records.write(make('one'))
    pass_records.PassRecords(None, HOST).write(make('one'))
    assert pass_records.PassRecords(None, HOST).read().last is None


def test_outcomes() -> None:
    record = make()
    record.end(True, [])
    assert record.outcome == pass_records.DONE
    record.end(False, [])
    assert record.outcome == pass_records.INCOMPLETE
    record.end(False, ['x'])
    assert (record.outcome, record.failed_steps) == (
        pass_records.FAILED,
        ('x',),
    )
