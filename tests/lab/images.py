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

An image is a directory with ``kernel``, the kernel that it boots with, and
three files: ``root.img``, the root file system that every guest lays a
copy-on-write file over, and ``labdisk.img`` and ``tightdisk.img``, sparse
disks that already hold the volume groups and thin pools, of which every
storage node gets a copy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import shutil

from tests.lab import cache
from tests.lab import debian
from tests.lab.errors import LabError
from tests.lab import host
from tests.lab import kernel
from tests.lab import recipe


@dataclass(frozen=True)
class Image:
    """A cached image; the docstring of the module lists its files."""

    directory: Path

    @property
    def kernel(self) -> kernel.Kernel:
        return kernel.Kernel((self.directory / 'kernel').resolve())

    @property
    def root(self) -> Path:
        return self.directory / 'root.img'

    @property
    def labdisk(self) -> Path:
        return self.directory / 'labdisk.img'

    @property
    def tightdisk(self) -> Path:
        return self.directory / 'tightdisk.img'


def ensure(release: str, say: Callable[[str], None]) -> Image:
    """Return the image of a GlusterFS release, and build it if missing.

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
    boots = kernel.ensure(say)

    def build(work: Path, final: Path) -> None:
        (work / 'kernel').symlink_to(boots.directory)
        _build(release, suite, Image(work))

    parts = (
        *(suite, debian.archive(suite), boots.directory.name),
        *recipe.identity(),
    )
    return Image(cache.ensure(release, parts, build, say))


def _build(release: str, suite: str, image: Image) -> None:
    """Build an image in its directory, which holds only a kernel."""
    options = [
        '--variant=minbase',
        *(f'--dpkgopt=path-exclude={path}' for path in recipe.EXCLUDED),
    ]
    try:
        packages = (*recipe.PACKAGES, *recipe.ALTERNATIVES[suite])
        root = debian.tree(suite, image.directory, packages, options)
        _assert_release(root, release)
        modules = image.kernel.modules
        shutil.copytree(
            modules, root / 'lib/modules' / modules.name, symlinks=True
        )
        host.run(['chroot', str(root), 'depmod', '-a', modules.name])
        recipe.customise(root)
        with image.root.open('wb') as file:
            file.truncate(recipe.ROOT_BYTES)
        host.run(
            ['mke2fs', '-q', '-t', 'ext4', '-d', str(root), str(image.root)],
            timeout=300,
        )
    finally:
        cache.remove(image.directory / 'root')
    _prepare_disks(image)


def _assert_release(root: Path, release: str) -> None:
    """Verify that the packages are of the expected GlusterFS release."""
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
            *(*image.kernel.argv, 'mem=512M', f'uml_dir={image.directory}'),
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
