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
"""Which addresses are those of the nodes."""

from collections.abc import Sequence

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import own_addresses
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import xml_output
from tests.unit.cluster import test_cluster
from tests.unit import fakes

HOSTNAME = ('addresses',)
OF = {n: f'["10.0.0.{n}", "fd00::{n}"]' for n in (1, 2, 3)}


def peers(*names: str, away: Sequence[int] = ()) -> list[xml_output.Peer]:
    """Return peers ``uuid-1``… of some names; the first was asked."""
    return [
        xml_output.Peer(
            f'uuid-{n}',
            'localhost' if n == 1 else name,
            n not in away,
            frozenset({name}),
        )
        for n, name in enumerate(names, 1)
    ]


@pytest.fixture
def nodes() -> list[fakes.Node]:
    found = [fakes.Node(f'gl{n}') for n in (1, 2, 3)]
    for n, node in enumerate(found, 1):
        node.gluster('pool list', test_cluster.VIEWS[n])
        node.answer(HOSTNAME, fakes.Answer(OF[n]))
    return found


def make(nodes: list[fakes.Node]) -> own_addresses.NodeAddresses:
    return own_addresses.NodeAddresses(
        cluster.Cluster(
            [cluster.Node(node) for node in nodes], settle_timeout=30
        )
    )


def asked(node: fakes.Node, argv: Sequence[str] = HOSTNAME) -> int:
    return node.asked.count(tuple(argv))


def answer_now(node: fakes.Node, text: str) -> None:
    """Answer with other addresses from now on."""
    node._script[HOSTNAME] = [fakes.Answer(text)]


ALL = ['gl1', 'gl2', 'gl3']


def test_addresses_of_all_nodes(nodes: list[fakes.Node]) -> None:
    room = make(nodes)
    assert not room.are_known
    room.refresh(peers(*ALL))
    assert room.are_known
    assert room.exclude_nodes(['10.0.0.2', 'fd00::3', '10.0.0.9']) == {
        '10.0.0.9'
    }


@pytest.mark.parametrize('address', ['127.0.0.1', '127.0.1.1', '::1'])
def test_loopback_is_the_node_itself(address: str) -> None:
    assert make([]).exclude_nodes([address, '10.0.0.9']) == {'10.0.0.9'}


def test_what_is_no_address_is_a_stranger() -> None:
    assert make([]).exclude_nodes(['client-a']) == {'client-a'}


def test_addresses_are_asked_for_anew(nodes: list[fakes.Node]) -> None:
    room = make(nodes)
    room.refresh(peers(*ALL))
    answer_now(nodes[1], '["10.0.0.22"]')
    assert room.exclude_nodes(['10.0.0.22']) == {'10.0.0.22'}
    room.refresh(peers(*ALL))
    # The former address may be a client's now.
    assert room.exclude_nodes(['10.0.0.22', '10.0.0.2']) == {'10.0.0.2'}


def test_last_known_addresses_count_while_a_node_is_away(
    nodes: list[fakes.Node],
) -> None:
    room = make(nodes)
    room.refresh(peers(*ALL))
    room.refresh(peers(*ALL, away=[2]))
    assert not room.exclude_nodes(['10.0.0.2'])
    assert asked(nodes[1]) == 1
    assert asked(nodes[0]) == 2


def test_answer_that_is_cut_off_does_not_count(
    nodes: list[fakes.Node],
) -> None:
    room = make(nodes)
    answer_now(nodes[2], '["10.0.0.3"')
    room.refresh(peers(*ALL))
    assert room.exclude_nodes(['10.0.0.1', '10.0.0.3']) == {'10.0.0.3'}


@pytest.mark.parametrize(
    ('name', 'said', 'known'),
    [
        ('10.0.0.4', fakes.Answer('', status=1), '10.0.0.4'),
        ('gl4', fakes.Answer('["10.0.0.4"]'), '10.0.0.4'),
        ('gl4', fakes.Answer('[]'), None),
    ],
)
def test_peer_that_is_not_configured(
    nodes: list[fakes.Node],
    name: str,
    said: fakes.Answer,
    known: str | None,
) -> None:
    argv = ('resolve', name)
    for node in nodes:
        node.answer(argv, said)
    room = make(nodes)
    room.refresh(peers(*ALL, name))
    assert room.exclude_nodes(['10.0.0.4', '10.0.0.9']) == (
        {'10.0.0.9'} if known else {'10.0.0.4', '10.0.0.9'}
    )


def test_name_is_resolved_by_the_next_node(nodes: list[fakes.Node]) -> None:
    argv = ('resolve', 'gl4')
    nodes[0].answer(argv, errors.TimedOut('gl1', argv, 20))
    nodes[1].answer(argv, fakes.Answer('["10.0.0.4"]'))
    room = make(nodes)
    room.refresh(peers(*ALL, 'gl4'))
    assert not room.exclude_nodes(['10.0.0.4'])
