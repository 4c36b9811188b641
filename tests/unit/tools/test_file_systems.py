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
"""Mounts and file systems."""

from collections.abc import Callable

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import file_systems
from tests.unit import fakes

TARGET = '/srv/golden/manila-golden'
FINDMNT = fakes.golden('11.1', 'findmnt').argv


def test_what_is_mounted(release: str) -> None:
    found = file_systems.FileSystems(
        fakes.Node().replay(release, 'findmnt')
    ).mounts()
    assert found[0].target == TARGET
    assert found[0].source == '/dev/mapper/gvg-manila--golden'
    assert found[0].fstype == 'xfs'
    assert {'rw', 'nouuid', 'noatime'} <= found[0].options
    assert found[1].target.startswith('/run/gluster/snaps/')
    assert len(found) == 2


def test_nothing_is_mounted(release: str) -> None:
    node = fakes.Node().replay(release, 'findmnt-none')
    assert file_systems.FileSystems(node).mounts() == ()
    assert file_systems.FileSystems(node).mount_at(TARGET) is None


def test_a_mount_point_is_matched_exactly(release: str) -> None:
    room = file_systems.FileSystems(fakes.Node().replay(release, 'findmnt'))
    assert room.mount_at(TARGET) is not None
    for near in (TARGET + '/', TARGET[:-1], TARGET + 'x', '/srv', '/'):
        assert room.mount_at(near) is None


def test_of_mounts_over_each_other_the_topmost_counts() -> None:
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
    'said',
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
def test_what_findmnt_never_says_is_unknown(said: fakes.Answer) -> None:
    node = fakes.Node().answer(FINDMNT, said)
    with pytest.raises(errors.Garbled):
        file_systems.FileSystems(node).mounts()


def test_the_mark_of_a_brick(release: str) -> None:
    node = fakes.Node().replay(release, 'xattr')
    found = file_systems.FileSystems(node).read_volume_id(f'{TARGET}/brick')
    info = fakes.golden(release, 'volume-info').answer.stdout
    assert found is not None
    assert len(found) == 32
    assert f'<id>{found[:8]}-{found[8:12]}-' in info


@pytest.mark.parametrize('name', ['xattr-missing', 'xattr-no-file'])
def test_no_mark(release: str, name: str) -> None:
    said = fakes.golden(release, name).answer
    argv = (*fakes.golden(release, 'xattr').argv[:-1], '/b')
    node = fakes.Node().answer(argv, said)
    assert file_systems.FileSystems(node).read_volume_id('/b') is None


@pytest.mark.parametrize(
    'said',
    [
        fakes.Answer('', '', 1),
        fakes.Answer('', '', 0),
        fakes.Answer('trusted.glusterfs.volume-id=0x12\n'),
        fakes.Answer('xtrusted.glusterfs.volume-id=0x' + 'a' * 32),
    ],
)
def test_a_mark_that_cannot_be_read_is_not_taken_for_none(
    said: fakes.Answer,
) -> None:
    argv = (*fakes.golden('11.1', 'xattr').argv[:-1], '/b')
    with pytest.raises(errors.Garbled):
        file_systems.FileSystems(
            fakes.Node().answer(argv, said)
        ).read_volume_id('/b')


@pytest.mark.parametrize(
    'said', ['Input/output error', 'Structure needs cleaning']
)
def test_a_file_system_that_is_given_up(said: str) -> None:
    line = (*fakes.golden('11.1', 'xattr').argv[:-1], '/b')
    for argv in (line, ('getfattr', '--absolute-names', '/b')):
        answer = fakes.Answer('', f'getfattr: /b: {said}', 1)
        room = file_systems.FileSystems(fakes.Node().answer(argv, answer))
        with pytest.raises(errors.BadFileSystem, match=said):
            room.read_volume_id('/b') if argv is line else room.exists('/b')


def test_what_exists(release: str) -> None:
    argv = ('getfattr', '--absolute-names', '/b')
    gone = fakes.golden(release, 'xattr-no-file').answer
    node = fakes.Node().answer(argv, fakes.Answer(), gone)
    assert file_systems.FileSystems(node).exists('/b')
    assert not file_systems.FileSystems(node).exists('/b')


def test_directories_that_are_gone_already(release: str) -> None:
    node = fakes.Node().replay(release, 'rmdir-missing')
    file_systems.FileSystems(node).remove_directories('/srv/golden/nosuch')


def test_a_directory_that_is_not_empty(release: str) -> None:
    node = fakes.Node().replay(release, 'rmdir-full')
    with pytest.raises(errors.CommandFailed, match='not empty') as caught:
        file_systems.FileSystems(node).remove_directories('/srv/golden')
    assert caught.value.status == 1


def test_one_that_is_gone_does_not_hide_one_that_is_full(
    release: str,
) -> None:
    said = fakes.Answer(
        '',
        fakes.golden(release, 'rmdir-missing').answer.stderr
        + fakes.golden(release, 'rmdir-full').answer.stderr,
        1,
    )
    node = fakes.Node().answer(('rmdir', '/a', '/b'), said)
    with pytest.raises(errors.CommandFailed, match='not empty'):
        file_systems.FileSystems(node).remove_directories('/a', '/b')


def test_a_mount_in_use(release: str) -> None:
    said = fakes.golden(release, 'umount-busy').answer
    node = fakes.Node().answer(('umount', TARGET), said)
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
    ('verb', 'line'),
    [
        (
            lambda room: room.mount('/dev/gvg/b', '/m'),
            'mount --types=xfs --options=nouuid,noatime /dev/gvg/b /m',
        ),
        (
            lambda room: room.make_xfs('/dev/gvg/b'),
            'mkfs.xfs -q -K -i size=512 /dev/gvg/b',
        ),
        (lambda room: room.grow_xfs('/m'), 'xfs_growfs -d /m'),
        (lambda room: room.sync('/m', '/n'), 'sync --file-system /m /n'),
        (lambda room: room.make_directory('/m'), 'mkdir --parents /m'),
        (
            lambda room: room.write_volume_id('/m/brick', 'a' * 32),
            f'setfattr --name=trusted.glusterfs.volume-id '
            f'--value=0x{"a" * 32} /m/brick',
        ),
    ],
)
def test_what_is_run(
    verb: Callable[[file_systems.FileSystems], None], line: str
) -> None:
    node = fakes.Node().answer(line.split(), fakes.Answer())
    verb(file_systems.FileSystems(node))
    assert node.ran == [tuple(line.split())]
    failing = fakes.Node().answer(line.split(), fakes.Answer(status=1))
    with pytest.raises(errors.CommandFailed):
        verb(file_systems.FileSystems(failing))
