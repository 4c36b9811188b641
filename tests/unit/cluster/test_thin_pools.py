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
"""The state and the space of thin pools."""

import dataclasses
import json
import time

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone.tools import lvmconfig
from tests.unit.cluster import test_bricks
from tests.unit import fakes

GIB = thin_pools.GIB
Policy = lvmconfig.AutoextendPolicy
POOL = thin_pools.ThinPool(
    name='gvg/pool',
    size=10 * GIB,
    data_percent=50.0,
    metadata_percent=1.0,
    metadata_size=64 << 20,
    provisioned=0,
    is_active=True,
    health=lvm.Health.OK,
    zeroes_new_blocks=True,
    vg_free=0,
    profile='',
    policy=lvmconfig.NO_POLICY,
)
ROW = test_bricks.lv('pool', layout='thin,pool', pool='')
SNAPSHOT = {'lv_role': 'public,snapshot,thinsnapshot', 'origin': 'b1'}


def pool(**changes: object) -> thin_pools.ThinPool:
    return dataclasses.replace(POOL, **changes)  # type: ignore[arg-type]


def report(*rows: dict[str, str]) -> fakes.Answer:
    return fakes.Answer(json.dumps({'report': [{'lv': [*rows]}]}))


# -- space


def test_free_space() -> None:
    assert POOL.free_bytes == 5 * GIB


def test_the_space_of_the_volume_group_does_not_count() -> None:
    extended = pool(policy=Policy(70, 50, True), vg_free=90 * GIB)
    assert extended.free_bytes == 5 * GIB


@pytest.mark.parametrize(
    ('data', 'metadata', 'threshold', 'needed'),
    [
        (49.9, 1.0, 50, 0),
        # It may be a little more.
        (50.0, 1.0, 50, 2 * GIB),
        # As seen: a full pool of 60 extents needed 60 more.
        (100.0, 1.0, 50, 10 * GIB),
        # As seen: 55.34 % of 3 GiB needed 20 % more.
        (55.34, 1.0, 50, 2 * GIB),
        (66.0, 1.0, 50, 10 * GIB * 32 // 100),
        # LVM extends no pool that is less than half full.
        (41.0, 1.0, 30, 0),
        (51.0, 1.0, 30, 2 * GIB),
        (10.0, 60.0, 50, (64 << 20) * 20 // 100),
        (60.0, 60.0, 50, 2 * GIB + (64 << 20) * 20 // 100),
    ],
)
def test_the_space_that_an_extension_needs(
    data: float, metadata: float, threshold: int, needed: int
) -> None:
    full = pool(
        data_percent=data,
        metadata_percent=metadata,
        policy=Policy(threshold, 20, True),
    )
    assert full.next_extension == pytest.approx(needed, abs=1 << 20)


# -- what LVM refuses


@pytest.mark.parametrize(
    ('size', 'limit'),
    [(4 << 20, 75.0), (16 << 20, 75.0), (20 << 20, 80.0), (64 << 20, 93.75)],
)
def test_the_metadata_that_lvm_keeps_free(size: int, limit: float) -> None:
    assert pool(metadata_size=size).reserve_limit == limit


def test_metadata_of_unknown_size() -> None:
    assert pool(metadata_size=0).reserve_limit == 75.0


@pytest.mark.parametrize(
    ('threshold', 'limit'), [(100, 93.75), (94, 93.75), (93, 93), (30, 30)]
)
def test_the_lower_limit_for_metadata(threshold: int, limit: float) -> None:
    assert pool(policy=Policy(threshold, 20, True)).metadata_limit == limit


@pytest.mark.parametrize(
    ('data', 'metadata', 'threshold', 'is_reached'),
    [
        (49.9, 49.9, 50, False),
        (50.0, 1.0, 50, True),
        (1.0, 50.0, 50, True),
        (100.0, 100.0, 100, False),
        # No setting changes what LVM keeps free of the metadata.
        (1.0, 93.75, 94, False),
        # The least threshold of an extension does not count here.
        (31.0, 1.0, 30, True),
    ],
)
def test_when_the_threshold_prevents_new_lvs(
    data: float, metadata: float, threshold: int, is_reached: bool
) -> None:
    full = pool(
        data_percent=data,
        metadata_percent=metadata,
        policy=Policy(threshold, 20, True),
    )
    assert full.has_reached_threshold == is_reached


# -- what shares can use


@pytest.mark.parametrize(
    ('tags', 'changes', 'counts'),
    [
        ('manila.brick,manila.share=u1', {}, True),
        ('manila.brick,manila.share=u1', {'lv_device_open': ''}, True),
        # A clone is a thin snapshot too.
        ('manila.brick,manila.share=u1', SNAPSHOT, True),
        (
            'manila.brick,manila.share=u1',
            {**SNAPSHOT, 'lv_device_open': ''},
            True,
        ),
        # A snapshot, even while it is active, and after Manila left it.
        ('manila.snapshot=u1', SNAPSHOT, False),
        ('manila.snapshot=u1', {**SNAPSHOT, 'lv_device_open': ''}, False),
        ('manila.unmanaged', SNAPSHOT, False),
        # A restored snapshot is a brick; it may still have its former tag.
        ('manila.brick,manila.share=u1,manila.unmanaged', SNAPSHOT, True),
        ('manila.brick,manila.share=u1,manila.snapshot=u2', SNAPSHOT, True),
        # Of somebody else, or of what is being made.
        ('', {}, True),
        ('', {'lv_device_open': ''}, True),
        ('', SNAPSHOT, True),
        ('', {**SNAPSHOT, 'lv_device_open': ''}, False),
        ('', {**SNAPSHOT, 'lv_device_open': 'unknown'}, False),
    ],
)
def test_what_counts_as_provisioned(
    tags: str, changes: dict[str, str], counts: bool
) -> None:
    lvs = test_bricks.lvs_of(
        ROW, {**test_bricks.lv('b2', tags=tags, size=3 * GIB), **changes}
    )
    pool = thin_pools.find(cluster.Node(fakes.Node()), lvs, 'gvg/pool')
    assert pool is not None
    assert pool.provisioned == (3 * GIB if counts else 0)


def test_only_lvs_of_the_pool_count() -> None:
    lvs = test_bricks.lvs_of(
        ROW,
        test_bricks.lv('b2', pool='other'),
        {**test_bricks.lv('b3'), 'vg_name': 'hvg'},
    )
    pool = thin_pools.find(cluster.Node(fakes.Node()), lvs, 'gvg/pool')
    assert pool is not None
    assert pool.provisioned == 0


# -- reading


def lvs_row(**changes: str) -> fakes.Answer:
    return report({**ROW, **changes})


def test_pools_and_settings_of_a_node() -> None:
    fake = fakes.Node().answer(test_bricks.LVS, lvs_row(vg_free=str(GIB)))
    fake.answer(test_bricks.LVMCONFIG, test_bricks.lvm_settings(70, 30, 1))
    names = ['gvg/pool', 'hvg/pool']
    node = cluster.Node(fake)
    for _ in range(2):
        pools = thin_pools.read(node, names, 40)
        assert pools.vg_names == {'gvg'}
        assert [*pools.by_name] == names
        assert pools.by_name['hvg/pool'] is None
        assert pools.settings_error is None
        own_pool = pools.by_name['gvg/pool']
        assert own_pool is not None
        assert own_pool.policy == Policy(70, 30, True)
        assert own_pool.vg_free == GIB
    assert fake.ran.count(test_bricks.LVMCONFIG) == 1


def test_settings_that_cannot_be_read() -> None:
    fake = fakes.Node().answer(test_bricks.LVS, lvs_row())
    fake.answer(test_bricks.LVMCONFIG, fakes.Answer('', 'not found', 127))
    pools = thin_pools.read(cluster.Node(fake), ['gvg/pool'], 40)
    assert isinstance(pools.settings_error, errors.CommandFailed)
    own_pool = pools.by_name['gvg/pool']
    assert own_pool is not None
    assert own_pool.policy == lvmconfig.NO_POLICY


def test_settings_without_effect_are_not_read() -> None:
    fake = fakes.Node().answer(test_bricks.LVS, report())
    pools = thin_pools.read(cluster.Node(fake), ['gvg/pool'], 40)
    assert pools.by_name == {'gvg/pool': None}
    assert fake.ran == [test_bricks.LVS]


def test_finding_a_pool_runs_no_command() -> None:
    fake = fakes.Node()
    node = cluster.Node(fake)
    for percent in ('1.00', '100.00'):
        lvs = test_bricks.lvs_of({**ROW, 'data_percent': percent})
        for find in (thin_pools.find, thin_pools.find_and_recheck):
            pool = find(node, lvs, 'gvg/pool')
            assert pool is not None
            assert pool.policy == lvmconfig.NO_POLICY
    assert not fake.ran


@pytest.mark.parametrize('is_read_again', [True, False])
def test_an_operator_sets_a_higher_threshold(
    monkeypatch: pytest.MonkeyPatch, is_read_again: bool
) -> None:
    """Nothing reads the settings more often than every 30 seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    fake = fakes.Node().answer(
        test_bricks.LVMCONFIG,
        test_bricks.lvm_settings(50),
        test_bricks.lvm_settings(80),
    )
    node = cluster.Node(fake)
    node.lvmconfig.refresh({'': 600})
    now[0] += 30 if is_read_again else 29
    lvs = test_bricks.lvs_of({**ROW, 'data_percent': '60.00'})
    for _ in range(3):
        full = thin_pools.find(node, lvs, 'gvg/pool')
        assert full is not None
        assert full.has_reached_threshold
    for _ in range(3):
        pool = thin_pools.find_and_recheck(node, lvs, 'gvg/pool')
        assert pool is not None
        assert pool.has_reached_threshold != is_read_again
    assert len(fake.ran) == 1 + is_read_again


def test_full_metadata_is_no_reason_to_read_the_settings_again() -> None:
    """No setting changes how much of it LVM keeps free."""
    fake = fakes.Node()
    lvs = test_bricks.lvs_of({**ROW, 'metadata_percent': '99.00'})
    pool = thin_pools.find_and_recheck(cluster.Node(fake), lvs, 'gvg/pool')
    assert pool is not None
    assert pool.metadata_percent > pool.metadata_limit
    assert not fake.ran


def test_pools_with_one_profile_share_one_command() -> None:
    argv = (
        *test_bricks.LVMCONFIG[:2],
        '--metadataprofile=mine',
        *test_bricks.LVMCONFIG[2:],
    )
    names = [f'gvg/pool{number}' for number in range(4)]
    rows = [
        {
            **ROW,
            'lv_name': name.partition('/')[2],
            'lv_profile': 'mine',
            'data_percent': '60.00',
        }
        for name in names
    ]
    fake = fakes.Node().answer(argv, test_bricks.lvm_settings(60))
    fake.answer(test_bricks.LVS, report(*rows))
    pools = thin_pools.read(cluster.Node(fake), names, 40)
    for pool in pools.by_name.values():
        assert pool is not None
        assert (pool.profile, pool.policy.threshold) == ('mine', 60)
    assert fake.ran == [test_bricks.LVS, argv]
