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
"""Manila's functions for shares and snapshots, called as Manila has them."""

from typing import Any

from manila.common import constants
from manila import exception
import pytest

from manila_glusterfs_clone.maintenance import instances
from manila_glusterfs_clone.maintenance import manila_db
from tests.unit.maintenance.fake_cluster import A, HOST
from tests.unit.maintenance.manila_database import Asked
from tests.unit.maintenance.manila_database import Database

SNAPSHOT = 'eeeeeeee-0000-4000-8000-000000000000'


def test_a_share(database: Database, asked: Asked) -> None:
    database.share(A, status='extending', size=3)
    kind = instances.shares()
    assert kind.is_share
    found = kind.read(database.context, A)
    assert (found['id'], found['status']) == (A, 'extending')
    # These are columns of the share, and not of its instance.
    assert (found['size'], found['project_id']) == (3, 'a-project')
    kind.write(database.context, A, {'status': 'error'})
    assert database.read_share(A)['status'] == 'error'
    assert kind.is_deleted_alone(found)
    kind.ask_to_delete(database.context, found)
    assert asked == [('delete_share_instance', found)]


def test_a_snapshot(database: Database, asked: Asked) -> None:
    snapshot = database.snapshot(SNAPSHOT, database.share(A), A)
    kind = instances.snapshots(HOST)
    assert not kind.is_share
    found = kind.read(database.context, SNAPSHOT)
    assert (found['id'], found['status']) == (SNAPSHOT, 'available')
    kind.write(database.context, SNAPSHOT, {'status': 'error'})
    assert database.read_snapshot(SNAPSHOT)['status'] == 'error'
    assert kind.is_deleted_alone(found)
    kind.ask_to_delete(database.context, found)
    # Manila takes the snapshot, and not its instance.
    assert asked == [('delete_snapshot', {'id': snapshot}, HOST)]


@pytest.mark.parametrize('snapshot_id', [None, ''])
def test_a_snapshot_of_a_share_group_is_not_deleted_alone(
    asked: Asked, snapshot_id: str | None
) -> None:
    kind = instances.snapshots(HOST)
    assert not kind.is_deleted_alone({'snapshot_id': snapshot_id})


@pytest.mark.parametrize('is_share', [True, False])
def test_an_instance_that_was_deleted_is_not_found(
    database: Database, asked: Asked, is_share: bool
) -> None:
    share = database.share(A)
    database.snapshot(SNAPSHOT, share, A)
    database.delete_snapshot(SNAPSHOT)
    database.delete_share(A)
    kind = instances.shares() if is_share else instances.snapshots(HOST)
    with pytest.raises(exception.NotFound):
        kind.read(database.context, A if is_share else SNAPSHOT)


def test_shares_come_before_snapshots(asked: Asked) -> None:
    share = manila_db.Row(A, HOST, 'creating', None, A)
    snapshot = manila_db.Row(SNAPSHOT, HOST, 'creating', None, A)
    found = instances.apis_with_rows(HOST, [share], [snapshot])
    assert [(kind.is_share, list(rows)) for kind, rows in found] == [
        (True, [share]),
        (False, [snapshot]),
    ]


#: The state on the cluster, and what the log says of it.
ENDS = [
    ('creating', {'status': 'available'}, 'available', 'error'),
    ('creating', {'status': 'error'}, 'error', 'available'),
    ('extending', {'status': 'available', 'size': 7}, '7 GiB', 'error'),
    ('extending', {'status': 'error'}, 'error', 'available'),
    ('extending_error', {'status': 'available', 'size': 7}, '7 GiB', 'error'),
    ('extending_error', {'status': 'error'}, 'error', 'available'),
]


@pytest.mark.parametrize(('status', 'state', 'said', 'not_said'), ENDS)
def test_the_log_names_the_new_status(
    status: str, state: dict[str, Any], said: str, not_said: str
) -> None:
    text = instances.describe_end(status, state)
    assert said in text
    assert f'to {not_said}' not in text


def test_the_log_names_the_cause() -> None:
    """A failed extension was not interrupted."""
    state = {'status': 'error'}
    was_interrupted = {
        status: 'interrupted' in instances.describe_end(status, state)
        for status in ('creating', 'extending', 'extending_error')
    }
    assert was_interrupted == {
        'creating': True,
        'extending': True,
        'extending_error': False,
    }


@pytest.mark.parametrize(
    ('status', 'name'),
    [
        (instances.AVAILABLE, 'STATUS_AVAILABLE'),
        (instances.CREATING, 'STATUS_CREATING'),
        (instances.DELETING, 'STATUS_DELETING'),
        (instances.ERROR_DELETING, 'STATUS_ERROR_DELETING'),
        (instances.EXTENDING, 'STATUS_EXTENDING'),
        (instances.EXTENDING_ERROR, 'STATUS_EXTENDING_ERROR'),
        (instances.UNMANAGING, 'STATUS_UNMANAGING'),
    ],
)
def test_the_statuses_are_those_of_manila(status: str, name: str) -> None:
    assert status == getattr(constants, name)
