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
"""The writer, changes that are retried, and actions on all nodes."""

from collections.abc import Callable
import threading

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import nodes as nodes_module
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster
from tests.unit import fakes

SETTLE = 100.0

BUSY = errors.Busy('gl1', ('x',), 30802, 'Another transaction')
LOST = errors.LinkLost('gl1', ('x',), 'EOF')
LATE = errors.TimedOut('gl1', ('x',), 1)
CUT_OFF = errors.Garbled('gl1', ('gluster', 'volume', 'list'), '<cliO')
AWAY = errors.Unreachable('gl1', 'no route')
EXISTS = errors.AlreadyExists('gl1', ('x',), 0, 'Volume x already exists')
REFUSED = errors.GlusterRefused('gl1', ('x',), 30800, 'no')


def peers(own: int, *others: int, away: tuple[int, ...] = ()) -> str:
    """Make the view that a node has of three."""
    rows = [
        f'<peer><uuid>uuid-{n}</uuid><hostname>gl{n}</hostname>'
        f'<connected>{int(n not in away)}</connected></peer>'
        for n in others
    ]
    rows.append(
        f'<peer><uuid>uuid-{own}</uuid><hostname>localhost</hostname>'
        f'<connected>1</connected></peer>'
    )
    return fakes.xml(f'<peerStatus>{"".join(rows)}</peerStatus>')


VIEWS = {1: peers(1, 2, 3), 2: peers(2, 1, 3), 3: peers(3, 1, 2)}


@pytest.fixture
def nodes() -> list[fakes.Node]:
    return [fakes.Node(f'gl{n}') for n in (1, 2, 3)]


@pytest.fixture
def well(nodes: list[fakes.Node]) -> list[fakes.Node]:
    for n, node in enumerate(nodes, 1):
        node.gluster('pool list', VIEWS[n])
    return nodes


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(nodes_module, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def make(nodes: list[fakes.Node]) -> cluster.Cluster:
    return cluster.Cluster(
        [cluster.Node(node) for node in nodes], settle_timeout=SETTLE
    )


class Action:
    """An action with given outcomes that counts its attempts."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = [*ends]
        self.tries = 0

    def __call__(self, line: gluster.Gluster) -> None:
        self.tries += 1
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end is not None:
            raise end


def never(line: gluster.Gluster) -> bool:
    raise AssertionError('asked whether it is done')


# -- members


def test_members_have_the_host_names_of_the_pool(
    well: list[fakes.Node],
) -> None:
    members = make(well).members()
    assert [m.node.name for m in members] == ['gl1', 'gl2', 'gl3']
    assert [m.uuid for m in members] == ['uuid-1', 'uuid-2', 'uuid-3']
    assert [m.peer_name for m in members] == ['gl1', 'gl2', 'gl3']


def test_nodes_may_be_configured_by_their_addresses() -> None:
    nodes = [fakes.Node(f'10.0.0.{n}') for n in (1, 2, 3)]
    for n, node in enumerate(nodes, 1):
        node.gluster('pool list', VIEWS[n])
    whole = make(nodes)
    assert [m.peer_name for m in whole.members()] == ['gl1', 'gl2', 'gl3']
    assert whole.member('uuid-2').node.name == '10.0.0.2'


def test_a_single_node_is_known_by_its_own_name() -> None:
    node = fakes.Node('gl1').gluster('pool list', peers(1))
    assert make([node]).members()[0].peer_name == 'gl1'


def test_members_are_asked_for_once(well: list[fakes.Node]) -> None:
    whole = make(well)
    whole.members()
    whole.member('uuid-3')
    assert [len(node.asked) for node in well] == [1, 1, 1]


def test_a_node_that_is_away_at_first_is_found_later(
    nodes: list[fakes.Node],
) -> None:
    nodes[0].gluster('pool list', VIEWS[1])
    nodes[1].gluster('pool list', AWAY, VIEWS[2])
    nodes[2].gluster('pool list', VIEWS[3])
    whole = make(nodes)
    assert [m.node.name for m in whole.members()] == ['gl1', 'gl3']
    assert len(whole.members()) == 3


def test_a_member_that_goes_away_stays_known(
    nodes: list[fakes.Node],
) -> None:
    for n, node in enumerate(nodes, 1):
        node.gluster('pool list', VIEWS[n], AWAY)
    whole = make(nodes)
    whole.members()
    assert whole.member('uuid-2').node.name == 'gl2'


def test_an_unknown_uuid(well: list[fakes.Node]) -> None:
    with pytest.raises(cluster.NoReachableMember) as caught:
        make(well).member('uuid-9')
    assert caught.value.uuid == 'uuid-9'


def test_a_node_that_was_installed_anew_is_found_by_its_new_uuid(
    nodes: list[fakes.Node],
) -> None:
    for n, node in enumerate(nodes, 1):
        node.gluster(
            'pool list', VIEWS[n], VIEWS[n].replace('uuid-2', 'uuid-9')
        )
    whole = make(nodes)
    assert whole.member('uuid-2').node.name == 'gl2'
    assert whole.member('uuid-9').node.name == 'gl2'


def test_a_node_that_is_in_no_pool_yet_keeps_its_place(
    nodes: list[fakes.Node],
) -> None:
    alone = peers(2).replace('uuid-2', 'uuid-9')
    for n, node in enumerate(nodes, 1):
        node.gluster('pool list', VIEWS[n], alone if n == 2 else VIEWS[n])
    whole = make(nodes)
    whole.members()
    found = whole.refresh_members({'uuid-1', 'uuid-2', 'uuid-3'})
    assert {member.uuid for member in found} == {'uuid-1', 'uuid-2', 'uuid-3'}


# -- the writer


def test_the_writer_among_some_nodes(well: list[fakes.Node]) -> None:
    whole = make(well)
    some = [whole.nodes[2], whole.nodes[1]]
    assert whole.writer(some).name == 'gl2'
    asked: list[str] = []
    whole.change(lambda g: asked.append('once'), lambda _: False, some)
    assert asked == ['once']
    assert not well[0].said()


def test_a_change_goes_on_with_the_next_of_some_nodes(
    nodes: list[fakes.Node],
) -> None:
    nodes[1].gluster('pool list', errors.TimedOut('gl2', ('gluster',), 20))
    nodes[2].gluster('pool list', VIEWS[3])
    whole = make(nodes)
    names: list[str] = []

    def note(client: gluster.Gluster) -> None:
        names.append(client._console.name)

    whole.change(note, lambda _: False, whole.nodes[1:])
    assert names == ['gl3']


def test_the_first_that_is_well_writes(well: list[fakes.Node]) -> None:
    assert make(well).writer().name == 'gl1'
    assert not well[1].asked


@pytest.mark.parametrize('trouble', [AWAY, LOST, LATE])
def test_a_node_that_failed_is_skipped(
    nodes: list[fakes.Node], time: fakes.Clock, trouble: errors.Error
) -> None:
    asked = 1 + isinstance(trouble, errors.LinkLost)
    nodes[0].gluster('pool list', *[trouble] * asked, VIEWS[1])
    nodes[1].gluster('pool list', VIEWS[2])
    whole = make(nodes)
    assert whole.writer().name == 'gl2'
    assert whole.writer().name == 'gl2'
    assert len(nodes[0].asked) == asked
    time.now += nodes_module.ASK_LAST_SECONDS
    assert whole.writer().name == 'gl1'


def test_one_that_is_asked_too_much_at_once_stays_the_writer(
    nodes: list[fakes.Node],
) -> None:
    nodes[0].gluster('pool list', BUSY, VIEWS[1])
    whole = make(nodes)
    with pytest.raises(errors.Busy):
        whole.writer()
    assert whole.writer().name == 'gl1'


def test_skipped_nodes_are_asked_when_no_other_answers(
    nodes: list[fakes.Node],
) -> None:
    nodes[0].gluster('pool list', AWAY, VIEWS[1])
    nodes[1].gluster('pool list', VIEWS[2], AWAY)
    nodes[2].gluster('pool list', AWAY)
    whole = make(nodes)
    assert whole.writer().name == 'gl2'
    assert whole.writer().name == 'gl1'


def test_no_node_answers(nodes: list[fakes.Node]) -> None:
    for node in nodes:
        node.gluster('pool list', errors.Unreachable(node.name, 'no route'))
    with pytest.raises(errors.SeveralFailed) as caught:
        make(nodes).writer()
    assert set(caught.value.errors) == {'gl1', 'gl2', 'gl3'}
    assert not errors.is_unknown(caught.value)


def test_one_that_misses_most_of_its_peers_is_passed_over(
    nodes: list[fakes.Node], time: fakes.Clock
) -> None:
    nodes[0].gluster('pool list', peers(1, 2, 3, away=(2, 3)), VIEWS[1])
    nodes[1].gluster('pool list', peers(2, 1, 3, away=(1,)))
    whole = make(nodes)
    assert whole.writer().name == 'gl2'
    assert whole.writer().name == 'gl2'
    assert len(nodes[0].asked) == 1
    time.now += nodes_module.ASK_LAST_SECONDS
    assert whole.writer().name == 'gl1'


@pytest.mark.parametrize(
    'view',
    [
        peers(1),
        peers(1, 2),
        peers(1, 2, away=(2,)),
        peers(1, 2, 3, away=(3,)),
        peers(1, 2, 3, 4, away=(4,)),
        peers(1, 2, 3, 4, 5, away=(4, 5)),
    ],
    ids=['1 of 1', '2 of 2', '1 of 2', '2 of 3', '3 of 4', '3 of 5'],
)
def test_one_that_sees_enough_of_its_peers_writes(
    nodes: list[fakes.Node], view: str
) -> None:
    nodes[0].gluster('pool list', view)
    assert make(nodes).writer().name == 'gl1'


@pytest.mark.parametrize(
    ('view', 'peer_count'),
    [
        (peers(1, 2, 3, away=(2, 3)), 3),
        (peers(1, 2, 3, 4, away=(3, 4)), 4),
    ],
)
def test_half_of_them_is_not_most(view: str, peer_count: int) -> None:
    node = fakes.Node('gl1').gluster('pool list', view)
    with pytest.raises(errors.SeveralFailed) as caught:
        make([node]).writer()
    error = caught.value.errors['gl1']
    assert isinstance(error, errors.CutOff)
    assert error.args == ('gl1', 2, peer_count)


def test_nothing_is_changed_when_all_are_cut_off(
    nodes: list[fakes.Node], time: fakes.Clock
) -> None:
    for n, node in enumerate(nodes, 1):
        others = tuple({1, 2, 3} - {n})
        node.gluster('pool list', peers(n, *others, away=others))
    action = Action(None)
    began = time.now
    with pytest.raises(errors.SeveralFailed) as caught:
        make(nodes).change(action, never)
    assert action.tries == 0
    assert {type(e) for e in caught.value.errors.values()} == {errors.CutOff}
    assert not errors.is_unknown(caught.value)
    assert time.now - began >= SETTLE


def test_a_mistake_of_ours_is_not_hidden_as_a_sick_node(
    nodes: list[fakes.Node],
) -> None:
    nodes[0].gluster('pool list', RuntimeError('bug'))
    with pytest.raises(RuntimeError):
        make(nodes).writer()


def test_reading_asks_the_writer(nodes: list[fakes.Node]) -> None:
    nodes[0].gluster('pool list', AWAY)
    nodes[1].gluster('pool list', VIEWS[2])
    nodes[1].gluster('volume list', fakes.xml())
    assert make(nodes).read(lambda line: line.volume_names()) == frozenset()


def test_the_answer_of_a_node_that_is_cut_off_is_not_believed(
    well: list[fakes.Node],
) -> None:
    """Although its answer comes in the request that shows it."""
    alone = fakes.Node('gl1').gluster('pool list', peers(1, 2, 3, away=(2, 3)))
    alone.gluster('volume list', fakes.xml())
    names = '<volList><volume>x</volume></volList>'
    well[1].gluster('volume list', fakes.xml(names))
    whole = make([alone, *well[1:]])
    assert whole.read(lambda line: line.volume_names()) == {'x'}
    assert alone.request_count == well[1].request_count == 1


@pytest.mark.parametrize('trouble', [AWAY, LOST, LATE, CUT_OFF])
def test_a_question_that_fails_goes_to_the_next(
    well: list[fakes.Node], trouble: errors.Error
) -> None:
    well[0].gluster('volume list', trouble)
    well[1].gluster('volume list', fakes.xml())
    whole = make(well)
    assert whole.read(lambda line: line.volume_names()) == frozenset()
    assert set(well[0].said()) == {'pool list', 'volume list'}
    # It answers, and goes on as the writer.
    assert whole.writer().name == 'gl1'


@pytest.mark.parametrize('refusal', [BUSY, REFUSED])
def test_a_question_that_is_refused_does_not(
    well: list[fakes.Node], refusal: errors.Error
) -> None:
    well[0].gluster('volume list', refusal)
    whole = make(well)
    with pytest.raises(type(refusal)):
        whole.read(lambda line: line.volume_names())
    assert not well[1].asked
    assert whole.writer().name == 'gl1'


def test_a_question_that_fails_everywhere(well: list[fakes.Node]) -> None:
    for node, trouble in zip(well, (AWAY, LOST, LATE), strict=True):
        node.gluster('volume list', trouble)
    with pytest.raises(errors.TimedOut):
        make(well).read(lambda line: line.volume_names())
    assert [node.said().count('volume list') for node in well] == [1, 2, 1]


def test_a_question_when_no_node_is_configured() -> None:
    with pytest.raises(cluster.NoNodes):
        make([]).read(lambda line: line.volume_names())


def test_a_slow_question_does_not_move_the_writer(
    well: list[fakes.Node],
) -> None:
    well[0].gluster('volume list', LATE)
    well[1].gluster('volume list', fakes.xml())
    whole = make(well)
    for _ in range(3):
        whole.read(lambda line: line.volume_names())
        assert whole.writer().name == 'gl1'
    # The changes of others go where they went.
    assert [w.gluster for w in (whole.writer(),)] == [whole.nodes[0].gluster]


def test_glusterd_that_hangs_is_waited_for_once(
    nodes: list[fakes.Node],
    time: fakes.Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first who asks pays; later it gets little time to answer."""
    patience: list[float] = []

    def hang(timeout: float = 60.0) -> tuple[gluster.Peer, ...]:
        patience.append(timeout)
        raise errors.TimedOut('gl1', ('gluster', 'pool', 'list'), timeout)

    nodes[0].gluster('pool list', VIEWS[1])
    nodes[1].gluster('pool list', VIEWS[2])
    whole = make(nodes)
    with monkeypatch.context() as patch:
        patch.setattr(whole.nodes[0].gluster, 'peers', hang)
        for _ in range(5):
            assert whole.writer().name == 'gl2'
            time.now += nodes_module.ASK_LAST_SECONDS / 2
    assert patience == [
        gluster.READ_TIMEOUT,
        *[nodes_module.TIMEOUT_AFTER_FAILURE] * 2,
    ]
    time.now += nodes_module.ASK_LAST_SECONDS
    assert whole.writer().name == 'gl1'


# -- changes


def test_a_change_that_is_done(
    well: list[fakes.Node], time: fakes.Clock
) -> None:
    action = Action(None)
    make(well).change(action, never)
    assert action.tries == 1
    assert not time.slept


def test_busy_is_tried_again_on_the_same_node(
    well: list[fakes.Node], time: fakes.Clock
) -> None:
    action = Action(BUSY, BUSY, BUSY, None)
    make(well).change(action, never)
    assert action.tries == 4
    assert not well[1].asked
    assert len(time.slept) == 3


def test_pauses_grow_to_a_limit_and_are_not_all_alike(
    well: list[fakes.Node], time: fakes.Clock
) -> None:
    with pytest.raises(errors.Busy):
        make(well).change(Action(BUSY), never)
    most = cluster._PAUSE
    for slept in time.slept:
        assert most / 2 <= slept <= most
        most = min(most * 2, cluster._LONGEST_PAUSE)
    assert most == cluster._LONGEST_PAUSE
    assert len({round(s / cluster._PAUSE, 6) for s in time.slept}) > 3


def test_busy_to_the_deadline(
    well: list[fakes.Node], time: fakes.Clock
) -> None:
    began = time.now
    with pytest.raises(errors.Busy):
        make(well).change(Action(BUSY), never)
    passed = time.now - began
    assert SETTLE <= passed <= SETTLE + cluster._LONGEST_PAUSE


@pytest.mark.parametrize('refusal', [REFUSED, EXISTS])
def test_a_refusal_is_the_end(
    well: list[fakes.Node], refusal: errors.Error
) -> None:
    action = Action(refusal)
    with pytest.raises(type(refusal)):
        make(well).change(action, never)
    assert action.tries == 1


@pytest.mark.parametrize('unknown', [LOST, LATE])
def test_after_unknown_the_state_decides(
    well: list[fakes.Node], unknown: errors.Error
) -> None:
    action = Action(unknown, AssertionError())
    make(well).change(action, lambda line: True)
    assert action.tries == 1
    # The one with which the link was lost rests.
    assert well[1].asked


@pytest.mark.parametrize('unknown', [LOST, LATE])
def test_after_unknown_and_not_done_it_is_tried_again(
    well: list[fakes.Node], unknown: errors.Error
) -> None:
    action = Action(unknown, unknown, None)
    asked: list[gluster.Gluster] = []

    def is_done(line: gluster.Gluster) -> bool:
        asked.append(line)
        return False

    make(well).change(action, is_done)
    assert action.tries == 3
    assert len(asked) == 2


def test_after_unknown_a_transaction_that_goes_on_is_waited_for(
    well: list[fakes.Node],
) -> None:
    action = Action(LATE, BUSY, BUSY, AssertionError())
    done = iter([False, False, True])
    make(well).change(action, lambda line: next(done))
    assert action.tries == 3


def test_exists_after_unknown_is_done_if_it_is(
    well: list[fakes.Node],
) -> None:
    done = iter([False, True])
    make(well).change(Action(LOST, EXISTS), lambda line: next(done))


def test_exists_after_unknown_is_refused_if_it_is_not(
    well: list[fakes.Node],
) -> None:
    with pytest.raises(errors.AlreadyExists):
        make(well).change(Action(LOST, EXISTS), lambda line: False)


def test_the_state_cannot_be_read_at_first(well: list[fakes.Node]) -> None:
    answers: list[bool | Exception] = [AWAY, LOST, True]

    def is_done(line: gluster.Gluster) -> bool:
        said = answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    action = Action(LOST, AssertionError())
    make(well).change(action, is_done)
    assert not answers
    assert action.tries == 1


def test_another_node_takes_over(well: list[fakes.Node]) -> None:
    whole = make(well)
    tried: list[gluster.Gluster] = []

    def action(line: gluster.Gluster) -> None:
        tried.append(line)
        if len(tried) < 3:
            raise AWAY

    whole.change(action, never)
    assert tried == [node.gluster for node in whole.nodes]


def test_a_cluster_that_comes_back(
    nodes: list[fakes.Node], time: fakes.Clock
) -> None:
    nodes[0].gluster('pool list', AWAY, AWAY, VIEWS[1])
    for node in nodes[1:]:
        node.gluster('pool list', AWAY)
    action = Action(None)
    make(nodes).change(action, never)
    assert action.tries == 1
    assert len(time.slept) == 2


def test_a_cluster_that_does_not_come_back(
    nodes: list[fakes.Node], time: fakes.Clock
) -> None:
    for node in nodes:
        node.gluster('pool list', AWAY)
    action = Action(None)
    began = time.now
    with pytest.raises(errors.SeveralFailed) as caught:
        make(nodes).change(action, never)
    assert not errors.is_unknown(caught.value)
    assert action.tries == 0
    assert time.now - began >= SETTLE


@pytest.mark.parametrize('later', [BUSY, AWAY, LOST])
def test_unknown_to_the_deadline_is_never_reported_as_refused(
    well: list[fakes.Node], later: errors.Error
) -> None:
    with pytest.raises(errors.Unknown) as caught:
        make(well).change(Action(LATE, later), lambda line: False)
    assert errors.is_unknown(caught.value)


def test_nodes_that_hang_are_named(nodes: list[fakes.Node]) -> None:
    for n in (1, 2):
        nodes[n - 1].gluster('pool list', VIEWS[n])
    silent = errors.TimedOut('gl3', ('gluster', 'pool', 'list'), 20)
    nodes[2].gluster('pool list', silent)
    with pytest.raises(errors.SeveralFailed) as caught:
        make(nodes).change(Action(LATE), lambda line: False)
    assert errors.is_unknown(caught.value)
    assert LATE in caught.value.errors.values()
    hanging = [
        error.node
        for error in caught.value.errors.values()
        if isinstance(error, cluster.GlusterdHangs)
    ]
    assert hanging == ['gl3']


def test_a_mistake_of_ours_is_not_tried_again(
    well: list[fakes.Node],
) -> None:
    action = Action(ValueError('bug'))
    with pytest.raises(ValueError):
        make(well).change(action, never)
    assert action.tries == 1


# -- side by side


def test_everywhere(well: list[fakes.Node]) -> None:
    assert make(well).everywhere(lambda node: node.name.upper()) == {
        'gl1': 'GL1',
        'gl2': 'GL2',
        'gl3': 'GL3',
    }


def test_side_by_side(well: list[fakes.Node]) -> None:
    together = threading.Barrier(3)
    assert len(make(well).everywhere(lambda node: together.wait(5))) == 3


def test_some_nodes_only(well: list[fakes.Node]) -> None:
    whole = make(well)
    assert set(whole.everywhere(lambda n: 1, whole.nodes[1:])) == {
        'gl2',
        'gl3',
    }
    assert whole.everywhere(lambda n: 1, []) == {}


def failing(*names: str) -> Callable[[cluster.Node], None]:
    def action(node: cluster.Node) -> None:
        if node.name in names:
            raise errors.LinkLost(node.name, ('x',), 'EOF')

    return action


def test_one_fails(well: list[fakes.Node]) -> None:
    with pytest.raises(errors.LinkLost) as caught:
        make(well).everywhere(failing('gl2'))
    assert caught.value.node == 'gl2'


def test_several_fail(well: list[fakes.Node]) -> None:
    with pytest.raises(errors.SeveralFailed) as caught:
        make(well).everywhere(failing('gl1', 'gl3'))
    assert set(caught.value.errors) == {'gl1', 'gl3'}
    assert errors.is_unknown(caught.value)


def test_one_that_fails_does_not_keep_the_others_from_it(
    well: list[fakes.Node],
) -> None:
    done, failed = make(well).try_everywhere(failing('gl1'))
    assert set(done) == {'gl2', 'gl3'}
    assert set(failed) == {'gl1'}


def test_closing(well: list[fakes.Node]) -> None:
    whole = make(well)
    whole.members()
    whole.close()
    for node in well:
        assert node.closed
