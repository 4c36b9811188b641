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
"""Where the sources of DevStack and of Manila's plugin come from.

Manila's plugin is in the source package of Manila on the package index.
DevStack is on no package index: ``MANILA_GLUSTERFS_CLONE_DEVSTACK`` names a
checkout of it or a bare repository. Without that, the tests run on
``stand_in``, which has the functions that the two plugins call.
"""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import tarfile

import pytest

CHECKOUT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name('stand_in')
DEVSTACK = 'MANILA_GLUSTERFS_CLONE_DEVSTACK'

#: The release whose plugin is run.
MANILA = '23.0.1'
_CACHE = CHECKOUT / '.devstack'


def manila() -> Path:
    """Return the tree of Manila's sources, from the package index."""
    tree = _CACHE / f'manila-{MANILA}'
    if not tree.exists():
        archive = _CACHE / f'{tree.name}.tar.gz'
        if not archive.exists():
            pip = subprocess.run(
                [
                    *(sys.executable, '-m', 'pip', 'download', '--quiet'),
                    *('--no-deps', '--no-binary', 'manila'),
                    *('--dest', str(_CACHE), f'manila=={MANILA}'),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            if pip.returncode:
                pytest.fail(
                    f'the plugin of Manila {MANILA} could not be downloaded '
                    f'from the package index: {pip.stderr}',
                    pytrace=False,
                )
        part = _CACHE / 'part'
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(
                part,
                [
                    member
                    for member in tar
                    if member.name.startswith(
                        (f'{tree.name}/devstack/', f'{tree.name}/etc/')
                    )
                    or member.name == f'{tree.name}/setup.cfg'
                ],
                filter='data',
            )
        (part / tree.name).rename(tree)
    return tree


def devstack(name: str, target: Path) -> None:
    """Copy DevStack, or its stand-in, to a directory.

    :param name: ``devstack`` or ``stand_in``.
    """
    source = STAND_IN
    if name == 'devstack':
        source = Path(os.environ.get(DEVSTACK, ''))
        if not os.environ.get(DEVSTACK) or not source.is_dir():
            pytest.fail(
                f'{DEVSTACK} does not name a checkout of '
                f'https://opendev.org/openstack/devstack',
                pytrace=False,
            )
    if (source / 'stackrc').exists():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('.git'))
    else:
        target.mkdir(parents=True)
        archive = subprocess.run(
            ['git', '-C', str(source), 'archive', 'HEAD'],
            stdout=subprocess.PIPE,
            check=True,
        )
        subprocess.run(
            ['tar', '-x', '-C', str(target)], input=archive.stdout, check=True
        )
    # These install tempest.
    shutil.rmtree(target / 'extras.d', ignore_errors=True)
