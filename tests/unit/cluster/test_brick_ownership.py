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
"""Which logical volumes glusterd uses."""

import pytest

from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import xml_output
from manila_glusterfs_clone.tools import lvm
from tests.unit.cluster import test_bricks

ID = test_bricks.ID
HEX = test_bricks.HEX
NAME = names.volume(ID)
MOUNT = names.mount_point('/srv/x', ID)
TAGS = ','.join(sorted(names.brick_tags(ID, MOUNT)))
VOLUME = gluster.Volume(
    name=NAME,
    id='i',
    status='Started',
    snapshot_count=0,
    replica_count=1,
    bricks=(xml_output.Brick('gl1', f'{MOUNT}/brick', 'uuid-1'),),
    options={},
)


def lv(name: str, tags: str = '') -> lvm.LogicalVolume:
    (made,) = test_bricks.lvs_of(test_bricks.lv(name, tags=tags))
    return made


def users(
    *lvs: lvm.LogicalVolume, other_nodes: tuple[str, ...] = ()
) -> brick_ownership.LvUsers:
    return brick_ownership.LvUsers(
        brick_ownership.KnownObjects((VOLUME,)),
        bricks.NodeStorage(lvs, ()),
        frozenset(other_nodes),
    )


@pytest.mark.parametrize(
    ('name', 'tags', 'is_used'),
    [
        (NAME, '', True),
        ('renamed', TAGS, True),
        ('renamed', '', False),
        (f'{HEX}_0', '', False),
    ],
)
def test_an_lv_is_used_by_its_name_or_its_mount_point(
    name: str, tags: str, is_used: bool
) -> None:
    found = users().users_of(lv(name, tags))
    assert [user.name for user in found] == [NAME] * is_used


def test_the_bricks_of_other_nodes_do_not_count() -> None:
    assert not users(other_nodes=('uuid-1',)).users_of(lv(NAME))


def test_the_tags_of_a_share() -> None:
    (user,) = users().users_of(lv(NAME))
    assert user.tags(lv(NAME)) == names.brick_tags(ID, MOUNT)


def test_a_renamed_lv_may_be_the_brick_that_has_none() -> None:
    renamed = lv('renamed')
    with pytest.raises(brick_ownership.RenamedBrick) as caught:
        users(renamed).require_not_renamed(renamed, 'gl1')
    assert caught.value.logical_volume == 'gvg/renamed'
    assert caught.value.path == f'{MOUNT}/brick'


def test_a_renamed_lv_while_every_brick_has_one() -> None:
    renamed = lv('renamed')
    users(renamed, lv(NAME)).require_not_renamed(renamed, 'gl1')


@pytest.mark.parametrize(
    ('name', 'path', 'is_named'),
    [
        (NAME, f'{MOUNT}/brick', True),
        (f'{HEX}_0', f'{bricks.SNAPS_ROOT}/{HEX}/brick1/brick', True),
        (f'{HEX}_0', f'{MOUNT}/brick', False),
    ],
)
def test_the_name_of_an_lv_in_the_path_of_a_brick(
    name: str, path: str, is_named: bool
) -> None:
    assert brick_ownership.is_named_in_path(lv(name), path) is is_named
