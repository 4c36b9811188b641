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
"""Bricks on their nodes."""

import json
import re

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_mounts
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import lvm
from tests.unit import fakes

ID = '3f0c6d5e-8a53-4a57-9a0e-0c1a2b3c4d5e'
HEX = '2ba6f450e57145ed8bcbb50c1d8b9118'
SNAP = f'{bricks.SNAPS_ROOT}/{HEX}/brick1'
LVS = fakes.golden('11.1', 'lvs').argv
LVMCONFIG = fakes.golden('11.1', 'lvmconfig').argv
MOUNTS = ('list_mounts',)
OK = fakes.Answer()
BUSY = fakes.Answer('', 'umount: target is busy.', 32)


def lv(
    name: str,
    *,
    tags: str = '',
    layout: str = 'thin,sparse',
    pool: str = 'pool',
    size: int = 1 << 30,
) -> dict[str, str]:
    return {
        'vg_name': 'gvg',
        'lv_name': name,
        'lv_size': str(size),
        'lv_layout': layout,
        'lv_role': 'public',
        'lv_active': 'active',
        'lv_health_status': '',
        'zero': 'zero',
        'pool_lv': pool,
        'origin': '',
        'data_percent': '1.00',
        'metadata_percent': '',
        'lv_tags': tags,
        'lv_dm_path': '/dev/mapper/gvg-' + name.replace('-', '--'),
        'lv_metadata_size': '67108864' if layout == 'thin,pool' else '',
        'lv_device_open': 'open',
        'lv_profile': '',
        'vg_profile': '',
        'vg_free': '0',
    }


def lvm_settings(
    threshold: int = 100, percent: int = 20, monitoring: int = 0
) -> fakes.Answer:
    """Make an answer of lvmconfig."""
    return fakes.Answer(
        f'thin_pool_autoextend_threshold={threshold}\n'
        f'thin_pool_autoextend_percent={percent}\nmonitoring={monitoring}\n'
    )


def keep_none(seen: bricks.NodeStorage, lv: lvm.LogicalVolume) -> bool:
    """Keep no LV."""
    return False


def lvs_of(*rows: dict[str, str]) -> tuple[lvm.LogicalVolume, ...]:
    return lvm.parse_report(json.dumps({'report': [{'lv': [*rows]}]}))


def mounted(*pairs: tuple[str, str]) -> fakes.Answer:
    """Make an answer with LVs and where they are mounted."""
    rows = [
        {
            'target': target,
            'source': '/dev/mapper/gvg-' + name.replace('-', '--'),
            'fstype': 'xfs',
            'options': 'rw',
        }
        for name, target in pairs
    ]
    return fakes.Answer(json.dumps(rows))


def prepare(
    rows: list[dict[str, str]], *pairs: tuple[str, str]
) -> tuple[fakes.Node, cluster.Node]:
    node = fakes.Node()
    report = fakes.Answer(json.dumps({'report': [{'lv': rows}]}))
    node.answer(LVS, report).answer(MOUNTS, mounted(*pairs))
    node.answer(SYNC.split(), OK)
    return node, cluster.Node(node)


def did(node: fakes.Node) -> list[str]:
    """Give what was run apart from reading."""
    return [
        ' '.join(argv)
        for argv in node.ran
        if argv[0] not in ('lvs', 'list_mounts')
    ]


SYNC = 'sync /var/lib/glusterd'


def allow(node: fakes.Node, *lines: str) -> None:
    for line in lines:
        node.answer(line.split(), OK)


# -- finding


def test_a_real_node(release: str) -> None:
    node = fakes.Node().replay(release, 'lvs')
    *_, lv_name = re.findall(
        r'"([0-9a-f]{32}_0)"', fakes.golden(release, 'lvs').answer.stdout
    )
    hex_id = lv_name.partition('_')[0]
    node.answer(
        MOUNTS,
        mounted(
            ('manila-golden', '/srv/golden/manila-golden'),
            (lv_name, f'/run/gluster/snaps/{hex_id}/brick1'),
        ),
    )
    found = bricks.read_storage(cluster.Node(node))
    made = found.find_brick('/srv/golden/manila-golden/brick')
    assert made is not None
    assert made.lv.name == 'manila-golden'
    assert made.mount_point == '/srv/golden/manila-golden'
    assert 'manila.share=u1' in made.lv.tags
    clone = [m for m in found.mounts if m.target.startswith('/run/gluster')]
    place = found.find_brick(f'{clone[0].target}/brick')
    assert place is not None
    found_hex_id = bricks.hex_id_in_name(place.lv.name)
    assert found_hex_id is not None
    assert found_hex_id in clone[0].target
    assert bricks.lvs_named_after(found.lvs, found_hex_id) == (place.lv,)
    assert found.mount_points(place.lv) == (clone[0].target,)


@pytest.mark.parametrize(
    ('path', 'mount'),
    [
        ('/srv/a/b/brick', '/srv/a/b'),
        ('/srv/a/brick', '/srv/a'),
        # Not what is mounted farther up, the root file system for one.
        ('/srv/ab/brick', None),
        ('/srv/a', None),
        ('/srv/a/c/brick', None),
    ],
)
def test_the_mount_right_above_holds_a_brick(
    path: str, mount: str | None
) -> None:
    _, node = prepare(
        [lv('root'), lv('a'), lv('b')],
        ('root', '/'),
        ('a', '/srv/a'),
        ('b', '/srv/a/b'),
    )
    place = bricks.read_storage(node).find_brick(path)
    assert (place and place.mount_point) == mount


def test_a_brick_that_is_not_mounted_has_no_place() -> None:
    _, node = prepare([lv('a')])
    assert bricks.read_storage(node).find_brick('/srv/a/brick') is None


def test_nor_has_one_on_what_is_no_lv() -> None:
    _, node = prepare([lv('a')], ('sda1', '/srv/a'))
    assert bricks.read_storage(node).find_brick('/srv/a/brick') is None


@pytest.mark.parametrize(
    ('name', 'hex_id'),
    [
        (f'{HEX}_0', HEX),
        (f'{HEX}_12', HEX),
        (HEX, None),
        (f'{HEX}_', None),
        (f'{HEX}_0x', None),
        (f'x{HEX}_0', None),
        (f'{HEX.upper()}_0', None),
        (f'{HEX[1:]}_0', None),
        (f'manila-{ID}', None),
    ],
)
def test_lvs_that_glusterd_named(name: str, hex_id: str | None) -> None:
    assert bricks.hex_id_in_name(name) == hex_id


# -- making


def test_making() -> None:
    fake, node = prepare([])
    target = f'/srv/x/manila-{ID}'
    lines = [
        f'lvcreate --yes --wipesignatures=y --type=thin '
        f'--virtualsize=5b --thinpool=pool --name=manila-{ID} '
        f'--addtag=manila.brick --addtag=manila.mount={target} '
        f'--addtag=manila.share={ID} gvg',
        f'mkfs.xfs -q -K -i size=512 /dev/gvg/manila-{ID}',
        f'make_directory {target}',
        f'mount --types=xfs --options=nouuid,noatime '
        f'/dev/gvg/manila-{ID} {target}',
    ]
    allow(fake, *lines)
    path = bricks.make(node, ID, 'gvg/pool', 5, '/srv/x')
    assert path == f'{target}/brick'
    # The LV bears its tags from its first moment on.
    assert did(fake) == lines


@pytest.mark.parametrize('pool', ['pool', 'gvg/pool/x', '-x/pool'])
def test_making_in_what_names_no_pool(pool: str) -> None:
    fake, node = prepare([])
    with pytest.raises(errors.NotPossible):
        bricks.make(node, ID, pool, 5, '/srv/x')
    assert not fake.ran


# -- adopting


def test_adopting() -> None:
    fake, node = prepare([lv(f'{HEX}_0')], (f'{HEX}_0', SNAP))
    line = (
        f'lvchange --addtag=manila.brick --addtag=manila.mount={SNAP} '
        f'--addtag=manila.share={ID} gvg/{HEX}_0'
    )
    allow(fake, line)
    bricks.adopt(node, ID, f'{SNAP}/brick', 1 << 30)
    assert did(fake) == [line]


def test_adopting_and_growing_is_one_request() -> None:
    fake, node = prepare([lv(f'{HEX}_0')], (f'{HEX}_0', SNAP))
    lines = [
        f'lvchange --addtag=manila.brick --addtag=manila.mount={SNAP} '
        f'--addtag=manila.share={ID} gvg/{HEX}_0',
        f'lvextend --size={2 << 30}b gvg/{HEX}_0',
        f'xfs_growfs -d {SNAP}',
    ]
    allow(fake, *lines)
    bricks.adopt(node, ID, f'{SNAP}/brick', 2 << 30)
    assert did(fake) == lines
    # One request reads.
    assert fake.request_count == 2


def test_adopting_what_is_adopted_changes_nothing() -> None:
    tags = f'manila.brick,manila.mount={SNAP},manila.share={ID}'
    fake, node = prepare([lv(f'{HEX}_0', tags=tags)], (f'{HEX}_0', SNAP))
    bricks.adopt(node, ID, f'{SNAP}/brick', 0)
    assert did(fake) == []


def test_adopting_what_is_not_mounted() -> None:
    _, node = prepare([lv(f'{HEX}_0')])
    with pytest.raises(bricks.BrickNotMounted) as caught:
        bricks.adopt(node, ID, f'{SNAP}/brick', 0)
    assert caught.value.path == f'{SNAP}/brick'


def test_adopting_what_is_not_thin() -> None:
    fake, node = prepare([lv('fat', layout='linear', pool='')], ('fat', SNAP))
    with pytest.raises(bricks.NotThin) as caught:
        bricks.adopt(node, ID, f'{SNAP}/brick', 0)
    assert caught.value.logical_volume == 'gvg/fat'
    assert did(fake) == []


# -- growing and proving


@pytest.mark.parametrize('size', [1, 1 << 30])
def test_growing_xfs_alone_when_the_lv_is_large_enough(size: int) -> None:
    fake, node = prepare([lv('a')], ('a', '/m'))
    lines = ['xfs_growfs -d /m', READ_ID, SYNC_BRICK]
    grow(fake, node, size, *lines)
    assert did(fake) == lines


def test_growing() -> None:
    fake, node = prepare([lv('a')], ('a', '/m'))
    lines = ['lvextend --size=1073741825b gvg/a', 'xfs_growfs -d /m']
    lines += [READ_ID, SYNC_BRICK]
    grow(fake, node, (1 << 30) + 1, *lines)
    assert did(fake) == lines


READ_ID = 'read_volume_id /m/brick'
SYNC_BRICK = 'sync /m/brick /var/lib/glusterd'


def grow(fake: fakes.Node, node: cluster.Node, size: int, *lines: str) -> None:
    fake.answer(READ_ID.split(), fakes.Answer(f'"{HEX}"'))
    allow(fake, *(line for line in lines if line != READ_ID))
    brick = bricks.read_storage(node).find_brick('/m/brick')
    assert brick is not None
    bricks.grow(node, brick, size, HEX)


def test_proving() -> None:
    fake, node = prepare([])
    fake.answer(READ_ID.split(), fakes.Answer(f'"{HEX}"'))
    allow(fake, SYNC_BRICK)
    bricks.verify_durable(node, '/m/brick', HEX)
    assert did(fake) == [READ_ID, SYNC_BRICK]
    assert fake.request_count == 1


@pytest.mark.parametrize(
    'volume_id', [fakes.Answer(f'"{"0" * 32}"'), fakes.Answer('null')]
)
@pytest.mark.parametrize(
    'sync', [fakes.Answer('null'), fakes.Answer('', 'No such file', 1)]
)
def test_a_brick_with_another_volume_id(
    volume_id: fakes.Answer, sync: fakes.Answer
) -> None:
    fake, node = prepare([])
    fake.answer(READ_ID.split(), volume_id)
    fake.answer(SYNC_BRICK.split(), sync)
    with pytest.raises(bricks.WrongVolumeId) as caught:
        bricks.verify_durable(node, '/m/brick', HEX)
    assert caught.value.expected == HEX


def test_a_brick_that_cannot_be_synced() -> None:
    fake, node = prepare([])
    fake.answer(READ_ID.split(), fakes.Answer(f'"{HEX}"'))
    fake.answer(SYNC_BRICK.split(), fakes.Answer('', 'No space left', 1))
    with pytest.raises(errors.CommandFailed):
        bricks.verify_durable(node, '/m/brick', HEX)


# -- mounting again


def test_remounting_what_is_not_mounted() -> None:
    rows = [
        lv('a', tags='manila.brick,manila.mount=/a'),
        lv('b', tags='manila.brick,manila.mount=/b'),
        lv('c', tags='manila.brick'),
    ]
    fake, node = prepare(rows, ('a', '/a'))
    lines = [
        'make_directory /b',
        'mount --types=xfs --options=nouuid,noatime /dev/gvg/b /b',
    ]
    allow(fake, *lines)
    fake.answer((*LVS, '@manila.brick'), *[fake.next(tuple(LVS))])
    found = brick_mounts.unmounted_lvs(node)
    assert [each.name for each in found] == ['b']
    brick_mounts.remount(node, *found)
    assert did(fake) == lines


def test_mounts_are_data() -> None:
    one = file_systems.Mount('/a', '/b', 'xfs', frozenset({'rw'}))
    assert hash(one) == hash(
        file_systems.Mount('/a', '/b', 'xfs', frozenset({'rw'}))
    )
