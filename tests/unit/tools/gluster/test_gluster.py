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
"""Commands of gluster, with recorded answers of real clusters."""

from collections.abc import Callable
import re

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import console
from tests.unit import fakes

BRICK = '/srv/golden/manila-golden/brick'


def make_client(node: fakes.Node) -> gluster.Gluster:
    return gluster.Gluster(console.Console(node))


def replaying(release: str, *names: str) -> gluster.Gluster:
    return make_client(fakes.Node().replay(release, *names))


# -- reads


def test_peers(release: str) -> None:
    peers = replaying(release, 'pool-list').peers()
    assert {p.hostname for p in peers} == {'localhost', 'gl2', 'gl3'}
    assert len({p.uuid for p in peers}) == 3
    assert all(len(p.uuid) == 36 for p in peers)
    assert all(p.is_connected for p in peers)


def test_a_peer_that_is_away() -> None:
    node = fakes.Node().gluster(
        'pool list',
        fakes.xml(
            '<peerStatus><peer><uuid>u</uuid><hostname>gl2</hostname>'
            '<connected>0</connected></peer></peerStatus>'
        ),
    )
    assert make_client(node).peers() == (gluster.Peer('u', 'gl2', False),)


def test_a_volume(release: str) -> None:
    node = fakes.Node().replay(release, 'volume-info')
    volume = make_client(node).volume('golden')
    assert volume is not None
    assert volume.name == 'golden'
    assert volume.is_started
    assert volume.replica_count == 3
    assert volume.snapshot_count == 0
    assert volume.hex_id == volume.id.replace('-', '')
    assert len(volume.hex_id) == 32
    assert [b.host for b in volume.bricks] == ['gl1', 'gl2', 'gl3']
    assert {b.path for b in volume.bricks} == {BRICK}
    assert len({b.node_uuid for b in volume.bricks}) == 3
    assert volume.options['user.manila.share'] == 'u1'
    assert 'auth.allow' not in volume.options


def test_its_bricks_are_on_the_peers(release: str) -> None:
    client = replaying(release, 'pool-list', 'volume-info', 'volume-status')
    peers = {peer.uuid for peer in client.peers()}
    volume = client.volume('golden')
    assert volume is not None
    assert {brick.node_uuid for brick in volume.bricks} == peers
    assert {
        brick.node_uuid for brick in client.brick_status('golden')
    } == peers


def test_a_volume_that_is_not_started_yet(release: str) -> None:
    volume = replaying(release, 'volume-info-created').volume('golden')
    assert volume is not None
    assert volume.status == 'Created'
    assert not volume.is_started


def test_a_clone(release: str) -> None:
    volume = replaying(release, 'volume-info-clone').volume('golden-clone')
    assert volume is not None
    assert not volume.is_started
    for brick in volume.bricks:
        assert brick.path.startswith(f'/run/gluster/snaps/{volume.hex_id}/')
    # What makes it necessary to reset the options of a clone.
    assert volume.options['user.manila.share'] == 'u1'


def test_no_such_volume(release: str) -> None:
    assert replaying(release, 'volume-info-missing').volume('nosuch') is None


@pytest.mark.parametrize('what', ['brick', 'option'])
def test_a_volume_with_missing_parts_is_unknown(
    release: str, what: str
) -> None:
    """A glusterd lists it so while it receives the volume from its peers."""
    answer = fakes.golden(release, 'volume-info').answer.stdout
    part = re.sub(rf'<{what}[ >].*?</{what}>', '', answer, flags=re.DOTALL)
    assert part != answer
    node = fakes.Node().gluster('volume info golden', part)
    with pytest.raises(errors.Garbled) as caught:
        gluster.Gluster(console.Console(node)).volume('golden')
    count = {'brick': 'brickCount', 'option': 'optCount'}[what]
    assert count in caught.value.answer


def test_one_volume_is_not_taken_for_another(release: str) -> None:
    answer = fakes.golden(release, 'volume-info').answer
    node = fakes.Node().gluster('volume info other', answer)
    assert make_client(node).volume('other') is None


def test_all_volumes(release: str) -> None:
    node = fakes.Node().replay(release, 'volume-list', 'volume-info-all')
    found = make_client(node).volumes()
    assert set(found) == {'golden', 'golden-clone'}
    assert found['golden'].snapshot_count == 1
    assert node.said() == ['volume list', 'volume info']


def test_no_volumes(release: str) -> None:
    client = replaying(release, 'volume-list-none', 'volume-info-none')
    assert client.volumes() == {}
    assert client.volume_names() == frozenset()


def test_a_list_of_volumes_that_ended_early_is_completed(
    release: str,
) -> None:
    answer = fakes.golden(release, 'volume-info').answer
    node = fakes.Node().replay(release, 'volume-list', 'volume-info-clone')
    node.gluster('volume info', answer)
    assert set(make_client(node).volumes()) == {'golden', 'golden-clone'}
    assert node.said()[-1] == 'volume info golden-clone'


def test_a_volume_deleted_while_all_are_listed(release: str) -> None:
    gone = fakes.golden(release, 'volume-info-missing').answer
    answer = fakes.golden(release, 'volume-info').answer
    node = fakes.Node().replay(release, 'volume-list')
    node.gluster('volume info', answer)
    node.gluster('volume info golden-clone', gone)
    assert set(make_client(node).volumes()) == {'golden'}


def test_snapshots(release: str) -> None:
    found = replaying(release, 'snapshot-info').snapshots()
    assert set(found) == {'golden-snap'}
    assert found['golden-snap'].origin == 'golden'
    assert len(found['golden-snap'].hex_id) == 32
    assert not found['golden-snap'].is_active
    assert replaying(release, 'snapshot-info-none').snapshots() == {}


def test_a_snapshot(release: str) -> None:
    client = replaying(
        release, 'snapshot-info-one', 'snapshot-info-active', 'lvs'
    )
    still = client.snapshot('golden-snap')
    active = client.snapshot('golden-snap')
    assert still is not None
    assert active is not None
    assert not still.is_active
    assert active.is_active
    assert still.hex_id == active.hex_id
    # Its LVs are named after it.
    lvs = fakes.golden(release, 'lvs').answer.stdout
    assert f'"{still.hex_id}_0"' in lvs


def test_no_such_snapshot(release: str) -> None:
    client = replaying(release, 'snapshot-info-missing')
    assert client.snapshot('nosuch') is None


def test_one_snapshot_is_not_taken_for_another(release: str) -> None:
    answer = fakes.golden(release, 'snapshot-info-one').answer
    node = fakes.Node().gluster('snapshot info other', answer)
    assert make_client(node).snapshot('other') is None


def test_policy(release: str) -> None:
    config = replaying(release, 'snapshot-config').snapshot_config()
    assert config == gluster.SnapshotConfig(256, has_auto_delete=False)
    answer = fakes.golden(release, 'snapshot-config').answer.stdout
    node = fakes.Node().gluster(
        'snapshot config', answer.replace('disable', 'enable')
    )
    assert make_client(node).snapshot_config().has_auto_delete


def test_limits_of_a_volume(release: str) -> None:
    client = replaying(release, 'snapshot-config-volume')
    assert client.snapshot_config('golden').hard_limit == 2
    answer = fakes.golden(release, 'snapshot-config-volume').answer.stdout
    node = fakes.Node().gluster('snapshot config', answer)
    assert make_client(node).snapshot_config().hard_limit == 256


def test_bricks(release: str) -> None:
    bricks = replaying(release, 'volume-status').brick_status('golden')
    # The daemons stand in the same list and are left out.
    assert len(bricks) == 3
    assert {b.path for b in bricks} == {BRICK}
    assert all(b.is_online for b in bricks)
    assert all(b.clients == frozenset() for b in bricks)


def test_clients(release: str) -> None:
    bricks = replaying(release, 'volume-status-clients').brick_status(
        'golden', with_clients=True
    )
    assert len(bricks) == 3
    for brick in bricks:
        assert brick.clients
        for client in brick.clients:
            assert client.count('.') == 3
            assert ':' not in client


def test_a_brick_that_is_down(release: str) -> None:
    answer = fakes.golden(release, 'volume-status').answer.stdout
    node = fakes.Node().gluster(
        'volume status golden',
        answer.replace('<status>1</status>', '<status>0</status>', 1),
    )
    assert [b.is_online for b in make_client(node).brick_status('golden')] == [
        False,
        True,
        True,
    ]


def test_no_state_of_a_volume_that_is_stopped(release: str) -> None:
    with pytest.raises(errors.GlusterRefused) as caught:
        replaying(release, 'volume-status-stopped').brick_status('golden')
    assert 'is not started' in caught.value.message


def test_nothing_to_heal(release: str) -> None:
    state = replaying(release, 'volume-heal-summary').heal_state('golden')
    assert state == gluster.HealState(0, 0, ())
    assert state.is_healed


def heal_node(release: str, old: str, new: str) -> fakes.Node:
    answer = fakes.golden(release, 'volume-heal-summary').answer.stdout
    assert old in answer
    return fakes.Node().gluster(
        'volume heal golden info summary', answer.replace(old, new, 1)
    )


def test_something_to_heal(release: str) -> None:
    total = '<totalNumberOfEntries>{}</totalNumberOfEntries>'
    node = heal_node(release, total.format(0), total.format(7))
    state = make_client(node).heal_state('golden')
    assert (state.entry_count, state.is_healed) == (7, False)


def test_split_brain(release: str) -> None:
    split = '<numberOfEntriesInSplitBrain>{}</numberOfEntriesInSplitBrain>'
    node = heal_node(release, split.format(0), split.format(2))
    assert make_client(node).heal_state('golden').split_brain_count == 2


@pytest.mark.parametrize('count', ['-', '', '-1'])
def test_a_brick_without_a_heal_state_is_not_healed(
    release: str, count: str
) -> None:
    total = '<totalNumberOfEntries>{}</totalNumberOfEntries>'
    node = heal_node(release, total.format(0), total.format(count))
    state = make_client(node).heal_state('golden')
    (silent,) = state.silent_bricks
    assert silent.startswith('gl1:/srv/golden')
    assert not state.is_healed


def test_a_brick_that_is_down_is_not_healed(release: str) -> None:
    client = replaying(release, 'volume-heal-summary-brick-down')
    state = client.heal_state('golden')
    (silent,) = state.silent_bricks
    assert silent.startswith('gl1:/srv/golden')


def test_healing_is_started(release: str) -> None:
    replaying(release, 'volume-heal').heal('golden', 20)


@pytest.mark.parametrize(
    ('name', 'volume', 'kind'),
    [
        ('volume-heal-brick-down', 'golden', errors.GlusterRefused),
        ('volume-heal-stopped', 'golden', errors.GlusterRefused),
        ('volume-heal-missing', 'nosuch', errors.NotFound),
    ],
)
def test_healing_is_refused(
    release: str, name: str, volume: str, kind: type[errors.GlusterRefused]
) -> None:
    with pytest.raises(errors.GlusterRefused) as caught:
        replaying(release, name).heal(volume, 20)
    assert type(caught.value) is kind
    assert 'Launching' not in caught.value.message


@pytest.mark.parametrize(
    ('answer', 'kind'),
    [
        ('Another transaction is in progress for x. Please', errors.Busy),
        ('Locking failed on gl2. Please check log', errors.Busy),
        ('Commit failed on gl2. Please check log', errors.CommitFailed),
        ('Error : Request timed out', errors.TimedOut),
        (
            'Connection failed. Please check if gluster daemon is '
            'operational.',
            errors.LinkLost,
        ),
    ],
)
def test_healing_is_refused_in_plain_text(
    answer: str, kind: type[errors.Error]
) -> None:
    node = fakes.Node().gluster(
        'volume heal golden', fakes.Answer('', f'Launching …:\n{answer}\n', 1)
    )
    with pytest.raises(kind):
        make_client(node).heal('golden', 20)


@pytest.mark.parametrize(
    ('trouble', 'times'),
    [
        # It may have been lost long ago, and nobody noticed.
        (errors.LinkLost('gl1', fakes.CONSOLE, 'EOF'), 2),
        (errors.TimedOut('gl1', fakes.CONSOLE, 1), 1),
        (errors.Unreachable('gl1', 'no route'), 1),
    ],
)
def test_a_failed_read_is_not_repeated(
    trouble: errors.Error, times: int
) -> None:
    """The caller reads from the next node; this client has only one."""
    node = fakes.Node().gluster('pool list', trouble)
    with pytest.raises(type(trouble)):
        make_client(node).peers()
    assert len(node.said()) == times


def test_a_read_on_a_lost_connection_is_repeated() -> None:
    lost = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF')
    node = fakes.Node().gluster('volume list', lost, fakes.xml())
    assert make_client(node).volume_names() == frozenset()


def test_a_write_on_a_lost_connection_is_not_repeated() -> None:
    lost = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF')
    node = fakes.Node().gluster('volume delete v', lost, fakes.xml())
    with pytest.raises(errors.LinkLost):
        make_client(node).delete_volume('v')


def test_commands_that_take_a_lock_do_not_use_a_read_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: dict[str, bool] = {}

    def run(
        self: console.Console,
        *words: str,
        is_read: bool = False,
        **more: object,
    ) -> None:
        commands[' '.join(words)] = is_read
        raise errors.NotFound('gl1', words, 0, 'no')

    monkeypatch.setattr(console.Console, 'run', run)
    client = make_client(fakes.Node())
    assert client.volume('x') is None
    assert client.snapshot('s') is None
    client.stop_volume('x')
    with pytest.raises(errors.NotFound):
        client.brick_status('x')
    assert commands == {
        'volume info x': True,
        'snapshot info s': True,
        'volume stop x force': False,
        'volume status x': False,
    }


# -- writes

Verb = Callable[[gluster.Gluster], None]

WRITES: dict[str, Verb] = {
    'volume-create': lambda client: client.create_volume(
        'golden',
        ('replica', '3'),
        [f'gl{n}:{BRICK}' for n in (1, 2, 3)],
    ),
    'volume-start': lambda client: client.start_volume('golden'),
    'volume-set': lambda client: client.set_options(
        'golden', {'user.manila.share': 'u1', 'auth.allow': gluster.NO_CLIENT}
    ),
    'volume-reset': lambda client: client.reset_option('golden', 'auth.allow'),
    'volume-stop': lambda client: client.stop_volume('golden-clone'),
    'volume-delete': lambda client: client.delete_volume('golden-clone'),
    'snapshot-create': lambda client: client.create_snapshot(
        'golden-snap', 'golden'
    ),
    'snapshot-activate': lambda client: client.activate_snapshot(
        'golden-snap'
    ),
    'snapshot-clone': lambda client: client.clone_snapshot(
        'golden-snap', 'golden-clone'
    ),
    'snapshot-deactivate': lambda client: client.deactivate_snapshot(
        'golden-snap'
    ),
    'snapshot-delete': lambda client: client.delete_snapshot('golden-snap'),
}


@pytest.mark.parametrize('name', WRITES)
def test_a_write(release: str, name: str) -> None:
    node = fakes.Node().replay(release, name)
    WRITES[name](make_client(node))
    assert len(node.said()) == 1


@pytest.mark.parametrize('name', WRITES)
def test_a_write_with_an_unknown_result_is_not_repeated(
    release: str, name: str
) -> None:
    lost = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF')
    node = fakes.Node().answer(fakes.golden(release, name).argv, lost)
    with pytest.raises(errors.LinkLost):
        WRITES[name](make_client(node))
    assert len(node.said()) == 1


@pytest.mark.parametrize('name', WRITES)
def test_busy_is_not_success(release: str, name: str) -> None:
    answer = fakes.xml(ret=-1, errno=30802, message='Another transaction is')
    node = fakes.Node().answer(
        fakes.golden(release, name).argv, fakes.Answer(answer)
    )
    with pytest.raises(errors.Busy):
        WRITES[name](make_client(node))


@pytest.mark.parametrize(
    ('name', 'verb'),
    [
        ('volume-start-again', WRITES['volume-start']),
        (
            'volume-reset-unset',
            lambda client: client.reset_option('golden', 'auth.reject'),
        ),
        ('volume-stop-again', WRITES['volume-stop']),
        ('volume-stop-missing', lambda client: client.stop_volume('nosuch')),
        (
            'volume-delete-missing',
            lambda client: client.delete_volume('nosuch'),
        ),
        ('snapshot-activate-again', WRITES['snapshot-activate']),
        ('snapshot-deactivate-again', WRITES['snapshot-deactivate']),
        ('snapshot-delete-missing', WRITES['snapshot-delete']),
    ],
)
def test_a_state_that_is_already_right_is_success(
    release: str, name: str, verb: Verb
) -> None:
    node = fakes.Node().replay(release, name)
    verb(make_client(node))
    assert len(node.said()) == 1


@pytest.mark.parametrize(
    ('name', 'verb', 'kind'),
    [
        (
            'volume-create-exists',
            WRITES['volume-create'],
            errors.AlreadyExists,
        ),
        (
            'snapshot-create-exists',
            WRITES['snapshot-create'],
            errors.AlreadyExists,
        ),
        (
            'snapshot-clone-exists',
            WRITES['snapshot-clone'],
            errors.AlreadyExists,
        ),
        (
            'snapshot-clone-inactive',
            WRITES['snapshot-clone'],
            errors.GlusterRefused,
        ),
        (
            'snapshot-clone-missing',
            lambda client: client.clone_snapshot('nosuch', 'golden-clone'),
            errors.NotFound,
        ),
        (
            'volume-set-refused',
            lambda client: client.set_options(
                'golden', {'no.such-option': '1'}
            ),
            errors.GlusterRefused,
        ),
        (
            'volume-delete-started',
            WRITES['volume-delete'],
            errors.GlusterRefused,
        ),
        (
            'volume-delete-snapshots',
            lambda client: client.delete_volume('golden'),
            errors.GlusterRefused,
        ),
    ],
)
def test_refused_writes(
    release: str, name: str, verb: Verb, kind: type[errors.Error]
) -> None:
    with pytest.raises(kind) as caught:
        verb(replaying(release, name))
    assert type(caught.value) is kind


def test_stopping_a_volume_that_was_never_started() -> None:
    node = fakes.Node().gluster(
        'volume stop x force',
        fakes.xml(
            ret=-1,
            errno=30800,
            message='Volume x is not in the started state',
        ),
    )
    make_client(node).stop_volume('x')


def test_starting_by_force() -> None:
    node = fakes.Node().gluster('volume start x force', fakes.xml())
    make_client(node).start_volume('x', force=True)
    assert node.said() == ['volume start x force']


ON = fakes.xml()
ALREADY_ON = fakes.xml(
    ret=-1, errno=30800, message='Profile on Volume x is already started'
)
ALREADY_OFF = fakes.xml(
    ret=-1, errno=30800, message='Profile on Volume x is not started'
)


@pytest.mark.parametrize(
    ('start', 'stop'),
    [(ON, ON), (ALREADY_ON, ON), (ON, ALREADY_OFF)],
)
def test_writing_volfiles(start: str, stop: str) -> None:
    node = fakes.Node()
    node.gluster('volume profile x start', start)
    node.gluster('volume profile x stop', stop)
    make_client(node).write_volfiles('x')
    assert node.said() == [
        'volume profile x start',
        'volume profile x stop',
    ]


def test_volfiles_that_cannot_be_written() -> None:
    node = fakes.Node().gluster(
        'volume profile x start',
        fakes.xml(ret=-1, errno=30806, message='Volume x does not exist'),
    )
    with pytest.raises(errors.NotFound):
        make_client(node).write_volfiles('x')
