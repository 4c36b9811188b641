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
"""File systems and mounts of a node: parsing and refusals."""

from collections.abc import Callable

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import file_systems
from tests.unit import fakes

TARGET = '/srv/golden/manila-golden'
FINDMNT = fakes.golden('11.1', 'findmnt').argv


def test_mounts(release: str) -> None:
    found = file_systems.FileSystems(
        fakes.Node().replay(release, 'findmnt')
    ).mounts()
    assert found[0].target == TARGET
    assert found[0].source == '/dev/mapper/gvg-manila--golden'
    assert found[0].fstype == 'xfs'
    assert {'rw', 'nouuid', 'noatime'} <= found[0].options
    assert found[1].target.startswith('/run/gluster/snaps/')
    assert len(found) == 2


def test_no_mounts(release: str) -> None:
    node = fakes.Node().replay(release, 'findmnt-none')
    assert file_systems.FileSystems(node).mounts() == ()
    assert file_systems.FileSystems(node).mount_at(TARGET) is None


def test_a_mount_point_is_matched_exactly(release: str) -> None:
    tool = file_systems.FileSystems(fakes.Node().replay(release, 'findmnt'))
    assert tool.mount_at(TARGET) is not None
    for near in (TARGET + '/', TARGET[:-1], TARGET + 'x', '/srv', '/'):
        assert tool.mount_at(near) is None


def test_the_topmost_of_stacked_mounts_counts() -> None:
    rows = ','.join(
        f'{{"target":"/m","source":"{s}","fstype":"xfs","options":"rw"}}'
        for s in ('low', 'top')
    )
    node = fakes.Node().answer(
        FINDMNT, fakes.Answer(f'{{"filesystems":[{rows}]}}')
    )
    top = file_systems.FileSystems(node).mount_at('/m')
    assert top is not None
    assert top.source == 'top'


@pytest.mark.parametrize(
    'answer',
    [
        fakes.Answer('/srv /dev/x xfs rw'),
        fakes.Answer('{}'),
        fakes.Answer('[]'),
        fakes.Answer('{"filesystems": [{}]}'),
        fakes.Answer('{"filesystems": 5}'),
        fakes.Answer(
            '{"filesystems": [{"target": "/a", "source": "/b", '
            '"fstype": "xfs", "options": null}]}'
        ),
        fakes.Answer('', 'findmnt: unknown column: SOURCE', 1),
        fakes.Answer('{"filesystems": [', '', 0),
    ],
)
def test_unreadable_output_of_findmnt_is_unknown(answer: fakes.Answer) -> None:
    node = fakes.Node().answer(FINDMNT, answer)
    with pytest.raises(errors.Garbled):
        file_systems.FileSystems(node).mounts()


def test_the_volume_id_of_a_brick(release: str) -> None:
    node = fakes.Node().replay(release, 'xattr')
    found = file_systems.FileSystems(node).read_volume_id(f'{TARGET}/brick')
    info = fakes.golden(release, 'volume-info').answer.stdout
    assert found is not None
    assert len(found) == 32
    assert f'<id>{found[:8]}-{found[8:12]}-' in info


@pytest.mark.parametrize('name', ['xattr-missing', 'xattr-no-file'])
def test_a_brick_without_a_volume_id(release: str, name: str) -> None:
    answer = fakes.golden(release, name).answer
    argv = (*fakes.golden(release, 'xattr').argv[:-1], '/b')
    node = fakes.Node().answer(argv, answer)
    assert file_systems.FileSystems(node).read_volume_id('/b') is None


@pytest.mark.parametrize(
    'answer',
    [
        fakes.Answer('', '', 1),
        fakes.Answer('', '', 0),
        fakes.Answer('trusted.glusterfs.volume-id=0x12\n'),
        fakes.Answer('xtrusted.glusterfs.volume-id=0x' + 'a' * 32),
    ],
)
def test_an_unreadable_volume_id_is_unknown(
    answer: fakes.Answer,
) -> None:
    argv = (*fakes.golden('11.1', 'xattr').argv[:-1], '/b')
    with pytest.raises(errors.Garbled):
        file_systems.FileSystems(
            fakes.Node().answer(argv, answer)
        ).read_volume_id('/b')


@pytest.mark.parametrize(
    'message', ['Input/output error', 'Structure needs cleaning']
)
def test_a_bad_file_system(message: str) -> None:
    command = (*fakes.golden('11.1', 'xattr').argv[:-1], '/b')
    for argv in (command, ('getfattr', '--absolute-names', '/b')):
        answer = fakes.Answer('', f'getfattr: /b: {message}', 1)
        tool = file_systems.FileSystems(fakes.Node().answer(argv, answer))
        with pytest.raises(errors.BadFileSystem) as caught:
            if argv is command:
                tool.read_volume_id('/b')
            else:
                tool.exists('/b')
        assert message in caught.value.stderr


def test_exists(release: str) -> None:
    argv = ('getfattr', '--absolute-names', '/b')
    gone = fakes.golden(release, 'xattr-no-file').answer
    node = fakes.Node().answer(argv, fakes.Answer(), gone)
    assert file_systems.FileSystems(node).exists('/b')
    assert not file_systems.FileSystems(node).exists('/b')


def test_removing_missing_directories(release: str) -> None:
    node = fakes.Node().replay(release, 'rmdir-missing')
    file_systems.FileSystems(node).remove_directories('/srv/golden/nosuch')


def test_removing_a_directory_that_is_not_empty(release: str) -> None:
    node = fakes.Node().replay(release, 'rmdir-full')
    with pytest.raises(errors.CommandFailed) as caught:
        file_systems.FileSystems(node).remove_directories('/srv/golden')
    assert caught.value.status == 1
    assert 'not empty' in caught.value.stderr


def test_a_missing_directory_does_not_hide_a_full_one(
    release: str,
) -> None:
    answer = fakes.Answer(
        '',
        fakes.golden(release, 'rmdir-missing').answer.stderr
        + fakes.golden(release, 'rmdir-full').answer.stderr,
        1,
    )
    node = fakes.Node().answer(('rmdir', '/a', '/b'), answer)
    with pytest.raises(errors.CommandFailed) as caught:
        file_systems.FileSystems(node).remove_directories('/a', '/b')
    assert 'not empty' in caught.value.stderr


def test_a_mount_in_use(release: str) -> None:
    answer = fakes.golden(release, 'umount-busy').answer
    node = fakes.Node().answer(('umount', TARGET), answer)
    with pytest.raises(errors.InUse) as caught:
        file_systems.FileSystems(node).unmount(TARGET)
    assert caught.value.path == TARGET


@pytest.mark.parametrize(
    'answer',
    [
        fakes.Answer('', f'umount: {TARGET}: not mounted.', 32),
        # The words alone are not enough: umount fails with status 32.
        fakes.Answer('', f'umount: {TARGET}: target is busy.', 1),
    ],
)
def test_other_failures_of_umount_are_not_in_use(answer: fakes.Answer) -> None:
    node = fakes.Node().answer(('umount', TARGET), answer)
    with pytest.raises(errors.CommandFailed) as caught:
        file_systems.FileSystems(node).unmount(TARGET)
    assert not isinstance(caught.value, errors.InUse)


@pytest.mark.parametrize(
    ('action', 'command'),
    [
        (
            lambda tool: tool.mount('/dev/gvg/b', '/m'),
            'mount --types=xfs --options=nouuid,noatime /dev/gvg/b /m',
        ),
        (
            lambda tool: tool.make_xfs('/dev/gvg/b'),
            'mkfs.xfs -q -K -i size=512 /dev/gvg/b',
        ),
        (lambda tool: tool.grow_xfs('/m'), 'xfs_growfs -d /m'),
        (lambda tool: tool.sync('/m', '/n'), 'sync --file-system /m /n'),
        (lambda tool: tool.make_directory('/m'), 'mkdir --parents /m'),
        (
            lambda tool: tool.write_volume_id('/m/brick', 'a' * 32),
            f'setfattr --name=trusted.glusterfs.volume-id '
            f'--value=0x{"a" * 32} /m/brick',
        ),
    ],
)
def test_commands(
    action: Callable[[file_systems.FileSystems], None], command: str
) -> None:
    node = fakes.Node().answer(command.split(), fakes.Answer())
    action(file_systems.FileSystems(node))
    assert node.ran == [tuple(command.split())]
    failing = fakes.Node().answer(command.split(), fakes.Answer(status=1))
    with pytest.raises(errors.CommandFailed):
        action(file_systems.FileSystems(failing))


def test_entries_of_a_directory() -> None:
    """A directory that cannot be read is not taken for a missing one."""
    listing = ['ls', '-1', '/d']
    missing = fakes.Answer(
        stderr="ls: cannot access '/d': No such file or directory", status=2
    )
    denied = fakes.Answer(
        stderr="ls: cannot open directory '/d': Permission denied", status=2
    )
    tool = file_systems.FileSystems(
        fakes.Node().answer(listing, fakes.Answer('a\nb\n'), missing, denied)
    )
    assert tool.entries('/d') == ('a', 'b')
    assert tool.entries('/d') == ()
    with pytest.raises(errors.CommandFailed):
        tool.entries('/d')
