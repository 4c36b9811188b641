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

import collections
from collections.abc import Callable, Collection
from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster
from tests.unit.cluster import test_cluster
from tests.unit import fakes

NODES = ('gl1', 'gl2', 'gl3')


@pytest.fixture
def pool() -> cluster.Cluster:
    return test_cluster.make([fakes.Node(name) for name in NODES])


@pytest.fixture
def all_connected(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    check = mock.Mock()
    monkeypatch.setattr(peers, 'require_all_connected', check)
    return check


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


def test_an_object_that_a_node_gets_late(
    pool: cluster.Cluster, all_connected: mock.Mock
) -> None:
    asked: collections.Counter[gluster.Gluster] = collections.Counter()
    (late,) = clients_of(pool, ['gl2'])

    def find_on(client: gluster.Gluster) -> str | None:
        asked[client] += 1
        return None if client is late and asked[client] < 3 else 'it'

    assert (
        deletion_on_nodes.find_on_all_nodes(pool, 'snapshot s', find_on)
        == 'it'
    )
    assert asked[late] == 3
    all_connected.assert_called_once_with(pool)


@pytest.mark.parametrize('name', NODES)
def test_an_object_that_a_node_never_gets(
    pool: cluster.Cluster, all_connected: mock.Mock, name: str
) -> None:
    (lacking,) = clients_of(pool, [name])
    with pytest.raises(deletion_on_nodes.MissingOnNodes) as caught:
        deletion_on_nodes.find_on_all_nodes(
            pool, 'snapshot s', lambda client: client is not lacking or None
        )
    assert caught.value.nodes == (name,)


def test_an_object_that_no_node_has(
    pool: cluster.Cluster, all_connected: mock.Mock
) -> None:
    found = deletion_on_nodes.find_on_all_nodes(
        pool, 'snapshot s', lambda client: None
    )
    assert found is None
