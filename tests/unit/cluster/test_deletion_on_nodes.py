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

from collections.abc import Callable
from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone import errors
from tests.unit.cluster import test_cluster
from tests.unit import fakes

NODES = ('gl1', 'gl2', 'gl3')


@pytest.fixture
def pool() -> cluster.Cluster:
    return test_cluster.make([fakes.Node(name) for name in NODES])


@pytest.fixture
def reclaim(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    counts = dict.fromkeys(NODES, 2)
    reclaim = mock.Mock(return_value=(counts, frozenset()))
    monkeypatch.setattr(brick_ownership, 'reclaim', reclaim)
    return reclaim


def finish(
    pool: cluster.Cluster,
    *known_on: str,
    remove_leftovers: Callable[[cluster.Node, int], None] = lambda *_: None,
) -> None:
    clients = [n.gluster for n in pool.nodes if n.name in known_on]
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
