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
"""Manila's contract."""

from collections.abc import Callable, Iterator
import inspect
import pathlib
import threading
import types
from typing import Any

from manila import exception
from manila.share import configuration as manila_configuration
from manila.share import driver as manila_driver
from manila.share import share_types
from oslo_config import cfg
from oslo_db import exception as db_exception
import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import driver
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone.manila_api import arguments
from manila_glusterfs_clone.manila_api import share_hosts
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import startup_checks
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.tools import gluster

GROUP = 'unit_gold'
GIB = 1 << 30
ID = '3f0c6d5e-8a53-4a57-9a0e-0c1a2b3c4d5e'
OTHER = '7b1e2c3d-0000-4a57-9a0e-0c1a2b3c4d5e'
SHARE = {
    'id': ID,
    'share_id': 'the-share',
    'size': 3,
    'share_proto': 'GLUSTERFS',
    'host': 'host@gold#gvg/pool',
    'share_type_id': 't1',
}
SNAPSHOT = {'id': OTHER, 'share_instance_id': ID}
VOLUME = gluster.Volume(
    name='manila-x',
    id='i-d',
    status='Started',
    snapshot_count=0,
    replica_count=2,
    bricks=(
        gluster.Brick('gl1', '/b', 'u1'),
        gluster.Brick('gl2', '/b', 'u2'),
    ),
    options={},
)
LOCATIONS = [
    {
        'path': 'gl1:/manila-x',
        'is_admin_only': False,
        'metadata': {
            'preferred': True,
            'mount_options': 'backup-volfile-servers=gl2',
        },
    },
    {
        'path': 'gl2:/manila-x',
        'is_admin_only': False,
        'metadata': {
            'preferred': False,
            'mount_options': 'backup-volfile-servers=gl1',
        },
    },
]
REFUSAL = errors.NotPossible('the pool is full')


class Database:
    """The functions of Manila's database that the driver calls."""

    def __init__(self) -> None:
        #: The instances of the share.
        self.instance_ids = [ID]
        #: By share instance: the host that was written.
        self.hosts: dict[str, str] = {}
        self.trouble: Exception | None = None

    def share_get(self, context: object, share_id: str) -> Any:
        if self.trouble:
            raise self.trouble
        assert share_id == SHARE['share_id']
        instances = [{'id': each} for each in self.instance_ids]
        return types.SimpleNamespace(instances=instances)

    def share_instance_update(
        self, context: object, instance_id: str, values: dict[str, str]
    ) -> None:
        self.hosts[instance_id] = values['host']


class Services:
    """Records every call; returns what is set, or raises ``trouble``."""

    def __init__(self, settings: options.Settings) -> None:
        self.settings = settings
        self.locks = locks.Locks(1)
        self.health = fault_log.FaultLog('gold')
        self.database = Database()
        self.cluster = cluster.Cluster([], settle_timeout=0)
        self.protocol = native.NativeProtocol(self.cluster, uses_tls=False)
        self.marks = work_marks.WorkMarks(None, self.locks)
        self.calls: list[tuple[Any, ...]] = []
        self.trouble: Exception | None = None
        self.refused: dict[str, errors.NotPossible] = {}
        self.healed: dict[str, gluster.Volume | errors.Error] = {}
        self.waiting: set[str] = set()
        self.closed = 0
        self.shares = types.SimpleNamespace(
            create=self._verb('create', VOLUME),
            delete=self._delete,
            extend=self._verb('extend'),
            update_access=self._update_access,
            unmanage=self._verb('unmanage'),
        )
        self.clones = types.SimpleNamespace(
            create=self._verb('clone', VOLUME),
        )
        self.snapshots = types.SimpleNamespace(
            create=self._verb('snap'),
            delete=self._verb('unsnap'),
            unmanage=self._verb('unmanage snap'),
        )

    def _verb(self, name: str, result: Any = None) -> Callable[..., Any]:
        def verb(*args: Any) -> Any:
            self.calls.append((name, *args))
            self.fail()
            return result

        return verb

    def fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _update_access(
        self,
        share_id: str,
        old_rules: list[protocols.Rule],
        new_rules: list[protocols.Rule],
        *,
        is_revoking: bool,
    ) -> dict[str, errors.NotPossible]:
        self.calls.append(
            ('access', share_id, old_rules, new_rules, is_revoking)
        )
        self.fail()
        return self.refused

    def _delete(self, share_id: str, *, is_clone: bool) -> None:
        self.calls.append(('delete', share_id, is_clone))
        self.fail()

    def layout(self, wanted: str | None = None) -> layouts.Layout:
        return layouts.layout_by_name(wanted or 'auto', 3)

    def capacities(self) -> dict[str, placement.Capacity]:
        self.fail()
        return {'gvg/pool': placement.Capacity(10 * GIB, GIB // 3, 5 * GIB)}

    def close(self) -> None:
        self.closed += 1


class Maintenance:
    """The maintenance of a back end, as the driver uses it."""

    def __init__(self, services: Services, host: str, records: object) -> None:
        self.services = services
        self.host = host
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append('start')

    def stop(self) -> None:
        self.calls.append('stop')

    def shares_with_waiting_rules(self) -> frozenset[str]:
        return frozenset(self.services.waiting)

    def ensure_shares(
        self, share_ids: list[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        self.services.calls.append(('ensure', [*share_ids]))
        self.services.fail()
        return self.services.healed


@pytest.fixture
def conf() -> Iterator[Any]:
    configuration = manila_configuration.Configuration(
        manila_driver.share_opts, config_group=GROUP
    )
    configuration.append_config_values(options.OPTS)
    for name, value in {
        'driver_handles_share_servers': False,
        'share_backend_name': 'gold',
        'glusterfs_clone_nodes': ['gl1', 'gl2', 'gl3'],
        'glusterfs_clone_pools': ['gvg/pool'],
    }.items():
        cfg.CONF.set_override(name, value, group=GROUP)
    yield configuration
    cfg.CONF.reset()
    for option in (*manila_driver.share_opts, *options.OPTS):
        cfg.CONF.clear_override(option.name, group=GROUP)


@pytest.fixture
def bare(
    conf: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Iterator[driver.GlusterfsCloneShareDriver]:
    # There is no database here; see tests/model/test_share_manager.
    monkeypatch.setattr(passes, 'Maintenance', Maintenance)
    lock_path = {'name': 'lock_path', 'group': 'oslo_concurrency'}
    cfg.CONF.set_override(override=str(tmp_path), **lock_path)
    yield driver.GlusterfsCloneShareDriver(configuration=conf)
    cfg.CONF.clear_override(**lock_path)


@pytest.fixture
def stub(
    bare: driver.GlusterfsCloneShareDriver, monkeypatch: pytest.MonkeyPatch
) -> Services:
    opened: list[Services] = []

    def open_services(
        settings: options.Settings, storage: object = None
    ) -> Services:
        opened.append(Services(settings))
        return opened[-1]

    monkeypatch.setattr(services, 'open_services', open_services)
    monkeypatch.setattr(startup_checks, 'run', lambda *args: opened[-1].fail())
    monkeypatch.setattr(
        share_types, 'get_extra_specs_from_share', lambda share: {}
    )
    bare.do_setup(None)
    monkeypatch.setattr(share_hosts, 'db', opened[0].database)
    return opened[0]


@pytest.fixture
def ours(
    bare: driver.GlusterfsCloneShareDriver, stub: Services
) -> driver.GlusterfsCloneShareDriver:
    return bare


# -- signatures

OVERRIDDEN = sorted(
    name
    for name, member in vars(driver.GlusterfsCloneShareDriver).items()
    if inspect.isfunction(member)
    and hasattr(manila_driver.ShareDriver, name)
    and name != '__init__'
)


def test_all_that_manila_needs_is_overridden() -> None:
    assert {
        'check_for_setup_error',
        'create_share',
        'create_share_from_snapshot',
        'create_snapshot',
        'delete_share',
        'delete_snapshot',
        'do_setup',
        'ensure_shares',
        'extend_share',
        'get_backend_info',
        'update_access',
        '_update_share_stats',
    } <= set(OVERRIDDEN)


@pytest.mark.parametrize('name', OVERRIDDEN)
def test_manila_can_call_it_as_it_calls_its_own(name: str) -> None:
    def parameters(of: object) -> list[inspect.Parameter]:
        return list(inspect.signature(getattr(of, name)).parameters.values())

    theirs = parameters(manila_driver.ShareDriver)
    mine = parameters(driver.GlusterfsCloneShareDriver)
    assert [p.name for p in mine[: len(theirs)]] == [p.name for p in theirs]
    for one, two in zip(theirs, mine, strict=False):
        assert one.kind is two.kind
        if one.default is not inspect.Parameter.empty:
            assert two.default == one.default
    for more in mine[len(theirs) :]:
        assert more.default is not inspect.Parameter.empty


#: What a later Manila calls: its start-up reconciliation.
COMING = {'get_snapshot_status'}


def test_nothing_public_is_there_that_manila_does_not_call() -> None:
    for name in vars(driver.GlusterfsCloneShareDriver):
        if not name.startswith('_') and name not in COMING:
            assert hasattr(manila_driver.ShareDriver, name), name


# -- set-up


def test_making_it_opens_nothing(
    conf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError('opened')

    monkeypatch.setattr(services, 'open_services', never)
    monkeypatch.setattr('socket.socket.__init__', never)
    before = threading.active_count()
    made = driver.GlusterfsCloneShareDriver(configuration=conf)
    assert threading.active_count() == before
    assert made.driver_handles_share_servers is False


@pytest.mark.parametrize('value', [True, None])
def test_it_does_not_handle_share_servers(conf: Any, value: object) -> None:
    """A wrong value does not stop the other back ends of the service."""
    cfg.CONF.set_override('driver_handles_share_servers', value, group=GROUP)
    made = driver.GlusterfsCloneShareDriver(configuration=conf)
    assert made.driver_handles_share_servers is False
    assert made.admin_network_api is None


def test_before_set_up_it_says_so(
    bare: driver.GlusterfsCloneShareDriver,
) -> None:
    with pytest.raises(exception.ShareBackendException) as caught:
        bare.create_share(None, SHARE)
    assert caught.value.__cause__ is None


def test_set_up_reads_the_section(stub: Services) -> None:
    assert stub.settings.backend == 'gold'
    assert stub.settings.nodes == ('gl1', 'gl2', 'gl3')


def test_set_up_again_closes_what_was_open(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    ours.do_setup(None)
    assert stub.closed == 1


def test_set_up_for_real_connects_to_nothing(
    bare: driver.GlusterfsCloneShareDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError('opened')

    monkeypatch.setattr('socket.socket.__init__', never)
    before = threading.active_count()
    bare.do_setup(None)
    assert threading.active_count() == before


def test_every_problem_is_in_the_message(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.trouble = findings.Misconfigured(
        'gold',
        [findings.Finding('one', 'x', ''), findings.Finding('two', 'y', '')],
    )
    with pytest.raises(exception.ShareBackendException) as caught:
        ours.check_for_setup_error()
    assert str(stub.trouble) in str(caught.value)
    assert caught.value.__cause__ is stub.trouble


def test_the_back_end_info_differs_at_each_start(
    ours: driver.GlusterfsCloneShareDriver,
) -> None:
    one = ours.get_backend_info(None)
    two = ours.get_backend_info(None)
    assert one != two
    assert one['nodes'] == 'gl1,gl2,gl3'
    # Manila stores it as text, key by key.
    assert all(isinstance(k, str) for k in one)


def test_ipv4_only(ours: driver.GlusterfsCloneShareDriver) -> None:
    assert ours.get_configured_ip_versions() == [4]


# -- shares


def test_creating(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    assert ours.create_share(None, SHARE) == LOCATIONS
    assert stub.calls == [
        ('create', ID, 'gvg/pool', 3 * GIB, layouts.REPLICA_3)
    ]


def test_the_share_type_can_choose_the_layout(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = {'glusterfs_clone:layout': 'single'}
    monkeypatch.setattr(
        share_types, 'get_extra_specs_from_share', lambda share: specs
    )
    ours.create_share(None, SHARE)
    assert stub.calls[0][-1] is layouts.SINGLE
    specs['glusterfs_clone:layout'] = 'raid'
    with pytest.raises(exception.ShareBackendException) as caught:
        ours.create_share(None, SHARE)
    assert isinstance(caught.value.__cause__, layouts.UnknownLayout)


def test_cloning(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    share = {**SHARE, 'host': 'host@gold#gvg/chosen'}
    found = ours.create_share_from_snapshot(None, share, SNAPSHOT)
    assert found == LOCATIONS
    ((*call, record_pool),) = stub.calls
    assert call == ['clone', ID, ('gvg/pool',), 3 * GIB, OTHER]
    record_pool('gvg/pool')
    assert stub.database.hosts == {ID: 'host@gold#gvg/pool'}
    assert share['host'] == 'host@gold#gvg/pool'


def test_target_of_a_migration_is_no_clone(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    """Otherwise files that were deleted since the snapshot would be back."""
    stub.database.instance_ids = [OTHER, ID]
    ours.create_share_from_snapshot(None, SHARE, SNAPSHOT)
    ((name, share_id, pool, *_),) = stub.calls
    assert (name, share_id, pool) == ('create', ID, 'gvg/pool')


@pytest.mark.parametrize(
    'error', [db_exception.DBConnectionError('gone'), exception.NotFound()]
)
def test_database_that_does_not_answer(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, error: Exception
) -> None:
    """Without the instances of the share, nothing may be created."""
    stub.database.trouble = error
    with pytest.raises(exception.ShareBackendException) as caught:
        ours.create_share_from_snapshot(None, SHARE, SNAPSHOT)
    assert isinstance(caught.value.__cause__, share_hosts.DatabaseFailed)
    assert not stub.calls


def test_mistakes_in_options_of_manila_are_reported_with_ours(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[findings.Finding] = []

    def run(*arguments: Any) -> None:
        reported.extend(arguments[-1])
        raise findings.Misconfigured('gold', reported)

    monkeypatch.setattr(startup_checks, 'run', run)
    cfg.CONF.set_override('driver_handles_share_servers', True, group=GROUP)
    cfg.CONF.set_override('goodness_function', '2 <', group=GROUP)
    with pytest.raises(exception.ShareBackendException):
        ours.check_for_setup_error()
    assert [each.subject for each in reported] == [
        'driver_handles_share_servers'
    ]
    (fault,) = stub.health.faults
    assert fault.subject == 'goodness_function'


def test_the_other_verbs(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    ours.delete_share(None, SHARE)
    ours.extend_share(SHARE, 7)
    ours.create_snapshot(None, SNAPSHOT)
    ours.delete_snapshot(None, SNAPSHOT)
    assert stub.calls == [
        ('delete', ID, False),
        ('extend', ID, 7 * GIB),
        ('snap', OTHER, ID),
        ('unsnap', OTHER, ID),
    ]


@pytest.mark.parametrize(
    'key', ['snapshot_id', 'source_share_group_snapshot_member_id']
)
def test_what_clones_left_is_seen_to_when_a_clone_is_deleted(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, key: str
) -> None:
    ours.delete_share(None, {**SHARE, key: 'of-manila'})
    assert stub.calls == [('delete', ID, True)]


def test_other_shares_have_no_snapshot(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    ours.delete_share(None, {**SHARE, 'snapshot_id': None})
    assert stub.calls == [('delete', ID, False)]


@pytest.mark.parametrize('proto', ['NFS', 'CIFS', ''])
def test_other_protocols_are_refused(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, proto: str
) -> None:
    share = {**SHARE, 'share_proto': proto}
    with pytest.raises(exception.NoValidHost) as caught:
        ours.create_share(None, share)
    assert isinstance(caught.value.__cause__, arguments.WrongProtocol)
    with pytest.raises(exception.NoValidHost) as caught:
        ours.create_share_from_snapshot(None, share, SNAPSHOT)
    assert isinstance(caught.value.__cause__, arguments.WrongProtocol)
    assert not stub.calls


def test_the_protocol_in_small_letters(
    ours: driver.GlusterfsCloneShareDriver,
) -> None:
    ours.create_share(None, {**SHARE, 'share_proto': 'glusterfs'})


@pytest.mark.parametrize(
    'host', ['host@gold', 'host@gold#', 'host@gold#gvg/other', '']
)
def test_other_pools_are_refused(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, host: str
) -> None:
    share = {**SHARE, 'host': host}
    with pytest.raises(exception.ShareBackendException) as caught:
        ours.create_share(None, share)
    assert isinstance(caught.value.__cause__, arguments.UnknownPool)
    assert not stub.calls


Call = Callable[[driver.GlusterfsCloneShareDriver], object]

CALLS: dict[str, Call] = {
    'create_share': lambda d: d.create_share(None, SHARE),
    'create_share_from_snapshot': lambda d: d.create_share_from_snapshot(
        None, SHARE, SNAPSHOT
    ),
    'delete_share': lambda d: d.delete_share(None, SHARE),
    'extend_share': lambda d: d.extend_share(SHARE, 7),
    'update_access': lambda d: d.update_access(None, SHARE, [], [], [], []),
    'create_snapshot': lambda d: d.create_snapshot(None, SNAPSHOT),
    'delete_snapshot': lambda d: d.delete_snapshot(None, SNAPSHOT),
}


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize(
    'error',
    [
        REFUSAL,
        errors.LinkLost('gl1', ('lvs',), 'EOF'),
        errors.SeveralFailed({'gl1': REFUSAL}),
    ],
)
def test_errors_go_out_as_manilas_with_their_text(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    name: str,
    error: errors.Error,
) -> None:
    stub.trouble = error
    with pytest.raises(exception.ShareBackendException) as caught:
        CALLS[name](ours)
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error
    wanted = OTHER if name.endswith('_snapshot') and 'from' not in name else ID
    assert wanted in str(caught.value)


def test_text_with_percent_signs_and_braces_goes_through(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    text = '95 % full {of} %(x)s %d'
    stub.trouble = errors.NotPossible(text)
    with pytest.raises(exception.ShareBackendException) as caught:
        ours.delete_share(None, SHARE)
    assert text in str(caught.value)


def test_a_mistake_of_ours_is_not_dressed_up(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.trouble = KeyError('bug')
    with pytest.raises(KeyError):
        ours.delete_share(None, SHARE)


# -- access


def rule(access_id: str, to: str = '10.0.0.1') -> dict[str, str]:
    return {
        'id': f'mapping-of-{access_id}',
        'access_id': access_id,
        'access_type': 'ip',
        'access_to': to,
        'access_level': 'rw',
        'state': 'applying',
    }


def test_access_is_answered_by_access_id(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.refused = {'b': REFUSAL}
    rules = [rule('a'), rule('b'), rule('c')]
    assert ours.update_access(None, SHARE, rules, rules[1:], [], []) == {
        'a': {'state': 'active'},
        'b': {'state': 'error'},
        'c': {'state': 'active'},
    }


def test_new_rules_are_told_from_old_ones(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    rules = [rule('new'), rule('old2'), rule('old1')]
    ours.update_access(None, SHARE, rules, [rules[0]], [rule('gone')], [])
    ((_, share_id, old, new, _),) = stub.calls
    assert share_id == ID
    assert [r.access_id for r in old] == ['old2', 'old1']
    assert new == [protocols.Rule('new', 'ip', '10.0.0.1', 'rw')]


@pytest.mark.parametrize(
    ('add', 'delete', 'update', 'is_revoking'),
    [
        ([rule('a')], [], [], False),
        ([], [rule('b')], [], True),
        ([rule('a')], [rule('b')], [], True),
        # Its level may be lowered, or the new level refused.
        ([], [], [rule('a')], True),
        # Manila wants all of it made sure of.
        ([], [], [], True),
    ],
)
def test_when_somebody_may_lose_access(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    add: list[dict[str, str]],
    delete: list[dict[str, str]],
    update: list[dict[str, str]],
    is_revoking: bool,
) -> None:
    ours.update_access(None, SHARE, [rule('a')], add, delete, update)
    assert stub.calls[0][-1] is is_revoking


def test_rule_with_another_level_counts_as_new(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    rules = [rule('old'), rule('changed')]
    ours.update_access(None, SHARE, rules, [], [], [rules[1]])
    ((_, _, old, new, _),) = stub.calls
    assert [r.access_id for r in old] == ['old']
    assert [r.access_id for r in new] == ['changed']


def test_rules_of_manila_data(ours: driver.GlusterfsCloneShareDriver) -> None:
    share = {**SHARE, 'export_locations': LOCATIONS}
    info = ours.connection_get_info(None, share)
    assert info['access_mapping'] == {'ip': ['glusterfs']}
    assert info['mount'] == (
        f'mount -vt glusterfs %(options)s {LOCATIONS[0]["path"]} %(path)s'
    )


def test_no_rules(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    assert ours.update_access(None, SHARE, [], [], [rule('a')], []) == {}
    assert stub.calls == [('access', ID, [], [], True)]


# -- healing

SHARES = [{'id': 'a'}, {'id': 'b'}, {'id': 'c'}]
#: What is told of a share that cannot be looked at now.
AS_BEFORE = {'status': 'available', 'reapply_access_rules': False}


def test_shares_that_are_on_line_and_not(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.healed = {'a': VOLUME, 'b': errors.Missing('no such volume')}
    stub.waiting = {'a'}
    found = ours.ensure_shares(None, SHARES)
    assert found == {
        'a': {
            'status': 'available',
            'export_locations': LOCATIONS,
            'metadata': {'__mount_options': 'backup-volfile-servers=gl2'},
            'reapply_access_rules': True,
        },
        'b': {'status': 'error', 'reapply_access_rules': False},
        'c': AS_BEFORE,
    }
    assert stub.calls == [('ensure', ['a', 'b', 'c'])]


@pytest.mark.parametrize(
    'error',
    [
        REFUSAL,
        errors.Unreachable('gl1', 'no route'),
        errors.CutOff('gl1', 2, 3),
        errors.Unsettled('volume x: a brick is down'),
        errors.SeveralFailed({'gl1': REFUSAL}),
    ],
)
def test_only_one_that_is_missing_is_in_error(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, error: errors.Error
) -> None:
    stub.healed = {'a': error}
    assert ours.ensure_shares(None, SHARES)['a'] == AS_BEFORE


@pytest.mark.parametrize(
    'trouble', [REFUSAL, RuntimeError('bug'), KeyError(), OSError()]
)
def test_every_share_is_answered_for_whatever_happens(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    trouble: Exception,
) -> None:
    stub.trouble = trouble
    found = ours.ensure_shares(None, SHARES)
    assert found == dict.fromkeys('abc', AS_BEFORE)


def test_so_it_is_before_set_up(
    bare: driver.GlusterfsCloneShareDriver,
) -> None:
    assert bare.ensure_shares(None, SHARES) == dict.fromkeys('abc', AS_BEFORE)


def test_no_shares(ours: driver.GlusterfsCloneShareDriver) -> None:
    assert ours.ensure_shares(None, []) == {}


# -- statistics


def test_statistics(ours: driver.GlusterfsCloneShareDriver) -> None:
    stats = ours.get_share_stats(refresh=True)
    assert stats['share_backend_name'] == 'gold'
    assert stats['storage_protocol'] == 'GLUSTERFS'
    assert stats['driver_handles_share_servers'] is False
    assert stats['snapshot_support'] is True
    assert stats['create_share_from_snapshot_support'] is True
    assert stats['revert_to_snapshot_support'] is False
    assert stats['mount_snapshot_support'] is False
    assert stats['ipv4_support'] is True
    assert stats['ipv6_support'] is False
    (pool,) = stats['pools']
    assert pool['pool_name'] == 'gvg/pool'
    assert pool['total_capacity_gb'] == 10
    assert pool['free_capacity_gb'] == 0.33
    assert pool['provisioned_capacity_gb'] == 5
    assert pool['thin_provisioning'] is True
    assert pool['filter_function'] is None
    assert pool['goodness_function'] is None
    assert pool['max_over_subscription_ratio'] == 20.0
    for key in (
        'reserved_percentage',
        'reserved_snapshot_percentage',
        'reserved_share_extend_percentage',
    ):
        assert pool[key] == 0


def test_reserves_fall_back_to_the_first(
    ours: driver.GlusterfsCloneShareDriver,
) -> None:
    cfg.CONF.set_override('reserved_share_percentage', 7, group=GROUP)
    (pool,) = ours.get_share_stats(refresh=True)['pools']
    assert pool['reserved_percentage'] == 7
    assert pool['reserved_snapshot_percentage'] == 7
    assert pool['reserved_share_extend_percentage'] == 7
    cfg.CONF.set_override(
        'reserved_share_from_snapshot_percentage', 2, group=GROUP
    )
    cfg.CONF.set_override('reserved_share_extend_percentage', 3, group=GROUP)
    (pool,) = ours.get_share_stats(refresh=True)['pools']
    assert pool['reserved_percentage'] == 7
    assert pool['reserved_snapshot_percentage'] == 2
    assert pool['reserved_share_extend_percentage'] == 3


def test_nothing_is_refreshed_unless_asked(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    first = ours.get_share_stats(refresh=True)
    stub.trouble = REFUSAL
    assert ours.get_share_stats() == first


# -- unmanaging, and maintenance


def maintenance_of(made: driver.GlusterfsCloneShareDriver) -> Any:
    assert made._backend is not None
    return made._backend.maintenance


def test_unmanaging(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    ours.unmanage({'id': ID})
    ours.unmanage_snapshot({'id': OTHER})
    assert stub.calls == [('unmanage', ID), ('unmanage snap', OTHER)]


def test_manila_understands_that_something_cannot_be_unmanaged(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.trouble = REFUSAL
    with pytest.raises(exception.InvalidShare) as of_share:
        ours.unmanage({'id': ID})
    assert str(REFUSAL) in str(of_share.value)
    with pytest.raises(exception.UnmanageInvalidShareSnapshot) as of_snapshot:
        ours.unmanage_snapshot({'id': OTHER})
    assert str(REFUSAL) in str(of_snapshot.value)


def test_maintenance_starts_when_set_up_has_succeeded(
    ours: driver.GlusterfsCloneShareDriver, stub: Services
) -> None:
    stub.trouble = REFUSAL
    with pytest.raises(exception.ShareBackendException):
        ours.check_for_setup_error()
    started = maintenance_of(ours)
    assert started.calls == []
    stub.trouble = None
    ours.check_for_setup_error()
    assert started.calls == ['start']
    assert started.services is stub
    assert started.host == f'{cfg.CONF.host}@{GROUP}'


def test_maintenance_stops_when_it_is_set_up_again(
    ours: driver.GlusterfsCloneShareDriver,
) -> None:
    ours.check_for_setup_error()
    before = maintenance_of(ours)
    ours.do_setup(None)
    assert before.calls == ['start', 'stop']
    assert maintenance_of(ours) is not before


class Storage:
    """Manila's private storage of a driver, in memory."""

    def __init__(self) -> None:
        self.details: dict[str, dict[str, str]] = {}

    def update(self, entity: str, details: dict[str, str]) -> None:
        self.details.setdefault(entity, {}).update(details)

    def get(self, entity: str) -> dict[str, str]:
        return dict(self.details.get(entity, {}))

    def delete(self, entity: str, keys: list[str]) -> None:
        for key in keys:
            self.details.get(entity, {}).pop(key, None)


VERBS: dict[str, Callable[[driver.GlusterfsCloneShareDriver], object]] = {
    'create': lambda d: d.create_share(None, SHARE),
    'clone': lambda d: d.create_share_from_snapshot(None, SHARE, SNAPSHOT),
    'extend': lambda d: d.extend_share(SHARE, 7),
    'delete': lambda d: d.delete_share(None, SHARE),
    'unmanage': lambda d: d.unmanage(SHARE),
}


@pytest.mark.parametrize('how', ['succeeds', 'fails', 'is killed'])
@pytest.mark.parametrize('verb', VERBS)
def test_a_share_is_marked_as_long_as_a_verb_is_at_work_on_it(
    ours: driver.GlusterfsCloneShareDriver,
    stub: Services,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    how: str,
) -> None:
    stub.marks = work_marks.WorkMarks(Storage(), stub.locks)
    seen: list[work_marks.Work | None] = []

    class Killed(BaseException):
        """The process is no more."""

    def fail() -> None:
        seen.append(stub.marks.find(ID))
        if how == 'fails':
            raise REFUSAL
        if how == 'is killed':
            raise Killed

    monkeypatch.setattr(stub, 'fail', fail)
    if how == 'succeeds':
        VERBS[verb](ours)
    else:
        with pytest.raises((exception.ManilaException, Killed)):
            VERBS[verb](ours)
    (during,) = seen
    kind = {'clone': 'create'}.get(verb, verb)
    size = 7 if verb == 'extend' else None
    assert during == work_marks.Work(kind, size)
    after = stub.marks.find(ID)
    assert after == (during if how == 'is killed' else None)


@pytest.mark.parametrize('status', ['deleting', 'deferred_deleting'])
def test_a_deletion_begins_when_its_rules_are_taken_away(
    ours: driver.GlusterfsCloneShareDriver, stub: Services, status: str
) -> None:
    stub.marks = work_marks.WorkMarks(Storage(), stub.locks)
    ours.update_access(None, {**SHARE, 'status': 'available'}, [], [], [])
    assert stub.marks.find(ID) is None
    ours.update_access(None, {**SHARE, 'status': status}, [], [], [])
    assert stub.marks.find(ID) == work_marks.Work('delete')
    ours.delete_share(None, SHARE)
    assert stub.marks.find(ID) is None
    # Manila does not go on with a deletion whose first part failed.
    stub.trouble = REFUSAL
    with pytest.raises(exception.ShareBackendException):
        ours.update_access(None, {**SHARE, 'status': status}, [], [], [])
    assert stub.marks.find(ID) is None
