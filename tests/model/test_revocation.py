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
"""Revoke access, with bricks, daemons and addresses in all places."""

from collections.abc import Iterator
import itertools
import uuid

import pytest

from manila_glusterfs_clone import errors
from tests.model import answers
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import turns
from tests.model import volumes

SHARE = str(uuid.UUID(int=1))
KEPT, REVOKED = '10.0.0.7', '10.0.0.9'
#: Seconds of the model that a denial may take: 1.5 of them the client has.
BUDGET = 8.0

#: The number of nodes, the layout, the node that changes go through, and
#: that with the most room: where the brick of one copy is made.
SHAPES = [
    (count, layout, writer, roomiest)
    for count in range(1, 5)
    for layout in ('single', 'replica-3')
    for writer, roomiest in itertools.product(range(1, count + 1), repeat=2)
    if layout == 'single' or count >= 3
]


def make(
    count: int, layout: str, writer: int, roomiest: int
) -> model_cluster.ModelCluster:
    pool = model_cluster.ModelCluster(count)
    pool.nodes[f'gl{roomiest}'].lvm.pools['pool'].size *= 2
    return pool


def begin(
    pool: model_cluster.ModelCluster, layout: str, writer: int
) -> model_backend.ModelBackend:
    """Make a share with two clients, and let both mount it."""
    names = sorted(pool.nodes, key=lambda name: name != f'gl{writer}')
    manila = model_backend.ModelBackend(
        link.Process(pool), layout=layout, nodes=tuple(names)
    )
    manila.create(SHARE)
    manila.allow(SHARE, KEPT, REVOKED)
    volume = manila.shares[SHARE].volume
    for address in (KEPT, REVOKED):
        pool.mount(address, volume)
        assert address in pool.mounted(volume)
    return manila


def deny(manila: model_backend.ModelBackend, *keep: str) -> float:
    """Revoke all access but of some; give the seconds that it took."""
    begun = manila.pool.time.now
    manila.allow(SHARE, *keep)
    assert manila.pool.mounted(manila.shares[SHARE].volume) == {*keep}
    return manila.pool.time.now - begun


@pytest.fixture
def pool() -> Iterator[model_cluster.ModelCluster]:
    found = model_cluster.ModelCluster(3)
    with model_backend.in_time_of(found):
        yield found


@pytest.mark.parametrize(
    ('count', 'layout', 'writer', 'roomiest'), SHAPES, ids=str
)
def test_every_shape_of_a_cluster(
    count: int, layout: str, writer: int, roomiest: int
) -> None:
    pool = make(count, layout, writer, roomiest)
    with model_backend.in_time_of(pool), turns.in_turn():
        manila = begin(pool, layout, writer)
        if layout == 'single':
            (brick,) = pool.state.volumes[manila.shares[SHARE].volume].bricks
            assert brick.node == f'gl{roomiest}'
        before = len(manila.process.steps)
        assert deny(manila, KEPT) <= BUDGET
        assert deny(manila) <= BUDGET
        # Nobody is asked more often for having no clients left.
        steps = manila.process.steps[before:]
        assert len(steps) <= 2 * (16 + 4 * count), len(steps)
        manila.delete(SHARE)
        manila.check()


def test_copies_without_a_daemon(pool: model_cluster.ModelCluster) -> None:
    """Nobody is connected: each node has to be asked for its own brick."""
    manila = begin(pool, 'replica-3', 1)
    with pytest.MonkeyPatch.context() as patch:
        real = answers.connected
        patch.setattr(
            answers,
            'connected',
            lambda state, volume, brick: [
                address
                for address in real(state, volume, brick)
                if not address.startswith('10.88.0.')
            ],
        )
        assert deny(manila) <= 3 * BUDGET
    manila.delete(SHARE)
    manila.check()


def test_node_with_the_only_brick_is_down(
    pool: model_cluster.ModelCluster,
) -> None:
    """It serves nobody, and takes the lists over when it is back."""
    pool.nodes['gl2'].lvm.pools['pool'].size *= 2
    manila = begin(pool, 'single', 1)
    pool.cut('gl2')
    pool.time.advance(60)
    begun = pool.time.now
    manila.allow(SHARE, KEPT)
    assert pool.time.now - begun <= 60
    pool.boot()
    pool.time.advance(60)
    pool.glusterd.settle()
    assert not pool.mount(REVOKED, manila.shares[SHARE].volume)


def test_other_holder_is_asked_when_one_does_not_answer() -> None:
    pool = model_cluster.ModelCluster(4)
    with model_backend.in_time_of(pool):
        manila = begin(pool, 'replica-3', 4)
        volume = pool.state.volumes[manila.shares[SHARE].volume]
        pool.kill_glusterd(volume.bricks[0].node)
        # Its brick goes on, under the rules of before: no success.
        with pytest.raises(errors.Unsettled):
            manila.allow(SHARE, KEPT)
        pool.time.advance(300)
        assert deny(manila, KEPT) <= BUDGET


def test_brick_that_is_not_read_only_yet() -> None:
    """The brick of a dead glusterd goes on, and lets clients write."""
    pool = model_cluster.ModelCluster(4)
    with model_backend.in_time_of(pool):
        manila = begin(pool, 'replica-3', 4)
        name = manila.shares[SHARE].volume
        pool.kill_glusterd(pool.state.volumes[name].bricks[0].node)
        levels = {KEPT: 'ro', REVOKED: 'ro'}
        with pytest.raises(errors.Unsettled):
            manila.set_rules(SHARE, levels)
        assert pool.mounted(name) == {*levels}
        pool.time.advance(300)
        manila.set_rules(SHARE, levels)
        assert pool.mounted(name) == {*levels}
        assert not [each for each in pool.state.writers() if name in each]
        manila.set_rules(SHARE, dict.fromkeys(levels, 'rw'))
        assert (KEPT, name) in pool.state.writers()
        pool.time.advance(60)
        manila.check()


# -- addresses


def test_name_of_a_node_at_a_loopback_address(
    pool: model_cluster.ModelCluster,
) -> None:
    for node in pool.nodes.values():
        node.name_is_loopback = True
    manila = begin(pool, 'replica-3', 1)
    before = len(manila.process.steps)
    assert deny(manila, KEPT) <= BUDGET
    first = len(manila.process.steps) - before
    assert deny(manila) <= BUDGET
    # Addresses are asked for once.
    second = len(manila.process.steps) - before - first
    assert first - second == len(pool.nodes)


def test_node_that_was_readdressed(pool: model_cluster.ModelCluster) -> None:
    manila = begin(pool, 'replica-3', 1)
    assert deny(manila, KEPT) <= BUDGET
    pool.nodes['gl2'].address = '10.88.7.7'
    manila.allow(SHARE, KEPT, REVOKED)
    assert deny(manila, KEPT) <= BUDGET
    # Nothing is asked again for that.
    assert deny(manila) <= BUDGET


def test_former_address_of_a_node_may_be_a_client(
    pool: model_cluster.ModelCluster,
) -> None:
    manila = begin(pool, 'replica-3', 1)
    assert deny(manila, KEPT) <= BUDGET
    former = pool.nodes['gl2'].address
    pool.nodes['gl2'].address = '10.88.7.7'
    manila.allow(SHARE, KEPT, former)
    pool.mount(former, manila.shares[SHARE].volume)
    assert deny(manila, KEPT) <= BUDGET


@pytest.mark.parametrize('resolved', [True, False])
def test_peer_that_is_not_configured(
    pool: model_cluster.ModelCluster, resolved: bool
) -> None:
    """Its daemon is a client; its addresses come from its names."""
    pool = model_cluster.ModelCluster(4)
    with model_backend.in_time_of(pool):
        manila = model_backend.ModelBackend(
            link.Process(pool),
            layout='replica-3',
            nodes=('gl1', 'gl2', 'gl3'),
        )
        for node in pool.nodes.values():
            if resolved:
                node.names['gl4'] = pool.nodes['gl4'].address
        manila.create(SHARE)
        manila.allow(SHARE, KEPT, REVOKED)
        for address in (KEPT, REVOKED):
            pool.mount(address, manila.shares[SHARE].volume)
        if resolved:
            assert deny(manila, KEPT) <= BUDGET
            return
        with pytest.raises(errors.Unsettled):
            manila.allow(SHARE, KEPT)


def test_client_that_stays_is_named(
    pool: model_cluster.ModelCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    manila = begin(pool, 'replica-3', 1)
    monkeypatch.setattr(volumes, '_EVICTION', 3600.0)
    begun = pool.time.now
    with pytest.raises(errors.Unsettled):
        manila.allow(SHARE, KEPT)
    assert 60 <= pool.time.now - begun <= 90
