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

This room holds all that the driver knows about the output of ``findmnt``,
``umount``, ``rmdir`` and ``getfattr``. Mounts are matched by their exact
mount point, never by a part of a line.
"""

import dataclasses
import json
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import commands

#: ``nouuid``: the XFS of a clone has the same UUID as that of its origin.
OPTIONS = 'nouuid,noatime'

#: Seconds for commands that write little or nothing.
TIMEOUT = 60.0
#: Seconds for commands that write to disks: making, growing, syncing.
DISK_TIMEOUT = 300.0

#: The extended attribute in which GlusterFS keeps the volume id of a brick.
_VOLUME_ID = 'trusted.glusterfs.volume-id'
_VOLUME_ID_LINE = re.compile(
    rf'^{re.escape(_VOLUME_ID)}=0x([0-9a-f]{{32}})$', re.MULTILINE
)

#: Refusals of the tools: exit status and text (with LC_ALL=C).
_UMOUNT_FAILED, _TARGET_BUSY = 32, 'target is busy'
#: ENOENT, of ``rmdir`` and ``getfattr``.
_NO_SUCH_FILE = 'No such file or directory'
#: ENOENT or ENODATA ("No such attribute"), of ``getfattr``.
_NO_FILE_OR_ATTRIBUTE = 'No such '
#: EIO: an XFS that has shut itself down fails everything but ``statfs`` with
#: it until it is unmounted. EUCLEAN: the XFS is damaged.
_BAD_FILE_SYSTEM = ('Input/output error', 'Structure needs cleaning')


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mounted file system."""

    target: str
    #: The device, such as ``/dev/mapper/gvg-b1``.
    source: str
    fstype: str
    options: frozenset[str]


def parse_findmnt(text: str) -> tuple[Mount, ...]:
    """Parse the JSON of ``findmnt --list``.

    :raises ValueError: the text is not such JSON.
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

    def __init__(self, node: circuit_breaker.CommandRunner) -> None:
        self._node = node

    def mounts(self) -> tuple[Mount, ...]:
        """Return every mounted XFS.

        :raises errors.Garbled: the answer is not JSON of ``findmnt``.
        """
        result = self._node.run(
            [
                'findmnt',
                '--json',
                '--list',
                '--types=xfs',
                '--output=TARGET,SOURCE,FSTYPE,OPTIONS',
            ],
            timeout=TIMEOUT,
            # Status 1 and no output: no XFS is mounted.
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
        """Return the mount on exactly this mount point, or None.

        The topmost, where file systems are mounted over each other.
        """
        mounts = [mount for mount in self.mounts() if mount.target == target]
        return mounts[-1] if mounts else None

    def mount(self, device: str, target: str) -> None:
        """Mount an XFS. The mount point must exist."""
        self._run(
            'mount', '--types=xfs', f'--options={OPTIONS}', device, target
        )

    def unmount(self, target: str) -> None:
        """Unmount a file system.

        :raises errors.InUse: a process has a file or directory of it open.
        """
        try:
            self._run('umount', target)
        except errors.CommandFailed as error:
            if error.status != _UMOUNT_FAILED or (
                _TARGET_BUSY not in error.stderr
            ):
                raise
            raise errors.InUse(error, target) from error

    def make_xfs(self, device: str) -> None:
        """Make an XFS on a device that has no file system.

        Without ``-f``, ``mkfs.xfs`` refuses a device that has one. Inodes
        of 512 bytes have room for the extended attributes of GlusterFS.
        """
        self._run('mkfs.xfs', '-q', '-K', '-i', 'size=512', device, disk=True)

    def grow_xfs(self, target: str) -> None:
        """Grow a mounted XFS to the size of its device."""
        self._run('xfs_growfs', '-d', target, disk=True)

    def sync(self, *paths: str) -> None:
        """Flush the file systems of these paths to their disks."""
        self._run('sync', '--file-system', *paths, disk=True)

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; existing ones are no error."""
        self._run('mkdir', '--parents', path)

    def remove_directories(self, *paths: str) -> None:
        """Remove empty directories; missing ones are no error.

        :raises errors.CommandFailed: a directory is not empty.
        """
        result = self._node.run(
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
        """Return the names in a directory; none if it does not exist."""
        result = self._node.run(
            ['ls', '-1', directory],
            timeout=TIMEOUT,
            # Status 2: it does not exist.
            accept=(0, 2),
            as_root=False,
        )
        return tuple(result.stdout.splitlines())

    def remove_empty_directories(self, *paths: str) -> None:
        """Remove the directories that exist and are empty; keep the rest."""
        self._node.run(
            ['rmdir', '--ignore-fail-on-non-empty', *paths],
            timeout=TIMEOUT,
            # Status 1: a directory does not exist.
            accept=(0, 1),
        )

    def read_volume_id(self, brick: str) -> str | None:
        """Return the volume id, in hex, that marks a brick directory.

        :return: None if the path or its mark does not exist.
        :raises errors.BadFileSystem: a disk or the file system failed.
        """
        result = self._getfattr(
            '--encoding=hex', f'--name={_VOLUME_ID}', brick
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

    def write_volume_id(self, brick: str, volume_hex: str) -> None:
        """Mark a brick directory with the id, in hex, of its volume."""
        self._run(
            'setfattr',
            f'--name={_VOLUME_ID}',
            f'--value=0x{volume_hex}',
            brick,
        )

    def _getfattr(self, *words: str) -> commands.Result:
        result = self._node.run(
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

    def _run(self, *argv: str, disk: bool = False) -> None:
        self._node.run(argv, timeout=DISK_TIMEOUT if disk else TIMEOUT)
