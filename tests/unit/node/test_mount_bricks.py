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
"""The script mount-bricks, run by a real shell with fake commands.

The line of the script that sets PATH is replaced, so that it finds the fake
commands, which record how they are called.
"""

import os
import pathlib
import subprocess
from typing import Any

import pytest

from manila_glusterfs_clone import node

_PATH = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'
_GLUSTERD = 'GLUSTERD=/var/lib/glusterd'

#: The fake commands. Each records its call, and ends as a file in $STATE says.
_COMMANDS = {
    'lvs': (
        'case "$*" in *pool_lv*) echo "  gvg/pool"; exit;; esac; '
        'cat "$STATE/lvs"; exit "$(cat "$STATE/lvs.status")"'
    ),
    'findmnt': 'for t; do :; done; grep -qxF "$t" "$STATE/mounted"',
    'lvchange': (
        'case "$*" in *--auto-repair*) : >"$STATE/off";; esac; '
        'for t; do :; done; ! grep -qxF "$t" "$STATE/dead" "$STATE/off" && '
        '{ ! grep -qxF "$t" "$STATE/lost" || { echo "  device-mapper: reload '
        'ioctl on  (253:7) failed: No data available" >&2; false; }; }'
    ),
    'pgrep': 'exit "$(cat "$STATE/pgrep.status")"',
    'lvcreate': ':',
    'lvremove': ':',
    'vgcfgbackup': 'cp "$STATE/notes" "$2"',
    'udevadm': ':',
    'mkdir': ':',
    'mount': (
        'for t; do :; done; ! grep -qxF "$t" "$STATE/dead" && '
        'echo "$t" >>"$STATE/mounted"'
    ),
}


class Boot:
    """A node that boots, with these LVs."""

    def __init__(self, root: pathlib.Path) -> None:
        self.state = root / 'state'
        self.state.mkdir()
        bin_ = root / 'bin'
        bin_.mkdir()
        for name, body in _COMMANDS.items():
            path = bin_ / name
            # A command that reads its input must not eat the list.
            path.write_text(
                f'#!/bin/sh\necho "{name} $*" >>"$STATE/calls"\n'
                f'cat >/dev/null\n{body}\n'
            )
            path.chmod(0o755)
        lines = node.text(node.SCRIPT).splitlines(keepends=True)
        assert [line for line in lines if 'PATH=' in line] == [f'{_PATH}\n']
        assert f'{_GLUSTERD}\n' in lines
        self.glusterd = root / 'glusterd'
        (self.glusterd / 'vols').mkdir(parents=True)
        (self.glusterd / 'glusterd.info').write_text('UUID=me\n')
        replaced = {
            f'{_PATH}\n': f'PATH={bin_}:/usr/bin:/bin\n',
            f'{_GLUSTERD}\n': f'GLUSTERD={self.glusterd}\n',
        }
        self.script = root / node.SCRIPT
        self.script.write_text(
            ''.join(replaced.get(line, line) for line in lines)
        )
        self.report()
        self.mounted()
        self.dead()
        self.off()
        self.lost()
        self.pgrep(1)
        self.notes()

    def notes(self, of: str = 'pool', what: str = '') -> None:
        """Set the metadata of LVM below a segment of an LV."""
        (self.state / 'notes').write_text(
            'gvg {\n\tlogical_volumes {\n\n'
            f'\t\t{of} {{\n\t\t\tsegment1 {{\n{what}\t\t\t}}\n\t\t}}\n'
            '\t\tlast {\n\t\t\tsegment1 {\n\t\t\t}\n\t\t}\n\t}\n}\n'
        )

    def report(self, *lines: str, status: int = 0) -> None:
        """Set the output and exit status of ``lvs``."""
        (self.state / 'lvs').write_text(''.join(f'  {x}\n' for x in lines))
        (self.state / 'lvs.status').write_text(str(status))

    def mounted(self, *targets: str) -> None:
        (self.state / 'mounted').write_text(
            ''.join(f'{target}\n' for target in targets)
        )

    def dead(self, *things: str) -> None:
        """Set the LVs and mount points that fail."""
        (self.state / 'dead').write_text(
            ''.join(f'{thing}\n' for thing in things)
        )

    def off(self, *lvs: str) -> None:
        """Set the LVs that are inactive until their pool is repaired."""
        (self.state / 'off').write_text(''.join(f'{lv}\n' for lv in lvs))

    def lost(self, *lvs: str) -> None:
        """Set the LVs without a device in their pool."""
        (self.state / 'lost').write_text(''.join(f'{lv}\n' for lv in lvs))

    def pgrep(self, status: int) -> None:
        """Set the exit status of ``pgrep``."""
        (self.state / 'pgrep.status').write_text(str(status))

    def clone(
        self,
        name: str = 'manila-c1',
        status: int = 0,
        snapshot: str = '584058fa-4f8f-4c7a-90e4-e36772cc6f2f',
        node: str = 'me',
        plugin: str = 'snap_plugin=LVM\n',
    ) -> pathlib.Path:
        """Add a clone to glusterd, with its second brick on a node."""
        volume = self.glusterd / 'vols' / name
        (volume / 'bricks').mkdir(parents=True)
        (volume / 'info').write_text(
            f'type=2\nstatus={status}\nvolume-id=c2a8-19\n'
            f'restored_from_snap={snapshot}\n{plugin}'
        )
        for number, uuid in ((1, 'other'), (2, node)):
            path = f'/run/gluster/snaps/c2a819/brick{number}/brick'
            (volume / 'bricks' / f'gl{number}:-run-brick').write_text(
                f'uuid={uuid}\nhostname=gl{number}\npath={path}\n'
                f'real_path={path}\norigin_path=/srv/a/brick\n'
            )
        return volume

    def origin(self, target: str = '/srv/a') -> None:
        """Add the origin of the clone to glusterd."""
        bricks = self.glusterd / 'vols' / 'manila-a' / 'bricks'
        bricks.mkdir(parents=True)
        (bricks.parent / 'info').write_text('type=2\nstatus=1\n')
        (bricks / 'gl2:-srv-a-brick').write_text(
            f'uuid=me\npath={target}/brick\n'
        )

    def run(self) -> 'subprocess.CompletedProcess[str]':
        (self.state / 'calls').write_text('')
        return subprocess.run(
            ['sh', str(self.script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={'STATE': str(self.state), 'PATH': os.defpath},
        )

    def calls(self, *of: str) -> list[str]:
        lines = (self.state / 'calls').read_text().splitlines()
        return [x for x in lines if not of or x.split()[0] in of]


@pytest.fixture
def boot(tmp_path: pathlib.Path) -> Boot:
    return Boot(tmp_path)


def tags(target: str) -> str:
    return f'manila.brick,manila.mount={target},manila.share=u1'


def test_no_bricks(boot: Boot) -> None:
    done = boot.run()
    assert done.returncode == 0
    assert done.stdout == done.stderr == ''
    assert boot.calls() == [
        'lvs --noheadings --separator   -o lv_full_name,lv_tags',
        'pgrep -x glusterd',
    ]


def test_bricks_are_activated_and_mounted(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    done = boot.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'mounted gvg/a on /srv/a',
        'mounted gvg/b on /srv/b',
    ]
    assert boot.calls()[1:6] == [
        'findmnt --noheadings --mountpoint /srv/a',
        'lvchange -K -a y gvg/a',
        'udevadm settle --timeout=10',
        'mkdir -p /srv/a',
        'mount -t xfs -o nouuid,noatime /dev/gvg/a /srv/a',
    ]


def test_mounted_bricks_stay_mounted(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.mounted('/srv/a')
    assert boot.run().returncode == 0
    assert boot.calls('mount') == [
        'mount -t xfs -o nouuid,noatime /dev/gvg/b /srv/b'
    ]


def test_a_second_run_changes_nothing(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    boot.run()
    done = boot.run()
    assert done.returncode == 0
    assert done.stdout == ''
    assert boot.calls('mount', 'lvchange', 'mkdir') == []


@pytest.mark.parametrize('dead', ['gvg/a', '/srv/a'])
def test_a_failed_brick_does_not_stop_the_others(
    boot: Boot, dead: str
) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.origin()
    boot.dead(dead)
    done = boot.run()
    assert done.returncode == 1
    assert 'gvg/a could not be mounted on /srv/a' in done.stderr
    assert done.stdout == 'mounted gvg/b on /srv/b\n'


@pytest.mark.parametrize('dead', ['gvg/a', '/srv/a'])
def test_a_brick_of_no_volume_is_no_failure(boot: Boot, dead: str) -> None:
    """Power was lost before it had a file system, or its pool knew it."""
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.origin('/srv/a2')
    boot.dead(dead)
    done = boot.run()
    assert done.returncode == 0
    assert 'gvg/a belongs to no volume' in done.stderr
    assert done.stdout == 'mounted gvg/b on /srv/b\n'


def test_an_inactive_lv_is_not_mounted(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    boot.dead('gvg/a')
    boot.run()
    assert boot.calls('mkdir', 'mount') == []


@pytest.mark.parametrize(
    'bare',
    [
        'manila.brick',
        'manila.brick,manila.mount=',
        'manila.brick,manila.mount=srv/x',
    ],
)
def test_a_brick_without_a_mount_point_is_reported(
    boot: Boot, bare: str
) -> None:
    boot.report(f'gvg/a {bare}', f'gvg/b {tags("/srv/b")}')
    done = boot.run()
    assert done.returncode == 1
    assert 'gvg/a has the tag manila.brick, but no' in done.stderr
    assert done.stdout == 'mounted gvg/b on /srv/b\n'


def test_the_order_of_tags_does_not_matter(boot: Boot) -> None:
    boot.report('gvg/a manila.mount=/srv/a,manila.brick')
    assert boot.run().stdout == 'mounted gvg/a on /srv/a\n'


@pytest.mark.parametrize(
    'other', ['xmanila.mount=/x', 'manilaxmount=/x', 'manila.mountx=/x']
)
def test_similar_tags_are_ignored(boot: Boot, other: str) -> None:
    boot.report(f'gvg/a {other},manila.brick,manila.mount=/srv/a')
    assert boot.run().stdout == 'mounted gvg/a on /srv/a\n'


def test_mount_points_with_special_characters(boot: Boot) -> None:
    target = '/srv/a_b+c.d-e/=!:&#/x'
    boot.report(f'gvg/a {tags(target)}')
    assert boot.run().stdout == f'mounted gvg/a on {target}\n'


def test_a_failure_of_lvm_is_a_failure(boot: Boot) -> None:
    boot.report(status=5)
    assert boot.run().returncode == 1
    assert boot.calls('mount') == []


@pytest.mark.parametrize(
    'other', ['', 'manila.mount=/x', 'manila.bricks', 'xmanila.snapshot=s1']
)
def test_lvs_without_our_tags_are_ignored(boot: Boot, other: str) -> None:
    boot.report(f'gvg/x {other}', f'gvg/a {tags("/srv/a")}')
    assert boot.run().returncode == 0
    assert boot.calls('lvchange') == ['lvchange -K -a y gvg/a']


def test_snapshots_are_activated_after_the_bricks(boot: Boot) -> None:
    boot.report(
        'gvg/s_0 manila.snapshot=s1',
        f'gvg/a {tags("/srv/a")}',
        'gvg/t_0 manila.snapshot=s2',
    )
    assert boot.run().returncode == 0
    assert boot.calls('lvchange', 'mount')[-2:] == [
        'mount -t xfs -o nouuid,noatime /dev/gvg/a /srv/a',
        'lvchange -a ay gvg/s_0 gvg/t_0',
    ]


def test_lost_blocks_of_a_pool_are_freed(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.off('gvg/a', 'gvg/b')
    done = boot.run()
    assert done.returncode == 0
    assert done.stderr == (
        'LV gvg/a could not be activated; '
        'freeing the blocks of pool gvg/pool that belong to no LV\n'
    )
    first, repair, again, other = boot.calls('lvchange')
    assert first == again == 'lvchange -K -a y gvg/a'
    assert '"--auto-repair"' in repair
    assert repair.endswith(' gvg/pool')
    assert other == 'lvchange -K -a y gvg/b'


#: As LVM writes down that a thin device is to go.
MESSAGE = '\t\t\t\tmessage1 {\n\t\t\t\t\tdelete = 4\n\t\t\t\t}\n'


@pytest.mark.parametrize('tag', [tags('/srv/a'), 'manila.snapshot=s1'])
def test_a_pending_message_is_completed(
    boot: Boot, halved: pathlib.Path, tag: str
) -> None:
    """Before anything is removed, be it here."""
    boot.report(f'gvg/a {tag}', ORIGIN, 'gvg/c2a819_1 ')
    boot.lost('gvg/c2a819_1')
    boot.notes(what=MESSAGE)
    done = boot.run()
    assert done.returncode == 0, done.stderr
    assert 'pool gvg/pool has a pending message' in done.stderr
    made, removed, dead = boot.calls('lvcreate', 'lvremove')
    assert made.startswith('lvcreate -qq --yes --virtualsize 4m')
    assert made.endswith(' --addtag manila.told gvg')
    assert '--thinpool pool ' in made
    name = made.partition('--name ')[2].split()[0]
    assert removed == f'lvremove -qq --yes gvg/{name}'
    assert dead == 'lvremove --yes gvg/c2a819_1'


def test_the_lv_of_an_interrupted_run_is_removed(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', 'gvg/manila-told-7 manila.told')
    assert boot.run().returncode == 0
    assert boot.calls('lvcreate', 'lvremove') == [
        'lvremove -qq --yes gvg/manila-told-7'
    ]


@pytest.mark.parametrize(
    ('of', 'what'),
    [('pool', ''), ('pool2', MESSAGE), ('pool', '\t\t\t\tmessages = 1\n')],
)
def test_no_lv_is_made_without_a_pending_message(
    boot: Boot, of: str, what: str
) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    boot.notes(of, what)
    done = boot.run()
    assert done.returncode == 0
    assert done.stderr == ''
    assert boot.calls('lvcreate', 'lvremove') == []


def test_unreadable_metadata_is_a_failure(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    (boot.state / 'notes').unlink()
    assert boot.run().returncode == 1
    assert boot.calls('mount')
    assert boot.calls('lvcreate', 'lvremove') == []


#: Of the origin of that clone.
ORIGIN = f'gvg/a {tags("/srv/a")}'


@pytest.fixture
def halved(boot: Boot) -> pathlib.Path:
    """A node that has a clone and its origin, and both bricks of that."""
    volume = boot.clone()
    boot.origin()
    boot.mounted('/srv/a')
    return volume


def test_a_clone_without_its_lv_is_removed(
    boot: Boot, halved: pathlib.Path
) -> None:
    boot.report(ORIGIN, 'gvg/c2a819_0 ', 'gvg/xc2a819_1 ', 'gvg/c2a819_11 ')
    # A directory that an interrupted run left behind.
    (boot.glusterd / 'forgotten' / 'bricks').mkdir(parents=True)
    done = boot.run()
    assert done.returncode == 0
    assert done.stdout == (
        'removed the clone manila-c1 from glusterd: it has no LV\n'
    )
    assert not halved.exists()
    assert not (boot.glusterd / 'forgotten').exists()


def test_a_clone_without_its_lv_is_removed_after_its_origin(
    boot: Boot,
) -> None:
    volume = boot.clone()
    boot.run()
    assert not volume.exists()


@pytest.mark.parametrize(
    'other',
    [
        {'name': 'c1'},
        {'status': 1},
        {'status': 2},
        {'snapshot': '00000000-0000-0000-0000-000000000000'},
        {'node': 'third'},
        {'plugin': ''},
    ],
    ids=str,
)
def test_no_other_volume_is_removed(boot: Boot, other: dict[str, Any]) -> None:
    volume = boot.clone(**other)
    boot.report('gvg/c2a819_0 ')
    assert boot.run().stdout == ''
    assert (volume / 'info').exists()


def test_a_clone_with_its_lv_is_kept(boot: Boot, halved: pathlib.Path) -> None:
    boot.report(ORIGIN, 'gvg/c2a819_1 ')
    assert boot.run().stdout == ''
    assert (halved / 'info').exists()
    assert boot.calls('lvremove') == []


def test_an_lv_without_a_device_in_the_pool_counts_as_missing(
    boot: Boot, halved: pathlib.Path
) -> None:
    boot.report(ORIGIN, 'gvg/c2a819_0 ', 'gvg/c2a819_1 ')
    boot.lost('gvg/c2a819_1')
    assert boot.run().returncode == 0
    assert not halved.exists()
    assert boot.calls('lvremove') == ['lvremove --yes gvg/c2a819_1']


def test_an_lv_that_cannot_be_activated_is_kept(
    boot: Boot, halved: pathlib.Path
) -> None:
    boot.report(ORIGIN, 'gvg/c2a819_1 ')
    boot.dead('gvg/c2a819_1')
    done = boot.run()
    assert done.returncode == 1
    assert 'gvg/c2a819_1 could not be activated' in done.stderr
    assert (halved / 'info').exists()
    assert boot.calls('lvremove') == []


@pytest.mark.parametrize('status', [0, 2, 127])
def test_no_clone_is_removed_while_glusterd_runs(
    boot: Boot, halved: pathlib.Path, status: int
) -> None:
    boot.report(ORIGIN)
    boot.pgrep(status)
    assert boot.run().stdout == ''
    assert (halved / 'info').exists()


def test_no_clone_is_removed_if_its_volume_group_may_be_missing(
    boot: Boot, halved: pathlib.Path
) -> None:
    """Its disk may have died while the brick of the origin was mounted."""
    boot.report('ovg/root ')
    assert boot.run().stdout == ''
    assert (halved / 'info').exists()


def test_no_clone_without_an_origin_path_is_removed(boot: Boot) -> None:
    volume = boot.clone()
    for brick in (volume / 'bricks').iterdir():
        brick.write_text(brick.read_text().partition('origin_path')[0])
    boot.run()
    assert (volume / 'info').exists()


def test_no_clone_is_removed_if_lvm_fails(
    boot: Boot, halved: pathlib.Path
) -> None:
    boot.report(ORIGIN, status=5)
    boot.run()
    assert (halved / 'info').exists()


def test_the_mount_point_of_a_removed_lv_is_removed(
    boot: Boot, tmp_path: pathlib.Path
) -> None:
    """The LV was removed meanwhile, and its mount point before it."""
    target = tmp_path / 'share'
    boot.report(f'gvg/a {tags(str(target))}')
    (boot.script.parent / 'bin' / 'mkdir').unlink()
    boot.dead(str(target))
    assert 'could not be mounted' in boot.run().stderr
    assert not target.exists()


# -- what an operator did


HEX = 'f9e08d0bd1ad4e48bd73821177473a76'


@pytest.fixture
def restored(boot: Boot) -> Boot:
    """A node with the brick of a share that a snapshot was restored into."""
    bricks = boot.glusterd / 'vols' / 'manila-v' / 'bricks'
    bricks.mkdir(parents=True)
    (bricks.parent / 'info').write_text(
        'status=2\nvolume-id=258d-8d\nrestored_from_snap=b16416ae\n'
        'snap_plugin=LVM\n'
    )
    for number, uuid in ((1, 'other'), (2, 'me'), (3, 'third')):
        path = f'/run/gluster/snaps/{HEX}/brick{number}/brick'
        (bricks / f'gl{number}:-run-brick').write_text(
            f'uuid={uuid}\npath={path}\nreal_path={path}\n'
            f'origin_path=/srv/gone/brick\n'
        )
    return boot


def test_the_brick_of_a_restored_snapshot_is_mounted(
    restored: Boot,
) -> None:
    """glusterd 11 mounts it only where the brick before it is mounted."""
    other = HEX.replace('f', 'a')
    restored.report(
        f'gvg/{HEX}_1 manila.snapshot=s1', f'gvg/{other}_1 manila.snapshot=s2'
    )
    done = restored.run()
    assert done.returncode == 0, done.stderr
    assert restored.calls('mount') == [
        f'mount -t xfs -o nouuid,noatime /dev/gvg/{HEX}_1 '
        f'/run/gluster/snaps/{HEX}/brick2'
    ]
    assert not restored.calls('lvremove')


def test_no_lv_is_removed_because_of_its_tag(restored: Boot) -> None:
    restored.report(
        f'gvg/{HEX}_1 manila.told', 'gvg/a manila.told', 'gvg/b manila.told'
    )
    assert restored.run().returncode == 0
    assert not restored.calls('lvremove')


def test_an_lv_that_another_volume_uses_is_kept(
    boot: Boot, halved: pathlib.Path
) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', ORIGIN, 'gvg/c2a819_1 ')
    boot.lost('gvg/c2a819_1')
    bricks = boot.glusterd / 'vols' / 'manila-z' / 'bricks'
    bricks.mkdir(parents=True)
    (bricks / 'gl2:-run').write_text(
        'uuid=me\npath=/run/gluster/snaps/c2a819/brick2/brick\n'
    )
    boot.run()
    assert not boot.calls('lvremove')
