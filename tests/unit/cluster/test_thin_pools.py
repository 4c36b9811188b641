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

import dataclasses

import pytest

from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm
from tests.unit.cluster import test_bricks

LIMITS = options.Limits(95, 85, 2.0)
POOL = thin_pools.ThinPool(
    name='gvg/pool',
    size=10 * thin_pools.GIB,
    data_percent=50.0,
    metadata_percent=1.0,
    provisioned=0,
    is_active=True,
    health=lvm.Health.OK,
    zeroes_new_blocks=True,
)
ROW = test_bricks.lv('pool', layout='thin,pool', pool='')


def test_free_space() -> None:
    assert POOL.free_bytes == 5 * thin_pools.GIB


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        ({}, None),
        ({'is_active': False}, 'inactive'),
        ({'health': lvm.Health.FAILED}, lvm.Health.FAILED),
        ({'data_percent': 95.0}, 'full'),
        ({'metadata_percent': 85.0}, 'metadata full'),
    ],
)
def test_the_kind_of_a_fault(
    change: dict[str, object], kind: str | None
) -> None:
    pool = dataclasses.replace(POOL, **change)  # type: ignore[arg-type]
    fault = thin_pools.find_fault(pool, LIMITS)
    assert (fault and fault.kind) == kind


def test_a_pool_that_lvm_does_not_list() -> None:
    fault = thin_pools.find_fault(None, LIMITS)
    assert fault is not None
    assert fault.kind == 'not visible'


def test_a_pool_that_no_node_has_is_a_mistake() -> None:
    reports = {'gl1': test_bricks.lvs_of(ROW)}
    mistakes, faults = thin_pools.find_problems(
        ['gvg/other'], reports, {}, LIMITS
    )
    assert [mistake.kind for mistake in mistakes] == ['missing']
    assert not faults


def test_a_node_that_does_not_answer_is_a_fault() -> None:
    away = errors.Unreachable('gl2', 'no route')
    reports = {'gl1': test_bricks.lvs_of(ROW)}
    mistakes, faults = thin_pools.find_problems(
        ['gvg/pool'], reports, {'gl2': away}, LIMITS
    )
    assert not mistakes
    assert [(f.node, f.kind) for f in faults] == [('gl2', 'unreachable')]
