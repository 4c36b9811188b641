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
"""Repair a brick that is down, and leave foreign objects alone."""

from collections.abc import Mapping
import uuid

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import brick_repair
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from tests.unit.cluster import test_bricks as lvs
from tests.unit import fakes

ID = lvs.ID
VOLUME_ID = '63725298-dff0-4e22-953e-8394fde8d8cd'
HEX = VOLUME_ID.replace('-', '')
OTHER, SNAPSHOT = '0' * 31 + '1', 'c' * 32
NAME = names.volume(ID)
TARGET = f'/srv/{NAME}'
BRICK = f'{TARGET}/brick'
TAGS = ','.join(names.brick_tags(ID, TARGET))
VOLUME = gluster.Volume(NAME, VOLUME_ID, 'Started', 0, 3, (), {})

READ = f'read_volume_id {BRICK}'
AFFAIRS = f'is_directory {BRICK}/.glusterfs'
UMOUNT = f'umount {TARGET}'
MOUNT = f'mount --types=xfs --options=nouuid,noatime /dev/gvg/{NAME} {TARGET}'
MARK = f'write_volume_id {BRICK} {HEX}'
SYNC = f'sync {BRICK} /var/lib/glusterd'
DEAD = fakes.Answer('', '[Errno 5] Input/output error', 1)
UNMARKED = fakes.Answer('null')
NOWHERE = fakes.Answer('false')


def marked(hex_id: str) -> fakes.Answer:
    return fakes.Answer(f'"{hex_id}"')


def node_with(
    *reads: fakes.Answer, row: Mapping[str, str] = {}, mounted: bool = True
) -> fakes.Node:
    """Make a node with the brick of the share on it.

    :param row: in what its LV differs.
    """
    lv = {**lvs.lv(NAME, tags=TAGS), **row}
    pairs = [(lv['lv_name'], TARGET)] if mounted else []
    fake, _ = lvs.prepare([lv], *pairs)
    fake.answer(READ.split(), *reads)
    fake.answer(AFFAIRS.split(), fakes.Answer('true'))
    lvs.allow(fake, UMOUNT, MOUNT, MARK, SYNC, f'make_directory {TARGET}')
    return fake


def known() -> brick_ownership.KnownObjects:
    """Return a share, another volume, and a snapshot of that."""
    other = gluster.Volume(
        'other', str(uuid.UUID(OTHER)), 'Started', 1, 3, (), {}
    )
    snapshot = gluster.Snapshot('snap', SNAPSHOT, 'other', False)
    return brick_ownership.KnownObjects((VOLUME, other), (snapshot,))


def repair(fake: fakes.Node) -> list[str]:
    """Repair a brick; return the commands that changed something."""
    brick_repair.repair(cluster.Node(fake), ID, VOLUME, BRICK, known)
    reads = (READ, AFFAIRS)
    return [line for line in lvs.did(fake) if line not in reads]


def refusal(fake: fakes.Node) -> brick_repair.BrickNotRepaired:
    """Return why a brick is left alone, after checking that it is."""
    with pytest.raises(brick_repair.BrickNotRepaired) as caught:
        repair(fake)
    assert not {MARK, UMOUNT} & {*lvs.did(fake)}
    assert caught.value.path == BRICK
    assert caught.value.node == 'gl1'
    return caught.value


def test_one_that_is_well_is_left_alone() -> None:
    assert repair(node_with(marked(HEX))) == []


def test_one_that_is_not_mounted() -> None:
    done = repair(node_with(marked(HEX), mounted=False))
    assert done == [f'make_directory {TARGET}', MOUNT]


def test_one_whose_lv_is_not_active() -> None:
    fake = node_with(marked(HEX), row={'lv_active': ''}, mounted=False)
    activate = f'lvchange --activate=y --ignoreactivationskip gvg/{NAME}'
    lvs.allow(fake, activate)
    assert repair(fake) == [activate, f'make_directory {TARGET}', MOUNT]


def test_a_file_system_that_has_shut_itself_down() -> None:
    assert repair(node_with(DEAD, marked(HEX))) == [
        UMOUNT,
        f'make_directory {TARGET}',
        MOUNT,
    ]


def test_one_that_is_in_use_is_not_mounted_over() -> None:
    fake = node_with(DEAD)
    fake._script[tuple(UMOUNT.split())] = [lvs.BUSY]
    with pytest.raises(errors.InUse) as caught:
        repair(fake)
    assert caught.value.path == TARGET
    assert MOUNT not in lvs.did(fake)


@pytest.mark.parametrize('mounted', [True, False])
def test_one_that_cannot_be_mounted(mounted: bool) -> None:
    fake = node_with(DEAD, mounted=mounted)
    said = fakes.Answer('', 'mount: can\'t read superblock on /dev/x', 32)
    fake._script[tuple(MOUNT.split())] = [said]
    with pytest.raises(brick_repair.NotMountable) as caught:
        repair(fake)
    assert caught.value.path == BRICK
    assert caught.value.node == 'gl1'
    assert caught.value.logical_volume == f'gvg/{NAME}'
    assert 'superblock' in caught.value.cause.stderr


def test_one_that_stays_dead() -> None:
    with pytest.raises(brick_repair.NotMountable):
        repair(node_with(DEAD))


@pytest.mark.parametrize('bears', [UNMARKED, marked('d' * 32)])
def test_one_without_the_id_of_its_volume(bears: fakes.Answer) -> None:
    assert repair(node_with(bears, marked(HEX))) == [MARK, SYNC]


def test_one_with_the_id_of_another_volume() -> None:
    error = refusal(node_with(marked(OTHER)))
    assert isinstance(error, brick_repair.ForeignVolumeId)
    assert (error.owner, error.hex_id) == ('other', HEX)


@pytest.mark.parametrize('inherited', [SNAPSHOT, OTHER])
def test_a_clone_with_an_id_that_it_inherited(inherited: str) -> None:
    """As when the power is cut before its own is on disk."""
    row = {'origin': f'{SNAPSHOT}_0'}
    fake = node_with(marked(inherited), marked(HEX), row=row)
    assert repair(fake) == [MARK, SYNC]


def test_a_clone_with_an_id_that_it_did_not_inherit() -> None:
    row = {'origin': 'd' * 32 + '_0'}
    error = refusal(node_with(marked(OTHER), row=row))
    assert isinstance(error, brick_repair.ForeignVolumeId)


def test_what_is_no_brick() -> None:
    fake = node_with(UNMARKED)
    fake._script[tuple(AFFAIRS.split())] = [NOWHERE]
    assert isinstance(refusal(fake), brick_repair.BrickEmpty)


@pytest.mark.parametrize(
    'tags', ['', 'manila.brick', TAGS.replace(ID, ID[::-1]), 'manila.share=x']
)
def test_what_is_mounted_there_and_is_not_the_share_s(tags: str) -> None:
    error = refusal(node_with(marked(OTHER), row={'lv_tags': tags}))
    assert isinstance(error, brick_repair.ForeignLogicalVolume)
    assert error.logical_volume == f'gvg/{NAME}'


def test_one_whose_lv_is_gone() -> None:
    fake, _ = lvs.prepare([lvs.lv('another', tags='manila.share=x')])
    error = refusal(fake)
    assert isinstance(error, brick_repair.BrickLost)
    assert f'manila.share={ID}' in error.tags
