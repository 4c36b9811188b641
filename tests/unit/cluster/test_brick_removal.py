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
"""Removing the LVs of bricks and their mount points."""

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone import retry
from tests.unit.cluster import test_bricks
from tests.unit import fakes


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def test_reclaiming() -> None:
    rows = [test_bricks.lv('a', tags='manila.mount=/a')]
    fake, node = test_bricks.prepare(rows, ('a', '/a'))
    # The LV last: nothing else tells of the mount points when it is gone.
    lines = [
        test_bricks.SYNC,
        'umount /a',
        'remove_directories /a',
        'lvremove --force --yes gvg/a',
    ]
    test_bricks.allow(fake, *lines)
    brick_removal.reclaim(
        node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
    )
    assert test_bricks.did(fake) == lines
    # One request reads.
    assert fake.request_count == 2


@pytest.mark.parametrize('pools', [None, ('gvg/pool',), ('gvg/gone',)])
def test_nothing_is_taken_for_removed_that_lvm_does_not_see(
    pools: tuple[str, ...] | None,
) -> None:
    rows = [test_bricks.lv('pool', layout='thin,pool', pool='')]
    fake, _ = test_bricks.prepare(rows)
    node = cluster.Node(fake, ('gvg/pool', 'gvg/gone'))
    if pools == ('gvg/pool',):
        assert (
            brick_removal.reclaim(
                node, lambda lv: False, test_bricks.keep_none, pools
            )
            == 0
        )
        return
    with pytest.raises(bricks.PoolsNotVisible) as caught:
        brick_removal.reclaim(
            node, lambda lv: False, test_bricks.keep_none, pools
        )
    assert (caught.value.node, caught.value.pool_names) == (
        'gl1',
        ('gvg/gone',),
    )


def test_reclaiming_nothing() -> None:
    fake, node = test_bricks.prepare(
        [test_bricks.lv('other')], ('other', '/o')
    )
    brick_removal.reclaim(node, lambda lv: False, test_bricks.keep_none)
    assert test_bricks.did(fake) == []


def test_reclaiming_what_is_mounted_twice_and_elsewhere() -> None:
    rows = [
        test_bricks.lv(f'{test_bricks.HEX}_0', tags='manila.mount=/tagged')
    ]
    fake, node = test_bricks.prepare(
        rows,
        (f'{test_bricks.HEX}_0', test_bricks.SNAP),
        (f'{test_bricks.HEX}_0', '/late'),
    )
    test_bricks.allow(
        fake,
        'umount /late',
        f'umount {test_bricks.SNAP}',
        f'lvremove --force --yes gvg/{test_bricks.HEX}_0',
        'remove_directories /late',
        f'remove_directories {test_bricks.SNAP} '
        f'{test_bricks.SNAP.rpartition("/")[0]}',
        'remove_directories /tagged',
    )
    brick_removal.reclaim(
        node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
    )
    done = test_bricks.did(fake)[1:]
    assert done[:2] == ['umount /late', f'umount {test_bricks.SNAP}']
    assert done[-1].startswith('lvremove')
    assert len(done) == 6


def test_a_brick_process_that_lets_go_late(time: fakes.Clock) -> None:
    rows = [test_bricks.lv('a')]
    fake, node = test_bricks.prepare(rows, ('a', '/a'))
    fake.answer(
        ('umount', '/a'), test_bricks.BUSY, test_bricks.BUSY, test_bricks.OK
    )
    test_bricks.allow(
        fake, 'lvremove --force --yes gvg/a', 'remove_directories /a'
    )
    brick_removal.reclaim(
        node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
    )
    assert len(time.slept) == 2


def test_one_that_does_not_let_go(time: fakes.Clock) -> None:
    rows = [test_bricks.lv('a')]
    fake, node = test_bricks.prepare(rows, ('a', '/a'))
    fake.answer(('umount', '/a'), test_bricks.BUSY)
    with pytest.raises(errors.CommandFailed) as caught:
        brick_removal.reclaim(
            node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
        )
    assert caught.value.argv == ('umount', '/a')
    assert not any(
        line.startswith('lvremove') for line in test_bricks.did(fake)
    )
    assert sum(time.slept) >= brick_removal._UNMOUNT_TIMEOUT


def test_one_that_is_unmounted_by_somebody_else(time: fakes.Clock) -> None:
    rows = [test_bricks.lv('a')]
    fake, node = test_bricks.prepare(rows, ('a', '/a'))
    fake.answer(test_bricks.MOUNTS, test_bricks.mounted())
    fake.answer(('umount', '/a'), fakes.Answer('', 'not mounted', 32))
    test_bricks.allow(
        fake, 'lvremove --force --yes gvg/a', 'remove_directories /a'
    )
    brick_removal.reclaim(
        node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
    )
    assert not time.slept


def test_unknown_is_not_tried_again_here(time: fakes.Clock) -> None:
    rows = [test_bricks.lv('a')]
    fake, node = test_bricks.prepare(rows, ('a', '/a'))
    fake.answer(('umount', '/a'), errors.LinkLost('gl1', ('umount',), 'EOF'))
    with pytest.raises(errors.LinkLost):
        brick_removal.reclaim(
            node, test_bricks.lvs_of(*rows).__contains__, test_bricks.keep_none
        )
    assert not time.slept


def test_no_lv_is_removed_that_was_not_named() -> None:
    named = [test_bricks.lv('a', tags='manila.share=x')]
    fake, node = test_bricks.prepare(
        [*named, test_bricks.lv('b', tags='manila.share=x')]
    )
    test_bricks.allow(fake, 'lvremove --force --yes gvg/a')
    brick_removal.reclaim(
        node, test_bricks.lvs_of(*named).__contains__, test_bricks.keep_none
    )
    assert test_bricks.did(fake) == [
        test_bricks.SYNC,
        'lvremove --force --yes gvg/a',
    ]


def test_mount_points_of_snapshots_lie_in_a_directory_of_their_own() -> None:
    fake, node = test_bricks.prepare([])
    test_bricks.allow(
        fake,
        f'remove_directories {test_bricks.SNAP} '
        f'{bricks.SNAPS_ROOT}/{test_bricks.HEX}',
        '/'.join(['remove_directories /srv/x', names.volume(test_bricks.ID)]),
    )
    mount_point = names.mount_point('/srv/x', test_bricks.ID)
    node.run(
        brick_removal.mount_point_removal(test_bricks.SNAP),
        brick_removal.mount_point_removal(mount_point),
    )
    assert len(test_bricks.did(fake)) == 2


def test_the_mount_points_of_a_snapshot_that_is_gone() -> None:
    fake, node = test_bricks.prepare([])
    above = f'{bricks.SNAPS_ROOT}/{test_bricks.HEX}'
    test_bricks.allow(
        fake, f'remove_directories {above}/brick1 {above}/brick2 {above}'
    )
    node.run(brick_removal.snapshot_mount_point_removal(test_bricks.HEX, 2))
    assert len(test_bricks.did(fake)) == 1
