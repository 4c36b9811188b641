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
"""Directories, mounts and XFS on one node.

Data on an LV is written back when it is synced, unmounted or frozen for a
snapshot, and otherwise after half a minute. A power cut loses the rest, which
is how clones lose their mark ``trusted.glusterfs.volume-id``. ``/run`` is in
memory.
"""

from collections.abc import Sequence
import copy
import dataclasses
import json

from tests.model import clock
from tests.model import lvm
from tests.model.shared_dict import SharedDict
from tests.model import shell

#: Seconds after which the kernel writes back by itself.
WRITE_BACK = 30.0
VOLUME_ID = 'trusted.glusterfs.volume-id'

Answer = shell.Answer

_ENOENT = '[Errno 2] No such file or directory'


@dataclasses.dataclass(frozen=True)
class Mount:
    """An XFS of an LV, mounted."""

    target: str
    lv: str


class Files:
    """The file systems of one node."""

    def __init__(self, time: clock.Clock, lvs: lvm.Lvm) -> None:
        self.mounts: list[Mount] = []
        #: Directories of the root file system, and of ``/run``.
        self.directories = {'/', '/run', '/run/gluster', '/srv'}
        #: Processes that keep a file system in use: the path each has open,
        #: and when it ends, if it has been told to.
        self.users: dict[str, float | None] = SharedDict()
        #: When each of them began.
        self.begun: dict[str, float] = SharedDict()
        self._time = time
        self._lvm = lvs

    # -- for those on the node

    def where(self, path: str) -> tuple[lvm.LogicalVolume | None, str]:
        """Find the LV that holds a path, and the path inside it."""
        best: Mount | None = None
        for mount in self.mounts:
            if f'{path}/'.startswith(f'{mount.target}/') and (
                best is None or len(mount.target) >= len(best.target)
            ):
                best = mount
        if best is None:
            return None, path
        return self._lvm.lvs[best.lv], path[len(best.target) + 1 :]

    def exists(self, path: str) -> bool:
        lv, rest = self.where(path)
        if lv is None:
            return path in self.directories
        assert lv.live is not None
        return rest in lv.live.directories

    def is_mount_point(self, path: str) -> bool:
        return any(mount.target == path for mount in self.mounts)

    def make(self, path: str) -> None:
        """Make a directory and those above it."""
        parts = path.split('/')
        for end in range(2, len(parts) + 1):
            part = '/'.join(parts[:end])
            lv, rest = self.where(part)
            if lv is None:
                self.directories.add(part)
            elif lv.live is not None and rest not in lv.live.directories:
                lv.live.directories[rest] = {}
                self._soil(lv)

    def remove(self, path: str) -> None:
        """Remove an empty directory of the root file system."""
        self.directories.discard(path)

    def attach(self, device: str, target: str) -> str:
        """Mount an LV; give what is in the way."""
        lv = self._lvm.by_device(device)
        if lv is None:
            return f'special device {device} does not exist.'
        if not self.exists(target):
            return 'mount point does not exist.'
        if lv.disk is None:
            return f'wrong fs type, bad option, bad superblock on {device}.'
        if any(m.target == target and m.lv == lv.name for m in self.mounts):
            return f'{self._lvm.device(lv.name)} already mounted on {target}.'
        if lv.live is None:
            lv.live = copy.deepcopy(lv.disk)
        self.mounts.append(Mount(target, lv.name))
        return ''

    def detach(self, target: str) -> str:
        """Unmount what is topmost; give what is in the way."""
        for mount in reversed(self.mounts):
            if mount.target == target:
                break
        else:
            return 'not mounted.'
        if self._in_use(target):
            return 'target is busy.'
        self.mounts.remove(mount)
        if not any(other.lv == mount.lv for other in self.mounts):
            lv = self._lvm.lvs[mount.lv]
            if not lv.shut_down:
                lv.write_back()
            lv.live = lv.dirty = None
            lv.shut_down = False
        return ''

    def xattr(self, path: str, name: str) -> str | None:
        lv, rest = self.where(path)
        if lv is None or lv.live is None:
            return None
        return lv.live.directories.get(rest, {}).get(name)

    def set_xattr(self, path: str, name: str, value: str) -> None:
        lv, rest = self.where(path)
        assert lv is not None and lv.live is not None, path
        lv.live.directories[rest][name] = value
        self._soil(lv)

    def shut_down(self, path: str) -> None:
        """Have the file system of a path shut itself down, as XFS does.

        The brick process that has it open ends at its next health check.
        """
        lv, _ = self.where(path)
        assert lv is not None, path
        lv.shut_down = True
        for user in [*self.users]:
            if self.where(user)[0] is lv:
                del self.users[user]

    def read(self, path: str) -> str:
        lv, _ = self.where(path)
        assert lv is not None and lv.live is not None, path
        return lv.live.data

    def write(self, path: str, data: str) -> None:
        """Write, as clients of a share do; they see to it that it stays."""
        lv, _ = self.where(path)
        assert lv is not None and lv.live is not None, path
        lv.live.data = data
        if lv.disk is not None:
            lv.disk.data = data

    def power_cut(self) -> None:
        """Lose what is in memory only."""
        for lv in self._lvm.lvs.values():
            if lv.dirty is not None and self._time.now - lv.dirty > WRITE_BACK:
                lv.write_back()
            lv.live = None
            lv.dirty = None
        self.mounts.clear()
        self.users.clear()
        self.directories = {
            path
            for path in list(self.directories)
            if not path.startswith('/run/')
        } | {'/run/gluster'}

    def sync_all(self) -> None:
        for lv in self._lvm.lvs.values():
            lv.write_back()

    def _soil(self, lv: lvm.LogicalVolume) -> None:
        if lv.dirty is None:
            lv.dirty = self._time.now

    def _in_use(self, target: str) -> bool:
        return any(
            path.startswith(f'{target}/')
            and (ends is None or ends > self._time.now)
            for path, ends in self.users.items()
        ) or any(m.target.startswith(f'{target}/') for m in self.mounts)

    # -- commands

    def list_mounts(self, argv: Sequence[str]) -> Answer:
        return Answer(
            json.dumps(
                [
                    {
                        'target': mount.target,
                        'source': self._lvm.device(mount.lv),
                        'fstype': 'xfs',
                        'options': 'rw,noatime,nouuid,attr2,inode64,'
                        'logbufs=8,logbsize=64k,sunit=128,swidth=128,'
                        'noquota',
                    }
                    for mount in self.mounts
                ]
            )
        )

    def mount(self, argv: Sequence[str]) -> Answer:
        options, (device, target) = shell.split(argv)
        # A clone's XFS has the UUID of its origin's, which may be mounted.
        assert 'nouuid' in options['--options'].split(',')
        problem = self.attach(device, target)
        if problem:
            return Answer('', f'mount: {target}: {problem}\n', 32)
        return Answer()

    def umount(self, argv: Sequence[str]) -> Answer:
        _, (target,) = shell.split(argv)
        if not self.exists(target):
            return Answer(
                '', f'umount: {target}: no mount point specified.\n', 32
            )
        problem = self.detach(target)
        if problem:
            return Answer('', f'umount: {target}: {problem}\n', 32)
        return Answer()

    def mkfs(self, argv: Sequence[str]) -> Answer:
        device = argv[-1]
        lv = self._lvm.by_device(device)
        if lv is None:
            return Answer(
                '',
                f'Error accessing specified device {device}: No such file '
                f'or directory\n',
                1,
            )
        if lv.disk is not None and '-f' not in argv:
            return Answer(
                '',
                f'mkfs.xfs: {device} appears to contain an existing '
                f'filesystem (xfs).\n'
                f'mkfs.xfs: Use the -f option to force overwrite.\n',
                1,
            )
        assert 'size=512' in argv, 'no room for the xattrs of GlusterFS'
        lv.disk = lvm.Image(lv.size)
        return Answer()

    def growfs(self, argv: Sequence[str]) -> Answer:
        target = argv[-1]
        for mount in self.mounts:
            if mount.target == target:
                lv = self._lvm.lvs[mount.lv]
                assert lv.live is not None
                lv.live.size = lv.size
                # The growth of an XFS is on the disk when the command ends:
                # observed with power cuts right after it.
                lv.write_back()
                return Answer('data blocks changed\n')
        return Answer(
            '', f'xfs_growfs: {target} is not a mounted XFS filesystem\n', 1
        )

    def sync(self, argv: Sequence[str]) -> Answer:
        for path in argv[1:]:
            lv, _ = self.where(path)
            if path == '/var/lib/glusterd':
                continue
            if not self.exists(path):
                return _no_such_file(path)
            if lv is not None:
                lv.write_back()
        return Answer('null')

    def make_directory(self, argv: Sequence[str]) -> Answer:
        self.make(argv[1])
        return Answer('null')

    def remove_directories(self, argv: Sequence[str]) -> Answer:
        keep_full = argv[-1] == 'keep_full'
        problem = ''
        for path in argv[1 : -1 if keep_full else None]:
            obstacle = self._not_removable(path)
            if not obstacle:
                self.remove(path)
            elif obstacle != _ENOENT:
                problem = f'{obstacle}: {path!r}\n'
        if problem and not keep_full:
            return Answer('', problem, 1)
        return Answer('null')

    def list_directory(self, argv: Sequence[str]) -> Answer:
        path = argv[1]
        names = {
            each.removeprefix(f'{path}/').partition('/')[0]
            for each in list(self.directories)
            if each.startswith(f'{path}/')
        }
        return Answer(json.dumps(sorted(names)))

    def _not_removable(self, path: str) -> str:
        if self.is_mount_point(path):
            return '[Errno 16] Device or resource busy'
        if not self.exists(path):
            return _ENOENT
        assert self.where(path)[0] is None, f'{path} is customers\' data'
        if any(p.startswith(f'{path}/') for p in list(self.directories)):
            return '[Errno 39] Directory not empty'
        return ''

    def is_directory(self, argv: Sequence[str]) -> Answer:
        if failure := self._failure(argv[1]):
            return failure
        return Answer(json.dumps(self.exists(argv[1])))

    def read_volume_id(self, argv: Sequence[str]) -> Answer:
        path = argv[1]
        if failure := self._failure(path):
            return failure
        value = self.xattr(path, VOLUME_ID) if self.exists(path) else None
        return Answer(json.dumps(value))

    def write_volume_id(self, argv: Sequence[str]) -> Answer:
        _, path, value = argv
        if not self.exists(path):
            return _no_such_file(path)
        self.set_xattr(path, VOLUME_ID, value)
        return Answer('null')

    def _failure(self, path: str) -> Answer | None:
        """Return the answer of a file system that has shut itself down."""
        lv, _ = self.where(path)
        if lv is None or not lv.shut_down:
            return None
        return Answer('', f'[Errno 5] Input/output error: {path!r}\n', 1)


def _no_such_file(path: str) -> Answer:
    return Answer('', f'{_ENOENT}: {path!r}\n', 1)
