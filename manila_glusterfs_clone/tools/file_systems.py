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
the id of the volume there. Only this module reads the output of ``findmnt``,
``umount``, ``rmdir``, ``ls`` and ``getfattr``.
"""

import dataclasses
import json
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import commands

#: Mount options of bricks. ``nouuid`` is necessary because the XFS of a clone
#: has the UUID of its origin's XFS.
MOUNT_OPTIONS = 'nouuid,noatime'

#: Time limit, in seconds, for commands that write little or nothing.
TIMEOUT = 60.0
#: Time limit, in seconds, for commands that write much: ``mkfs.xfs``,
#: ``xfs_growfs`` and ``sync``.
DISK_TIMEOUT = 300.0

#: The name of the brick mark.
_VOLUME_ID = 'trusted.glusterfs.volume-id'
_VOLUME_ID_LINE = re.compile(
    rf'^{re.escape(_VOLUME_ID)}=0x([0-9a-f]{{32}})$', re.MULTILINE
)

#: Exit status and text of ``umount`` if a file system is in use. The programs
#: print this text and the following ones with LC_ALL=C.
_UMOUNT_FAILED_STATUS, _TARGET_BUSY = 32, 'target is busy'
#: Text of ``rmdir`` for ENOENT.
_NO_SUCH_FILE = 'No such file or directory'
#: The beginning of the texts of ``getfattr`` for ENOENT and for ENODATA.
_NO_FILE_OR_ATTRIBUTE = 'No such '
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


def parse_findmnt(text: str) -> tuple[Mount, ...]:
    """Parse the JSON of ``findmnt --list``.

    :raises ValueError: the text is not JSON of ``findmnt``.
    """
    try:
        return tuple(
            Mount(
                target=row['target'],
                source=row['source'],
                fstype=row['fstype'],
                options=frozenset(row['options'].split(',')),
            )
            for row in json.loads(text)['filesystems']
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'not from findmnt: {error!r}') from error


class FileSystems:
    """The file systems and mounts of one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of all XFS file systems.

        :raises errors.Garbled: the answer is not JSON of ``findmnt``.
        """
        result = self._runner.run(
            [
                'findmnt',
                '--json',
                '--list',
                '--types=xfs',
                '--output=TARGET,SOURCE,FSTYPE,OPTIONS',
            ],
            timeout=TIMEOUT,
            # If no XFS is mounted, findmnt prints nothing and exits with 1.
            accept=(0, 1),
        )
        if not result.stdout.strip() and not result.stderr.strip():
            return ()
        try:
            return parse_findmnt(result.stdout)
        except ValueError as error:
            raise errors.Garbled(
                result.node, result.argv, result.stdout + result.stderr
            ) from error

    def mount_at(self, target: str) -> Mount | None:
        """Return the topmost mount at exactly this mount point, or None."""
        mounts = [mount for mount in self.mounts() if mount.target == target]
        return mounts[-1] if mounts else None

    def mount(self, device: str, target: str) -> None:
        """Mount the XFS of a device on an existing directory."""
        self._run(
            'mount',
            '--types=xfs',
            f'--options={MOUNT_OPTIONS}',
            device,
            target,
        )

    def unmount(self, target: str) -> None:
        """Unmount the file system at a mount point.

        :raises errors.InUse: a process uses the file system.
        """
        try:
            self._run('umount', target)
        except errors.CommandFailed as error:
            if error.status != _UMOUNT_FAILED_STATUS or (
                _TARGET_BUSY not in error.stderr
            ):
                raise
            raise errors.InUse(error, target) from error

    def make_xfs(self, device: str) -> None:
        """Make an XFS on a device.

        An inode of 512 bytes can hold the extended attributes of GlusterFS.

        :raises errors.CommandFailed: for example, the device has a file
            system.
        """
        self._run(
            'mkfs.xfs', '-q', '-K', '-i', 'size=512', device, is_slow=True
        )

    def grow_xfs(self, target: str) -> None:
        """Grow a mounted XFS to the size of its device.

        :param target: the mount point.
        """
        self._run('xfs_growfs', '-d', target, is_slow=True)

    def sync(self, *paths: str) -> None:
        """Write the pending data of file systems to disk.

        :param paths: one path in each file system.
        """
        self._run('sync', '--file-system', *paths, is_slow=True)

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; an existing one is no error."""
        self._run('mkdir', '--parents', path)

    def remove_directories(self, *paths: str) -> None:
        """Remove empty directories; a missing directory is no error.

        :raises errors.CommandFailed: for example, a directory is not empty.
        """
        result = self._runner.run(
            ['rmdir', *paths], timeout=TIMEOUT, accept=(0, 1)
        )
        for line in result.stderr.splitlines():
            if not line.endswith(_NO_SUCH_FILE):
                raise errors.CommandFailed(
                    result.node,
                    result.argv,
                    result.status,
                    result.stdout,
                    result.stderr,
                )

    def entries(self, directory: str) -> tuple[str, ...]:
        """Return the names of the files and directories in a directory.

        :return: empty if the directory does not exist.
        :raises errors.CommandFailed: the login user cannot read the directory.
        """
        result = self._runner.run(
            ['ls', '-1', directory],
            timeout=TIMEOUT,
            # ls exits with 2 if the directory does not exist.
            accept=(0, 2),
            as_root=False,
        )
        if result.status and 'No such ' not in result.stderr:
            raise errors.CommandFailed(
                result.node,
                result.argv,
                result.status,
                result.stdout,
                result.stderr,
            )
        return tuple(result.stdout.splitlines())

    def remove_empty_directories(self, *paths: str) -> None:
        """Remove those directories that are empty.

        A directory that is missing or cannot be removed is no error.
        """
        self._runner.run(
            ['rmdir', '--ignore-fail-on-non-empty', *paths],
            timeout=TIMEOUT,
            # rmdir exits with 1 if it could not remove a directory.
            accept=(0, 1),
        )

    def read_volume_id(self, brick_path: str) -> str | None:
        """Return the volume id, in hex, from the mark of a brick directory.

        :return: None if the directory or its mark does not exist.
        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        result = self._getfattr(
            '--encoding=hex', f'--name={_VOLUME_ID}', brick_path
        )
        match = _VOLUME_ID_LINE.search(result.stdout)
        if match is not None:
            return match[1]
        if _NO_FILE_OR_ATTRIBUTE in result.stderr:
            return None
        raise errors.Garbled(
            result.node, result.argv, result.stdout + result.stderr
        )

    def exists(self, path: str) -> bool:
        """Return whether a file or directory exists.

        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        return _NO_FILE_OR_ATTRIBUTE not in self._getfattr(path).stderr

    def write_volume_id(self, brick_path: str, hex_id: str) -> None:
        """Mark a brick directory with the id of its volume.

        :param hex_id: 32 hex digits.
        """
        self._run(
            'setfattr',
            f'--name={_VOLUME_ID}',
            f'--value=0x{hex_id}',
            brick_path,
        )

    def _getfattr(self, *words: str) -> commands.Result:
        result = self._runner.run(
            ['getfattr', '--absolute-names', *words],
            timeout=TIMEOUT,
            accept=(0, 1),
        )
        if any(text in result.stderr for text in _BAD_FILE_SYSTEM):
            raise errors.BadFileSystem(
                result.node,
                result.argv,
                result.status,
                result.stdout,
                result.stderr,
            )
        return result

    def _run(self, *argv: str, is_slow: bool = False) -> None:
        self._runner.run(argv, timeout=DISK_TIMEOUT if is_slow else TIMEOUT)
