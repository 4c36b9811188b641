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
"""The file systems of one node: what is mounted where, and XFS.

Mounts are matched by their exact mount point, never by a part of a line.
"""

import dataclasses
import json
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import remote

#: ``nouuid``: a clone's XFS carries the UUID of its origin's.
OPTIONS = 'nouuid,noatime'

#: Short commands answer within this many seconds.
TIMEOUT = 60.0
#: Making, growing or syncing a file system writes to disks.
DISK_TIMEOUT = 300.0

_XATTR = 'trusted.glusterfs.volume-id'
_XATTR_LINE = re.compile(
    rf'^{re.escape(_XATTR)}=0x([0-9a-f]{{32}})$', re.MULTILINE
)
#: EIO and EUCLEAN: what an XFS that has shut itself down says to everything
#: but ``statfs`` until it is unmounted, and what one that is damaged says.
_GIVEN_UP = ('Input/output error', 'Structure needs cleaning')


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mounted file system."""

    target: str
    #: The device, such as ``/dev/mapper/gvg-b1``.
    source: str
    fstype: str
    options: frozenset[str]


def parse_findmnt(text: str) -> tuple[Mount, ...]:
    """Read the JSON of ``findmnt --list``.

    :raises ValueError: it is no such thing.
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
    """The file systems of one node."""

    def __init__(self, node: circuit_breaker.CommandRunner) -> None:
        self._node = node

    def mounts(self) -> tuple[Mount, ...]:
        """Give every mounted XFS.

        :raises errors.Garbled: the answer is no JSON of ``findmnt``.
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
            # Status 1 and no output: nothing of the kind is mounted.
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
        """Give what is mounted on exactly this mount point.

        Where file systems are mounted over each other, the topmost.
        """
        found = [mount for mount in self.mounts() if mount.target == target]
        return found[-1] if found else None

    def mount(self, device: str, target: str) -> None:
        """Mount an XFS; its mount point must exist."""
        self._run(
            'mount', '--types=xfs', f'--options={OPTIONS}', device, target
        )

    def unmount(self, target: str) -> None:
        """Unmount.

        :raises errors.InUse: somebody has something open there.
        """
        try:
            self._run('umount', target)
        except errors.CommandFailed as error:
            if 'target is busy' not in error.stderr:
                raise
            raise errors.InUse(error, target) from error

    def make_xfs(self, device: str) -> None:
        """Make an XFS on a device that has no file system.

        Without force: ``mkfs.xfs`` itself refuses a device that has one.
        The i-nodes have room for the extended attributes of GlusterFS.
        """
        self._run('mkfs.xfs', '-q', '-K', '-i', 'size=512', device, disk=True)

    def grow_xfs(self, target: str) -> None:
        """Grow a mounted XFS to the size of its device."""
        self._run('xfs_growfs', '-d', target, disk=True)

    def sync(self, *paths: str) -> None:
        """Write the file systems that hold these paths to their disks."""
        self._run('sync', '--file-system', *paths, disk=True)

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; one that is there stays."""
        self._run('mkdir', '--parents', path)

    def remove_directories(self, *paths: str) -> None:
        """Remove empty directories; one that is not there is fine.

        :raises errors.CommandFailed: one is not empty.
        """
        result = self._node.run(
            ['rmdir', *paths], timeout=TIMEOUT, accept=(0, 1)
        )
        for line in result.stderr.splitlines():
            if not line.endswith('No such file or directory'):
                raise errors.CommandFailed(
                    result.node,
                    result.argv,
                    result.status,
                    result.stdout,
                    result.stderr,
                )

    def remove_empty_directories(self, *paths: str) -> None:
        """Remove those directories that exist and are empty."""
        self._node.run(
            ['rmdir', '--ignore-fail-on-non-empty', *paths],
            timeout=TIMEOUT,
            # Status 1: one does not exist.
            accept=(0, 1),
        )

    def read_volume_id(self, brick: str) -> str | None:
        """Give the volume id, in hex, that a brick is marked with.

        :return: None if the path, or its mark, does not exist.
        :raises errors.BadFileSystem: the kernel gives it up.
        """
        result = self._getfattr('--encoding=hex', f'--name={_XATTR}', brick)
        match = _XATTR_LINE.search(result.stdout)
        if match is not None:
            return match[1]
        if 'No such ' in result.stderr:  # attribute; file or directory
            return None
        raise errors.Garbled(
            result.node, result.argv, result.stdout + result.stderr
        )

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory.

        :raises errors.BadFileSystem: the kernel gives it up.
        """
        return 'No such ' not in self._getfattr(path).stderr

    def write_volume_id(self, brick: str, volume_hex: str) -> None:
        """Mark a brick with the id, in hex, of the volume it is of."""
        self._run(
            'setfattr',
            f'--name={_XATTR}',
            f'--value=0x{volume_hex}',
            brick,
        )

    def _getfattr(self, *words: str) -> remote.Result:
        result = self._node.run(
            ['getfattr', '--absolute-names', *words],
            timeout=TIMEOUT,
            accept=(0, 1),
        )
        if any(said in result.stderr for said in _GIVEN_UP):
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
