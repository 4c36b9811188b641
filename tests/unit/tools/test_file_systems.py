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
import json

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import file_systems
from tests.unit import fakes

TARGET = '/srv/golden/manila-golden'
MOUNT = {
    'target': TARGET,
    'source': '/dev/mapper/gvg-manila--golden',
    'fstype': 'xfs',
    'options': 'rw,noatime,rw,nouuid',
}


def tool(*replies: fakes.Reply, argv: str) -> file_systems.FileSystems:
    node = fakes.Node().answer(argv.split(), *replies)
    return file_systems.FileSystems(node)


def mounts(*rows: object) -> file_systems.FileSystems:
    return tool(fakes.Answer(json.dumps(rows)), argv='list_mounts')


def test_mounts() -> None:
    (found,) = mounts(MOUNT).mounts()
    assert found.target == TARGET
    assert found.source == '/dev/mapper/gvg-manila--golden'
    assert found.fstype == 'xfs'
    assert found.options == {'rw', 'nouuid', 'noatime'}


def test_no_mounts() -> None:
    assert mounts().mounts() == ()
    assert mounts().mount_at(TARGET) is None


def test_a_mount_point_is_matched_exactly() -> None:
    assert mounts(MOUNT).mount_at(TARGET) is not None
    for near in (TARGET + '/', TARGET[:-1], TARGET + 'x', '/srv', '/'):
        assert mounts(MOUNT).mount_at(near) is None


def test_the_topmost_of_stacked_mounts_counts() -> None:
    stacked = mounts({**MOUNT, 'source': 'low'}, {**MOUNT, 'source': 'top'})
    top = stacked.mount_at(TARGET)
    assert top is not None
    assert top.source == 'top'


@pytest.mark.parametrize(
    'answer', ['', '{}', '[1]', '[{}]', '5', '[', 'null', '[{"target": 1}]']
)
def test_an_unreadable_list_of_mounts_is_unknown(answer: str) -> None:
    with pytest.raises(errors.Garbled):
        tool(fakes.Answer(answer), argv='list_mounts').mounts()


@pytest.mark.parametrize('volume_id', ['a' * 32, None])
def test_the_volume_id_of_a_brick(volume_id: str | None) -> None:
    answer = fakes.Answer(json.dumps(volume_id))
    found = tool(answer, argv='read_volume_id /b').read_volume_id('/b')
    assert found == volume_id


@pytest.mark.parametrize('answer', ['', '12', '"ab', '{}'])
def test_an_unreadable_volume_id_is_unknown(answer: str) -> None:
    with pytest.raises(errors.Garbled):
        tool(fakes.Answer(answer), argv='read_volume_id /b').read_volume_id(
            '/b'
        )


@pytest.mark.parametrize(
    'message', ['Input/output error', 'Structure needs cleaning']
)
def test_a_bad_file_system(message: str) -> None:
    answer = fakes.Answer('', f'[Errno 5] {message}', 1)
    with pytest.raises(errors.BadFileSystem) as caught:
        tool(answer, argv='read_volume_id /b').read_volume_id('/b')
    assert message in caught.value.stderr
    with pytest.raises(errors.BadFileSystem):
        tool(answer, argv='is_directory /b').is_directory('/b')


def test_is_directory() -> None:
    answers = (fakes.Answer('true'), fakes.Answer('false'))
    files = tool(*answers, argv='is_directory /b')
    assert files.is_directory('/b')
    assert not files.is_directory('/b')


def test_a_mount_in_use(release: str) -> None:
    answer = fakes.golden(release, 'umount-busy').answer
    with pytest.raises(errors.InUse) as caught:
        tool(answer, argv=f'umount {TARGET}').unmount(TARGET)
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
    with pytest.raises(errors.CommandFailed) as caught:
        tool(answer, argv=f'umount {TARGET}').unmount(TARGET)
    assert not isinstance(caught.value, errors.InUse)


@pytest.mark.parametrize(
    ('action', 'command'),
    [
        (
            lambda files: files.make_xfs('gvg/b'),
            'mkfs.xfs -q -K -i size=512 /dev/gvg/b',
        ),
        (lambda files: files.grow_xfs('/m'), 'xfs_growfs -d /m'),
        (lambda files: files.sync('/m', '/n'), 'sync /m /n'),
        (
            lambda files: files.write_volume_id('/m/brick', 'a' * 32),
            f'write_volume_id /m/brick {"a" * 32}',
        ),
        (
            lambda files: files.remove_directories('/m', '/n'),
            'remove_directories /m /n',
        ),
        (
            lambda files: files.remove_empty_directories('/m', '/n'),
            'remove_directories /m /n keep_full',
        ),
    ],
)
def test_commands(
    action: Callable[[file_systems.FileSystems], None], command: str
) -> None:
    node = fakes.Node().answer(command.split(), fakes.Answer('null'))
    action(file_systems.FileSystems(node))
    assert node.ran == [tuple(command.split())]
    with pytest.raises(errors.CommandFailed):
        action(tool(fakes.Answer(status=1), argv=command))


def test_mounting_makes_the_directory() -> None:
    mount = 'mount --types=xfs --options=nouuid,noatime /dev/gvg/b /m'
    node = fakes.Node()
    for line in ('make_directory /m', mount):
        node.answer(line.split(), fakes.Answer('null'))
    file_systems.FileSystems(node).mount('gvg/b', '/m')
    assert [' '.join(argv) for argv in node.ran] == [
        'make_directory /m',
        mount,
    ]


def test_entries_of_a_directory() -> None:
    """A directory that cannot be read is not taken for a missing one."""
    files = tool(
        fakes.Answer('["a", "b"]'),
        fakes.Answer('[]'),
        fakes.Answer('', '[Errno 13] Permission denied', 1),
        argv='list_directory /d',
    )
    assert files.entries('/d') == ('a', 'b')
    assert files.entries('/d') == ()
    with pytest.raises(errors.CommandFailed):
        files.entries('/d')
