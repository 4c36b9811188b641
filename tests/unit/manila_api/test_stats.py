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
"""Statistics for Manila's scheduler."""

import types
from typing import Any

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.manila_api import stats


def test_statistics_of_a_pool() -> None:
    gib = placement.GIB
    services: Any = types.SimpleNamespace(
        settings=types.SimpleNamespace(
            backend='gold', limits=types.SimpleNamespace(oversubscription=20.0)
        ),
        protocol=types.SimpleNamespace(share_proto='GLUSTERFS'),
        capacities=lambda: {
            'gvg/a': placement.Capacity(10 * gib, gib // 4, 5 * gib)
        },
    )
    configuration = types.SimpleNamespace(
        reserved_share_percentage=7,
        reserved_share_from_snapshot_percentage=0,
        reserved_share_extend_percentage=3,
    )
    values = stats.read(
        services,
        configuration,
        filter_function='share.size < 9',
        goodness_function='50',
    )
    assert values['share_backend_name'] == 'gold'
    assert values['storage_protocol'] == 'GLUSTERFS'
    assert values['replication_domain'] is None
    (pool,) = values['pools']
    assert pool['pool_name'] == 'gvg/a'
    assert pool['total_capacity_gb'] == 10
    assert pool['free_capacity_gb'] == 0.25
    assert pool['provisioned_capacity_gb'] == 5
    assert pool['reserved_percentage'] == 7
    assert pool['reserved_snapshot_percentage'] == 7
    assert pool['reserved_share_extend_percentage'] == 3
    assert pool['filter_function'] == 'share.size < 9'
    assert pool['goodness_function'] == '50'
