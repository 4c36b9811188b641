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
"""The cache of what takes long to make, shared by all labs.

Each entry is a directory named by its kind and by a hash of its inputs. Files
in its ``users`` name the labs that need it.
"""

from collections.abc import Callable, Iterable
import hashlib
import os
from pathlib import Path
import shutil
import time

from tests.lab import host


def directory() -> Path:
    """Return the directory of the cache."""
    return Path(
        os.environ.get(
            'MANILA_GLUSTERFS_CLONE_LAB_CACHE',
            '/var/cache/manila-glusterfs-clone-lab',
        )
    )


def place(kind: str, parts: Iterable[str]) -> Path:
    """Return the path of the cache entry with these *parts*."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
        digest.update(b'\0')
    return directory() / f'{kind}-{digest.hexdigest()[:16]}'


def lock(kind: str) -> Path:
    """Return the lock file to hold while an entry of a kind is made."""
    return directory() / f'{kind}.lock'


def ensure(
    kind: str,
    parts: Iterable[str],
    build: Callable[[Path, Path], None],
    say: Callable[[str], None],
) -> Path:
    """Return the directory of an entry, and build it if it is missing.

    It appears in one rename: whoever finds it finds it whole. A build that
    is killed leaves a directory whose name starts with a dot, which the
    next build removes.

    :param build: called with the directory to build in, and with the one
        that it is going to be.
    """
    final = place(kind, parts)
    if final.is_dir():
        return final
    with host.locked(lock(kind)):
        if final.is_dir():
            return final
        for dead in directory().glob(f'.{kind}-*'):
            remove(dead)
        say(f'building {kind}')
        begun = time.monotonic()
        work = directory() / f'.{final.name}'
        work.mkdir(parents=True)
        try:
            build(work, final)
            work.rename(final)
        except BaseException:
            remove(work)
            raise
        prune(kind, final)
        say(f'{kind} built in {time.monotonic() - begun:.0f} s')
    return final


def remove(tree: Path) -> None:
    """Remove a tree in which a build may have left mounts.

    :raises LabError: when that cannot be unmounted: what is mounted may
        well be the host's own /dev.
    """
    mounts = Path('/proc/self/mounts').read_text().splitlines()
    for line in reversed(mounts):
        where = line.split()[1]
        if where.startswith(f'{tree}/'):
            host.run(['umount', where])
    shutil.rmtree(tree, ignore_errors=True)


def prune(kind: str, newest: Path) -> None:
    """Remove the entries of a kind that no lab uses any more.

    A guest that is down for the moment keeps what it uses too.
    """
    commands = b'\n'.join(line for _, line in host.processes('cmdline'))
    for other in directory().glob(f'{kind}-*'):
        if other == newest or str(other).encode() in commands:
            continue
        if any(
            (Path(user.read_text()) / 'lab.json').exists()
            for user in other.glob('users/*')
        ):
            continue
        # Renamed first, so that no process finds a part of it.
        dead = other.with_name(f'.{other.name}')
        other.rename(dead)
        shutil.rmtree(dead)
