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
"""Options of Manila that change what the driver is asked to do."""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any

from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
from manila.message import message_field
from manila import quota
from manila.share import configuration
from manila.share import driver
from manila.share import manager
from oslo_config import cfg
import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.manila_api import manila_options
from manila_glusterfs_clone.operations import clones
from manila_glusterfs_clone.options import OPTS
from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import scheduler as scheduler_module
from tests.model import share_manager
from tests.model import test_share_manager
from tests.model.test_share_manager import BACKEND
from tests.model.test_share_manager import Cloud
from tests.model import turns

CONF = cfg.CONF
Detail = message_field.Detail
#: Another back end on the same nodes and pools.
SECOND = 'second'
POOL, OTHER_POOL = model_backend.THIN_POOL, 'gvg/other'
USERS = ('10.0.0.5', '10.0.0.6')


@pytest.fixture(scope='module')
def share_type(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Configure two back ends on the same pools; give the share type."""
    sections = {
        name: test_share_manager.section(POOL, OTHER_POOL)
        for name in (BACKEND, SECOND)
    }
    made = share_manager.configure(tmp_path_factory.mktemp('manila'), sections)
    for name in sections:
        for known in (driver.share_opts, manager.share_manager_opts, OPTS):
            configuration.Configuration(known, config_group=name)
    yield made
    share_manager.forget()


@contextlib.contextmanager
def options(**values: object) -> Iterator[None]:
    """Set options of [DEFAULT], or as SECTION__OPTION of a section."""
    with contextlib.ExitStack() as stack:
        for key, value in values.items():
            section, _, name = key.rpartition('__')
            group = section or None
            CONF.set_override(name, value, group)
            stack.callback(CONF.clear_override, name, group)
        yield


@pytest.fixture
def cloud(share_type: str) -> Iterator[Cloud]:
    """Make a cluster and an empty database; the service is not started."""
    with db_api.get_engine().begin() as connection:
        for table in reversed(models.BASE.metadata.sorted_tables):
            if not table.name.startswith('share_type'):
                connection.execute(table.delete())
    pool = neighbours.pool('11.1')
    with model_backend.in_time_of(pool):
        yield Cloud(pool, share_type)


@pytest.fixture
def second(cloud: Cloud, share_type: str) -> Cloud:
    """The service of another back end on the same pools."""
    return Cloud(cloud.pool, share_type, SECOND)


@pytest.fixture
def scheduler(cloud: Cloud) -> scheduler_module.Scheduler:
    """Start the service, and the scheduler beside it."""
    cloud.start()
    return scheduler_module.Scheduler(cloud)


def pool_of(cloud: Cloud, share: str) -> str:
    """Return the pool of a share in Manila."""
    return str(cloud.share(share)['host'].partition('#')[2])


def thin_pools_of(cloud: Cloud, share: str) -> set[str]:
    """Return the thin pools that have bricks of a share."""
    tag = f'manila.share={cloud.instance(share)}'
    return {
        f'gvg/{lv.pool}'
        for node in cloud.pool.nodes.values()
        for lv in node.lvm.lvs.values()
        if tag in lv.tags
    }


def details(cloud: Cloud) -> list[str]:
    return [
        str(message['detail_id'])
        for message in db.message_get_all(
            cloud.context, sort_key='created_at', sort_dir='asc'
        )
    ]


# -- use_scheduler_creating_share_from_snapshot


def test_clones_are_in_the_pool_of_their_snapshot(
    cloud: Cloud, scheduler: scheduler_module.Scheduler
) -> None:
    """The scheduler chooses any pool of the back end, and Manila learns it."""
    origin = scheduler.create()
    assert pool_of(cloud, origin) == OTHER_POOL
    snapshot = cloud.snapshot(origin)
    # For the scheduler, room weighs as much as the pool of the snapshot.
    big = scheduler.create(40)
    assert pool_of(cloud, big) == OTHER_POOL
    scheduler.report_stats()
    with options(use_scheduler_creating_share_from_snapshot=True):
        shares = [scheduler.create(2, snapshot) for _ in range(3)]
    assert f'host@{BACKEND}#{POOL}' in scheduler.chosen_hosts
    for share in shares:
        assert cloud.share(share)['status'] == 'available'
        assert pool_of(cloud, share) == OTHER_POOL
        assert thin_pools_of(cloud, share) == {OTHER_POOL}
    assert not details(cloud)
    # What is done by the pool in Manila works.
    cloud.extend(shares[-1], 3)
    again = cloud.snapshot(shares[-1])
    cloud.start()
    for share in (origin, *shares):
        assert cloud.share(share)['status'] == 'available'
    cloud.delete_snapshot(again)
    cloud.check(origin, big, *shares)


def test_pool_of_the_snapshot_is_full(
    cloud: Cloud, scheduler: scheduler_module.Scheduler
) -> None:
    """Room in another pool does not help, and the user learns why."""
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    thin_pool = cloud.pool.nodes['gl2'].lvm.pools['pool']
    thin_pool.data_percent = 96.0
    scheduler.report_stats()
    with options(use_scheduler_creating_share_from_snapshot=True):
        scheduler.create(1, snapshot)
    (failure,) = scheduler.failures
    assert isinstance(failure.__cause__, placement.InsufficientSpace)
    assert details(cloud) == [Detail.FILTER_CAPACITY[0]]
    delete_failed(cloud)
    cloud.check(origin)


def delete_failed(cloud: Cloud) -> None:
    """Delete the shares in error."""
    for share in db.share_get_all(cloud.context):
        if share['status'] == 'error':
            cloud.delete(share['id'])


def test_pool_of_the_snapshot_is_not_configured_any_more(
    cloud: Cloud, scheduler: scheduler_module.Scheduler
) -> None:
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    with options(model__glusterfs_clone_pools=[OTHER_POOL]):
        cloud.start()
        scheduler.report_stats()
        for is_scheduled in (False, True):
            with options(
                use_scheduler_creating_share_from_snapshot=is_scheduled
            ):
                scheduler.create(1, snapshot)
            cause = scheduler.failures.pop().__cause__
            assert isinstance(cause, clones.SnapshotInOtherPool)
    assert {*details(cloud)} == {Detail.FILTER_CREATE_FROM_SNAPSHOT[0]}


def test_no_replication_domain_is_reported(
    cloud: Cloud, second: Cloud
) -> None:
    """Else a clone may be placed on another back end of the domain."""
    domain = {
        f'{name}__replication_domain': 'a-domain' for name in (BACKEND, SECOND)
    }
    with options(**domain, use_scheduler_creating_share_from_snapshot=True):
        cloud.start()
        second.start()
        scheduler = scheduler_module.Scheduler(cloud, second)
        origin = cloud.create()
        snapshot = cloud.snapshot(origin)
        shares = [scheduler.create(1, snapshot) for _ in range(2)]
    assert {cloud.share(each)['host'] for each in shares} == {
        f'host@{BACKEND}#{POOL}'
    }


# -- migration


def copier(
    cloud: Cloud, destination_ids: list[str]
) -> Callable[[str, str], None]:
    """Return a function that copies data as manila-data does.

    manila-data deletes nothing at the destination (manila/data/utils.py). So
    the destination must be empty.
    """

    def copy(source_id: str, destination_id: str) -> None:
        volume = f'manila-{destination_id}'
        for name in (f'manila-{source_id}', volume):
            assert cloud.pool.mount(share_manager.DATA_NODE, name)
        assert not cloud.pool.read(volume)
        cloud.pool.write(volume, cloud.pool.read(f'manila-{source_id}'))
        destination_ids.append(destination_id)

    return copy


@pytest.mark.parametrize('is_clone', [False, True], ids=['share', 'clone'])
@pytest.mark.parametrize(
    'host', [f'host@{BACKEND}#{OTHER_POOL}', f'host@{SECOND}#{POOL}']
)
def test_migration_through_a_copy(
    cloud: Cloud, second: Cloud, host: str, is_clone: bool
) -> None:
    """Manila passes the snapshot of a clone to the destination, too.

    It copies the access rules last, and makes none of them read-only there.
    """
    for service in (cloud, second):
        service.start()
    scheduler = scheduler_module.Scheduler(cloud, second)
    origin = cloud.create()
    cloud.pool.write(f'manila-{cloud.instance(origin)}', 'since deleted')
    snapshot = cloud.snapshot(origin)
    share = cloud.create(2, snapshot if is_clone else None)
    source_id = cloud.instance(share)
    cloud.pool.write(f'manila-{source_id}', 'data of the user')
    rules = [cloud.allow(share, 'ip', address) for address in USERS]
    destination_ids: list[str] = []
    scheduler.migrate(share, host, copier(cloud, destination_ids))
    assert not scheduler.failures
    assert [cloud.instance(share)] == destination_ids
    migrated = cloud.share(share)
    assert migrated['status'] == 'available'
    assert migrated['task_state'] == 'migration_success'
    assert migrated['host'] == host
    assert [each['id'] for each in migrated.instances] == destination_ids
    assert thin_pools_of(cloud, share) == {host.partition('#')[2]}
    volume = f'manila-{cloud.instance(share)}'
    assert cloud.pool.read(volume) == 'data of the user'
    assert cloud.pool.size(volume) == 2 * model_backend.GIB
    assert cloud.rules(share) == dict.fromkeys(rules, 'active')
    for address in USERS:
        assert cloud.pool.mount(address, volume)
        assert (address, volume) in cloud.pool.state.writers()
    for each in (origin, share):
        cloud.pool.write(f'manila-{cloud.instance(each)}', '')
    cloud.check(origin, share)
    # It is a share like any other.
    owner = second if SECOND in host else cloud
    owner.extend(share, 3)
    owner.delete_snapshot(owner.snapshot(share))
    owner.delete(share)
    cloud.delete_snapshot(snapshot)
    cloud.check(origin)


def test_rules_are_read_only_while_a_share_is_migrated(
    cloud: Cloud, scheduler: scheduler_module.Scheduler
) -> None:
    """Users go on reading, and no user changes what is copied.

    Not even manila-data, which may write at the destination.
    """
    share = cloud.create()
    source_id = cloud.instance(share)
    volume = f'manila-{source_id}'
    rule = cloud.allow(share, 'ip', '10.0.0.5')

    def copy(source_id: str, destination_id: str) -> None:
        destination = f'manila-{destination_id}'
        for name in (volume, destination):
            assert cloud.pool.mount(share_manager.DATA_NODE, name)
        assert cloud.pool.mounted(volume) == {
            '10.0.0.5',
            share_manager.DATA_NODE,
        }
        assert cloud.pool.state.writers() == {
            (share_manager.DATA_NODE, destination)
        }
        raise exception.ShareDataCopyFailed(reason='the end')

    with pytest.raises(exception.ShareMigrationFailed):
        scheduler.migrate(share, f'host@{BACKEND}#{OTHER_POOL}', copy)
    assert cloud.share(share)['status'] == 'available'
    assert cloud.instance(share) == source_id
    assert thin_pools_of(cloud, share) == {POOL}
    assert cloud.rules(share) == {rule: 'active'}
    assert cloud.pool.mounted(volume) == {'10.0.0.5'}
    assert ('10.0.0.5', volume) in cloud.pool.state.writers()
    assert not cloud.pool.observer.disturbances


# -- options of the section


def test_filter_function(
    cloud: Cloud, scheduler: scheduler_module.Scheduler
) -> None:
    """A function that is never true excludes the back end."""
    share = scheduler.create()
    for option in ('model__filter_function', 'filter_function'):
        with options(**{option: '2 < 1'}):
            scheduler.report_stats()
            scheduler.create()
    assert details(cloud) == [Detail.FILTER_DRIVER[0]] * 2
    failed_shares = [
        each['status'] for each in db.share_get_all(cloud.context)
    ]
    assert sorted(failed_shares) == ['available', 'error', 'error']
    with options(model__filter_function='1 < 2', filter_function='2 < 1'):
        scheduler.report_stats()
        assert cloud.share(scheduler.create())['status'] == 'available'
    assert cloud.share(share)['status'] == 'available'


def test_goodness_function(
    cloud: Cloud, second: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """The scheduler prefers the back end with the better rating."""
    for best, other in ((BACKEND, SECOND), (SECOND, BACKEND)):
        ratings = {
            f'{best}__goodness_function': '90',
            f'{other}__goodness_function': '10',
        }
        with options(**ratings):
            cloud.start()
            second.start()
            scheduler = scheduler_module.Scheduler(cloud, second)
            caplog.clear()
            share = scheduler.create()
            assert cloud.share(share)['host'].startswith(f'host@{best}#')
            assert 'Goodness function not set' not in caplog.text


def test_availability_zone(cloud: Cloud) -> None:
    cloud.start()
    assert cloud.manager.availability_zone == CONF.storage_availability_zone
    with options(model__backend_availability_zone='upstairs'):
        cloud.start()
    assert cloud.manager.availability_zone == 'upstairs'


@pytest.mark.parametrize(
    'wrong',
    [
        {'model__driver_handles_share_servers': True},
        {'model__reserved_share_percentage': 101},
        {'model__filter_function': '2 <'},
    ],
    ids=str,
)
def test_a_mistake_stops_only_its_back_end(
    cloud: Cloud,
    second: Cloud,
    wrong: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manila_options, '_is_parser_broken', lambda: False)
    with options(**wrong):
        with pytest.raises(exception.ShareBackendException) as caught:
            cloud.start()
        mistakes = caught.value.__cause__
        assert isinstance(mistakes, findings.Misconfigured)
        (mistake,) = mistakes.mistakes
        assert mistake.subject in next(iter(wrong))
        assert not cloud.manager.is_service_ready()
        second.start()
        assert second.share(second.create())['status'] == 'available'
    cloud.start()


# -- several back ends on the same pools


def test_back_ends_on_the_same_pools(cloud: Cloud, second: Cloud) -> None:
    """Both report the whole pool, and what both have put into it."""
    services = (cloud, second)
    for service in services:
        service.start()
    shares = [service.create(4) for service in services]
    snapshots = [
        service.snapshot(share)
        for service, share in zip(services, shares, strict=True)
    ]
    copies = [
        service.create(5, snapshot)
        for service, snapshot in zip(services, snapshots, strict=True)
    ]

    def reported() -> list[tuple[object, ...]]:
        return [
            tuple(
                pool[key]
                for pool in service.manager.driver.get_share_stats(
                    refresh=True
                )['pools']
                for key in (
                    'total_capacity_gb',
                    'free_capacity_gb',
                    'provisioned_capacity_gb',
                )
            )
            for service in services
        ]

    first, other = reported()
    assert first == other
    # A restart and a pass of one do nothing to what the other has.
    for service in services:
        steps = len(service.process.steps)
        service.start()
        service.manager.driver._backend.maintenance.run_pass()
        of_other = second if service is cloud else cloud
        names = [
            of_other.instance(each)
            for each in (*shares, *copies)
            if of_other.share(each)['host'].startswith(
                f'host@{of_other.backend}#'
            )
        ]
        for step in service.process.steps[steps:]:
            assert not any(name in ' '.join(step.argv) for name in names)
    # The limit holds for both together.
    with options(
        model__max_over_subscription_ratio=1.0,
        second__max_over_subscription_ratio=1.0,
    ):
        for service in services:
            service.start()
        big = cloud.create(25)
        with pytest.raises(exception.NoValidHost):
            second.create(25)
        cloud.delete(big)
    delete_failed(cloud)
    cloud.check(*shares, *copies)


# -- options of Manila's own behaviour


def test_name_templates(cloud: Cloud) -> None:
    """The driver names its objects after ids."""
    with options(
        share_name_template='$(x) %s', share_snapshot_name_template='../%s y'
    ):
        cloud.start()
        share = cloud.create()
        snapshot = cloud.snapshot(share)
        clone = cloud.create(2, snapshot)
        cloud.extend(clone, 3)
        cloud.start()
    cloud.check(share, clone)
    cloud.delete_snapshot(snapshot)
    cloud.delete(clone)
    cloud.check(share)


def test_shares_are_ensured_in_any_way(cloud: Cloud) -> None:
    cloud.start()
    share = cloud.create()
    volume = f'manila-{cloud.instance(share)}'
    for is_set in (True, False):
        cloud.pool.state.volumes[volume].status = 'Stopped'
        with options(
            share_service_inithost_offload=is_set,
            update_shares_status_on_ensure=is_set,
        ):
            cloud.start()
        assert cloud.share(share)['status'] == 'available'
        cloud.check(share)


def test_rules_are_removed_when_a_share_is_unmanaged(cloud: Cloud) -> None:
    cloud.start()
    share = cloud.create()
    volume = f'manila-{cloud.instance(share)}'
    cloud.allow(share, 'ip', '10.0.0.5')
    with options(model__unmanage_remove_access_rules=True):
        cloud.manager.unmanage_share(cloud.context, share)
    with pytest.raises(exception.NotFound):
        cloud.share(share)
    marks = cloud.pool.state.volumes[volume].options
    assert marks['user.manila.share'] == 'unmanaged'
    assert not cloud.pool.mounted(volume)
    assert not cloud.pool.mount('10.0.0.5', volume)


# -- is_deferred_deletion_enabled


class Kind:
    """One kind of instances: what deletes it, and what reads it."""

    def __init__(self, cloud: Cloud, is_snapshot: bool) -> None:
        self._cloud = cloud
        self._is_snapshot = is_snapshot
        #: The reductions of the quotas of the project, in order.
        self.reductions: list[dict[str, int]] = []

    def create(self) -> str:
        """Create a share or a snapshot; return the id of its instance."""
        share = self._cloud.create()
        if not self._is_snapshot:
            return self._cloud.instance(share)
        snapshot = self._cloud.snapshot(share)
        return str(
            db.share_snapshot_get(self._cloud.context, snapshot).instance['id']
        )

    def read(self, instance: str) -> Any:
        """Return an instance.

        :raises exception.NotFound: the instance was deleted.
        """
        if self._is_snapshot:
            return db.share_snapshot_instance_get(
                self._cloud.context, instance
            )
        return db.share_instance_get(self._cloud.context, instance)

    def delete(self, instance: str) -> None:
        """Delete an instance as with is_deferred_deletion_enabled."""
        context, manager = self._cloud.context, self._cloud.manager
        status = {'status': 'deferred_deleting'}
        if self._is_snapshot:
            db.share_snapshot_instance_update(context, instance, status)
            manager.delete_snapshot(
                context,
                self.read(instance)['snapshot_id'],
                force=False,
                deferred_delete=True,
            )
        else:
            db.share_instance_update(context, instance, status)
            manager.delete_share_instance(
                context, instance, force=False, deferred_delete=True
            )

    def retry(self) -> None:
        """Let Manila retry failed deletions, as it does periodically."""
        manager = self._cloud.manager
        if self._is_snapshot:
            manager.do_deferred_snapshot_deletion(self._cloud.context)
        else:
            manager.do_deferred_share_deletion(self._cloud.context)

    def reserve(self, context: object, **values: Any) -> list[str]:
        """Record a change of the quotas (manila/quota.py)."""
        self.reductions.append(
            {k: v for k, v in values.items() if isinstance(v, int)}
        )
        return []


@pytest.fixture(params=[False, True], ids=['share', 'snapshot'])
def kind(
    cloud: Cloud,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Kind:
    kind = Kind(cloud, request.param)
    monkeypatch.setattr(quota.QUOTAS, 'reserve', kind.reserve)
    monkeypatch.setattr(quota.QUOTAS, 'commit', lambda *args, **more: None)
    return kind


def test_deferred_deletion_that_failed(cloud: Cloud, kind: Kind) -> None:
    """Manila deletes the instance again."""
    cloud.start()
    instance = kind.create()
    cloud.pool.shut_down('gl3')
    kind.delete(instance)
    assert kind.read(instance)['status'] == 'error_deferred_deleting'
    cloud.manager.driver._backend.maintenance.run_pass()
    cloud.pool.boot('gl3')
    cloud.pool.time.advance(60)
    kind.retry()
    with pytest.raises(exception.NotFound):
        kind.read(instance)
    assert len(kind.reductions) == 1
    cloud.check(*(each['id'] for each in db.share_get_all(cloud.context)))


@turns.in_turn()
@pytest.mark.parametrize('part', [0, 0.3, 0.9])
def test_deferred_deletion_that_was_interrupted(
    cloud: Cloud, kind: Kind, part: float
) -> None:
    """Manila would never delete it again, and its user cannot.

    Manila reduces the usage of the quotas before the driver deletes anything,
    and must not reduce it twice.
    """
    cloud.start()
    spare = kind.create()
    before = len(cloud.process.steps)
    kind.delete(spare)
    step_count = len(cloud.process.steps) - before
    instance = kind.create()
    kind.reductions.clear()
    cloud.process.fail_at(
        len(cloud.process.steps) + int(step_count * part),
        link.Fault.KILLED_BEFORE,
    )
    with pytest.raises(link.Killed):
        kind.delete(instance)
    assert kind.read(instance)['status'] == 'deferred_deleting'
    assert len(kind.reductions) == 1
    cloud.start()
    assert kind.read(instance)['status'] == 'error_deferred_deleting'
    kind.retry()
    with pytest.raises(exception.NotFound):
        kind.read(instance)
    assert len(kind.reductions) == 1
    cloud.check(*(each['id'] for each in db.share_get_all(cloud.context)))
