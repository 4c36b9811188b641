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
"""Whether all peers are connected."""

import pytest

from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from tests.unit.cluster import test_cluster
from tests.unit import fakes

VOLUMES = fakes.xml('<volList><volume>a</volume><volume>b</volume></volList>')
AWAY = errors.Unreachable('gl2', 'no route')


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(nodes, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def test_all_are_connected() -> None:
    node = fakes.Node('gl1').gluster('pool list', test_cluster.VIEWS[1])
    peers.require_all_connected(test_cluster.make([node]))


def test_those_that_are_away_are_named() -> None:
    node = fakes.Node('gl1').gluster(
        'pool list', test_cluster.peers(1, 2, 3, 4, 5, away=(4, 2))
    )
    with pytest.raises(peers.PeersDisconnected) as caught:
        peers.require_all_connected(test_cluster.make([node]))
    assert caught.value.hosts == ('gl2', 'gl4')


def ask_all(*nodes: fakes.Node) -> dict[str, frozenset[str]]:
    return peers.read_everywhere_with_all_connected(
        test_cluster.make([*nodes]), lambda client: client.volume_names()
    )


def asked_all(*views: str | Exception) -> list[fakes.Node]:
    return [
        fakes.Node(f'gl{number}')
        .gluster('pool list', view)
        .gluster('volume list', VOLUMES)
        for number, view in enumerate(views, 1)
    ]


def test_all_nodes_are_asked_in_one_request_each() -> None:
    nodes = asked_all(*test_cluster.VIEWS.values())
    names = frozenset('ab')
    assert ask_all(*nodes) == {'gl1': names, 'gl2': names, 'gl3': names}
    assert [node.request_count for node in nodes] == [1, 1, 1]


@pytest.mark.parametrize('last', [AWAY, test_cluster.peers(3, 1, 2)])
def test_a_peer_that_the_writer_has_lost(last: str | Exception) -> None:
    nodes = asked_all(
        test_cluster.peers(1, 2, 3, away=(3,)),
        test_cluster.peers(2, 1, 3, away=(3,)),
        last,
    )
    with pytest.raises(peers.PeersDisconnected) as caught:
        ask_all(*nodes)
    assert caught.value.hosts == ('gl3',)


def test_a_node_that_no_peer_has_lost_but_does_not_answer() -> None:
    with pytest.raises(errors.Unreachable):
        ask_all(*asked_all(test_cluster.VIEWS[1], test_cluster.VIEWS[2], AWAY))


def test_nodes_that_lost_each_other_but_not_the_writer() -> None:
    nodes = asked_all(
        test_cluster.VIEWS[1],
        test_cluster.peers(2, 1, 3, away=(3,)),
        test_cluster.peers(3, 1, 2, away=(2,)),
    )
    assert len(ask_all(*nodes)) == 3


def test_a_node_that_was_detached_is_not_believed() -> None:
    nodes = asked_all(
        test_cluster.peers(1, 2),
        test_cluster.peers(2, 1),
        test_cluster.peers(3),
    )
    the_cluster = test_cluster.make(nodes)
    the_cluster.members()
    with pytest.raises(errors.CutOff) as caught:
        peers.read_everywhere_with_all_connected(
            the_cluster, lambda client: client.volume_names()
        )
    assert caught.value.node == 'gl3'


def test_a_node_that_is_known_down_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = asked_all(*[test_cluster.peers(1, 2, 3, away=(3,))] * 3)
    the_cluster = test_cluster.make(nodes)
    monkeypatch.setattr(
        type(the_cluster.nodes[2].commands),
        'is_known_down',
        property(lambda breaker: breaker.name == 'gl3'),
    )
    with pytest.raises(peers.PeersDisconnected):
        peers.read_everywhere_with_all_connected(
            the_cluster, lambda client: client.volume_names()
        )
    assert [node.request_count for node in nodes] == [1, 0, 0]


def test_one_that_was_rejected_is_not_connected() -> None:
    view = test_cluster.VIEWS[1].replace(
        '<hostname>gl2</hostname><connected>1</connected>',
        '<hostname>gl2</hostname><connected>1</connected><state>6</state>',
    )
    node = fakes.Node('gl1').gluster('pool list', view)
    with pytest.raises(peers.PeersDisconnected) as caught:
        peers.require_all_connected(test_cluster.make([node]))
    assert caught.value.hosts == ('gl2',)


@pytest.mark.parametrize(
    ('seen_by_gl2', 'seen_by_gl3', 'is_connected'),
    [
        (test_cluster.peers(2, 1, 3, away=(1,)), '', False),
        (test_cluster.peers(2, 1, 3, away=(1,)), AWAY, True),
        (test_cluster.VIEWS[2], '', True),
    ],
    ids=['all others', 'too few answer', 'one other is connected'],
)
def test_a_peer_that_most_nodes_have_lost(
    seen_by_gl2: str, seen_by_gl3: str | Exception, is_connected: bool
) -> None:
    nodes = [fakes.Node(f'gl{n}') for n in (1, 2, 3)]
    nodes[0].gluster('pool list', test_cluster.VIEWS[1])
    nodes[1].gluster('pool list', seen_by_gl2)
    nodes[2].gluster(
        'pool list', seen_by_gl3 or test_cluster.peers(3, 1, 2, away=(1,))
    )
    the_cluster = test_cluster.make(nodes)
    seen = peers.as_most_nodes_see_them(
        the_cluster, the_cluster.nodes[0].gluster.peers()
    )
    assert {peer.uuid: peer.is_connected for peer in seen} == {
        'uuid-1': is_connected,
        'uuid-2': True,
        'uuid-3': True,
    }
