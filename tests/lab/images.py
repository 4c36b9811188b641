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
"""The disks that guests start from: made once, cached, shared by all labs.

An image is a directory of three files: ``root.img``, the root file system
that every guest lays a copy-on-write file over, and ``labdisk.img`` and
``tightdisk.img``, sparse disks that already hold the volume groups and thin
pools, of which every storage node gets a copy.

An image's directory is named by a hash of what it is made of and appears in
one rename: whoever finds it finds it whole. A build that is killed leaves a
directory whose name starts with a dot, which the next build removes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import shutil
import time

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab import recipe
from tests.lab import sources

#: Where Debian's package user-mode-linux puts the guests' kernel modules.
MODULES = Path('/usr/lib/uml/modules')


@dataclass(frozen=True)
class Image:
    """A cached image; see the module's text for its three files."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / 'root.img'

    @property
    def labdisk(self) -> Path:
        return self.directory / 'labdisk.img'

    @property
    def tightdisk(self) -> Path:
        return self.directory / 'tightdisk.img'


def cache() -> Path:
    """The directory of all images."""
    return Path(
        os.environ.get(
            'MANILA_GLUSTERFS_CLONE_LAB_CACHE',
            '/var/cache/manila-glusterfs-clone-lab',
        )
    )


def ensure(release: str, say: Callable[[str], None]) -> Image:
    """The image of a GlusterFS release, built if it is not there yet.

    :param release: '10.3' or '11.1'.
    :raises LabError: when it cannot be built; with the end of the log.
    """
    try:
        suite = recipe.SUITES[release]
    except KeyError:
        raise LabError(
            f'no image of GlusterFS {release!r} is known; there are: '
            f'{", ".join(recipe.SUITES)}'
        ) from None
    debian = sources.of_host(suite, sources.directory())
    image = Image(cache() / f'{release}-{_key(suite, debian)}')
    if image.directory.is_dir():
        return image
    with host.locked(cache() / f'{release}.lock'):
        if image.directory.is_dir():
            return image
        for dead in cache().glob(f'.{release}-*'):
            _remove(dead)
        say(f'building the image of GlusterFS {release} ({suite})')
        begun = time.monotonic()
        work = cache() / f'.{image.directory.name}'
        work.mkdir(parents=True)
        try:
            _build(release, suite, debian, work)
            work.rename(image.directory)
        except BaseException:
            _remove(work)
            raise
        prune(release, image.directory)
        say(f'image built in {time.monotonic() - begun:.0f} s')
    return image


def _key(suite: str, debian: str) -> str:
    """A hash of everything an image is made of."""
    digest = hashlib.sha256()
    for part in (suite, debian, _modules().name, *recipe.identity()):
        digest.update(part.encode())
        digest.update(b'\0')
    return digest.hexdigest()[:16]


def _modules() -> Path:
    """The directory of the guest kernel's modules, named by its version."""
    versions = sorted(path for path in MODULES.glob('*') if path.is_dir())
    if not versions:
        raise LabError(
            f'there are no kernel modules below {MODULES}: install the '
            f'Debian package user-mode-linux'
        )
    return versions[-1]


def _build(release: str, suite: str, debian: str, work: Path) -> None:
    """Make the three files of an image in the directory *work*."""
    root = work / 'root'
    (work / 'debian.sources').write_text(debian)
    log = work / 'mmdebstrap.log'
    argv = [
        *('mmdebstrap', '--verbose', '--variant=minbase'),
        *(f'--dpkgopt=path-exclude={path}' for path in recipe.EXCLUDED),
        *('--aptopt=Acquire::Retries "3"', *_proxies()),
        f'--include={",".join(recipe.PACKAGES)}',
        *(suite, str(root), str(work / 'debian.sources')),
    ]
    try:
        host.run_logged(argv, log, timeout=1800)
        _assert_release(root, release)
        shutil.copytree(
            _modules(), root / 'lib/modules' / _modules().name, symlinks=True
        )
        host.run(['chroot', str(root), 'depmod', '-a', _modules().name])
        recipe.customise(root)
        with (work / 'root.img').open('wb') as file:
            file.truncate(recipe.ROOT_BYTES)
        host.run(
            ['mke2fs', '-q', '-t', 'ext4', '-d', str(root), f'{root}.img'],
            timeout=300,
        )
    finally:
        _remove(root)
    _prepare_disks(Image(work))


def _proxies() -> Iterator[str]:
    """The host's apt settings for proxies, as options of mmdebstrap."""
    for line in host.run(['apt-config', 'dump']).splitlines():
        if line.startswith(('Acquire::http::', 'Acquire::https::')):
            yield f'--aptopt={line}'


def _assert_release(root: Path, release: str) -> None:
    """Make sure that the packages are of the GlusterFS release wanted."""
    said = host.run(
        [
            *('dpkg-query', f'--admindir={root}/var/lib/dpkg'),
            *('-W', '-f', '${Version}', 'glusterfs-server'),
        ]
    )
    if not said.startswith((f'{release}-', f'{release}+', f'{release}.')):
        raise LabError(
            f'the image should hold GlusterFS {release}, and Debian has '
            f'{said.strip() or "none"} now'
        )


def _remove(tree: Path) -> None:
    """Remove a tree in which a build may have left something mounted.

    :raises LabError: when that cannot be unmounted: what is mounted may
        well be the host's own /dev.
    """
    mounts = Path('/proc/self/mounts').read_text().splitlines()
    for line in reversed(mounts):
        where = line.split()[1]
        if where.startswith(f'{tree}/'):
            host.run(['umount', where])
    shutil.rmtree(tree, ignore_errors=True)


def _prepare_disks(image: Image) -> None:
    """Have a guest make the volume groups and thin pools on empty disks."""
    for path, size in (
        (image.labdisk, recipe.LABDISK_BYTES),
        (image.tightdisk, recipe.TIGHTDISK_BYTES),
    ):
        with path.open('wb') as file:
            file.truncate(size)
    cow = image.directory / 'prepare.cow'
    log = image.directory / 'prepare.log'
    host.run_logged(
        [
            *('linux.uml', 'mem=512M', f'uml_dir={image.directory}'),
            *('umid=prepare', f'ubd0={cow},{image.root}'),
            *(f'ubd1={image.labdisk}', f'ubd2={image.tightdisk}'),
            *('root=/dev/ubda', 'rw', 'con=null', 'con0=null,fd:1'),
            'init=/usr/local/lib/lab/prepare-disks',
        ],
        log,
        timeout=300,
    )
    if 'LAB-DISKS-PREPARED' not in log.read_text(errors='replace'):
        raise LabError(f'the disks could not be prepared:\n{host.tail(log)}')
    cow.unlink()
    shutil.rmtree(image.directory / 'prepare', ignore_errors=True)


def prune(kind: str, newest: Path) -> None:
    """Remove what is cached of a kind and is used by no lab any more.

    A guest that is down for the moment keeps its image too: see
    ``users`` in the image, where labs leave their names.

    :param kind: what the names of the directories begin with.
    """
    commands = b'\n'.join(
        path.read_bytes() for path in _readable_command_lines()
    )
    for other in cache().glob(f'{kind}-*'):
        if other == newest or str(other).encode() in commands:
            continue
        if any(
            (Path(user.read_text()) / 'lab.json').exists()
            for user in other.glob('users/*')
        ):
            continue
        # Renamed first, so that no one finds half an image.
        dead = other.with_name(f'.{other.name}')
        other.rename(dead)
        shutil.rmtree(dead)


def _readable_command_lines() -> Iterator[Path]:
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            path.read_bytes()
        except OSError:
            continue
        yield path
