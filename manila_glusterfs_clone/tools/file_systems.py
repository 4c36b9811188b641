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
"""File systems of one node: mounts, XFS, directories, and brick marks.

A brick mark is an extended attribute of a brick directory: GlusterFS stores
the id of the volume there. Only this module reads the output of ``umount`` and
the answers of the runner about file systems.
"""

import dataclasses

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import json_answers

#: The step that lists the mounts of all XFS file systems.
LIST_MOUNTS = step_outcomes.Step('list_mounts')

#: Time limit, in seconds, for steps that write little or nothing.
TIMEOUT = 60.0
#: Time limit, in seconds, for steps that write much: ``mkfs.xfs``,
#: ``xfs_growfs`` and ``sync``.
DISK_TIMEOUT = 300.0

#: Exit status and text of ``umount`` if a file system is in use. ``umount``
#: prints this text with LC_ALL=C.
_UMOUNT_FAILED_STATUS, _TARGET_BUSY = 32, 'target is busy'
#: Texts for EIO and EUCLEAN. After an XFS has shut down, every call except
#: ``statfs`` fails with EIO until the XFS is unmounted. EUCLEAN means that the
#: XFS is damaged.
_BAD_FILE_SYSTEM = ('Input/output error', 'Structure needs cleaning')


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mounted file system."""

    #: The mount point.
    target: str
    #: The device, such as ``/dev/mapper/gvg-b1``.
    source: str
    fstype: str
    options: frozenset[str]


def mounts(result: step_outcomes.Result) -> tuple[Mount, ...]:
    """Return the mounts in the answer to :data:`LIST_MOUNTS`.

    :raises errors.Garbled: the answer is unreadable.
    """
    try:
        return tuple(
            Mount(
                target=row['target'],
                source=row['source'],
                fstype=row['fstype'],
                options=frozenset(row['options'].split(',')),
            )
            for row in json_answers.value(result, list)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.Garbled(
            result.node, result.argv, result.stdout
        ) from error


def xfs_creation(lv: str) -> step_outcomes.Step:
    """Return the step that makes an XFS on an LV.

    The step fails if the LV already has a file system.

    :param lv: the name of the LV, as ``vg/lv``.
    """
    return step_outcomes.Step('make_xfs', {'lv': lv}, DISK_TIMEOUT)


def mounting(lv: str, target: str) -> tuple[step_outcomes.Step, ...]:
    """Return the steps that mount the XFS of an LV.

    The first step creates the mount point if it does not exist.

    :param lv: the name of the LV, as ``vg/lv``.
    """
    return (
        step_outcomes.Step('make_directory', {'path': target}, TIMEOUT),
        step_outcomes.Step('mount', {'lv': lv, 'path': target}, TIMEOUT),
    )


def unmounting(target: str) -> step_outcomes.Step:
    """Return the step that unmounts the file system at a mount point.

    If a process uses the file system, the error is :class:`errors.InUse`.
    """
    return step_outcomes.Step('unmount', {'path': target}, TIMEOUT)


def xfs_growth(target: str) -> step_outcomes.Step:
    """Return the step that grows a mounted XFS to the size of its device.

    :param target: the mount point.
    """
    return step_outcomes.Step('grow_xfs', {'path': target}, DISK_TIMEOUT)


def syncing(*paths: str) -> step_outcomes.Step:
    """Return the step that writes the pending data of file systems to disk.

    :param paths: one path in each file system.
    """
    return step_outcomes.Step('sync', {'paths': list(paths)}, DISK_TIMEOUT)


def directory_removal(*paths: str) -> step_outcomes.Step:
    """Return the step that removes empty directories.

    The step fails if a directory is not empty. A missing directory is no
    error.
    """
    values = {'paths': list(paths), 'keep_full': False}
    return step_outcomes.Step('remove_directories', values, TIMEOUT)


def volume_id_reading(brick_path: str) -> step_outcomes.Step:
    """Return the step that reads the mark of a brick directory.

    If a disk or the file system failed, the error is
    :class:`errors.BadFileSystem`.
    """
    return step_outcomes.Step('read_volume_id', {'path': brick_path}, TIMEOUT)


def volume_id(result: step_outcomes.Result) -> str | None:
    """Return the volume id, in hex, in the answer to a step.

    :param result: the answer to :func:`volume_id_reading`.
    :return: None if the directory or its mark does not exist.
    """
    hex_id: str | None = json_answers.value(result, str, type(None))
    return hex_id


def specific_error(error: errors.CommandFailed) -> errors.CommandFailed:
    """Return the error of a step as an instance of a more specific class."""
    if any(text in error.stderr for text in _BAD_FILE_SYSTEM):
        return errors.BadFileSystem(*error.args)
    if error.status == _UMOUNT_FAILED_STATUS and _TARGET_BUSY in error.stderr:
        return errors.InUse(error, error.argv[-1])
    return error


class FileSystems:
    """The file systems and mounts of one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of all XFS file systems.

        :raises errors.Garbled: the answer is unreadable.
        """
        return mounts(self._run(LIST_MOUNTS))

    def entries(self, directory: str) -> tuple[str, ...]:
        """Return the names of the files and directories in a directory.

        :return: empty if the directory does not exist.
        """
        step = step_outcomes.Step('list_directory', {'path': directory})
        return tuple(json_answers.value(self._run(step), list))

    def remove_empty_directories(self, *paths: str) -> None:
        """Remove directories if they are empty.

        Ignore a directory that is missing or cannot be removed.
        """
        values = {'paths': list(paths), 'keep_full': True}
        self._run(step_outcomes.Step('remove_directories', values))

    def read_volume_id(self, brick_path: str) -> str | None:
        """Return the volume id, in hex, from the mark of a brick directory.

        :return: None if the directory or its mark does not exist.
        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        return volume_id(self._run(volume_id_reading(brick_path)))

    def is_directory(self, path: str) -> bool:
        """Return whether a directory exists.

        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        step = step_outcomes.Step('is_directory', {'path': path})
        return bool(json_answers.value(self._run(step), bool))

    def write_volume_id(self, brick_path: str, hex_id: str) -> None:
        """Mark a brick directory with the id of its volume.

        :param hex_id: 32 hex digits.
        """
        values = {'path': brick_path, 'volume_id': hex_id}
        self._run(step_outcomes.Step('write_volume_id', values))

    def _run(self, step: step_outcomes.Step) -> step_outcomes.Result:
        try:
            return self._runner.run(step, timeout=TIMEOUT)
        except errors.CommandFailed as error:
            specific = specific_error(error)
            if specific is error:
                raise
            raise specific from error
