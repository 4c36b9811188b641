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
"""The checks before a start: mistakes prevent it, faults do not."""

import dataclasses
import json
import logging
import re
import shlex
from typing import Any

# Imported for the option that it registers.
from oslo_concurrency import lockutils as lockutils
from oslo_config import cfg
import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import node_requirements
from manila_glusterfs_clone.preflight import startup_checks
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools.gluster import console
from tests.unit.cluster import test_bricks
from tests.unit.cluster import test_cluster
from tests.unit import fakes
from tests.unit.tools import test_host

POLICY = fakes.xml(
    '<snapConfig><systemConfig><autoDelete>{}</autoDelete>'
    '<activateOnCreate>disable</activateOnCreate></systemConfig>'
    '</snapConfig>'
)
AWAY = errors.Unreachable('gl3', 'no route')
LATE = errors.TimedOut('gl3', ('x',), 20)
NODES = frozenset({'gl1', 'gl2', 'gl3'})


def thin_pool(*more: dict[str, str], **changes: str) -> fakes.Answer:
    row = {
        **test_bricks.lv('pool', layout='thin,pool', pool=''),
        **changes,
    }
    return fakes.Answer(json.dumps({'report': [{'lv': [row, *more]}]}))


NO_LVS = fakes.Answer(json.dumps({'report': [{'lv': []}]}))


def node(
    number: int,
    *,
    view: fakes.Reply | str | None = None,
    report: fakes.Reply | None = None,
    unit: fakes.Reply = test_host.ENABLED,
    version: str = 'glusterfs 11.1 Repository revision: git',
    greeting: greetings.Greeting | errors.Error = fakes.GREETING,
    policy: fakes.Reply | str = '',
    lvm_settings: fakes.Reply | None = None,
) -> fakes.Node:
    others = [n for n in (1, 2, 3) if n != number]
    fake = (
        fakes.Node(f'gl{number}')
        .answer(test_host.UNIT, unit)
        .answer(test_host.VERSION, fakes.Answer(version))
        .gluster('pool list', view or test_cluster.peers(number, *others))
        .gluster('snapshot config', policy or POLICY.format('disable'))
        .answer(test_bricks.LVS, report or thin_pool())
        .answer(
            test_bricks.LVMCONFIG, lvm_settings or test_bricks.lvm_settings()
        )
    )
    fake.greeting = greeting
    return fake


@dataclasses.dataclass
class Outcome:
    """The result of the checks."""

    mistakes: list[findings.Finding]
    faults: list[findings.Finding]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(m.subject, m.kind) for m in self.mistakes]

    @property
    def fault_kinds(self) -> list[tuple[str, str]]:
        return [(f.subject, f.kind) for f in self.faults]


def check(settings: options.Settings, *nodes: fakes.Node) -> Outcome:
    whole = cluster.Cluster(
        [cluster.Node(each) for each in nodes], settle_timeout=30
    )
    state = fault_log.FaultLog(settings.backend)
    mistakes: list[findings.Finding] = []
    try:
        startup_checks.run(settings, whole, state, native.NativeProtocol)
    except findings.Misconfigured as error:
        assert error.backend == settings.backend
        mistakes = [*error.mistakes]
        for mistake in mistakes:
            assert str(mistake) in str(error)
    return Outcome(mistakes, [*state.faults])


def test_mistakes_of_others_are_in_the_same_error(
    settings: options.Settings,
) -> None:
    other = findings.Finding('an option', 'invalid', 'wrong')
    wrong = dataclasses.replace(settings, pools=())
    with pytest.raises(findings.Misconfigured) as caught:
        startup_checks.run(
            wrong,
            cluster.Cluster([], settle_timeout=30),
            fault_log.FaultLog('gold'),
            native.NativeProtocol,
            [other],
        )
    assert other in caught.value.mistakes
    assert len(caught.value.mistakes) > 1


def three(**changes: fakes.Node) -> list[fakes.Node]:
    return [changes.get(f'gl{n}', node(n)) for n in (1, 2, 3)]


def away(*numbers: int, view: errors.Error = AWAY) -> list[fakes.Node]:
    """Return three nodes, some unreachable and disconnected."""
    found = []
    for n in (1, 2, 3):
        others = [m for m in (1, 2, 3) if m != n]
        seen = test_cluster.peers(n, *others, away=numbers)
        dead = n in numbers
        found.append(
            node(n, view=view, greeting=view) if dead else node(n, view=seen)
        )
    return found


def test_no_findings(settings: options.Settings) -> None:
    nodes = three()
    assert check(settings, *nodes) == Outcome([], [])
    # Release, unit, LVs, limits of LVM.
    assert [len(each.ran) for each in nodes] == [4, 4, 4]


# -- the configuration


def test_all_mistakes_are_reported_at_once(settings: options.Settings) -> None:
    cfg.CONF.set_override('lock_path', None, group='oslo_concurrency')
    found = check(
        dataclasses.replace(
            settings,
            ssh_private_key='/nonexistent/key',
            ssh_known_hosts='/nonexistent/hosts',
            ssh_user='a b',
            nodes=('gl1', 'gl1', '-x y'),
            pools=('pool', 'a b/c', 'gvg/p', 'gvg/p'),
            brick_root='srv',
            layout='replica-3',
            tls=True,
            backend='x' * 300,
        )
    )
    assert sorted(found.kinds) == [
        ('[oslo_concurrency] lock_path', 'empty'),
        ('glusterfs_clone_brick_root', 'invalid'),
        ('glusterfs_clone_nodes', 'invalid'),
        ('glusterfs_clone_nodes', 'invalid'),
        ('glusterfs_clone_pools', 'invalid'),
        ('glusterfs_clone_pools', 'invalid'),
        ('glusterfs_clone_pools', 'invalid'),
        ('glusterfs_clone_ssh_known_hosts', 'missing'),
        ('glusterfs_clone_ssh_private_key', 'missing'),
        ('glusterfs_clone_ssh_user', 'invalid'),
        ('glusterfs_clone_tls_server_names', 'empty'),
        ('share_backend_name', 'invalid'),
    ]


def test_an_empty_configuration(settings: options.Settings) -> None:
    found = check(dataclasses.replace(settings, nodes=(), pools=()))
    assert {subject for subject, _ in found.kinds} >= {
        'glusterfs_clone_nodes',
        'glusterfs_clone_pools',
    }


def test_a_layout_that_needs_more_nodes(settings: options.Settings) -> None:
    found = check(
        dataclasses.replace(
            settings, layout='replica-3', nodes=('gl1', 'gl2')
        ),
        *three(),
    )
    assert ('glusterfs_clone_layout', 'invalid') in found.kinds


def test_tls_names_that_no_access_list_can_hold(
    settings: options.Settings,
) -> None:
    found = check(
        dataclasses.replace(
            settings, tls=True, tls_server_names=('gl1', '*', 'a,b')
        ),
        *three(),
    )
    assert found.kinds == [('glusterfs_clone_tls_server_names', 'invalid')] * 2


def test_without_a_key_no_node_is_read(settings: options.Settings) -> None:
    nodes = three()
    check(dataclasses.replace(settings, ssh_private_key='/no'), *nodes)
    assert not any(each.asked for each in nodes)


def test_configuration_and_cluster_in_one_message(
    settings: options.Settings,
) -> None:
    found = check(
        dataclasses.replace(settings, brick_root='/'),
        *three(gl2=node(2, report=thin_pool(zero=''))),
    )
    assert found.kinds == [
        ('glusterfs_clone_brick_root', 'invalid'),
        ('thin pool gvg/pool on node gl2', 'not zeroing'),
    ]


# -- nodes that do not answer


@pytest.mark.parametrize(
    'trouble',
    [AWAY, errors.Down('gl3', 'no route'), errors.Unreachable('gl3', 'busy')],
)
@pytest.mark.parametrize('missed', [True, False])
def test_a_node_that_is_unreachable_is_a_fault(
    settings: options.Settings, trouble: errors.Error, missed: bool
) -> None:
    """It is the same if only its sshd is down, and not glusterd."""
    dead = node(3, view=trouble, greeting=trouble)
    nodes = away(3, view=trouble) if missed else three(gl3=dead)
    found = check(settings, *nodes)
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'unreachable')]
    # Only the runner was asked for, once.
    assert not nodes[2].asked


@pytest.mark.parametrize(
    'trouble',
    [
        errors.HostKeyRejected('gl3', 'SHA256:x'),
        errors.LoginRefused('gl3', 'no login as manila'),
        errors.NoSuchHost('gl3', 'Name or service not known'),
    ],
)
def test_a_wrong_host_user_or_key_is_a_mistake(
    settings: options.Settings, trouble: errors.Error
) -> None:
    found = check(settings, *away(3, view=trouble))
    assert found.kinds == [('node gl3', 'unreachable')]
    assert str(found.mistakes[0]) == str(trouble)


def test_no_node_answers(settings: options.Settings) -> None:
    found = check(settings, *away(1, 2, 3))
    assert [m.node for m in found.mistakes] == ['gl1', 'gl2', 'gl3']


@pytest.mark.parametrize(
    'trouble',
    [LATE, console.GlusterdNotRunning('gl3')],
)
def test_glusterd_that_hangs_or_is_down_is_a_fault(
    settings: options.Settings, trouble: errors.Error
) -> None:
    dead = node(3, view=trouble)
    found = check(settings, *three(gl3=dead))
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'glusterd')]
    # Its programs and pools are looked at all the same.
    assert len(dead.ran) == 4


# -- peers


def test_nodes_of_different_pools(settings: options.Settings) -> None:
    found = check(
        settings,
        node(1, view=test_cluster.peers(1, 2)),
        node(2, view=test_cluster.peers(2, 1)),
        node(3, view=test_cluster.peers(3)),
    )
    assert found.kinds == [('node gl3', 'not a peer')]
    found = check(
        settings, *[node(n, view=test_cluster.peers(n)) for n in (1, 2, 3)]
    )
    assert len(found.kinds) == 2


def test_a_reinstalled_node_is_a_fault(
    settings: options.Settings,
) -> None:
    nodes = away(3)
    nodes[2] = node(3, view=test_cluster.peers(9))
    found = check(settings, *nodes)
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'not a peer')]


def test_a_node_that_knows_too_few_peers_is_a_fault(
    settings: options.Settings,
) -> None:
    found = check(settings, *three(gl3=node(3, view=test_cluster.peers(3, 1))))
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'other peers')]


def test_one_node_configured_by_two_names(settings: options.Settings) -> None:
    view = test_cluster.peers(1, 2, 3)
    found = check(settings, node(1), node(2, view=view), node(3))
    assert ('glusterfs_clone_nodes', 'same node') in found.kinds


def test_a_peer_that_is_not_configured(settings: options.Settings) -> None:
    nodes = [
        node(1, view=test_cluster.peers(1, 2, 3, 4)),
        node(2, view=test_cluster.peers(2, 1, 3, 4)),
        node(3, view=test_cluster.peers(3, 1, 2, 4)),
    ]
    found = check(settings, *nodes)
    assert found.kinds == [('glusterfs_clone_nodes', 'unknown peers')]
    assert 'gl4' in found.mistakes[0].message


def test_nodes_configured_by_address_of_which_one_is_unreachable(
    settings: options.Settings,
) -> None:
    """The peer with another name may be the unreachable node."""
    names = ('10.0.0.1', '10.0.0.2', '10.0.0.3')
    nodes = three(gl3=node(3, view=AWAY, greeting=AWAY))
    for each, name in zip(nodes, names, strict=True):
        each.name = name
    found = check(dataclasses.replace(settings, nodes=names), *nodes)
    assert found.mistakes == []


def test_peers_known_by_ipv6(settings: options.Settings) -> None:
    view = test_cluster.peers(1, 2, 3).replace('>gl2<', '>fd00::2<')
    found = check(settings, *three(gl1=node(1, view=view)))
    assert found.kinds == [('trusted storage pool', 'ipv6')]


# -- programs


@pytest.mark.parametrize(
    ('said', 'bad'),
    [
        ('glusterfs 9.6 built', True),
        ('glusterfs 11.0 built', True),
        ('3.12', True),
        ('glusterfs 10.0', False),
        ('glusterfs 100.0 built', False),
    ],
)
def test_releases(settings: options.Settings, said: str, bad: bool) -> None:
    found = check(settings, *three(gl2=node(2, version=said)))
    assert found.kinds == [('node gl2', 'release')] * bad


@pytest.mark.parametrize('release', fakes.RELEASES)
def test_recorded_releases(settings: options.Settings, release: str) -> None:
    version = fakes.golden(release, 'version').answer.stdout
    assert check(settings, *three(gl2=node(2, version=version))) == Outcome(
        [], []
    )


@pytest.mark.parametrize('program', verbs.PROGRAMS)
def test_a_program_that_is_missing_is_named_with_its_package(
    settings: options.Settings, program: str
) -> None:
    greeting = dataclasses.replace(fakes.GREETING, missing_programs=(program,))
    found = check(settings, *three(gl2=node(2, greeting=greeting)))
    assert found.kinds[0] == ('node gl2', 'missing')
    assert program in found.mistakes[0].message
    assert node_requirements.PACKAGES[program] in found.mistakes[0].message


@pytest.mark.parametrize(
    ('trouble', 'needs_installer'),
    [
        (greetings.NoRunner('gl2', 'sudo: a password is required'), True),
        (greetings.NoRunner('gl2', 'This account is not available.'), True),
        (greetings.WrongRelease('gl2', 0, 0), True),
        (greetings.WrongRelease('gl2', 99, 99), False),
    ],
)
def test_a_runner_that_does_not_fit_is_one_mistake(
    settings: options.Settings,
    trouble: greetings.NoRunner | greetings.WrongRelease,
    needs_installer: bool,
) -> None:
    dead = node(2, greeting=trouble, view=trouble, report=trouble)
    found = check(settings, *three(gl2=dead))
    assert found.kinds == [('node gl2', 'runner')]
    assert found.faults == []
    message = found.mistakes[0].message
    assert trouble.problem in message
    assert (installer_of(message) is not None) is needs_installer


def test_a_runner_without_settings_is_one_mistake(
    settings: options.Settings,
) -> None:
    greeting = dataclasses.replace(fakes.GREETING, problem='no such file')
    refused = step_outcomes.NotAllowed('gl2', 'list_lvs', 'no such file')
    dead = node(2, greeting=greeting, view=refused, report=refused)
    found = check(settings, *three(gl2=dead))
    assert found.kinds == [('node gl2', 'runner')]
    assert found.faults == []


@pytest.mark.parametrize(
    ('name', 'missing'),
    [
        ('volume_groups', 'volume group gvg'),
        ('brick_roots', f'brick root {options.DEFAULT_BRICK_ROOT}'),
    ],
)
def test_a_runner_that_does_not_allow_the_back_end(
    settings: options.Settings, name: str, missing: str
) -> None:
    """The remedy has the options that the installer needs."""
    allowed: dict[str, Any] = {name: frozenset({'/other'})}
    greeting = dataclasses.replace(fakes.GREETING, **allowed)
    found = check(settings, *three(gl2=node(2, greeting=greeting)))
    assert found.kinds == [('node gl2', 'runner')]
    message = found.mistakes[0].message
    assert missing in message
    assert installer_of(message) == [
        'node-installer',
        '--pool=gvg/pool',
        f'--brick-root={options.DEFAULT_BRICK_ROOT}',
        f'--user={settings.ssh_user}',
    ]


def installer_of(message: str) -> list[str] | None:
    """Return the arguments of the installer that a remedy names.

    The command accepts them.
    """
    quoted = re.search('"manila-glusterfs-clone ([^"]*)"', message)
    if quoted is None:
        return None
    arguments = shlex.split(quoted[1])
    assert main.main(arguments) == 0
    return arguments


def test_a_failed_report_is_a_fault(settings: options.Settings) -> None:
    found = check(settings, *three(gl3=node(3, unit=LATE)))
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'programs')]


@pytest.mark.parametrize(
    ('unit', 'mistake'),
    [
        (fakes.Answer('disabled\n', '', 1), True),
        (fakes.Answer('masked\n', '', 1), True),
        (fakes.Answer('static\n'), True),
        (fakes.Answer('', 'No such file or directory', 1), True),
        (fakes.Answer('', 'Failed to connect to bus', 1), False),
    ],
)
def test_bricks_that_are_not_mounted_at_boot(
    settings: options.Settings, unit: fakes.Answer, mistake: bool
) -> None:
    found = check(settings, *three(gl2=node(2, unit=unit)))
    assert found.kinds == [('node gl2', 'boot unit')] * mistake
    assert found.fault_kinds == [('node gl2', 'boot unit')] * (not mistake)


# -- thin pools


OTHER = test_bricks.lv('other')


@pytest.mark.parametrize(
    ('report', 'kind'),
    [
        (thin_pool(lv_health_status='failed'), 'failed'),
        (thin_pool(lv_health_status='out_of_data'), 'out_of_data'),
        (
            thin_pool(lv_health_status='metadata_read_only'),
            'metadata_read_only',
        ),
        (thin_pool(lv_active=''), 'inactive'),
        (thin_pool(data_percent='96.00'), 'full'),
        (thin_pool(metadata_percent='90.00'), 'metadata full'),
        # As where its disk is dead: LVM leaves out the VG.
        (NO_LVS, 'not visible'),
        (thin_pool(vg_name='root'), 'not visible'),
    ],
)
def test_a_pool_that_is_broken_on_one_node_is_a_fault(
    settings: options.Settings, report: fakes.Answer, kind: str
) -> None:
    found = check(settings, *three(gl2=node(2, report=report)))
    assert found.mistakes == []
    assert found.fault_kinds == [('thin pool gvg/pool on node gl2', kind)]
    assert found.faults[0].node == 'gl2'


def test_a_pool_in_which_lvm_creates_nothing_is_a_fault(
    settings: options.Settings,
) -> None:
    full = node(
        2,
        report=thin_pool(data_percent='60.00'),
        lvm_settings=test_bricks.lvm_settings(50),
    )
    found = check(settings, *three(gl2=full))
    assert found.mistakes == []
    assert found.fault_kinds == [
        ('thin pool gvg/pool on node gl2', 'lvm limit')
    ]


@pytest.mark.parametrize(
    'trouble',
    [
        fakes.Answer('', 'Failed to load config file', 5),
        fakes.Answer('', 'Failed to load config file', 4),
        fakes.Answer('monitoring=1\n'),
        errors.TimedOut('gl2', test_bricks.LVMCONFIG, 5),
    ],
)
def test_unreadable_settings_of_lvm_are_a_fault(
    settings: options.Settings, trouble: fakes.Reply
) -> None:
    found = check(settings, *three(gl2=node(2, lvm_settings=trouble)))
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl2', 'lvm settings')]
    assert found.faults[0].node == 'gl2'


def test_a_pool_that_is_broken_on_all_nodes_is_a_fault(
    settings: options.Settings,
) -> None:
    full = thin_pool(lv_health_status='out_of_data')
    found = check(settings, *[node(n, report=full) for n in (1, 2, 3)])
    assert found.mistakes == []
    assert len(found.faults) == 3


@pytest.mark.parametrize(
    'report',
    [
        thin_pool(lv_name='x'),
        thin_pool(lv_layout='linear'),
    ],
)
def test_a_pool_that_was_never_made_on_one_node_is_a_mistake(
    settings: options.Settings, report: fakes.Answer
) -> None:
    found = check(settings, *three(gl2=node(2, report=report)))
    assert found.kinds == [('thin pool gvg/pool on node gl2', 'missing')]


def test_a_pool_that_no_node_has_is_a_mistake(
    settings: options.Settings,
) -> None:
    pools = ('gvg/pool', 'gvgg/pool')
    found = check(dataclasses.replace(settings, pools=pools), *three())
    assert found.kinds == [('thin pool gvgg/pool', 'missing')]
    assert found.faults == []


def test_a_pool_that_does_not_zero_is_a_mistake(
    settings: options.Settings,
) -> None:
    found = check(settings, *three(gl2=node(2, report=thin_pool(zero=''))))
    assert found.kinds == [('thin pool gvg/pool on node gl2', 'not zeroing')]


@pytest.mark.parametrize(
    'trouble',
    [
        LATE,
        fakes.Answer('', '  Input/output error', 5),
        fakes.Answer('{"report": [', '', 0),
    ],
)
def test_lvm_that_does_not_answer_is_a_fault(
    settings: options.Settings, trouble: fakes.Reply
) -> None:
    found = check(settings, *three(gl3=node(3, report=trouble)))
    assert found.mistakes == []
    assert found.fault_kinds == [('node gl3', 'lvm failed')]


# -- snapshots


def test_auto_delete_of_snapshots_is_a_mistake(
    settings: options.Settings,
) -> None:
    found = check(
        settings, *three(gl1=node(1, policy=POLICY.format('enable')))
    )
    assert [kind for _, kind in found.kinds] == ['enabled']


def test_snapshot_options_that_cannot_be_read(
    settings: options.Settings,
) -> None:
    lost = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF')
    found = check(settings, *three(gl1=node(1, policy=lost)))
    assert found == Outcome([], [])
    nodes = [node(n, policy=lost) for n in (1, 2, 3)]
    found = check(settings, *nodes)
    assert found.mistakes == []
    assert [kind for _, kind in found.fault_kinds] == ['unreadable']


# -- the log


def test_faults_are_logged_once_and_together(
    settings: options.Settings, caplog: pytest.LogCaptureFixture
) -> None:
    full = thin_pool(lv_health_status='out_of_data')
    check(settings, *three(gl2=node(2, report=full), gl3=node(3, view=LATE)))
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.args is not None
    assert record.args[:2] == ('gold', 2)  # type: ignore[index]


def test_health_logs_new_and_past_faults(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    state = fault_log.FaultLog('gold')

    def levels(found: dict[str, list[findings.Finding]]) -> list[int]:
        caplog.clear()
        state.report(found)
        return [record.levelno for record in caplog.records]

    full = findings.Finding('pool on gl1', 'full', '96 % full')
    fuller = findings.Finding('pool on gl1', 'full', '97 % full')
    failed = findings.Finding('pool on gl1', 'failed', 'failed')
    down = findings.Finding('node gl2', 'unreachable', 'no route')
    both = {fault_log.STORAGE: [full], fault_log.SERVICES: [down]}
    assert levels(both) == [logging.WARNING]
    assert levels({fault_log.STORAGE: [fuller]}) == []
    assert {f.kind for f in state.faults} == {'full', 'unreachable'}
    assert levels({fault_log.STORAGE: [failed]}) == [
        logging.WARNING,
        logging.INFO,
    ]
    assert levels({fault_log.SERVICES: []}) == [logging.INFO]
    assert levels({fault_log.STORAGE: []}) == [logging.INFO]
    assert state.faults == ()
