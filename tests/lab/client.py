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
"""A client: a guest that mounts volumes."""

import hashlib
import shlex

from tests.lab.errors import Unexpected
from tests.lab.machine import Machine

#: Writes files of one size each: content from one seeded stream.
_WRITE = r"""
import os, random, sys
path, mib, files, seed = sys.argv[1:5]
size, files = (int(mib) << 20) // int(files), int(files)
stream = random.Random(seed)
for number in range(files):
    name = os.path.join(path, f'd{number % 10}', f'f{number:06d}')
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, 'wb', buffering=0) as file:
        left = size
        while left:
            left -= file.write(stream.randbytes(min(left, 1 << 17)))
        if number == files - 1:
            os.fsync(file.fileno())
"""

#: Prints one hash of the names, kinds and bytes of all files in a tree.
_CHECKSUM = r"""
import hashlib, os, sys
root, whole = sys.argv[1], hashlib.sha256()
for path, names, files in os.walk(root):
    names[:] = sorted(n for n in names if n != '.trashcan')
    for name in names:
        whole.update(f'd {os.path.relpath(path, root)}/{name}\n'.encode())
    for name in sorted(files):
        one = hashlib.sha256()
        with open(os.path.join(path, name), 'rb') as file:
            while data := file.read(1 << 17):
                one.update(data)
        whole.update(f'f {os.path.relpath(path, root)}/{name} '
                     f'{one.hexdigest()}\n'.encode())
print(whole.hexdigest())
"""


def _python(program: str, *arguments: object) -> str:
    words = ' '.join(shlex.quote(str(argument)) for argument in arguments)
    return f'python3 - {words} <<"PYTHON"\n{program}\nPYTHON\n'


class Client(Machine):
    """A guest that is no storage node, and that no node trusts."""

    def add_address(self, address: str) -> None:
        """Add an address of the lab's network to the client."""
        self.succeed(f'ip address add {address}/16 dev vec0')

    def prefer_address(self, address: str | None = None) -> None:
        """Use one of the client's addresses for new connections.

        None: its first one, again. Connections that exist stay as they are.
        """
        source = address or self.address
        self.succeed(
            f'ip route replace 10.88.0.0/16 dev vec0 proto kernel '
            f'scope link src {source}'
        )

    def mount(
        self,
        host: str,
        volume: str,
        at: str | None = None,
        options: str = '',
        src: str | None = None,
        timeout: float = 60,
    ) -> None:
        """Mount a volume and verify that it answers.

        :param at: where; ``/mnt/VOLUME`` unless told.
        :param options: of ``mount -o``.
        :param src: the address to come from; see :meth:`prefer_address`,
            which is what it does, and which holds afterwards.
        :raises Unexpected: when it is refused or does not answer.
        """
        at = at or f'/mnt/{volume}'
        if src is not None:
            self.prefer_address(src)
        where = shlex.quote(at)
        more = f'-o {shlex.quote(options)}' if options else ''
        log = f'/var/log/glusterfs/{at.strip("/").replace("/", "-")}.log'
        done = self.execute(
            f'mkdir -p {where}; '
            f'mount -t glusterfs {more} {host}:/{volume} {where}; '
            # A client that is refused after the mount ends soon.
            f'ls {where} >/dev/null; sleep 0.5; '
            f'findmnt -t fuse.glusterfs {where} >/dev/null; '
            f'stat -f {where} >/dev/null',
            timeout,
        )
        if done.status != 0:
            log = self.execute(f'tail -n 15 {shlex.quote(log)}').out
            self.umount(at)
            raise Unexpected(
                f'{self.name} cannot mount {host}:/{volume} on {at}: '
                f'{done.err.strip()}\n{log}'
            )

    def can_mount(
        self,
        host: str,
        volume: str,
        options: str = '',
        src: str | None = None,
        timeout: float = 60,
    ) -> bool:
        """Return whether the client can mount a volume; unmount it again.

        After it, new connections come from the first address again if
        *src* was given.
        """
        name = f'{volume}{src}{options}'.encode()
        at = f'/mnt/try-{hashlib.sha1(name).hexdigest()[:8]}'
        try:
            self.mount(host, volume, at, options, src, timeout)
        except Unexpected:
            return False
        else:
            self.umount(at)
            return True
        finally:
            if src is not None:
                self.prefer_address()

    def umount(self, at: str) -> None:
        """Unmount a path if it is mounted, and remove its directory."""
        where = shlex.quote(at)
        self.succeed(
            # A mount whose process has ended is still a mount, and busy for
            # no one. That of a client that is thrown out can end meanwhile.
            f'while findmnt -n {where} >/dev/null; '
            f'do umount {where} || umount -l {where} || '
            f'! findmnt -n {where} >/dev/null; done; '
            f'[ ! -d {where} ] || rmdir {where}'
        )

    def write_tree(
        self, path: str, mib: int, files: int = 1, seed: object = 0
    ) -> None:
        """Write *files* files of *mib* MiB in all; *seed* sets the content."""
        self.succeed(
            f'mkdir -p {shlex.quote(path)}; '
            + _python(_WRITE, path, mib, files, seed),
            timeout=60 + 5 * mib + files,
        )

    def checksum_tree(self, path: str, timeout: float = 600) -> str:
        """Return one hash of the names and bytes of all files in a tree."""
        return self.succeed(_python(_CHECKSUM, path), timeout).strip()

    def df(self, path: str) -> tuple[int, int]:
        """Return the size and the used space of a file system, in bytes."""
        said = self.succeed(
            f'df -B1 --output=size,used {shlex.quote(path)} | tail -n 1'
        )
        size, used = (int(word) for word in said.split())
        return size, used
