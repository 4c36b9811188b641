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
"""The faults of thin pools, and the mistakes in their names."""

import itertools

import pytest

from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone.tools import lvmconfig
from tests.unit.cluster import test_thin_pools

LIMITS = options.Limits(95, 85, 2.0)
GIB = thin_pools.GIB
POOL = test_thin_pools.POOL
Policy = lvmconfig.AutoextendPolicy
make = test_thin_pools.pool


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        ({}, None),
        ({'is_active': False}, 'inactive'),
        ({'health': lvm.Health.FAILED}, lvm.Health.FAILED),
        ({'data_percent': 95.0}, 'full'),
        ({'metadata_percent': 85.0}, 'metadata full'),
        # The limit of LVM, where it is the lower one.
        ({'policy': Policy(51, 20, True)}, None),
        ({'policy': Policy(50, 20, True)}, 'lvm limit'),
        ({'policy': Policy(96, 20, True), 'data_percent': 95.0}, 'full'),
        ({'policy': Policy(94, 20, True), 'data_percent': 95.0}, 'lvm limit'),
        (
            {'policy': Policy(60, 20, True), 'metadata_percent': 60.0},
            'lvm metadata limit',
        ),
        # Of small metadata LVM keeps more free than the driver.
        (
            {'metadata_size': 16 << 20, 'metadata_percent': 75.0},
            'lvm metadata limit',
        ),
        ({'metadata_size': 16 << 20, 'metadata_percent': 74.9}, None),
        (
            {'metadata_size': 64 << 20, 'metadata_percent': 94.0},
            'metadata full',
        ),
    ],
)
def test_the_kind_of_a_fault(
    change: dict[str, object], kind: str | None
) -> None:
    fault = thin_pool_faults.find_fault(make(**change), LIMITS)
    assert (fault and fault.kind) == kind


def test_every_pool_that_lvm_refuses_has_a_fault() -> None:
    """The lower of both limits counts, whatever they are."""
    percents = (0.0, 29.9, 30.0, 50.0, 74.9, 75.0, 85.0, 94.9, 95.0, 99.0)
    for data, metadata, threshold, size, own in itertools.product(
        percents, percents, (30, 50, 94, 100), (4, 20, 512), (50, 90, 100)
    ):
        pool = make(
            data_percent=data,
            metadata_percent=metadata,
            metadata_size=size << 20,
            policy=Policy(threshold, 20, True),
        )
        fault = thin_pool_faults.find_fault(
            pool, options.Limits(own, own, 2.0)
        )
        assert (fault is not None) == (
            pool.has_reached_threshold
            or metadata >= pool.metadata_limit
            or data >= own
            or metadata >= own
        ), pool


@pytest.mark.parametrize(
    'change',
    [
        {'policy': Policy(50, 20, True)},
        {'metadata_size': 16 << 20, 'metadata_percent': 80.0},
    ],
)
def test_the_limit_of_lvm_is_for_new_lvs(change: dict[str, object]) -> None:
    pool = make(**change)
    assert thin_pool_faults.find_fault(pool, LIMITS)
    for size in (0, GIB):
        assert thin_pool_faults.reason_without_room(pool, size, LIMITS)
        assert not thin_pool_faults.reason_without_room(
            pool, size, LIMITS, needs_new_lvs=False
        )


@pytest.mark.parametrize(
    ('change', 'remedy'),
    [
        (
            {'policy': Policy(50, 20, True), 'vg_free': 1 * GIB},
            'needs at least 2.0 GiB to extend the pool, but its volume',
        ),
        (
            {'policy': Policy(50, 20, True), 'vg_free': 3 * GIB},
            'lvextend --use-policies gvg/pool',
        ),
        (
            {'policy': Policy(50, 20, False), 'vg_free': 3 * GIB},
            'lvextend --size +SIZE gvg/pool',
        ),
        (
            {'policy': Policy(50, 0, True), 'vg_free': 3 * GIB},
            'lvextend --size +SIZE gvg/pool',
        ),
        (
            {
                'policy': Policy(30, 20, True),
                'data_percent': 40.0,
                'vg_free': 9 * GIB,
            },
            'only above 50 %',
        ),
        (
            {'policy': Policy(50, 20, True), 'profile': 'mine'},
            'thin_pool_autoextend_threshold in profile mine',
        ),
        (
            {'policy': Policy(50, 20, True)},
            'thin_pool_autoextend_threshold in lvm.conf',
        ),
    ],
)
def test_the_remedy_for_the_limit_of_lvm(
    change: dict[str, object], remedy: str
) -> None:
    pool = make(**{'data_percent': 60.0, **change})
    fault = thin_pool_faults.find_fault(pool, LIMITS)
    assert fault is not None
    assert remedy in fault.message
    assert fault.ends_soon == ('lvextend --use-policies' in fault.message)


def test_metadata_that_lvm_extends_is_a_fault_that_ends_soon() -> None:
    for vg_free, ends_soon in ((9 * GIB, True), (0, False)):
        pool = make(
            data_percent=10.0,
            metadata_percent=80.0,
            policy=Policy(60, 20, True),
            vg_free=vg_free,
        )
        fault = thin_pool_faults.find_fault(pool, LIMITS)
        assert fault is not None
        assert fault.ends_soon == ends_soon


def test_the_remedy_for_full_metadata() -> None:
    for change in (
        {'metadata_size': 4 << 20, 'metadata_percent': 80.0},
        {'policy': Policy(60, 20, True), 'metadata_percent': 80.0},
        {'metadata_percent': 90.0},
    ):
        fault = thin_pool_faults.find_fault(
            make(data_percent=10.0, **change), LIMITS
        )
        assert fault is not None
        assert 'lvextend --poolmetadatasize +SIZE gvg/pool' in fault.message


@pytest.mark.parametrize(
    ('provisioned', 'size', 'has_room'),
    [
        (0, 20, True),
        (0, 21, False),
        (19, 1, True),
        (19, 2, False),
        # A snapshot adds nothing, even to a pool that has too much.
        (30, 0, True),
    ],
)
def test_over_subscription(
    provisioned: int, size: int, has_room: bool
) -> None:
    pool = make(provisioned=provisioned * GIB)
    reason = thin_pool_faults.reason_without_room(pool, size * GIB, LIMITS)
    assert (reason is None) == has_room
    assert (
        thin_pool_faults.room_for_shares(pool, LIMITS)
        == max(0, 20 - provisioned) * GIB
    )


def test_over_subscription_of_the_pool_without_extensions() -> None:
    pool = make(policy=Policy(90, 100, True), vg_free=10 * GIB)
    assert thin_pool_faults.room_for_shares(pool, LIMITS) == 20 * GIB


def test_a_pool_that_lvm_does_not_list() -> None:
    fault = thin_pool_faults.find_fault(None, LIMITS)
    assert fault is not None
    assert fault.kind == 'not visible'


def test_a_pool_that_no_node_has_is_a_mistake() -> None:
    pools = thin_pools.NodePools({'gvg/other': None}, frozenset({'gvg'}))
    mistakes, faults = thin_pool_faults.find_problems(
        ['gvg/other'], {'gl1': pools}, {}, LIMITS
    )
    assert [mistake.kind for mistake in mistakes] == ['missing']
    assert not faults


def test_a_node_that_does_not_answer_is_a_fault() -> None:
    away = errors.Unreachable('gl2', 'no route')
    pools = thin_pools.NodePools({'gvg/pool': POOL}, frozenset({'gvg'}))
    mistakes, faults = thin_pool_faults.find_problems(
        ['gvg/pool'], {'gl1': pools}, {'gl2': away}, LIMITS
    )
    assert not mistakes
    assert [(f.node, f.kind) for f in faults] == [('gl2', 'unreachable')]
