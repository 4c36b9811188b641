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
"""The script that mounts bricks at boot, run for real.

Its one line that sets PATH is replaced, so that it finds commands that
note what they are asked to do.
"""

import os
import pathlib
import subprocess

import pytest

from manila_glusterfs_clone import node

_PATH = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'

#: Each notes its call; a file named after what it is to do says how it ends.
_COMMANDS = {
    'lvs': 'cat "$STATE/lvs"; exit "$(cat "$STATE/lvs.status")"',
    'findmnt': 'for t; do :; done; grep -qxF "$t" "$STATE/mounted"',
    'lvchange': 'for t; do :; done; ! grep -qxF "$t" "$STATE/dead"',
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
        self.script = root / node.SCRIPT
        self.script.write_text(
            ''.join(
                f'PATH={bin_}:/usr/bin:/bin\n'
                if line == f'{_PATH}\n'
                else line
                for line in lines
            )
        )
        self.report()
        self.mounted()
        self.dead()

    def report(self, *lines: str, status: int = 0) -> None:
        """Set what ``lvs`` says."""
        (self.state / 'lvs').write_text(''.join(f'  {x}\n' for x in lines))
        (self.state / 'lvs.status').write_text(str(status))

    def mounted(self, *targets: str) -> None:
        (self.state / 'mounted').write_text(
            ''.join(f'{target}\n' for target in targets)
        )

    def dead(self, *things: str) -> None:
        """Set what cannot be activated or mounted."""
        (self.state / 'dead').write_text(
            ''.join(f'{thing}\n' for thing in things)
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
        "lvs --noheadings --separator   -o lv_full_name,lv_tags @manila.brick"
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


def test_what_is_mounted_stays_as_it_is(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.mounted('/srv/a')
    assert boot.run().returncode == 0
    assert boot.calls('mount') == [
        'mount -t xfs -o nouuid,noatime /dev/gvg/b /srv/b'
    ]


def test_a_second_time_nothing_happens(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    boot.run()
    done = boot.run()
    assert done.returncode == 0
    assert done.stdout == ''
    assert boot.calls('mount', 'lvchange', 'mkdir') == []


@pytest.mark.parametrize('dead', ['gvg/a', '/srv/a'])
def test_one_that_fails_does_not_keep_the_others_from_it(
    boot: Boot, dead: str
) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}', f'gvg/b {tags("/srv/b")}')
    boot.dead(dead)
    done = boot.run()
    assert done.returncode == 1
    assert 'gvg/a could not be mounted on /srv/a' in done.stderr
    assert done.stdout == 'mounted gvg/b on /srv/b\n'


def test_what_cannot_be_activated_is_not_mounted(boot: Boot) -> None:
    boot.report(f'gvg/a {tags("/srv/a")}')
    boot.dead('gvg/a')
    boot.run()
    assert boot.calls('mkdir', 'mount') == []


@pytest.mark.parametrize(
    'bare',
    ['manila.brick', 'manila.brick,manila.mount=', 'manila.mount=srv/x'],
)
def test_a_brick_without_a_place_is_reported(boot: Boot, bare: str) -> None:
    boot.report(f'gvg/a {bare}', f'gvg/b {tags("/srv/b")}')
    done = boot.run()
    assert done.returncode == 1
    assert 'gvg/a is tagged manila.brick, but no tag says' in done.stderr
    assert done.stdout == 'mounted gvg/b on /srv/b\n'


def test_the_tag_is_found_wherever_it_stands(boot: Boot) -> None:
    boot.report('gvg/a manila.mount=/srv/a,manila.brick')
    assert boot.run().stdout == 'mounted gvg/a on /srv/a\n'


@pytest.mark.parametrize(
    'other', ['xmanila.mount=/x', 'manilaxmount=/x', 'manila.mountx=/x']
)
def test_other_tags_are_not_taken_for_it(boot: Boot, other: str) -> None:
    boot.report(f'gvg/a {other},manila.mount=/srv/a')
    assert boot.run().stdout == 'mounted gvg/a on /srv/a\n'


def test_all_that_a_tag_may_hold_is_kept(boot: Boot) -> None:
    target = '/srv/a_b+c.d-e/=!:&#/x'
    boot.report(f'gvg/a {tags(target)}')
    assert boot.run().stdout == f'mounted gvg/a on {target}\n'


def test_lvm_that_fails_is_no_success(boot: Boot) -> None:
    boot.report(status=5)
    assert boot.run().returncode == 1
    assert boot.calls('mount') == []
