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
"""Everything that is wrong, in one message."""

from collections.abc import Iterator
import dataclasses
import json
import pathlib

# Imported for the option that it registers.
from oslo_concurrency import lockutils as lockutils
from oslo_config import cfg
import pytest

from manila_glusterfs_clone import checks
from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import options
from tests.unit import fakes
from tests.unit import test_bricks
from tests.unit import test_cluster

POLICY = fakes.xml(
    '<snapConfig><systemConfig><autoDelete>{}</autoDelete>'
    '<activateOnCreate>disable</activateOnCreate></systemConfig>'
    '</snapConfig>'
)
IS_ENABLED = ('systemctl', 'is-enabled', node_files.UNIT)
VERSION = 'glusterfs {}\nRepository revision: git://…\n'
AWAY = errors.Unreachable('gl3', 'no route')


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> Iterator[options.Settings]:
    for name in ('key', 'hosts'):
        (tmp_path / name).write_text('')
    cfg.CONF.set_override('lock_path', str(tmp_path), group='oslo_concurrency')
    yield options.Settings(
        backend='gold',
        nodes=('gl1', 'gl2', 'gl3'),
        ssh_port=22,
        ssh_user='manila',
        ssh_private_key=str(tmp_path / 'key'),
        ssh_known_hosts=str(tmp_path / 'hosts'),
        pools=('gvg/pool',),
        layout='auto',
        brick_root='/srv/x',
        tls=False,
        tls_server_names=(),
        limits=options.Limits(95, 85, 20.0),
        settle_timeout=30,
        lock_timeout=30,
        reconcile_interval=0,
        orphan_grace=3600,
        orphans='remove',
    )
    cfg.CONF.clear_override('lock_path', group='oslo_concurrency')


def thin_pool(**changes: str) -> fakes.Answer:
    row = {
        **test_bricks.lv('pool', layout='thin,pool', pool=''),
        **changes,
    }
    return fakes.Answer(json.dumps({'report': [{'lv': [row]}]}))


def node(
    number: int,
    *,
    view: fakes.Reply | str | None = None,
    report: fakes.Reply | None = None,
    mounts: fakes.Reply | None = None,
    version: fakes.Reply | None = None,
    unit: fakes.Reply | None = None,
    policy: fakes.Reply | str = '',
) -> fakes.Node:
    others = [n for n in (1, 2, 3) if n != number]
    return (
        fakes.Node(f'gl{number}')
        .gluster('pool list', view or test_cluster.peers(number, *others))
        .gluster('snapshot config', policy or POLICY.format('disable'))
        .answer(test_bricks.LVS, report or thin_pool())
        .answer(test_bricks.FINDMNT, mounts or fakes.Answer(status=1))
        .answer(IS_ENABLED, unit or fakes.Answer('enabled\n'))
        .answer(
            ('gluster', '--version'),
            version or fakes.Answer(VERSION.format('11.1')),
        )
    )


def problems(settings: options.Settings, *nodes: fakes.Node) -> list[str]:
    whole = cluster.Cluster(
        [cluster.Node(each) for each in nodes], settle_timeout=30
    )
    try:
        checks.run(settings, whole)
    except errors.Misconfigured as error:
        assert error.backend == 'gold'
        for problem in error.problems:
            assert problem in str(error)
        return [*error.problems]
    return []


def three(**changes: fakes.Node) -> list[fakes.Node]:
    return [changes.get(f'gl{n}', node(n)) for n in (1, 2, 3)]


def test_nothing_is_wrong(settings: options.Settings) -> None:
    assert problems(settings, *three()) == []


def test_everything_is_told_at_once(settings: options.Settings) -> None:
    cfg.CONF.set_override('lock_path', None, group='oslo_concurrency')
    found = problems(
        dataclasses.replace(
            settings,
            ssh_private_key='/nonexistent/key',
            ssh_known_hosts='/nonexistent/hosts',
            nodes=('gl1', 'gl1'),
            pools=('pool', 'a b/c'),
            brick_root='srv',
            layout='replica-3',
            tls=True,
        )
    )
    for part in (
        'names a node twice',
        "'pool' does not name",
        "'a b/c' does not name",
        'private_key: /nonexistent/key',
        'known_hosts: /nonexistent/hosts',
        "brick_root: 'srv'",
        'takes 3 nodes and there are 2',
        'tls_server_names is empty',
        'lock_path is not set',
    ):
        assert len([p for p in found if part in p]) == 1, part
    assert len(found) == 9


def test_nothing_at_all_is_configured(settings: options.Settings) -> None:
    found = problems(dataclasses.replace(settings, nodes=(), pools=()))
    assert [p.partition(':')[0] for p in found] == [
        'glusterfs_clone_nodes is empty',
        'glusterfs_clone_pools is empty',
    ]


def test_names_of_nodes_that_no_list_can_hold(
    settings: options.Settings,
) -> None:
    found = problems(
        dataclasses.replace(
            settings, tls=True, tls_server_names=('gl1', '*', 'a,b')
        ),
        *three(),
    )
    assert len(found) == 2
    assert "'*'" in found[0]
    assert "'a,b'" in found[1]


def test_without_a_key_no_node_is_asked(settings: options.Settings) -> None:
    nodes = three()
    problems(dataclasses.replace(settings, ssh_private_key='/no'), *nodes)
    assert not any(each.asked for each in nodes)


def test_configuration_and_cluster_in_one_message(
    settings: options.Settings,
) -> None:
    found = problems(
        dataclasses.replace(settings, brick_root='/'),
        *three(gl2=node(2, report=thin_pool(zero=''))),
    )
    assert len(found) == 2


# -- nodes that do not answer


def test_a_node_that_is_down_and_missed_is_left_to_be(
    settings: options.Settings,
) -> None:
    away = (3,)
    nodes = [
        node(1, view=test_cluster.peers(1, 2, 3, away=away)),
        node(2, view=test_cluster.peers(2, 1, 3, away=away)),
        node(3, view=AWAY),
    ]
    assert problems(settings, *nodes) == []


def test_a_node_that_we_alone_miss_is_a_problem(
    settings: options.Settings,
) -> None:
    found = problems(settings, *three(gl3=node(3, view=AWAY)))
    assert 'gl3 cannot be reached' in found[0]
    assert 'gl3: connected peers' in found[1]


def test_a_wrong_host_key_is_always_a_problem(
    settings: options.Settings,
) -> None:
    view = test_cluster.peers(1, 2, 3, away=(3,))
    found = problems(
        settings,
        node(1, view=view),
        node(2),
        node(3, view=errors.HostKeyRejected('gl3', 'SHA256:x')),
    )
    assert any('SHA256:x' in p for p in found)


def test_no_node_answers(settings: options.Settings) -> None:
    found = problems(settings, *[node(n, view=AWAY) for n in (1, 2, 3)])
    assert len(found) == 3


# -- peers


def test_nodes_of_different_pools(settings: options.Settings) -> None:
    found = problems(settings, *three(gl3=node(3, view=test_cluster.peers(3))))
    assert 'not peers of one trusted storage pool' in found[0]


def test_one_node_by_two_names(settings: options.Settings) -> None:
    view = test_cluster.peers(1, 2, 3)
    found = problems(settings, node(1), node(2, view=view), node(3))
    assert any('are the same node' in p for p in found)


def test_a_peer_that_is_not_configured(settings: options.Settings) -> None:
    nodes = [
        node(1, view=test_cluster.peers(1, 2, 3, 4)),
        node(2, view=test_cluster.peers(2, 1, 3, 4)),
        node(3, view=test_cluster.peers(3, 1, 2, 4)),
    ]
    (found,) = problems(settings, *nodes)
    assert found.startswith('gl4: connected peers')


# -- releases


@pytest.mark.parametrize(
    ('said', 'part'),
    [
        ('glusterfs 9.6', 'gl2 has GlusterFS 9.6; 10.0 is the oldest'),
        ('glusterfs 11.0', 'gl2 has GlusterFS 11.0, which crashes'),
        ('3.12', 'gl2 does not tell its release'),
        ('', 'gl2 does not tell its release'),
    ],
)
def test_releases(settings: options.Settings, said: str, part: str) -> None:
    (found,) = problems(
        settings, *three(gl2=node(2, version=fakes.Answer(said)))
    )
    assert part in found


@pytest.mark.parametrize(
    'said',
    [
        fakes.golden(release, 'version').answer
        for release in fakes.RELEASES
        if 'version' in fakes.golden_names(release)
    ],
)
def test_what_real_releases_say(
    settings: options.Settings, said: fakes.Answer
) -> None:
    assert not problems(settings, *three(gl2=node(2, version=said)))


@pytest.mark.parametrize('release', ['10.0', '10.3', '11.1', '100.0'])
def test_releases_that_will_do(
    settings: options.Settings, release: str
) -> None:
    said = VERSION.format(release)
    assert not problems(
        settings, *three(gl2=node(2, version=fakes.Answer(said)))
    )


def test_sudo_says_no(settings: options.Settings) -> None:
    said = fakes.Answer('', 'sudo: a password is required', 1)
    (found,) = problems(settings, *three(gl2=node(2, report=said)))
    assert 'a password is required' in found
    (found,) = problems(settings, *three(gl2=node(2, version=said)))
    assert 'a password is required' in found


def test_findmnt_is_not_there(settings: options.Settings) -> None:
    said = fakes.Answer('', 'sudo: findmnt: command not found', 1)
    (found,) = problems(settings, *three(gl2=node(2, mounts=said)))
    assert 'command not found' in found


@pytest.mark.parametrize(
    ('said', 'part'),
    [
        (fakes.Answer('disabled\n', '', 1), 'disabled'),
        (fakes.Answer('masked\n', '', 1), 'masked'),
        (fakes.Answer('not-found\n', '', 4), 'not-found'),
        (fakes.Answer('', 'Failed to get unit file state', 1), 'Failed to'),
        (fakes.Answer('static\n'), 'static'),
    ],
)
def test_bricks_that_are_not_mounted_at_boot(
    settings: options.Settings, said: fakes.Answer, part: str
) -> None:
    (found,) = problems(settings, *three(gl2=node(2, unit=said)))
    assert found.startswith('node gl2 does not mount bricks at boot')
    assert f'({part}' in found
    assert 'node-installer' in found


def test_sudo_says_no_to_systemctl(settings: options.Settings) -> None:
    said = fakes.Answer('', 'sudo: a password is required', 1)
    (found,) = problems(settings, *three(gl2=node(2, unit=said)))
    assert 'a password is required' in found


# -- thin pools


@pytest.mark.parametrize(
    ('report', 'part'),
    [
        (thin_pool(lv_name='x'), 'gl2 has no thin pool gvg/pool'),
        (thin_pool(lv_layout='linear'), 'gl2 has no thin pool gvg/pool'),
        (thin_pool(lv_health_status='failed'), 'health: failed'),
        (thin_pool(zero=''), 'lvchange --zero y gvg/pool'),
    ],
)
def test_thin_pools(
    settings: options.Settings, report: fakes.Answer, part: str
) -> None:
    (found,) = problems(settings, *three(gl2=node(2, report=report)))
    assert part in found


def test_every_pool_on_every_node(settings: options.Settings) -> None:
    pools = ('gvg/pool', 'gvg/other')
    found = problems(dataclasses.replace(settings, pools=pools), *three())
    assert found == [
        f'node gl{n} has no thin pool gvg/other' for n in (1, 2, 3)
    ]


def test_snapshots_that_delete_themselves(
    settings: options.Settings,
) -> None:
    (found,) = problems(
        settings, *three(gl1=node(1, policy=POLICY.format('enable')))
    )
    assert 'auto-delete disable' in found


def test_snapshot_options_that_cannot_be_read(
    settings: options.Settings,
) -> None:
    lost = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF')
    assert not problems(settings, *three(gl1=node(1, policy=lost)))
    nodes = [node(n, policy=lost) for n in (1, 2, 3)]
    (found,) = problems(settings, *nodes)
    assert 'snapshot options of the cluster cannot be read' in found
    assert 'EOF' in found
