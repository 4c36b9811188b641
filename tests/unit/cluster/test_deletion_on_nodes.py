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
"""Reclaiming the logical volumes of deleted objects."""

from collections.abc import Callable, Collection, Sequence
from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster
from tests.unit.cluster import test_cluster
from tests.unit import fakes

NODES = ('gl1', 'gl2', 'gl3')
#: What a node answers that has an object, and one that lacks it.
HAS = fakes.xml('<volList><volume>it</volume></volList>')
LACKS = fakes.xml('<volList/>')


@pytest.fixture
def pool() -> cluster.Cluster:
    return test_cluster.make([fakes.Node(name) for name in NODES])


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> None:
    monkeypatch.setattr(retry, 'time', clock)


@pytest.fixture
def reclaim(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    counts = dict.fromkeys(NODES, 2)
    reclaim = mock.Mock(return_value=(counts, frozenset()))
    monkeypatch.setattr(brick_ownership, 'reclaim', reclaim)
    return reclaim


def clients_of(
    pool: cluster.Cluster, names: Collection[str]
) -> list[gluster.Gluster]:
    return [node.gluster for node in pool.nodes if node.name in names]


def finish(
    pool: cluster.Cluster,
    *known_on: str,
    remove_leftovers: Callable[[cluster.Node, int], None] = lambda *_: None,
) -> None:
    clients = clients_of(pool, known_on)
    deletion_on_nodes.finish(
        pool,
        'volume x',
        is_known=lambda gluster: gluster in clients,
        is_unwanted=lambda node, lv: False,
        pool_names_by_node=None,
        remove_leftovers=remove_leftovers,
        find_blocked_lv=lambda node: f'vg/{node.name}',
    )


def test_each_node_is_cleaned(
    pool: cluster.Cluster, reclaim: mock.Mock
) -> None:
    cleaned: list[tuple[str, int]] = []
    finish(
        pool,
        remove_leftovers=lambda node, count: cleaned.append(
            (node.name, count)
        ),
    )
    assert sorted(cleaned) == [(name, 2) for name in NODES]


def test_no_lv_is_removed_while_one_node_has_the_object(
    pool: cluster.Cluster, reclaim: mock.Mock
) -> None:
    with pytest.raises(deletion_on_nodes.StillKnown) as caught:
        finish(pool, 'gl2')
    assert caught.value.node == 'gl2'
    assert caught.value.logical_volume == 'vg/gl2'
    reclaim.assert_not_called()


def test_every_node_that_has_the_object_is_named(
    pool: cluster.Cluster, reclaim: mock.Mock
) -> None:
    with pytest.raises(errors.SeveralFailed) as caught:
        finish(pool, 'gl1', 'gl3')
    assert set(caught.value.errors) == {'gl1', 'gl3'}
    reclaim.assert_not_called()


def find_snapshot(usual: str, **others: Sequence[str]) -> str | None:
    """Find a snapshot on all nodes.

    :param usual: what each node answers.
    :param others: what a node answers instead, by its name.
    """
    nodes = [
        fakes.Node(name)
        .gluster('pool list', test_cluster.VIEWS[number])
        .gluster('volume list', *others.get(name, [usual]))
        for number, name in enumerate(NODES, 1)
    ]

    def find_on(client: gluster.Gluster) -> str | None:
        return 'it' if client.volume_names() else None

    return deletion_on_nodes.find_on_all_nodes(
        test_cluster.make(nodes), 'snapshot s', find_on
    )


@pytest.mark.parametrize('late', NODES)
def test_an_object_that_a_node_gets_late(
    late: str, clock: fakes.Clock
) -> None:
    assert find_snapshot(HAS, **{late: [LACKS, LACKS, HAS]}) == 'it'
    assert len(clock.slept) == 2


@pytest.mark.parametrize('name', NODES)
def test_an_object_that_a_node_never_gets(
    name: str, clock: fakes.Clock
) -> None:
    with pytest.raises(deletion_on_nodes.MissingOnNodes) as caught:
        find_snapshot(HAS, **{name: [LACKS]})
    assert caught.value.missing_on == (name,)
    assert caught.value.known_on == tuple(n for n in NODES if n != name)
    assert sum(clock.slept) >= 30


def test_an_object_that_no_node_has(clock: fakes.Clock) -> None:
    assert find_snapshot(LACKS) is None
    assert not clock.slept
