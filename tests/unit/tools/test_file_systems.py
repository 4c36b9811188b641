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
from manila_glusterfs_clone.ssh import step_outcomes
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


def failed(answer: fakes.Answer) -> errors.CommandFailed:
    node = fakes.Node().answer(('umount', TARGET), answer)
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(file_systems.unmounting(TARGET))
    return file_systems.specific_error(caught.value)


def test_a_mount_in_use(release: str) -> None:
    error = failed(fakes.golden(release, 'umount-busy').answer)
    assert isinstance(error, errors.InUse)
    assert error.path == TARGET


@pytest.mark.parametrize(
    'answer',
    [
        fakes.Answer('', f'umount: {TARGET}: not mounted.', 32),
        # The words alone are not enough: umount fails with status 32.
        fakes.Answer('', f'umount: {TARGET}: target is busy.', 1),
    ],
)
def test_other_failures_of_umount_are_not_in_use(answer: fakes.Answer) -> None:
    assert not isinstance(failed(answer), errors.InUse)


@pytest.mark.parametrize(
    ('action', 'command'),
    [
        (
            lambda files: files.write_volume_id('/m/brick', 'a' * 32),
            f'write_volume_id /m/brick {"a" * 32}',
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


@pytest.mark.parametrize(
    ('step', 'command'),
    [
        (
            file_systems.xfs_creation('gvg/b'),
            'mkfs.xfs -q -K -i size=512 /dev/gvg/b',
        ),
        (file_systems.xfs_growth('/m'), 'xfs_growfs -d /m'),
        (file_systems.syncing('/m', '/n'), 'sync /m /n'),
        (file_systems.unmounting('/m'), 'umount /m'),
        (
            file_systems.directory_removal('/m', '/n'),
            'remove_directories /m /n',
        ),
        (file_systems.volume_id_reading('/b'), 'read_volume_id /b'),
    ],
)
def test_steps(step: step_outcomes.Step, command: str) -> None:
    assert step.argv == tuple(command.split())
    assert step.timeout in (
        file_systems.TIMEOUT,
        file_systems.DISK_TIMEOUT,
    )


def test_mounting_makes_the_directory() -> None:
    assert [
        ' '.join(step.argv) for step in file_systems.mounting('gvg/b', '/m')
    ] == [
        'make_directory /m',
        'mount --types=xfs --options=nouuid,noatime /dev/gvg/b /m',
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
