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
"""The Python environments that the services of a control plane run in.

Manila has one of its own, and keystone and the client share another: Manila
of several releases can be tried with them, each with the libraries of its
time. Every version is pinned by a file in ``constraints``.

As images are, environments are made once and shared by all labs: one is a
directory in the cache, named by a hash of what it is made of, which counts
only if there is a file ``built`` in it. (It cannot be made elsewhere and
renamed: its programs have its path in them.)
"""

from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import sys
import time

from tests.lab import cache
from tests.lab.errors import LabError
from tests.lab import host

#: The root of the checkout, whose driver it is that the services run.
CHECKOUT = Path(__file__).parents[3]

#: The releases of Manila that the lab knows how to run.
VERSIONS = ('23.0.1', '16.0.0')

KEYSTONE = 'keystone'
TEMPEST = 'tempest'

#: The requirements of each environment, by its name.
CONSTRAINTS = Path(__file__).parent / 'constraints'
_SERVED_BY = ('gunicorn', 'PyMySQL')
#: The packages with which tooz reaches coordinators other than MariaDB.
_COORDINATED_BY = ('etcd3gw',)


@dataclass(frozen=True)
class Environment:
    """A complete environment."""

    directory: Path

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self.directory / 'bin' / name)

    def run(self, log: Path, program: str, *argv: str) -> None:
        """Run one of its programs to its end.

        :raises LabError: when it fails, with the end of its *log*.
        """
        env = {**os.environ, 'PYTHONWARNINGS': 'ignore'}
        host.run_logged([self.program(program), *argv], log, 300, env)

    def use(self, lab: str, directory: Path) -> None:
        """Keep the environment as long as a lab exists; see cache.prune."""
        users = self.directory / 'users'
        users.mkdir(exist_ok=True)
        (users / lab).write_text(str(directory))


def of_keystone(say: Callable[[str], None]) -> Environment:
    """Return the environment of keystone and of the client."""
    return _ensure(
        KEYSTONE,
        [
            *('keystone', 'python-manilaclient', 'python-openstackclient'),
            *_SERVED_BY,
        ],
        say,
    )


def of_tempest(say: Callable[[str], None]) -> Environment:
    """Return the environment of tempest and of Manila's plugin for it."""
    return _ensure(TEMPEST, [TEMPEST, 'manila-tempest-plugin'], say)


def of_manila(version: str, say: Callable[[str], None]) -> Environment:
    """Return the environment of a release of Manila, and of the driver.

    :raises LabError: when the release is not known, or cannot be installed.
    """
    if version not in VERSIONS:
        raise LabError(
            f'no Manila {version!r} is known; there are: {", ".join(VERSIONS)}'
        )
    requirements = (CHECKOUT / 'requirements.txt').read_text().splitlines()
    drivers = [
        line.partition('#')[0].strip()
        for line in requirements
        if not line.startswith('#')
    ]
    return _ensure(
        f'manila-{version}',
        [
            *(f'manila=={version}', *_SERVED_BY, *_COORDINATED_BY),
            *filter(None, drivers),
        ],
        say,
    )


def _ensure(
    name: str, requirements: list[str], say: Callable[[str], None]
) -> Environment:
    constraints = CONSTRAINTS / f'{name}.txt'
    parts = (sys.version, *requirements, constraints.read_text())
    made = Environment(cache.place(name, parts))
    stamp = made.directory / 'built'
    if stamp.exists():
        return made
    with host.locked(cache.lock(name)):
        if stamp.exists():
            return made
        begun = time.monotonic()
        say(f'installing {name}')
        shutil.rmtree(made.directory, ignore_errors=True)
        try:
            _install(made, requirements, constraints)
        except BaseException:
            shutil.rmtree(made.directory, ignore_errors=True)
            raise
        stamp.touch()
        cache.prune(name, made.directory)
        say(f'{name} installed in {time.monotonic() - begun:.0f} s')
    return made


def _install(
    made: Environment, requirements: list[str], constraints: Path
) -> None:
    log = cache.directory() / f'.{made.directory.name}.log'
    log.unlink(missing_ok=True)
    # Without the settings of the environment that this process runs in.
    env = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
    host.run_logged(
        [sys.executable, '-m', 'venv', str(made.directory)], log, 120, env
    )
    host.run_logged(
        [
            *(made.program('python'), '-m', 'pip', 'install', '--quiet'),
            *('--disable-pip-version-check', '--no-input'),
            *('--constraint', str(constraints), *requirements),
        ],
        log,
        1800,
        env,
    )
    log.unlink()
