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
"""What is read of Manila's database, which has Manila's own tables."""

import datetime
from typing import Any

from manila.common import constants
from manila import db
from manila.db.sqlalchemy import api as db_api
import pytest
import sqlalchemy

from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import protocols
from tests.unit.maintenance.fake_cluster import A, B, C, HOST
from tests.unit.maintenance.manila_database import Database

SNAPSHOT = 'eeeeeeee-0000-4000-8000-000000000000'
OTHER_SNAPSHOT = 'ffffffff-0000-4000-8000-000000000000'
#: Hosts whose names begin, match or end like that of the back end.
OTHER_HOSTS = (
    'host@golden#gvg/pool',
    'host@gold2',
    'other@gold#gvg/pool',
    'HOST',
    '',
    None,
)


def execute(statement: str, **values: Any) -> None:
    """Change a table directly, as an administrator does."""
    with db_api.get_engine().begin() as connection:
        connection.execute(sqlalchemy.text(statement), values)


def test_an_empty_database(database: Database) -> None:
    assert manila_db.shares(HOST) == {}
    assert manila_db.snapshots(HOST) == {}
    assert manila_db.shares_by_id([A]) == {}
    assert manila_db.snapshots_by_id([SNAPSHOT]) == {}
    assert manila_db.rules(HOST) == {}
    assert manila_db.shares_with_waiting_rules(HOST) == frozenset()


@pytest.mark.parametrize('host', [HOST, f'{HOST}#gvg/pool'])
def test_a_share(database: Database, host: str) -> None:
    database.share(A, host=host, status='extending')
    row = manila_db.Row(A, HOST, 'extending', None, A)
    assert manila_db.shares(HOST) == {A: row}
    assert manila_db.shares_by_id([A]) == {A: row}


def test_each_instance_of_a_share_is_a_share(database: Database) -> None:
    """A migration between back ends has two instances."""
    share = database.share(A)
    database.instance(B, share, host=f'{HOST}#gvg/other', status='available')
    database.instance(C, share, host='elsewhere@x#p', status='available')
    assert set(manila_db.shares(HOST)) == {A, B}


@pytest.mark.parametrize('host', OTHER_HOSTS)
def test_shares_of_other_hosts_are_left_out(
    database: Database, host: str | None
) -> None:
    share = database.share(A)
    execute('UPDATE share_instances SET host = :host', host=host)
    database.snapshot(SNAPSHOT, share, A)
    database.rule(share, '10.0.0.1', 'applying')
    db.share_instance_update(
        database.context, A, {'access_rules_status': 'active'}
    )
    assert manila_db.shares(HOST) == {}
    assert manila_db.snapshots(HOST) == {}
    assert manila_db.rules(HOST) == {}
    assert manila_db.shares_with_waiting_rules(HOST) == frozenset()
    # By id, it is found with its host.
    found = manila_db.shares_by_id([A])[A].host
    assert found == (host or '').partition('#')[0]


@pytest.mark.parametrize('host', ['ho%t@gold', 'h_st@gold'])
def test_a_host_is_no_pattern(database: Database, host: str) -> None:
    database.share(A)
    assert manila_db.shares(host) == {}


def test_a_deleted_share_is_found_by_id_only(database: Database) -> None:
    begun = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    database.share(A)
    database.share(B)
    database.delete_share(A)
    assert set(manila_db.shares(HOST)) == {B}
    row = manila_db.shares_by_id([A])[A]
    assert row.host == HOST
    assert row.share_id == A
    assert row.deleted_at is not None
    assert abs(row.deleted_at - begun) < datetime.timedelta(minutes=1)


def test_a_deleted_snapshot_is_found_by_id_only(database: Database) -> None:
    share = database.share(A)
    database.snapshot(SNAPSHOT, share, A)
    database.snapshot(OTHER_SNAPSHOT, share, A)
    database.delete_snapshot(SNAPSHOT)
    assert set(manila_db.snapshots(HOST)) == {OTHER_SNAPSHOT}
    row = manila_db.snapshots_by_id([SNAPSHOT, B])[SNAPSHOT]
    assert (row.host, row.share_id) == (HOST, A)
    assert row.deleted_at is not None


def test_a_row_without_the_time_of_its_deletion_is_no_orphan(
    database: Database,
) -> None:
    database.share(A)
    database.delete_share(A)
    execute('UPDATE share_instances SET deleted_at = NULL')
    row = manila_db.shares_by_id([A])[A]
    assert row.deleted_at == datetime.datetime.max


def test_a_time_without_a_deletion_does_not_count(database: Database) -> None:
    database.share(A)
    execute(
        'UPDATE share_instances SET deleted_at = :when',
        when='2001-01-01 00:00:00.000000',
    )
    assert manila_db.shares(HOST)[A].deleted_at is None


def test_a_snapshot(database: Database) -> None:
    """It is of the host of its share instance."""
    share = database.share(A)
    database.share(B)
    database.share(C, host='other@gold')
    database.snapshot(SNAPSHOT, share, A, status='deleting')
    row = manila_db.Row(SNAPSHOT, HOST, 'deleting', None, A)
    assert manila_db.snapshots(HOST) == {SNAPSHOT: row}
    assert manila_db.snapshots_by_id([SNAPSHOT]) == {SNAPSHOT: row}


def test_a_row_without_a_status(database: Database) -> None:
    database.share(A)
    execute('UPDATE share_instances SET status = NULL')
    assert manila_db.shares(HOST)[A].status == ''


@pytest.mark.parametrize('bad', ['x', A.upper(), A.replace('-', '')])
def test_a_row_that_no_object_can_be_named_after_is_left_out(
    database: Database, bad: str
) -> None:
    database.share(A)
    share = database.share(bad)
    database.snapshot(SNAPSHOT, share, A)
    database.rule(share, '10.0.0.1')
    assert set(manila_db.shares(HOST)) == {A}
    assert set(manila_db.rules(HOST)) == {A}
    assert set(manila_db.snapshots(HOST)) == {SNAPSHOT}


def test_many_ids_and_none(database: Database) -> None:
    for instance_id in (A, B, C):
        database.share(instance_id)
    assert set(manila_db.shares_by_id([A, C])) == {A, C}
    assert manila_db.shares_by_id([]) == {}
    assert manila_db.snapshots_by_id([]) == {}


# -- access rules


def test_the_rules_of_shares(database: Database) -> None:
    share = database.share(A)
    database.share(B)
    first = database.rule(share, '10.0.0.2')
    second = database.rule(share, '10.0.0.1', access_level='ro')
    found = manila_db.rules(HOST)
    assert set(found) == {A, B}
    assert found[B] == protocols.Rules()
    assert {*found[A].active} == {
        protocols.Rule(first, 'ip', '10.0.0.2', 'rw'),
        protocols.Rule(second, 'ip', '10.0.0.1', 'ro'),
    }
    assert found[A].changing == ()


def test_rules_that_manila_casts_to_read_only(database: Database) -> None:
    """As in a migration, and for readable replicas."""
    share = database.share(A)
    database.rule(share, '10.0.0.2')
    database.rule(share, '10.0.0.3', state='queued_to_apply')
    for is_cast, level in ((True, 'ro'), (False, 'rw')):
        database.set_cast(A, is_cast)
        found = manila_db.rules(HOST)[A]
        rules = (*found.active, *found.changing)
        assert [rule.access_level for rule in rules] == [level] * 2


def test_rules_are_in_the_order_of_their_creation(database: Database) -> None:
    """Earlier rules take precedence, where a list has no room for all."""
    share = database.share(A)
    addresses = [f'10.0.0.{number}' for number in (5, 1, 9, 3)]
    for second, address in enumerate(addresses):
        rule = database.rule(share, address)
        execute(
            'UPDATE share_instance_access_map SET created_at = :when '
            'WHERE access_id = :rule',
            when=f'2026-01-01 00:00:0{9 - second}.000000',
            rule=rule,
        )
    active = manila_db.rules(HOST)[A].active
    assert [rule.access_to for rule in active] == addresses[::-1]


#: How each state of a rule counts; every state that Manila knows.
RULE_STATES = {
    constants.STATUS_ACTIVE: 'active',
    constants.ACCESS_STATE_QUEUED_TO_APPLY: 'changing',
    constants.ACCESS_STATE_QUEUED_TO_DENY: 'changing',
    constants.ACCESS_STATE_APPLYING: 'changing',
    constants.ACCESS_STATE_DENYING: 'changing',
    'queued_to_update': 'changing',
    'updating': 'changing',
    constants.ACCESS_STATE_ERROR: None,
    constants.ACCESS_STATE_DELETED: None,
    'unheard-of': None,
}


def test_every_state_of_manila_is_among_them() -> None:
    known = {
        getattr(constants, name)
        for name in dir(constants)
        if name.startswith('ACCESS_STATE_') and not name.endswith('MAPPING')
    }
    states = {state for state in known if isinstance(state, str)}
    assert states <= RULE_STATES.keys()


@pytest.mark.parametrize(('state', 'group'), RULE_STATES.items())
def test_the_state_of_a_rule_decides_where_it_counts(
    database: Database, state: str, group: str | None
) -> None:
    share = database.share(A)
    rule = database.rule(share, '10.0.0.1', state)
    counted = (protocols.Rule(rule, 'ip', '10.0.0.1', 'rw'),)
    expected = protocols.Rules(**{group: counted} if group else {})
    assert manila_db.rules(HOST) == {A: expected}


def test_a_deleted_rule_does_not_count(database: Database) -> None:
    share = database.share(A)
    rule = database.rule(share, '10.0.0.1')
    mapping = db.share_instance_access_get(database.context, rule, A)
    db.share_instance_access_delete(database.context, mapping['id'])
    # Whatever its last state was.
    execute("UPDATE share_instance_access_map SET state = 'active'")
    assert manila_db.rules(HOST) == {A: protocols.Rules()}


def test_a_rule_counts_for_its_own_instance(database: Database) -> None:
    """The instances of one share may be in different states."""
    share = database.share(A)
    database.instance(B, share, host=f'{HOST}#gvg/pool', status='available')
    rule = database.rule(share, '10.0.0.1')
    db.share_instance_access_update(
        database.context, rule, B, {'state': 'error'}
    )
    found = manila_db.rules(HOST)
    assert len(found[A].active) == 1
    assert found[B] == protocols.Rules()


@pytest.mark.parametrize(
    ('status', 'is_in_use'),
    [
        *((status, True) for status in sorted(manila_db.IN_USE)),
        ('creating', False),
        ('extending', False),
        ('deleting', False),
        ('error', False),
        ('error_deleting', False),
        ('unmanaging', False),
    ],
)
def test_only_shares_in_use_have_rules(
    database: Database, status: str, is_in_use: bool
) -> None:
    share = database.share(A, status=status)
    database.rule(share, '10.0.0.1')
    assert set(manila_db.rules(HOST)) == ({A} if is_in_use else set())


def test_the_statuses_of_shares_in_use_are_those_of_manila() -> None:
    known = {
        value
        for name, value in vars(constants).items()
        if name.startswith('STATUS_') and isinstance(value, str)
    }
    assert manila_db.IN_USE <= known


def test_the_rules_of_one_share(database: Database) -> None:
    for instance_id in (A, B):
        database.rule(database.share(instance_id), '10.0.0.1')
    assert set(manila_db.rules(HOST, B)) == {B}
    assert manila_db.rules(HOST, C) == {}
    database.delete_share(B)
    assert manila_db.rules(HOST, B) == {}


# -- rules that wait


@pytest.mark.parametrize(
    ('state', 'waits'),
    [
        ('active', False),
        ('error', False),
        ('queued_to_apply', True),
        ('applying', True),
        ('queued_to_deny', True),
        ('denying', True),
    ],
)
@pytest.mark.parametrize('status', ['active', 'syncing', 'error'])
def test_shares_whose_rules_wait_although_their_status_is_active(
    database: Database, state: str, waits: bool, status: str
) -> None:
    """Manila looks at the shares with other statuses itself."""
    database.rule(database.share(A), '10.0.0.1', state)
    database.rule(database.share(B), '10.0.0.1')
    for instance_id in (A, B):
        db.share_instance_update(
            database.context, instance_id, {'access_rules_status': status}
        )
    expected = {A} if waits and status == 'active' else set()
    assert manila_db.shares_with_waiting_rules(HOST) == expected


@pytest.mark.parametrize('deleted', ['rule', 'share'])
def test_what_is_deleted_does_not_wait(
    database: Database, deleted: str
) -> None:
    rule = database.rule(database.share(A), '10.0.0.1', 'denying')
    db.share_instance_update(
        database.context, A, {'access_rules_status': 'active'}
    )
    assert manila_db.shares_with_waiting_rules(HOST) == {A}
    if deleted == 'rule':
        mapping = db.share_instance_access_get(database.context, rule, A)
        db.share_instance_access_delete(database.context, mapping['id'])
        execute("UPDATE share_instance_access_map SET state = 'denying'")
    else:
        execute('UPDATE share_instances SET deleted = id')
    assert manila_db.shares_with_waiting_rules(HOST) == frozenset()


def test_nothing_is_written(database: Database) -> None:
    share = database.share(A)
    database.rule(share, '10.0.0.1')
    database.snapshot(SNAPSHOT, share, A)
    statements: list[str] = []
    engine = db_api.get_engine()

    def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
        if statement != 'BEGIN':
            statements.append(statement.split()[0])

    sqlalchemy.event.listen(engine, 'before_cursor_execute', note)
    try:
        manila_db.shares(HOST)
        manila_db.snapshots(HOST)
        manila_db.shares_by_id([A, B])
        manila_db.snapshots_by_id([SNAPSHOT])
        manila_db.rules(HOST)
        manila_db.shares_with_waiting_rules(HOST)
    finally:
        sqlalchemy.event.remove(engine, 'before_cursor_execute', note)
    # One statement each, however many rows there are.
    assert statements == ['SELECT'] * 6
