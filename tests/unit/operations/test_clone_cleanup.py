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
"""Which snapshots have to be cleaned up after interrupted clones."""

import pytest

from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

ID = 'aaaaaaaa-0000-4000-8000-000000000000'
NAME = names.snapshot(ID)
SNAPSHOT_HEX, CLONE_HEX = 'a' * 32, 'b' * 32


def snapshot(*, is_active: bool = False) -> dict[str, gluster.Snapshot]:
    return {NAME: gluster.Snapshot(NAME, SNAPSHOT_HEX, 'v', is_active)}


def lv(name: str, origin: str = '', *tags: str) -> lvm.LogicalVolume:
    return lvm.LogicalVolume(
        vg='vg',
        name=name,
        size=1,
        layout=frozenset(),
        role=frozenset(),
        is_active=True,
        health='',
        zeroes_new_blocks=True,
        pool='pool',
        origin=origin,
        data_percent=0.0,
        metadata_percent=0.0,
        device='',
        tags=frozenset(tags),
        metadata_size=0,
        is_open=False,
        profile='',
        vg_free=0,
    )


CLONE = f'{CLONE_HEX}_0', f'{SNAPSHOT_HEX}_0'


@pytest.mark.parametrize(
    ('is_active', 'lvs', 'ids'),
    [
        (False, [], set()),
        (True, [], {ID}),
        (False, [lv(*CLONE)], {ID}),
        (False, [lv(*CLONE, 'manila.share=x')], set()),
        (True, [lv(f'{SNAPSHOT_HEX}_0', '', names.TAG_UNMANAGED)], set()),
    ],
    ids=['inactive', 'active', 'untagged clone', 'tagged clone', 'unmanaged'],
)
def test_snapshots_to_clean_up(
    is_active: bool, lvs: list[lvm.LogicalVolume], ids: set[str]
) -> None:
    found = clone_cleanup.snapshots_to_clean_up(
        snapshot(is_active=is_active), [lvs]
    )
    assert found == ids


def test_snapshots_of_others_are_left_alone() -> None:
    other = gluster.Snapshot('daily', SNAPSHOT_HEX, 'v', True)
    assert not clone_cleanup.snapshots_to_clean_up({'daily': other}, [])
