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
"""Capacity and placement."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm
from tests.unit.cluster import test_bricks
from tests.unit.cluster import test_cluster
from tests.unit import fakes

GIB = placement.GIB
LIMITS = options.Limits(95, 85, 2.0)
LVS = test_bricks.LVS
NO_LIMIT = test_bricks.lvm_settings()


def report(
    *,
    name: str = 'pool',
    size: int = 10,
    data: float = 0.0,
    metadata: float = 1.0,
    health: str = '',
    active: str = 'active',
    provisioned: int = 0,
    vg_free: int = 0,
) -> fakes.Answer:
    """Make a report of one pool with one volume in it; sizes in GiB."""
    pool = {
        **test_bricks.lv(name, layout='thin,pool', pool='', size=size * GIB),
        'data_percent': f'{data:.2f}',
        'metadata_percent': f'{metadata:.2f}',
        'lv_health_status': health,
        'lv_active': active,
        'vg_free': str(vg_free * GIB),
    }
    volume = test_bricks.lv('v', pool=name, size=provisioned * GIB)
    rows = [pool, volume] if provisioned else [pool]
    return fakes.Answer(json.dumps({'report': [{'lv': rows}]}))


def pool_of(answer: fakes.Answer) -> placement.ThinPool:
    node = cluster.Node(fakes.Node())
    pool = thin_pools.find(node, lvm.parse_report(answer.stdout), 'gvg/pool')
    assert pool is not None
    return pool


def make(
    *replies: fakes.Reply,
    settings: fakes.Answer = NO_LIMIT,
) -> tuple[cluster.Cluster, placement.Placement]:
    nodes = []
    for n, reply in enumerate(replies, 1):
        node = fakes.Node(f'gl{n}').answer(LVS, reply)
        node.answer(test_bricks.LVMCONFIG, settings)
        others = [i for i in range(1, len(replies) + 1) if i != n]
        node.gluster('pool list', test_cluster.peers(n, *others))
        nodes.append(cluster.Node(node))
    whole = cluster.Cluster(nodes, settle_timeout=30)
    return whole, placement.Placement(whole, LIMITS)


# -- one pool


def test_a_real_pool(release: str) -> None:
    answer = fakes.golden(release, 'lvs').answer
    pool = pool_of(answer)
    assert pool.size >= 8 * GIB
    # The volume and its clone; its snapshot is not active.
    assert pool.provisioned == 2 * GIB
    assert 0 < pool.free_bytes < pool.size
    assert placement.reason_without_room(pool, 0, LIMITS) is None
    lvs = lvm.parse_report(answer.stdout)
    node = cluster.Node(fakes.Node())
    assert thin_pools.find(node, lvs, 'gvg/manila-golden') is None
    assert thin_pools.find(node, lvs, 'other/pool') is None


@pytest.mark.parametrize(
    ('report', 'size', 'obstacle'),
    [
        (report(), 20, None),
        (report(), 21, 'max_over_subscription_ratio'),
        (report(provisioned=19), 1, None),
        (report(provisioned=19), 2, 'would need 21.0 GiB, but'),
        (report(provisioned=20), 0, None),
        (report(data=94.99), 1, None),
        (report(data=95.0), 0, 'data space is 95.0 % full'),
        (report(metadata=84.99), 1, None),
        (report(metadata=85.0), 0, 'metadata space is 85.0 % full'),
        (report(health='out_of_data'), 0, 'health out_of_data'),
        # And what can be done.
        (report(provisioned=20), 1, 'lvextend --size +SIZE gvg/pool'),
        (report(data=95.0), 0, 'lvextend --size +SIZE gvg/pool'),
        (report(metadata=85.0), 0, '--poolmetadatasize +SIZE gvg/pool'),
        (report(health='out_of_data'), 0, '--size +SIZE gvg/pool'),
        (report(health='metadata_read_only'), 0, '--repair gvg/pool'),
        (report(health='failed'), 0, 'kernel log'),
        (report(active=''), 0, 'lvchange --activate y gvg/pool'),
    ],
)
def test_obstacles(
    report: fakes.Answer, size: int, obstacle: str | None
) -> None:
    reason = placement.reason_without_room(pool_of(report), size * GIB, LIMITS)
    if obstacle is None:
        assert reason is None
    else:
        assert reason is not None
        assert obstacle in reason


def test_no_pool_is_an_obstacle() -> None:
    fault = thin_pool_faults.find_fault(None, LIMITS)
    assert fault is not None
    assert fault.kind == 'not visible'
    assert placement.reason_without_room(None, 0, LIMITS) == fault.message


# -- choosing nodes


def test_the_roomiest_first_and_else_as_configured() -> None:
    _, thin = make(report(data=50), report(data=10), report(data=50))
    chosen = thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    assert [m.node.name for m in chosen] == ['gl2', 'gl1', 'gl3']


def test_only_as_many_as_needed_and_never_one_twice() -> None:
    _, thin = make(*[report()] * 5)
    chosen = thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    assert [m.node.name for m in chosen] == ['gl1', 'gl2', 'gl3']


def test_a_full_node_is_passed_over() -> None:
    _, thin = make(report(data=99), *[report()] * 3)
    chosen = thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    assert [m.node.name for m in chosen] == ['gl2', 'gl3', 'gl4']


def test_too_few_nodes_have_the_room_and_why() -> None:
    away = errors.Unreachable('gl3', 'no route')
    _, thin = make(report(), report(data=99), away, report(name='other'))
    with pytest.raises(placement.TooFewNodesWithSpace) as caught:
        thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    error = caught.value
    assert (error.layout, error.needed_count, error.available_count) == (
        'replica-3',
        3,
        1,
    )
    assert error.obstacles == {
        'gl2': placement.reason_without_room(
            pool_of(report(data=99)), GIB, LIMITS
        ),
        'gl3': str(away),
        'gl4': placement.reason_without_room(None, GIB, LIMITS),
    }


def test_too_few_nodes_answer() -> None:
    away = errors.Unreachable('gl3', 'no route')
    _, thin = make(report(), report(), away)
    with pytest.raises(placement.TooFewNodesAnswer) as caught:
        thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    assert caught.value.available_count == 2
    assert set(caught.value.obstacles) == {'gl3'}


def test_room_that_is_required() -> None:
    whole, thin = make(report(), report(provisioned=20))

    def need(pool: str, size: int, count: int = 2) -> None:
        thin.require_room(
            {
                node: placement.RequiredSpace(pool, size, node.lvm.lvs())
                for node in whole.nodes[:count]
            }
        )

    need('gvg/pool', 20 * GIB, 1)
    need('gvg/pool', 0)
    with pytest.raises(placement.InsufficientSpace) as caught:
        need('gvg/pool', GIB)
    assert set(caught.value.obstacles) == {'gl2'}
    with pytest.raises(placement.InsufficientSpace) as caught:
        need('gvg/other', 0, 1)
    assert caught.value.pool == 'gvg/other'


# -- capacities


def test_copies_are_divided_out() -> None:
    _, thin = make(*[report(data=20, provisioned=3)] * 3)
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)['gvg/pool']
    assert reported == placement.Capacity(10 * GIB, 8 * GIB, 3 * GIB)
    reported = thin.capacities(['gvg/pool'], layouts.SINGLE)['gvg/pool']
    assert reported == placement.Capacity(30 * GIB, 8 * GIB, 9 * GIB)


def test_free_is_what_the_next_share_can_have() -> None:
    _, thin = make(
        report(data=90), report(data=10), report(data=30), report(data=50)
    )
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)
    assert reported['gvg/pool'].free_bytes == 5 * GIB
    reported = thin.capacities(['gvg/pool'], layouts.SINGLE)
    assert reported['gvg/pool'].free_bytes == 9 * GIB


def test_a_pool_over_its_limit_has_nothing_free() -> None:
    _, thin = make(*[report(data=95)] * 3)
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)['gvg/pool']
    assert reported.free_bytes == 0
    assert reported.total_bytes == 10 * GIB


def test_a_pool_in_which_lvm_creates_nothing_has_nothing_free() -> None:
    _, thin = make(
        *[report(data=60)] * 3, settings=test_bricks.lvm_settings(50)
    )
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)['gvg/pool']
    assert (reported.total_bytes, reported.free_bytes) == (10 * GIB, 0)
    with pytest.raises(placement.TooFewNodesWithSpace) as caught:
        thin.choose_nodes('gvg/pool', layouts.REPLICA_3, GIB)
    for reason in caught.value.obstacles.values():
        assert 'thin_pool_autoextend_threshold' in reason


def test_an_lv_that_exists_can_grow_in_such_a_pool() -> None:
    whole, thin = make(report(data=60), settings=test_bricks.lvm_settings(50))
    thin.capacities(['gvg/pool'], layouts.SINGLE)
    (node,) = whole.nodes
    space = placement.RequiredSpace('gvg/pool', GIB, node.lvm.lvs())
    with pytest.raises(placement.InsufficientSpace):
        thin.require_room({node: space})
    thin.require_room({node: dataclasses.replace(space, needs_new_lvs=False)})


def test_what_lvm_can_add_is_no_capacity() -> None:
    _, thin = make(
        *[report(data=60, vg_free=5)] * 3,
        settings=test_bricks.lvm_settings(70, 50, 1),
    )
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)['gvg/pool']
    assert (reported.total_bytes, reported.free_bytes) == (10 * GIB, 4 * GIB)


@pytest.mark.parametrize(('provisioned', 'free'), [(19, 10), (20, 0), (21, 0)])
def test_no_space_is_free_at_the_limit_of_over_subscription(
    provisioned: int, free: int
) -> None:
    _, thin = make(report(provisioned=provisioned))
    reported = thin.capacities(['gvg/pool'], layouts.SINGLE)['gvg/pool']
    assert reported.free_bytes == free * GIB


def test_a_node_that_is_away_has_no_capacity() -> None:
    away = errors.Unreachable('gl3', 'no route')
    _, thin = make(report(), report(), away)
    reported = thin.capacities(['gvg/pool'], layouts.REPLICA_3)['gvg/pool']
    assert reported.free_bytes == 0
    assert reported.total_bytes == 20 * GIB // 3
    reported = thin.capacities(['gvg/pool'], layouts.SINGLE)['gvg/pool']
    assert reported.free_bytes == 10 * GIB


def test_every_pool_is_reported_even_if_it_does_not_exist() -> None:
    _, thin = make(report())
    reported = thin.capacities(['gvg/pool', 'gvg/none'], layouts.SINGLE)
    assert list(reported) == ['gvg/pool', 'gvg/none']
    assert reported['gvg/none'] == placement.Capacity(0, 0, 0)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=5),
    st.sampled_from(layouts.LAYOUTS),
)
def test_what_is_reported_free_can_be_placed(
    fills: list[float], layout: layouts.Layout
) -> None:
    whole, thin = make(*[report(data=fill) for fill in fills])
    reported = thin.capacities(['gvg/pool'], layout)['gvg/pool']
    assert 0 <= reported.free_bytes <= 10 * GIB
    if reported.free_bytes:
        chosen = thin.choose_nodes('gvg/pool', layout, reported.free_bytes)
        assert len({m.node.name for m in chosen}) == layout.node_count
    whole.close()
