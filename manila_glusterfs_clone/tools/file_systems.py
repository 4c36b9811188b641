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
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import steps
from manila_glusterfs_clone.tools import json_answers

#: The step that lists the mounts of all XFS file systems.
LIST_MOUNTS = steps.Step('list_mounts')

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


def mounts(result: steps.Result) -> tuple[Mount, ...]:
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


class FileSystems:
    """The file systems and mounts of one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of all XFS file systems.

        :raises errors.Garbled: the answer is unreadable.
        """
        return mounts(self._run(LIST_MOUNTS.verb))

    def mount_at(self, target: str) -> Mount | None:
        """Return the topmost mount at exactly this mount point, or None."""
        mounts = [mount for mount in self.mounts() if mount.target == target]
        return mounts[-1] if mounts else None

    def mount(self, lv: str, target: str) -> None:
        """Mount the XFS of an LV; make the directory if it does not exist.

        :param lv: the name of the LV, as ``vg/lv``.
        """
        self._runner.run_all(
            [
                steps.Step('make_directory', {'path': target}),
                steps.Step('mount', {'lv': lv, 'path': target}),
            ],
            timeout=TIMEOUT,
        )

    def unmount(self, target: str) -> None:
        """Unmount the file system at a mount point.

        :raises errors.InUse: a process uses the file system.
        """
        try:
            self._run('unmount', path=target)
        except errors.CommandFailed as error:
            if error.status != _UMOUNT_FAILED_STATUS or (
                _TARGET_BUSY not in error.stderr
            ):
                raise
            raise errors.InUse(error, target) from error

    def make_xfs(self, lv: str) -> None:
        """Make an XFS on an LV.

        :param lv: the name of the LV, as ``vg/lv``.
        :raises errors.CommandFailed: for example, the LV has a file system.
        """
        self._run('make_xfs', DISK_TIMEOUT, lv=lv)

    def grow_xfs(self, target: str) -> None:
        """Grow a mounted XFS to the size of its device.

        :param target: the mount point.
        """
        self._run('grow_xfs', DISK_TIMEOUT, path=target)

    def sync(self, *paths: str) -> None:
        """Write the pending data of file systems to disk.

        :param paths: one path in each file system.
        """
        self._run('sync', DISK_TIMEOUT, paths=list(paths))

    def remove_directories(self, *paths: str) -> None:
        """Remove empty directories; a missing directory is no error.

        :raises errors.CommandFailed: for example, a directory is not empty.
        """
        self._run('remove_directories', paths=list(paths), keep_full=False)

    def entries(self, directory: str) -> tuple[str, ...]:
        """Return the names of the files and directories in a directory.

        :return: empty if the directory does not exist.
        """
        return tuple(self._ask('list_directory', list, path=directory))

    def remove_empty_directories(self, *paths: str) -> None:
        """Remove those directories that are empty.

        A directory that is missing or cannot be removed is no error.
        """
        self._run('remove_directories', paths=list(paths), keep_full=True)

    def read_volume_id(self, brick_path: str) -> str | None:
        """Return the volume id, in hex, from the mark of a brick directory.

        :return: None if the directory or its mark does not exist.
        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        volume_id: str | None = self._ask(
            'read_volume_id', str, type(None), path=brick_path
        )
        return volume_id

    def is_directory(self, path: str) -> bool:
        """Return whether a directory exists.

        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        return bool(self._ask('is_directory', bool, path=path))

    def write_volume_id(self, brick_path: str, hex_id: str) -> None:
        """Mark a brick directory with the id of its volume.

        :param hex_id: 32 hex digits.
        """
        self._run('write_volume_id', path=brick_path, volume_id=hex_id)

    def _ask(self, verb: str, *kinds: type, **values: object) -> Any:
        """Return the answer to a step, which has one of these types."""
        return json_answers.value(self._run(verb, TIMEOUT, **values), *kinds)

    def _run(
        self, verb: str, timeout: float = TIMEOUT, **values: object
    ) -> steps.Result:
        try:
            return self._runner.run(steps.Step(verb, values), timeout=timeout)
        except errors.CommandFailed as error:
            if any(text in error.stderr for text in _BAD_FILE_SYSTEM):
                raise errors.BadFileSystem(*error.args) from error
            raise
