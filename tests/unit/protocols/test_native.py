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
"""Access rules and export locations of native GlusterFS clients."""

from collections.abc import Callable
import ipaddress

from hypothesis import given
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import glusterd_start
from manila_glusterfs_clone.cluster import nodes as nodes_module
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster
from tests.unit.cluster import test_bricks
from tests.unit.cluster import test_cluster
from tests.unit import fakes
from tests.unit.protocols import test_access_lists

NAME = 'manila-x'


def rule(
    to: str, *, id: str = 'r1', kind: str = 'ip', level: str = 'rw'
) -> protocols.Rule:
    return protocols.Rule(id, kind, to, level)


def make(
    *nodes: fakes.Node, uses_tls: bool = False, servers: tuple[str, ...] = ()
) -> native.NativeProtocol:
    whole = cluster.Cluster(
        [cluster.Node(node) for node in nodes], settle_timeout=30
    )
    return native.NativeProtocol(
        whole, uses_tls=uses_tls, server_names=servers
    )


LEVEL = access_levels.AccessLevelNotSupported
TYPE = protocols.AccessTypeNotSupported

IP = make()
TLS = make(uses_tls=True, servers=('gl1', 'GL2.example'))


def cert(to: str, id: str = 'r1') -> protocols.Rule:
    return rule(to, id=id, kind='cert')


# -- rules

OFF = {'client.ssl': 'off', 'server.ssl': 'off'}
ON = {'client.ssl': 'on', 'server.ssl': 'on'}


def test_access_types() -> None:
    assert IP.access_mapping == {'ip': ['glusterfs']}
    assert TLS.access_mapping == {'cert': ['glusterfs']}


def test_without_rules_all_clients_are_denied() -> None:
    plan = IP.plan([])
    assert plan == protocols.Plan({native.ALLOW: '0.0.0.0', **OFF}, {})
    assert IP.deny_all_options() == plan.options


def test_without_rules_tls_admits_the_nodes_only() -> None:
    plan = TLS.plan([])
    assert plan.options == {
        native.ALLOW: '0.0.0.0',
        native.TLS_ALLOW: 'GL2.example,gl1',
        **ON,
    }
    assert TLS.deny_all_options() == plan.options


def test_rules() -> None:
    plan = IP.plan([rule('10.0.0.7'), rule('10.1.0.0/16', id='r2')])
    assert plan.options[native.ALLOW] == '10.0.0.7,10.1.*'
    assert not plan.refusals


def test_the_same_rules_are_the_same_list() -> None:
    one, two = rule('10.0.0.9', id='1'), rule('10.0.0.10', id='2')
    assert IP.plan([one, two]) == IP.plan([two, one])
    again = rule('10.0.0.8/30', id='3')
    listed = IP.plan([one, two, again]).options[native.ALLOW].split(',')
    assert len(listed) == len(set(listed)) == 4


@pytest.mark.parametrize(
    'to',
    [
        '',
        '10.0.0',
        '10.0.0.256',
        '10.0.0.1/33',
        '10.0.0.1/24',
        '10.0.0.1%eth0',
        '10.0.0.1 ',
        ' 10.0.0.1',
        '10.0.0.1,10.0.0.2',
        '10.0.0.*',
        '*',
        '010.0.0.1',
        '167772161',
        '10.0.0.1\n',
        'gl1',
        '::1',
        'fd00::/8',
        '::ffff:10.0.0.1',
        'fe80::1%eth0',
        '!10.0.0.1',
    ],
)
def test_other_addresses_than_ipv4_are_refused(to: str) -> None:
    plan = IP.plan([rule(to), rule('10.0.0.5', id='r2')])
    assert set(plan.refusals) == {'r1'}
    assert plan.refusals['r1']
    assert plan.options[native.ALLOW] == '10.0.0.5'


@given(st.text(max_size=20))
def test_nothing_else_gets_into_the_list(to: str) -> None:
    plan = IP.plan([rule(to)])
    assert set(plan.options[native.ALLOW]) <= set('0123456789.*,')
    plan = TLS.plan([cert(to)])
    for name in plan.options[native.TLS_ALLOW].split(','):
        assert access_lists.is_common_name(name)


@pytest.mark.parametrize(
    ('access', 'bad', 'error'),
    [
        (IP, rule('10.0.0.1', level='r'), LEVEL('r')),
        (IP, rule('10.0.0.1', level=''), LEVEL('')),
        (IP, cert('client'), TYPE('cert', 'ip')),
        (IP, rule('bob', kind='user'), TYPE('user', 'ip')),
        (TLS, rule('10.0.0.1'), TYPE('ip', 'cert')),
        (TLS, rule('client', kind='cert', level='RO'), LEVEL('RO')),
    ],
)
def test_other_types_and_levels_are_refused(
    access: native.NativeProtocol, bad: protocols.Rule, error: errors.Error
) -> None:
    plan = access.plan([bad])
    refusal = plan.refusals['r1']
    assert type(refusal) is type(error)
    assert refusal.args == error.args
    assert plan.options == access.deny_all_options()


@pytest.mark.parametrize(
    'name', ['client', 'a.b-c_d@e', '7', 'x' * 64, 'gl11', 'agl1']
)
def test_common_names(name: str) -> None:
    plan = TLS.plan([cert(name)])
    assert not plan.refusals
    assert name in plan.options[native.TLS_ALLOW].split(',')


@pytest.mark.parametrize(
    'name',
    ['', '*', 'a*', 'a,b', 'a b', 'a\n', '-a', '.a', 'é', 'x' * 65, 'a?'],
)
def test_other_common_names_are_refused(name: str) -> None:
    assert not access_lists.is_common_name(name)
    plan = TLS.plan([cert(name)])
    assert isinstance(plan.refusals['r1'], access_lists.CommonNameNotValid)
    assert plan.options == TLS.deny_all_options()


@pytest.mark.parametrize(
    'name', ['gl1', 'GL1', 'gl2.example', 'GL2.EXAMPLE', 'Gl2.Example']
)
def test_the_names_of_the_nodes_are_refused(name: str) -> None:
    plan = TLS.plan([cert(name)])
    assert isinstance(plan.refusals['r1'], access_lists.CommonNameOfNode)
    assert plan.options == TLS.deny_all_options()


def test_the_first_rules_have_the_room() -> None:
    # 128 addresses each, in one list of 4,000 bytes.
    rules = [rule(f'100.100.{100 + n}.128/25', id=f'r{n}') for n in range(9)]
    plan = IP.plan(rules)
    refused = sorted(plan.refusals)
    assert refused
    assert refused == [f'r{n}' for n in range(9 - len(refused), 9)]
    assert isinstance(plan.refusals['r8'], access_lists.AccessListFull)
    listed = plan.options[native.ALLOW]
    assert len(listed) <= access_lists.MAX_BYTES
    for n in range(9):
        inside = access_lists.matches(
            f'100.100.{100 + n}.200', listed.split(',')
        )
        assert inside is (f'r{n}' not in plan.refusals)


def test_a_rule_that_is_small_enough_still_fits() -> None:
    large = [rule(f'100.100.{100 + n}.128/25', id=f'r{n}') for n in range(9)]
    plan = IP.plan([*large, rule('1.2.3.4', id='small')])
    assert 'small' not in plan.refusals
    assert 'r8' in plan.refusals


@given(st.lists(test_access_lists.NETWORKS, max_size=30))
def test_a_list_is_never_too_long(
    networks: list[ipaddress.IPv4Network],
) -> None:
    rules = [rule(str(n), id=str(i)) for i, n in enumerate(networks)]
    plan = IP.plan(rules)
    assert len(plan.options[native.ALLOW]) <= access_lists.MAX_BYTES
    listed = plan.options[native.ALLOW].split(',')
    for each, network in zip(rules, networks, strict=True):
        if each.access_id not in plan.refusals:
            assert access_lists.matches(str(network[0]), listed)
            assert access_lists.matches(str(network[-1]), listed)


# -- what a clone inherits


def volume(**options: str) -> gluster.Volume:
    named = {
        k.replace('__', '-').replace('_', '.'): v for k, v in options.items()
    }
    return gluster.Volume(NAME, 'i', 'Created', 0, 1, (), named)


def test_what_a_clone_must_not_inherit() -> None:
    origin = volume(
        auth_allow='10.0.0.1',
        auth_reject='10.0.0.2',
        auth_ssl__allow='client',
        nfs_disable='on',
        nfs_rpc__auth__allow='*',
        user_manila_share='u1',
        server_ssl='on',
        features_read__only='on',
    )
    dropped = ('auth.reject', 'auth.ssl-allow', 'nfs.rpc-auth-allow')
    assert IP.options_not_inherited(origin) == dropped
    assert TLS.options_not_inherited(origin) == (dropped[0], *dropped[2:])
    # What is neither dropped nor overwritten admits nobody.
    closed = IP.deny_all_options(origin)
    assert closed == {**IP.deny_all_options(), LEVEL_OPTION: 'off'}
    left = set(origin.options) - {*dropped, *closed}
    assert left == {'nfs.disable', 'user.manila.share'}


def test_a_clone_of_a_writable_volume_keeps_its_level() -> None:
    origin = volume(features_read__only='off')
    assert IP.options_not_inherited(origin) == ()
    assert IP.deny_all_options(origin) == IP.deny_all_options()


def test_nothing_to_drop() -> None:
    assert IP.options_not_inherited(volume(auth_allow='0.0.0.0')) == ()


# -- comparing


A, B, NET = rule('10.0.0.1'), rule('10.0.0.2'), rule('10.1.0.0/16')
BAD = rule('fe80::/64')


def ip_volume(**changed: str | None) -> gluster.Volume:
    """Return a volume that admits A and the network, with some changes."""
    options = dict(IP.plan([A, NET]).options)
    options |= {k.replace('_', '.'): v for k, v in changed.items() if v}
    for key, value in changed.items():
        if value is None:
            del options[key.replace('_', '.')]
    return gluster.Volume(NAME, 'i', 'Started', 0, 1, (), options)


@pytest.mark.parametrize(
    ('active', 'changing'),
    [
        ([A, NET], []),
        ([NET, A, BAD], []),
        ([A], [NET]),
        ([], [A, NET, B, BAD]),
        ([A, NET], [B]),
    ],
)
def test_list_within_the_bounds_holds(
    active: list[protocols.Rule], changing: list[protocols.Rule]
) -> None:
    assert IP.has_rules(ip_volume(), active, changing)


@pytest.mark.parametrize(
    ('active', 'changing'),
    [([A], []), ([A, NET, B], []), ([], []), ([A, B], [NET]), ([], [A])],
)
def test_list_outside_the_bounds_does_not(
    active: list[protocols.Rule], changing: list[protocols.Rule]
) -> None:
    assert not IP.has_rules(ip_volume(), active, changing)


@pytest.mark.parametrize(
    'changed',
    [
        {'auth_allow': None},
        {'auth_allow': '*'},
        {'auth_allow': '10.0.0.1, 10.1.*'},
        {'auth_allow': '10.0.0.1,10.*'},
        {'auth_reject': '10.0.0.9'},
        {'server_ssl': None},
        {'client_ssl': 'on'},
    ],
)
def test_whatever_decides_on_access_is_compared(
    changed: dict[str, str | None],
) -> None:
    volume = ip_volume(**changed)
    assert not IP.has_rules(volume, [A, NET], [B])
    (option,) = changed
    differing = IP.options_to_change(volume, [A, NET], {})
    assert differing == {option.replace('_', '.')}


def test_options_that_hold_are_not_changed() -> None:
    assert not IP.options_to_change(ip_volume(), [A, NET], {})


def test_nobody_is_an_empty_list() -> None:
    assert IP.has_rules(ip_volume(auth_allow=gluster.NO_CLIENT), [], [A])
    assert not IP.has_rules(ip_volume(auth_allow=gluster.NO_CLIENT), [A])


def test_with_tls_the_names_are_compared_those_of_the_nodes_too() -> None:
    options = dict(TLS.plan([cert('c1')]).options)
    found = gluster.Volume(NAME, 'i', 'Started', 0, 1, (), options)
    assert TLS.has_rules(found, [cert('c1')], [cert('c2')])
    assert TLS.has_rules(found, [], [cert('c1')])
    assert not TLS.has_rules(found, [cert('c1'), cert('c2')])
    for wrong in ('c1', 'GL2.example,c1,gl1,c3', None):
        options[native.TLS_ALLOW] = wrong or ''
        if wrong is None:
            del options[native.TLS_ALLOW]
        assert not TLS.has_rules(found, [cert('c1')], [cert('c2')])
    options[native.TLS_ALLOW] = 'GL2.example,c1,gl1'
    options[native.ALLOW] = '*'
    assert not TLS.has_rules(found, [cert('c1')])


def test_rules_that_are_in_a_list() -> None:
    assert IP.granted_rules(ip_volume(), [A, B, NET, BAD]) == (A, NET)
    assert IP.granted_rules(ip_volume(auth_allow=None), [A, B]) == ()
    assert TLS.granted_rules(
        gluster.Volume(NAME, 'i', '', 0, 1, (), {native.TLS_ALLOW: 'c1'}),
        [cert('c1'), cert('c2'), A],
    ) == (cert('c1'),)


# -- access levels

RO_A, RO_NET = rule('10.0.0.1', level='ro'), rule('10.1.0.0/16', level='ro')
DIFFER = access_levels.AccessLevelsDiffer


def read_only(*rules: protocols.Rule, value: str = 'on') -> gluster.Volume:
    options = {**IP.plan(rules).options, access_levels.READ_ONLY: value}
    return gluster.Volume(NAME, 'i', 'Started', 0, 1, (), options)


def test_the_level_of_all_rules_is_the_level_of_the_volume() -> None:
    names = ('a', 'b')
    for level, value in (('rw', 'off'), ('ro', 'on')):
        ours = [rule(f'10.0.0.{n}', id=n, level=level) for n in '12']
        assert IP.plan(ours).options[access_levels.READ_ONLY] == value
        certs = [rule(n, id=n, kind='cert', level=level) for n in names]
        assert TLS.plan(certs).options[access_levels.READ_ONLY] == value
        assert not IP.plan(ours).refusals and not TLS.plan(certs).refusals


@pytest.mark.parametrize('levels', ['rw ro', 'ro rw'])
def test_of_two_levels_the_first_is_granted(levels: str) -> None:
    first, second = levels.split()
    plan = IP.plan(
        [
            rule('not an address', id='bad', level=second),
            rule('10.0.0.1', id='r1', level=first),
            rule('10.0.0.2', id='r2', level=second),
            rule('10.0.0.3', id='r3', level=first),
        ]
    )
    assert plan.options[native.ALLOW] == '10.0.0.1,10.0.0.3'
    assert plan.options[access_levels.READ_ONLY] == (
        'on' if first == 'ro' else 'off'
    )
    assert set(plan.refusals) == {'bad', 'r2'}
    refusal = plan.refusals['r2']
    assert isinstance(refusal, DIFFER)
    assert (refusal.access_level, refusal.granted_level) == (second, first)


@pytest.mark.parametrize(
    ('value', 'is_read_only'),
    [
        ('on', True),
        ('1', True),
        ('Yes', True),
        ('true', True),
        ('ENABLE', True),
        ('off', False),
        ('0', False),
        ('disable', False),
        ('', False),
    ],
)
def test_spellings_of_an_operator(value: str, is_read_only: bool) -> None:
    found = read_only(A, value=value)
    assert IP.has_rules(found, [RO_A]) is is_read_only
    assert IP.has_rules(found, [A]) is not is_read_only
    (granted,) = IP.granted_rules(found, [A])
    assert granted.access_level == ('ro' if is_read_only else 'rw')


def test_an_option_that_is_not_set_is_off() -> None:
    found = ip_volume(**{'features_read-only': None})
    assert IP.has_rules(found, [A, NET])
    assert not IP.options_to_change(found, [A, NET], {})
    assert not IP.has_rules(found, [RO_A, RO_NET])
    assert IP.options_to_change(found, [RO_A, RO_NET], {}) == {
        access_levels.READ_ONLY
    }


def test_without_active_rules_either_level_is_right() -> None:
    """Manila changes the level, or keeps that of the last rule."""
    for value in ('on', 'off'):
        assert IP.has_rules(read_only(value=value), [])
        assert IP.has_rules(read_only(A, value=value), [], [A])
        assert IP.has_rules(read_only(A, value=value), [], [RO_A])


def test_a_rule_whose_level_manila_changes_may_stay_in_the_list() -> None:
    changing = rule('10.0.0.2', id='r2', level='rw')
    assert IP.has_rules(read_only(A, B), [RO_A], [changing])
    assert IP.has_rules(read_only(A), [RO_A], [changing])
    assert not IP.has_rules(read_only(A, B), [RO_A])


# -- applying


def info(
    options: dict[str, str],
    status: str = 'Started',
    bricks: tuple[int, ...] = (1,),
) -> str:
    places = ''.join(
        f'<brick><name>gl{n}:/b</name><hostUuid>uuid-{n}</hostUuid></brick>'
        for n in bricks
    )
    rows = ''.join(
        f'<option><name>{k}</name><value>{v}</value></option>'
        for k, v in options.items()
    )
    return fakes.xml(
        f'<volInfo><volumes><volume><name>{NAME}</name><id>i</id>'
        f'<statusStr>{status}</statusStr><options>{rows}</options>'
        f'<bricks>{places}</bricks></volume></volumes></volInfo>'
    )


def clients(*addresses: str, bricks: tuple[int, ...] = (1,)) -> str:
    rows = ''.join(
        f'<client><hostname>{a}:49152</hostname></client>' for a in addresses
    )
    nodes = ''.join(
        f'<node><path>/b</path><peerid>uuid-{n}</peerid><status>1</status>'
        f'<clientsStatus>{rows}</clientsStatus></node>'
        for n in bricks
    )
    return fakes.xml(
        f'<volStatus><volumes><volume>{nodes}</volume></volumes></volStatus>'
    )


DENY_ALL = IP.deny_all_options()
GRANTED = dict(IP.plan([rule('10.0.0.7')]).options)
SET_GRANTED = (
    f'volume set {NAME} auth.allow 10.0.0.7 client.ssl off '
    f'features.read-only off server.ssl off'
)
SET_DENY_ALL = (
    f'volume set {NAME} auth.allow 0.0.0.0 client.ssl off server.ssl off'
)
INFO = f'volume info {NAME}'
STATUS = f'volume status {NAME} clients'


@pytest.fixture
def node() -> fakes.Node:
    return (
        fakes.Node()
        .grown()
        .gluster('pool list', test_cluster.peers(1))
        .answer(('addresses',), fakes.Answer('["10.9.9.1"]'))
    )


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    for module in (nodes_module, glusterd_start, retry):
        monkeypatch.setattr(module, 'time', clock)
    return clock


def written(node: fakes.Node) -> list[str]:
    return [
        command for command in node.said() if command.startswith('volume set')
    ]


def test_applying(node: fakes.Node) -> None:
    node.gluster(INFO, info(DENY_ALL), info(GRANTED))
    node.gluster(SET_GRANTED, fakes.xml())
    node.gluster(STATUS, clients('10.0.0.7'))
    assert make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=True) == {}
    assert written(node) == [SET_GRANTED]


def test_refused_rules_are_returned_and_the_others_applied(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(DENY_ALL), info(GRANTED))
    node.gluster(SET_GRANTED, fakes.xml())
    node.gluster(STATUS, clients())
    refused = make(node).apply(
        NAME, [rule('10.0.0.7'), rule('fd00::1', id='r2')], is_revoking=True
    )
    assert set(refused) == {'r2'}


def test_list_that_holds_is_verified_and_not_set_again(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(GRANTED))
    node.gluster(STATUS, clients('10.0.0.7'))
    make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=True)
    assert written(node) == []
    assert STATUS in node.said()


def test_more_options_go_into_the_same_transaction(node: fakes.Node) -> None:
    node.gluster(INFO, info(DENY_ALL), info({**GRANTED, 'user.x': '1'}))
    node.gluster(f'{SET_GRANTED} user.x 1', fakes.xml())
    make(node).apply(
        NAME,
        [rule('10.0.0.7')],
        is_revoking=False,
        extra_options={'user.x': '1'},
    )
    assert written(node) == [f'{SET_GRANTED} user.x 1']


def test_reject_list_is_reset_after_the_allow_list_is_set(
    node: fakes.Node,
) -> None:
    reset = f'volume reset {NAME} auth.reject'
    node.gluster(INFO, info({'auth.reject': '*'}), info(GRANTED))
    node.gluster(SET_GRANTED, fakes.xml()).gluster(reset, fakes.xml())
    make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=False)
    changes = [line for line in node.said() if line in (SET_GRANTED, reset)]
    assert changes == [SET_GRANTED, reset]


def test_no_such_volume(node: fakes.Node) -> None:
    node.gluster(
        INFO,
        fakes.xml(ret=-1, errno=30806, message='Volume does not exist'),
    )
    # Manila takes all rules away before it deletes again.
    assert make(node).apply(NAME, [], is_revoking=True) == {}
    with pytest.raises(native.VolumeNotFound) as caught:
        make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=True)
    assert caught.value.volume == NAME


def test_a_volume_that_is_not_started_has_no_clients(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(GRANTED, 'Created'))
    make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=True)
    assert STATUS not in node.said()


def test_lists_that_do_not_stay_as_set_are_no_success(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(GRANTED))
    node.gluster(SET_DENY_ALL, fakes.xml())
    with pytest.raises(volume_options.NotConfirmed) as caught:
        make(node).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl1',)


def test_revoking_waits_until_the_client_is_gone(
    node: fakes.Node, time: fakes.Clock
) -> None:
    node.gluster(INFO, info(GRANTED), info(DENY_ALL))
    node.gluster(SET_DENY_ALL, fakes.xml())
    node.gluster(
        STATUS,
        clients('10.0.0.7', '10.9.9.1'),
        fakes.xml(ret=-1, errno=30802, message='Another transaction is'),
        clients('10.0.0.7'),
        clients('10.9.9.1'),
    )
    make(node).apply(NAME, [], is_revoking=True)
    assert len(time.slept) == 3
    # The nodes' addresses are asked for once.
    assert len([a for a in node.ran if a[0] == 'addresses']) == 1


def test_a_client_that_stays_is_named(
    node: fakes.Node, time: fakes.Clock
) -> None:
    node.gluster(INFO, info(GRANTED), info(DENY_ALL))
    node.gluster(SET_DENY_ALL, fakes.xml())
    node.gluster(STATUS, clients('10.0.0.7', '10.0.0.70'))
    began = time.now
    with pytest.raises(eviction.ClientsStillConnected) as caught:
        make(node).apply(NAME, [], is_revoking=True)
    assert caught.value.clients == ('10.0.0.7', '10.0.0.70')
    assert time.now - began >= eviction._EVICTION_TIMEOUT


def test_clients_that_are_never_reported_fail_the_change(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(DENY_ALL))
    node.gluster(
        STATUS, fakes.xml(ret=-1, errno=30802, message='Another transaction')
    )
    with pytest.raises(errors.Busy):
        make(node).apply(NAME, [], is_revoking=True)


def test_with_tls_the_addresses_of_clients_are_not_read(
    node: fakes.Node,
) -> None:
    access = make(node, uses_tls=True, servers=('gl1',))
    plan = access.plan([cert('client')])
    node.gluster(INFO, info(dict(plan.options)))
    assert access.apply(NAME, [cert('client')], is_revoking=True) == {}
    assert STATUS not in node.said()


# -- changing the level

LEVEL_OPTION = access_levels.READ_ONLY
READ_ONLY_X = {**GRANTED, LEVEL_OPTION: 'on'}
SET_READ_ONLY = SET_GRANTED.replace('read-only off', 'read-only on')
SET_CLOSED = SET_READ_ONLY.replace('10.0.0.7', '0.0.0.0')
RO_X = rule('10.0.0.7', level='ro')


def test_a_client_stays_connected_while_its_level_is_lowered(
    node: fakes.Node,
) -> None:
    node.gluster(INFO, info(GRANTED), info(READ_ONLY_X))
    node.gluster(SET_READ_ONLY, fakes.xml())
    node.gluster(STATUS, clients('10.0.0.7'))
    assert make(node).apply(NAME, [RO_X], is_revoking=False) == {}
    assert written(node) == [SET_READ_ONLY]
    # No other client may write, either.
    assert STATUS in node.said()


def test_a_volume_is_read_only_before_it_admits_new_clients(
    node: fakes.Node,
) -> None:
    closed = {**DENY_ALL, LEVEL_OPTION: 'on'}
    node.gluster(INFO, info(DENY_ALL), info(closed), info(closed))
    node.gluster(INFO, info(READ_ONLY_X))
    node.gluster(SET_CLOSED, fakes.xml()).gluster(SET_READ_ONLY, fakes.xml())
    assert make(node).apply(NAME, [RO_X], is_revoking=False) == {}
    assert written(node) == [SET_CLOSED, SET_READ_ONLY]
    # No client was admitted, so no client has to be disconnected.
    assert STATUS not in node.said()


def test_a_volume_becomes_writable_after_others_are_disconnected(
    node: fakes.Node,
) -> None:
    other = {**READ_ONLY_X, native.ALLOW: '10.0.0.9'}
    closed = {**READ_ONLY_X, native.ALLOW: '0.0.0.0'}
    node.gluster(INFO, info(other), info(closed), info(closed), info(GRANTED))
    node.gluster(SET_CLOSED, fakes.xml()).gluster(SET_GRANTED, fakes.xml())
    node.gluster(STATUS, clients('10.0.0.9'), clients())
    # Manila revokes nothing, but the client may be one of an earlier rule.
    assert make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=False) == {}
    steps = (SET_CLOSED, STATUS, SET_GRANTED)
    changes = [line for line in node.said() if line in steps]
    assert changes == [SET_CLOSED, STATUS, STATUS, SET_GRANTED]


def test_a_volume_stays_read_only_while_others_are_connected(
    node: fakes.Node,
) -> None:
    other = {**READ_ONLY_X, native.ALLOW: '10.0.0.9'}
    closed = {**READ_ONLY_X, native.ALLOW: '0.0.0.0'}
    node.gluster(INFO, info(other), info(closed))
    node.gluster(SET_CLOSED, fakes.xml())
    node.gluster(STATUS, clients('10.0.0.9'))
    with pytest.raises(eviction.ClientsStillConnected):
        make(node).apply(NAME, [rule('10.0.0.7')], is_revoking=False)
    assert SET_GRANTED not in written(node)


def test_a_volume_without_rules_keeps_its_level(node: fakes.Node) -> None:
    node.gluster(
        INFO, info(READ_ONLY_X), info({**DENY_ALL, LEVEL_OPTION: 'on'})
    )
    node.gluster(SET_DENY_ALL, fakes.xml())
    node.gluster(STATUS, clients())
    assert make(node).apply(NAME, [], is_revoking=True) == {}
    assert written(node) == [SET_DENY_ALL]


def test_names_of_nodes_stay_in_the_list_while_the_level_changes() -> None:
    node = fakes.Node().grown().gluster('pool list', test_cluster.peers(1))
    access = make(node, uses_tls=True, servers=('gl1',))
    denied = dict(access.deny_all_options())
    closed = {**denied, LEVEL_OPTION: 'on'}
    final = {**closed, native.TLS_ALLOW: 'c1,gl1'}
    node.gluster(INFO, info(denied), info(closed), info(closed), info(final))
    first, second = (
        'volume set '
        + ' '.join([NAME, *(f'{k} {v}' for k, v in sorted(options.items()))])
        for options in (closed, final)
    )
    node.gluster(first, fakes.xml()).gluster(second, fakes.xml())
    client = rule('c1', kind='cert', level='ro')
    assert access.apply(NAME, [client], is_revoking=False) == {}
    assert written(node) == [first, second]


def test_outdated_bricks_let_clients_write_that_have_become_read_only() -> (
    None
):
    before, after = (info(o, bricks=(1, 2, 3)) for o in (GRANTED, READ_ONLY_X))
    nodes = three(UP, before, after)
    nodes[0].gluster(SET_READ_ONLY, fakes.xml())
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        make(*nodes).apply(NAME, [RO_X], is_revoking=False)
    assert caught.value.nodes == ('gl3',)


# -- bricks that glusterd does not reach


def three(mounts: fakes.Reply, *infos: str) -> list[fakes.Node]:
    """Make nodes of which glusterd misses the third.

    :param infos: what the volume is on the first; on the second, it is what
        comes last.
    """
    nodes = [fakes.Node(f'gl{n}').grown() for n in (1, 2, 3)]
    for n, others, away in ((1, (2, 3), (3,)), (2, (1, 3), (3,))):
        nodes[n - 1].gluster(
            'pool list', test_cluster.peers(n, *others, away=away)
        )
    nodes[2].gluster('pool list', test_cluster.peers(3, 1, 2, away=(1, 2)))
    nodes[2].answer(test_bricks.MOUNTS, mounts)
    nodes[0].gluster(INFO, *infos)
    nodes[1].gluster(INFO, *infos[-1:])
    return nodes


UP = fakes.Answer('[]')  # nothing is mounted
DOWN = errors.Down('gl3', 'no route')


@pytest.mark.parametrize('uses_tls', [False, True])
def test_outdated_bricks_fail_the_change(
    uses_tls: bool,
) -> None:
    deny_all = (TLS if uses_tls else IP).deny_all_options()
    nodes = three(UP, info(deny_all, bricks=(1, 2, 3)))
    servers = TLS._server_names if uses_tls else ()
    access = make(*nodes, uses_tls=uses_tls, servers=servers)
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        access.apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)
    assert STATUS not in nodes[0].said()


def test_bricks_of_a_node_that_is_down_admit_nobody() -> None:
    nodes = three(DOWN, info(DENY_ALL, bricks=(1, 2, 3)))
    nodes[0].gluster(STATUS, clients(bricks=(1, 2)))
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert test_bricks.MOUNTS in nodes[2].ran


def test_a_node_without_a_brick_is_of_no_account() -> None:
    nodes = three(UP, info(DENY_ALL, bricks=(1, 2)))
    nodes[0].gluster(STATUS, clients(bricks=(1, 2)))
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert test_bricks.MOUNTS not in nodes[2].ran


# -- what is verified, and when


def test_granting_does_not_need_a_disconnected_node() -> None:
    """Otherwise Manila would set a rule in force to error."""
    before, after = (info(o, bricks=(1, 2, 3)) for o in (DENY_ALL, GRANTED))
    nodes = three(UP, before, after)
    nodes[0].gluster(SET_GRANTED, fakes.xml())
    room = make(*nodes)
    assert room.apply(NAME, [rule('10.0.0.7')], is_revoking=False) == {}
    assert not nodes[2].ran
    assert STATUS not in nodes[0].said()


@pytest.mark.parametrize(
    'error',
    [
        errors.Unreachable('gl3', 'SSH handshake and login: no answer'),
        errors.Unreachable('gl3', 'busy with 8 other commands'),
        errors.HostKeyRejected('gl3', 'SHA256:x'),
    ],
)
def test_a_node_that_answers_in_any_way_is_not_down(
    error: errors.Unreachable,
) -> None:
    nodes = three(error, info(DENY_ALL, bricks=(1, 2, 3)))
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        make(*nodes).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)


# -- nodes that were left out


def together(*last: fakes.Reply | str) -> list[fakes.Node]:
    """Make nodes that all see each other, and what the third says of it."""
    nodes = [fakes.Node(f'gl{n}').grown() for n in (1, 2, 3)]
    for n, node in enumerate(nodes, 1):
        node.gluster('pool list', test_cluster.VIEWS[n])
        node.gluster(SET_DENY_ALL, fakes.xml())
    nodes[0].gluster(INFO, info(GRANTED, bricks=(1, 2, 3)), DENY_ALL_INFO)
    nodes[0].gluster(STATUS, clients(bricks=(1, 2, 3)))
    nodes[1].gluster(INFO, DENY_ALL_INFO)
    nodes[2].gluster(INFO, *last)
    nodes[2].answer(test_bricks.MOUNTS, UP)
    return nodes


GRANTED_INFO = info(GRANTED, bricks=(1, 2, 3))
DENY_ALL_INFO = info(DENY_ALL, bricks=(1, 2, 3))


def from_now_on(node: fakes.Node, words: str, *replies: str) -> None:
    """Replace the answers of a node to a command."""
    key = (*fakes.CONSOLE, *words.split())
    node._script[key] = [fakes.Answer(reply) for reply in replies]


def knows_at_last(node: fakes.Node) -> None:
    from_now_on(node, INFO, DENY_ALL_INFO)


def once_set(
    nodes: list[fakes.Node], times: int, what: Callable[[], object]
) -> None:
    """Have something happen when the lists are set for the nth time."""
    seen: list[str] = []

    def during(line: str) -> None:
        if line == SET_DENY_ALL:
            seen.append(line)
            if len(seen) == times:
                what()

    nodes[0].during = during


@pytest.mark.parametrize('is_revoking', [False, True])
def test_a_node_that_the_change_left_out_has_it_made_again(
    is_revoking: bool,
) -> None:
    nodes = together(GRANTED_INFO)
    once_set(nodes, 2, lambda: knows_at_last(nodes[2]))
    assert make(*nodes).apply(NAME, [], is_revoking=is_revoking) == {}
    assert written(nodes[0]) == [SET_DENY_ALL] * 2


def test_node_that_its_peers_are_about_to_update_is_waited_for() -> None:
    nodes = together(GRANTED_INFO, GRANTED_INFO, DENY_ALL_INFO)
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert written(nodes[0]) == [SET_DENY_ALL]


def test_refusals_are_retried_while_a_node_catches_up() -> None:
    nodes = together(GRANTED_INFO)
    nodes[0] = fakes.Node('gl1').grown()
    nodes[0].gluster('pool list', test_cluster.VIEWS[1])
    nodes[0].gluster(INFO, GRANTED_INFO, DENY_ALL_INFO)
    nodes[0].gluster(STATUS, clients(bricks=(1, 2, 3)))
    no = fakes.xml(ret=-1, errno=30800, message='Staging failed on gl3.')
    nodes[0].gluster(SET_DENY_ALL, fakes.xml(), no, fakes.xml())
    once_set(nodes, 3, lambda: knows_at_last(nodes[2]))
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert written(nodes[0]) == [SET_DENY_ALL] * 3


def test_a_node_that_goes_by_the_rules_of_before_is_found_when_all_hold() -> (
    None
):
    """As after a service was killed before it could ask."""
    nodes = together(GRANTED_INFO)
    nodes[0] = fakes.Node().grown()
    nodes[0].gluster('pool list', test_cluster.VIEWS[1])
    nodes[0].gluster(INFO, DENY_ALL_INFO).gluster(SET_DENY_ALL, fakes.xml())
    once_set(nodes, 1, lambda: knows_at_last(nodes[2]))
    make(*nodes).apply(NAME, [], is_revoking=False)
    assert written(nodes[0]) == [SET_DENY_ALL]


def young(*infos: str) -> list[fakes.Node]:
    """Make nodes on the third of which glusterd has just started."""
    nodes = together()
    nodes[2] = fakes.Node('gl3').gluster('pool list', test_cluster.VIEWS[3])
    nodes[2].gluster(INFO, *infos)
    nodes[2].answer(
        fakes.AGE, fakes.Answer('3'), fakes.Answer('3'), fakes.Answer('99')
    )
    return nodes


def test_what_a_node_knows_that_has_just_started_it_may_lose(
    time: fakes.Clock,
) -> None:
    nodes = young(DENY_ALL_INFO, DENY_ALL_INFO, GRANTED_INFO)
    once_set(nodes, 2, lambda: knows_at_last(nodes[2]))
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert written(nodes[0]) == [SET_DENY_ALL] * 2
    assert sum(time.slept) > 2 * 12


def test_granting_does_not_wait_for_a_node_to_start(
    time: fakes.Clock,
) -> None:
    nodes = young(DENY_ALL_INFO)
    assert make(*nodes).apply(NAME, [], is_revoking=False) == {}
    assert not time.slept


def test_a_node_that_never_starts_to_its_end_may_admit_who_it_will() -> None:
    nodes = young(DENY_ALL_INFO)
    nodes[2] = fakes.Node('gl3').grown('1\n')
    nodes[2].gluster('pool list', test_cluster.VIEWS[3])
    nodes[2].gluster(INFO, DENY_ALL_INFO).answer(test_bricks.MOUNTS, DOWN)
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        make(*nodes).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)


def test_a_node_that_glusterd_is_connected_to_is_not_down() -> None:
    nodes = together(DOWN)
    nodes[2].answer(fakes.AGE, DOWN)
    nodes[2]._script[test_bricks.MOUNTS] = [DOWN]
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        make(*nodes).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)


def test_the_first_change_does_not_use_up_the_time_of_the_others(
    time: fakes.Clock,
) -> None:
    nodes = together(GRANTED_INFO)

    def slow() -> None:
        time.now += 300

    once_set(nodes, 1, slow)
    nodes[2].gluster(INFO, *[GRANTED_INFO] * 3, DENY_ALL_INFO)
    assert make(*nodes).apply(NAME, [], is_revoking=False) == {}


# -- bricks that glusterd does not tell of


def test_brick_that_is_not_reported_yet_is_waited_for(
    time: fakes.Clock,
) -> None:
    nodes = together(DENY_ALL_INFO)
    from_now_on(
        nodes[0],
        STATUS,
        clients(bricks=(1, 2)),
        clients('10.0.0.7', bricks=(1, 2, 3)),
        clients(bricks=(1, 2, 3)),
    )
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert len(time.slept) == 2


def test_brick_that_is_never_reported_is_named() -> None:
    nodes = together(DENY_ALL_INFO)
    from_now_on(nodes[0], STATUS, clients(bricks=(1, 2)))
    with pytest.raises(eviction.ClientsNotReported) as caught:
        make(*nodes).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)


def test_a_brick_whose_process_has_ended_has_no_clients(
    time: fakes.Clock,
) -> None:
    nodes = together(DENY_ALL_INFO)
    off = clients(bricks=(3, 1, 2)).replace(
        '<status>1</status>', '<status>0</status>', 1
    )
    from_now_on(nodes[0], STATUS, off)
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert 10 <= sum(time.slept) < 12


# -- the rest


def test_a_node_that_never_learns_of_it_is_named() -> None:
    nodes = together(GRANTED_INFO)
    with pytest.raises(volume_options.NotConfirmed) as caught:
        make(*nodes).apply(NAME, [], is_revoking=False)
    assert caught.value.nodes == ('gl3',)


def test_one_that_cannot_be_asked_is_no_success_where_rules_are_revoked() -> (
    None
):
    late = errors.TimedOut('gl3', ('gluster',), 1)
    nodes = together(late)
    assert make(*nodes).apply(NAME, [], is_revoking=False) == {}
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        make(*nodes).apply(NAME, [], is_revoking=True)
    assert caught.value.nodes == ('gl3',)


def test_node_with_a_partial_answer_is_asked_again(
    time: fakes.Clock,
) -> None:
    part = errors.Garbled('gl3', ('gluster',), '')
    nodes = together(part, part, DENY_ALL_INFO)
    assert make(*nodes).apply(NAME, [], is_revoking=True) == {}
    assert written(nodes[0]) == [SET_DENY_ALL]
    assert len(time.slept) == 2


def test_programming_errors_are_raised() -> None:
    nodes = together(ValueError('ours'))
    with pytest.raises(ValueError, match='ours'):
        make(*nodes).apply(NAME, [], is_revoking=False)


# -- export locations


def volume_on(*hosts: str) -> gluster.Volume:
    return gluster.Volume(
        name='manila-x',
        id='i-d',
        status='Started',
        snapshot_count=0,
        replica_count=len(hosts),
        bricks=tuple(gluster.Brick(h, '/b', f'uuid-{h}') for h in hosts),
        options={},
    )


def test_one_for_each_node_with_the_others_for_when_it_is_down() -> None:
    assert IP.find_export_locations(volume_on('gl2', 'gl1', 'gl3')) == (
        protocols.ExportLocation(
            'gl2:/manila-x', True, 'backup-volfile-servers=gl1:gl3'
        ),
        protocols.ExportLocation(
            'gl1:/manila-x', False, 'backup-volfile-servers=gl2:gl3'
        ),
        protocols.ExportLocation(
            'gl3:/manila-x', False, 'backup-volfile-servers=gl2:gl1'
        ),
    )


def test_a_single_node() -> None:
    assert IP.find_export_locations(volume_on('gl1')) == (
        protocols.ExportLocation('gl1:/manila-x', True, ''),
    )


def test_a_node_with_two_bricks_is_one_location() -> None:
    found = IP.find_export_locations(volume_on('gl1', 'gl2', 'gl1'))
    assert [e.path for e in found] == ['gl1:/manila-x', 'gl2:/manila-x']
    assert [e.preferred for e in found] == [True, False]


def test_paths_are_what_manila_tells_apart() -> None:
    found = IP.find_export_locations(volume_on('gl1', 'gl2', 'gl3'))
    assert len({e.path for e in found}) == 3
