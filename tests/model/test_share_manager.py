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
"""Manila's own share manager with the driver over the model."""

from collections.abc import Callable, Iterator
import dataclasses
import types
from typing import Any, ClassVar
import uuid

from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
from manila.share import rpcapi
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.operations import status_after_interruption
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.tools import gluster
from tests import key_files
from tests.model import invariants
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import neighbours
from tests.model import share_manager
from tests.model import turns

BACKEND = 'model'


class Cloud(share_manager.Manila):
    """manila-share over a pool, started and killed at will."""

    def __init__(
        self,
        pool: model_cluster.ModelCluster,
        share_type: str,
        backend: str = BACKEND,
    ) -> None:
        super().__init__(backend, model_backend.THIN_POOL, share_type)
        self.pool = pool
        self.process = link.Process(pool)
        pool.observer.entitled[backend] = self.entitled
        pool.observer.read_only[backend] = self.is_reader

    def start(self) -> None:
        self.process = link.Process(self.pool)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(commands, 'Remote', self.process.connect)
            super().start()

    def allow(self, share: str, kind: str, to: str, level: str = 'rw') -> str:
        """Add an access rule; have the client that it admits mount."""
        rule = super().allow(share, kind, to, level)
        if self.rules(share)[rule] == 'active' and kind == 'ip':
            self.pool.mount(to, f'manila-{self.instance(share)}')
        return rule

    def check(self, *shares: str) -> None:
        """Fail if there is more than, or not all of, these shares."""
        self.pool.time.run_deferred()
        self.pool.time.advance(5)
        found = invariants.problems(
            self.pool,
            [self._expected(share) for share in shares],
            [
                str(instance['id'])
                for instance in (
                    db.share_snapshot_instance_get_all_with_filters(
                        self.context, {}
                    )
                )
            ],
        )
        assert not found, '\n'.join(found)

    def _expected(self, share: str) -> invariants.Share:
        """Return a share, and who is admitted by its rules in force."""
        levels = {
            rule['access_to']: rule['access_level']
            for rule in self._mappings(share)
            if (rule['access_type'], rule['state']) == ('ip', 'active')
        }
        return invariants.Share(
            self.instance(share),
            self.share(share)['size'],
            allow=','.join(sorted(levels)) or '0.0.0.0',
            levels=levels,
            readers={who for who, level in levels.items() if level == 'ro'},
        )


@pytest.fixture(scope='module')
def share_type(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Configure Manila; give the id of its share type."""
    yield share_manager.configure(
        tmp_path_factory.mktemp('manila'),
        {BACKEND: section(model_backend.THIN_POOL)},
    )
    share_manager.forget()


def section(*pools: str) -> dict[str, object]:
    """Return the options of a back end on these pools."""
    return {
        'glusterfs_clone_nodes': 'gl1,gl2,gl3',
        'glusterfs_clone_pools': ','.join(pools),
        'glusterfs_clone_ssh_private_key': key_files.private_key(),
        'glusterfs_clone_ssh_known_hosts': key_files.known_hosts(),
        # Passes are made by the tests.
        'glusterfs_clone_reconcile_interval': 0,
    }


@pytest.fixture
def cloud(share_type: str) -> Iterator[Cloud]:
    """Run manila-share over a new pool, with nothing in the database."""
    with db_api.get_engine().begin() as connection:
        for table in reversed(models.BASE.metadata.sorted_tables):
            if not table.name.startswith('share_type'):
                connection.execute(table.delete())
    pool = neighbours.pool('11.1')
    with model_backend.in_time_of(pool):
        found = Cloud(pool, share_type)
        found.start()
        yield found


def test_life_of_shares(cloud: Cloud) -> None:
    origin = cloud.create()
    share = cloud.share(origin)
    assert share['status'] == 'available'
    locations = db.export_location_get_all_by_share_id(cloud.context, origin)
    assert [place['path'].partition(':')[0] for place in locations] == [
        'gl1',
        'gl2',
        'gl3',
    ]
    cloud.pool.write(f'manila-{cloud.instance(origin)}', 'some data')
    snapshot = cloud.snapshot(origin)
    assert (
        db.share_snapshot_get(cloud.context, snapshot)['status'] == 'available'
    )

    clone = cloud.create(2, snapshot)
    assert cloud.share(clone)['status'] == 'available'
    volume = f'manila-{cloud.instance(clone)}'
    assert cloud.pool.read(volume) == 'some data'
    assert cloud.pool.size(volume) == 2 * model_backend.GIB

    good = cloud.allow(clone, 'ip', '10.0.0.5')
    bad = cloud.allow(clone, 'ip', 'fe80::1')
    assert cloud.rules(clone) == {good: 'active', bad: 'error'}
    assert cloud.pool.mount('10.0.0.5', volume)
    cloud.deny(clone, good)
    cloud.deny(clone, bad)
    assert cloud.rules(clone) == {}
    assert not cloud.pool.mounted(volume)

    cloud.extend(clone, 4)
    assert cloud.share(clone)['status'] == 'available'
    assert cloud.share(clone)['size'] == 4
    assert cloud.pool.size(volume) == 4 * model_backend.GIB

    cloud.delete_snapshot(snapshot)
    cloud.delete(origin)
    cloud.delete(clone)
    assert not db.share_get_all(cloud.context)
    cloud.check()


def test_clone_fails_and_is_deleted(cloud: Cloud) -> None:
    """The user sees it in error, deletes it, and tries again."""
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    cloud.pool.state.mishaps['clone'] = 99
    with pytest.raises(exception.ShareBackendException):
        cloud.create(1, snapshot)
    cloud.pool.state.mishaps.clear()
    (failed,) = [
        str(share['id'])
        for share in db.share_get_all(cloud.context)
        if share['status'] == 'error'
    ]
    cloud.delete(failed)
    again = cloud.create(1, snapshot)
    assert cloud.share(again)['status'] == 'available'
    cloud.check(origin, again)


@dataclasses.dataclass(frozen=True)
class Life:
    """What there is before something is done that is interrupted."""

    origin: str
    snapshot: str
    spare: str
    #: The access rule of the spare share.
    rule: str

    #: What is done to it.
    VERBS: ClassVar[dict[str, Callable[[Cloud, 'Life'], object]]] = {
        'create': lambda cloud, life: cloud.create(),
        'clone': lambda cloud, life: cloud.create(2, life.snapshot),
        'snapshot': lambda cloud, life: cloud.snapshot(life.origin),
        'extend': lambda cloud, life: cloud.extend(life.origin, 3),
        'delete_snapshot': lambda cloud, life: cloud.delete_snapshot(
            life.snapshot
        ),
        'delete': lambda cloud, life: cloud.delete(life.spare),
        'allow': lambda cloud, life: cloud.allow(
            life.origin, 'ip', '10.0.0.7'
        ),
        'deny': lambda cloud, life: cloud.deny(life.spare, life.rule),
        'set_level': lambda cloud, life: cloud.set_level(
            life.spare, life.rule, 'ro'
        ),
    }


@turns.in_turn()
@pytest.mark.parametrize('part', [0, 0.5, 0.99])
@pytest.mark.parametrize('verb', Life.VERBS)
def test_killed_in_the_middle_and_started_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, verb: str, part: float
) -> None:
    """Nothing stays in a state in which its user can do nothing."""
    act = Life.VERBS[verb]

    def make() -> Life:
        origin, spare = cloud.create(), cloud.create()
        rule = cloud.allow(spare, 'ip', '10.0.0.6')
        return Life(origin, cloud.snapshot(origin), spare, rule)

    def clear() -> None:
        for snapshot in db.share_snapshot_get_all(cloud.context):
            cloud.delete_snapshot(snapshot['id'])
        for share in db.share_get_all(cloud.context):
            cloud.delete(share['id'])

    # To its end, to learn of how many steps it is: more at the first time.
    for _ in range(2):
        before = make()
        begin = len(cloud.process.steps)
        act(cloud, before)
        steps = len(cloud.process.steps) - begin
        clear()

    life = make()
    begin = len(cloud.process.steps)
    cloud.process.fail_at(begin + int(steps * part), link.Fault.KILLED_BEFORE)
    with pytest.raises(link.Killed):
        act(cloud, life)

    asked: list[Callable[[], object]] = []
    monkeypatch.setattr(
        rpcapi.ShareAPI,
        'delete_share_instance',
        lambda api, context, share: asked.append(
            lambda: cloud.manager.delete_share_instance(context, share['id'])
        ),
    )
    monkeypatch.setattr(
        rpcapi.ShareAPI,
        'delete_snapshot',
        lambda api, context, snapshot, host: asked.append(
            lambda: cloud.manager.delete_snapshot(context, snapshot['id'])
        ),
    )
    cloud.start()
    # Now what is in the queue of messages.
    for each in asked:
        each()

    states = {
        each['id']: each['status']
        for each in (
            *db.share_get_all(cloud.context),
            *db.share_snapshot_get_all(cloud.context),
        )
    }
    gone = {'delete': life.spare, 'delete_snapshot': life.snapshot}.get(verb)
    old = {life.origin, life.snapshot, life.spare} - {gone}
    assert {states.pop(each) for each in old} == {'available'}
    if verb in ('create', 'clone', 'snapshot'):
        # What is finished is available, and what is not, in error.
        (made,) = states
        assert states[made] == ('error' if part < 0.5 else states[made])
        if states[made] == 'available' and verb != 'snapshot':
            _require_whole(cloud, made, 2 if verb == 'clone' else 1)
    else:
        assert not states
    if verb in ('allow', 'deny', 'set_level'):
        assert len(cloud.rules(life.origin)) == (verb == 'allow')
        assert len(cloud.rules(life.spare)) == (verb != 'deny')
        cloud.check(life.origin, life.spare)
    if verb == 'extend':
        assert cloud.share(life.origin)['size'] == 3
        volume = f'manila-{cloud.instance(life.origin)}'
        assert cloud.pool.size(volume) == 3 * model_backend.GIB
    for each in (*db.share_get_all(cloud.context),):
        assert {*cloud.rules(each['id']).values()} <= {'active'}
        assert not _marks(cloud).find(cloud.instance(each['id']))
    for each in states:
        if verb == 'snapshot':
            cloud.delete_snapshot(each)
        else:
            cloud.delete(each)
    if life.snapshot in old:
        assert cloud.share(cloud.create(1, life.snapshot))
    clear()
    cloud.check()


def _marks(cloud: Cloud) -> work_marks.WorkMarks:
    found = cloud.manager.driver._services.marks
    assert isinstance(found, work_marks.WorkMarks)
    return found


def _require_whole(cloud: Cloud, share: str, size: int) -> None:
    """Fail unless a share can be used, and is recorded as Manila does it."""
    found = cloud.share(share)
    assert found.instance['progress'] == '100%'
    assert found.instance['launched_at'] is not None
    assert len(cloud.locations(share)) == len(cloud.pool.nodes)
    volume = f'manila-{cloud.instance(share)}'
    assert cloud.pool.size(volume) == size * model_backend.GIB
    cloud.allow(share, 'ip', '10.0.0.5')
    assert cloud.pool.mount('10.0.0.5', volume)


def test_work_of_another_process_is_left_to_it(cloud: Cloud) -> None:
    share = cloud.create()
    instance = cloud.instance(share)
    db.share_instance_update(cloud.context, instance, {'status': 'extending'})
    _marks(cloud).set(instance, work_marks.Work(work_marks.EXTEND, 3))
    with locks.Locks(1).work(instance):
        cloud.start()
    assert cloud.share(share)['status'] == 'extending'
    cloud.start()
    assert cloud.share(share)['status'] == 'available'
    assert cloud.share(share)['size'] == 3
    assert cloud.pool.size(f'manila-{instance}') == 3 * model_backend.GIB


#: What waits in the message queue while the service is down, by status.
_QUEUED = ('extending', 'deleting', 'unmanage_starting')


@pytest.mark.parametrize('status', _QUEUED)
def test_requests_in_the_message_queue_are_left_alone(
    cloud: Cloud, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    instance = cloud.instance(share)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    db.share_instance_update(cloud.context, instance, {'status': status})
    if status != 'extending':
        db.share_snapshot_instance_update(
            cloud.context, taken, {'status': status}
        )
    cloud.start()
    assert cloud.share(share)['status'] == status
    if status != 'extending':
        assert cloud.snapshot_status(snapshot) == status
    begin = len(cloud.process.steps)
    caplog.clear()
    for _ in range(3):
        cloud.manager.driver._backend.maintenance.run_pass()
    assert cloud.share(share)['status'] == status
    assert all(step.is_read for step in cloud.process.steps[begin:])
    # It may have been lost, which only the queue can tell: once for each.
    said = [each for each in caplog.records if each.levelname == 'WARNING']
    waiting = [instance] if status == 'extending' else [instance, taken]
    assert len(said) == len(waiting)
    assert {record.name for record in said} == {backoff.__name__}
    for each in waiting:
        assert any(each in str(record.args) for record in said)


@pytest.mark.parametrize('status', ['creating', 'extending'])
def test_finished_work_is_recorded_though_its_mark_is_gone(
    cloud: Cloud, status: str
) -> None:
    """The service was killed before Manila could write that it ended."""
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    if status == 'extending':
        cloud.extend(share, 3)
        db.share_update(cloud.context, share, {'size': 1, 'status': status})
    else:
        db.share_instance_update(
            cloud.context, cloud.instance(share), {'status': status}
        )
        db.share_snapshot_instance_update(
            cloud.context, taken, {'status': status}
        )
    cloud.start()
    # Manila may be about to write it, in another process.
    assert cloud.share(share)['status'] == status
    cloud.manager.driver._backend.maintenance.run_pass()
    assert cloud.share(share)['status'] == 'available'
    assert cloud.snapshot_status(snapshot) == 'available'
    assert cloud.share(share)['size'] == (3 if status == 'extending' else 1)


def test_one_share_that_cannot_be_settled_does_not_hide_the_next(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = [cloud.create(), cloud.create()]
    for share in shares:
        instance = cloud.instance(share)
        db.share_instance_update(
            cloud.context, instance, {'status': 'extending'}
        )
        _marks(cloud).set(instance, work_marks.Work(work_marks.EXTEND, 2))
    real = status_after_interruption.Statuses.share

    def fail_once(
        room: status_after_interruption.Statuses,
        share: str,
        status: str,
        size: int,
    ) -> Any:
        if share == min(map(cloud.instance, shares)):
            raise RuntimeError('a bug')
        return real(room, share, status, size)

    with monkeypatch.context() as patch:
        patch.setattr(status_after_interruption.Statuses, 'share', fail_once)
        cloud.start()
    found = {cloud.share(share)['status'] for share in shares}
    assert found == {'available', 'extending'}


def test_an_extension_goes_on_when_the_cluster_lets_it(cloud: Cloud) -> None:
    share = cloud.create()
    instance = cloud.instance(share)
    volume = f'manila-{instance}'
    db.share_instance_update(cloud.context, instance, {'status': 'extending'})
    _marks(cloud).set(instance, work_marks.Work(work_marks.EXTEND, 3))
    cloud.pool.cut('gl3')
    cloud.pool.time.advance(60)
    cloud.start()
    assert cloud.share(share)['status'] == 'extending'
    cloud.pool.boot()
    maintenance = cloud.manager.driver._backend.maintenance
    maintenance.run_pass()
    maintenance.run_pass()
    assert cloud.share(share)['status'] == 'available'
    assert cloud.share(share)['size'] == 3
    assert cloud.pool.size(volume) == 3 * model_backend.GIB
    assert not _marks(cloud).find(instance)


def test_manila_settles_interrupted_work_itself(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = cloud.create()
    instance = cloud.instance(share)
    db.share_instance_update(cloud.context, instance, {'status': 'extending'})
    _marks(cloud).set(instance, work_marks.Work(work_marks.EXTEND, 3))
    monkeypatch.setattr(
        interrupted_work,
        'CONF',
        types.SimpleNamespace(startup_reconciliation_enabled=True),
    )
    cloud.start()
    assert cloud.share(share)['status'] == 'extending'
    # Then it asks the driver, and writes what that answers.
    found = cloud.manager.driver.get_share_status(
        {'id': instance, 'status': 'extending', 'size': 1}
    )
    assert (found['status'], found['size']) == ('available', 3)
    assert len(found['export_locations']) == 3


def test_states_as_manila_asks_for_them(cloud: Cloud) -> None:
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    driver = cloud.manager.driver
    instance = cloud.instance(share)
    found = driver.get_share_status(
        {'id': instance, 'status': 'creating', 'size': 1}
    )
    assert found['status'] == 'available'
    assert 'size' not in found
    assert driver.get_snapshot_status(
        {'id': taken, 'share_instance_id': instance}
    ) == {'status': 'available'}
    nothing = str(uuid.UUID(int=99))
    assert driver.get_share_status(
        {'id': nothing, 'status': 'creating', 'size': 1}
    ) == {'status': 'error'}
    assert driver.get_snapshot_status(
        {'id': nothing, 'share_instance_id': instance}
    ) == {'status': 'error'}


def test_a_failure_to_look_for_interrupted_work_keeps_nobody_from_serving(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise exception.ManilaException('no answer')

    share = cloud.create()
    with monkeypatch.context() as patch:
        patch.setattr(interrupted_work.InterruptedWork, 'resume', fail)
        cloud.start()
    assert cloud.share(share)['status'] == 'available'


CLIENTS = ('10.0.0.5', '10.0.0.6', '10.0.0.7')


def _with_clients(cloud: Cloud) -> tuple[str, list[str]]:
    """Return a share with three clients, and their rules."""
    share = cloud.create()
    rules = [cloud.allow(share, 'ip', client) for client in CLIENTS]
    for client in CLIENTS:
        assert cloud.pool.mount(client, f'manila-{cloud.instance(share)}')
    return share, rules


@pytest.mark.parametrize('state', ['queued_to_deny', 'denying'])
@pytest.mark.parametrize('status', ['active', 'syncing', 'error'])
def test_a_waiting_denial_disturbs_nobody_else_at_start(
    cloud: Cloud, state: str, status: str
) -> None:
    share, rules = _with_clients(cloud)
    instance = cloud.instance(share)
    db.share_instance_access_update(
        cloud.context, rules[-1], instance, {'state': state}
    )
    db.share_instance_update(
        cloud.context, instance, {'access_rules_status': status}
    )
    cloud.start()
    mounted = cloud.pool.mounted(f'manila-{instance}')
    assert sorted(mounted) == list(CLIENTS[:2])
    assert set(cloud.rules(share).values()) == {'active'}
    assert cloud.share(share)['access_rules_status'] == 'active'


def test_a_restart_asks_little_and_changes_nothing(cloud: Cloud) -> None:
    """Whatever the number of shares is."""
    shares = [_with_clients(cloud)[0] for _ in range(4)]
    cloud.start()
    reads = len(cloud.process.steps)
    assert all(step.is_read for step in cloud.process.steps)
    shares += [_with_clients(cloud)[0] for _ in range(4)]
    cloud.start()
    assert len(cloud.process.steps) == reads
    for share in shares:
        volume = f'manila-{cloud.instance(share)}'
        assert sorted(cloud.pool.mounted(volume)) == list(CLIENTS)


def test_lists_that_differ_are_set_at_start_and_nobody_else_disturbed(
    cloud: Cloud,
) -> None:
    share, _ = _with_clients(cloud)
    volume = f'manila-{cloud.instance(share)}'
    cloud.pool.state.volumes[volume].options['auth.allow'] += ',10.0.0.9'
    assert cloud.pool.mount('10.0.0.9', volume)
    cloud.start()
    assert sorted(cloud.pool.mounted(volume)) == list(CLIENTS)
    assert not cloud.pool.mount('10.0.0.9', volume)


def test_a_node_that_is_down_costs_a_constant_at_start(cloud: Cloud) -> None:
    def seconds_to_start(shares: int) -> float:
        for _ in range(shares):
            cloud.allow(cloud.create(), 'ip', CLIENTS[0])
        cloud.pool.cut('gl3')
        cloud.pool.time.advance(300)
        begin = cloud.pool.time.now
        cloud.start()
        took = cloud.pool.time.now - begin
        cloud.pool.boot()
        return float(took)

    few = seconds_to_start(2)
    assert few <= 60
    assert seconds_to_start(6) <= few + 1


def test_rules_that_hold_survive_a_failure_at_start(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, _ = _with_clients(cloud)
    volume = f'manila-{cloud.instance(share)}'
    # So that something has to be set.
    cloud.pool.state.volumes[volume].options['auth.allow'] += ',10.0.0.9'

    def fail(*args: object, **more: object) -> None:
        raise errors.TimedOut('gl1', ('gluster', 'pool', 'list'), 20)

    with monkeypatch.context() as patch:
        patch.setattr(native.NativeProtocol, 'apply', fail)
        cloud.start()
    assert cloud.share(share)['access_rules_status'] == 'active'
    assert set(cloud.rules(share).values()) == {'active'}
    assert sorted(cloud.pool.mounted(volume)) == list(CLIENTS)


def test_a_busy_glusterd_is_no_share_that_is_down(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    share, _ = _with_clients(cloud)

    def busy(*args: object, **more: object) -> None:
        raise errors.Busy(
            'gl1',
            ('gluster', 'volume', 'status'),
            30802,
            'Another transaction is in progress',
        )

    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr(gluster.Gluster, 'brick_status', busy)
        found = cloud.manager.driver.ensure_shares(
            cloud.context, [{'id': cloud.instance(share)}]
        )
    assert found[cloud.instance(share)]['status'] == 'available'
    assert not [r for r in caplog.records if r.levelname == 'ERROR']


def test_start_heals_and_applies_rules(cloud: Cloud) -> None:
    """All nodes lost their power, and manila-share in mid-rule."""
    share = cloud.create()
    instance = cloud.instance(share)
    rule = cloud.allow(share, 'ip', '10.0.0.5')
    assert cloud.rules(share) == {rule: 'active'}
    db.share_instance_access_update(
        cloud.context, rule, instance, {'state': 'denying'}
    )
    for node in cloud.pool.nodes.values():
        node.boot_unit = False
    cloud.pool.cut()
    cloud.pool.boot()
    # Whoever looks after the nodes has enabled it since.
    for node in cloud.pool.nodes.values():
        node.boot_unit = True
    cloud.start()
    assert cloud.share(share)['status'] == 'available'
    assert cloud.rules(share) == {}
    assert not cloud.pool.mount('10.0.0.5', f'manila-{instance}')
    cloud.check(share)


def test_statistics(cloud: Cloud) -> None:
    def pool() -> Any:
        (found,) = cloud.manager.driver.get_share_stats(refresh=True)['pools']
        return found

    before = pool()
    assert before['pool_name'] == model_backend.THIN_POOL
    assert before['total_capacity_gb'] == 64
    cloud.create(3)
    more = pool()['provisioned_capacity_gb']
    assert more - before['provisioned_capacity_gb'] == 3
