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
"""The kernel that guests run: Linux, built to be a process of its host.

Since 6.16 the processes of a guest can pass their system calls to the guest's
kernel with seccomp. Before, and where the host does not allow seccomp, ptrace
catches each call. seccomp halves the time of everything that a guest does. The
Debian release of guests and hosts has no such kernel yet, so the lab takes it
from the next release, with the C library that it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab import debian
from tests.lab import host

#: The Debian suite to take it from.
SUITE = 'forky'

#: Raise it when the way to make the kernel changes.
VERSION = '1'


@dataclass(frozen=True)
class Kernel:
    """A cached kernel."""

    directory: Path

    @property
    def argv(self) -> list[str]:
        """Return the beginning of the command line that boots it."""
        return [str(self.directory / 'linux.uml'), 'seccomp=auto']

    @property
    def modules(self) -> Path:
        """Return the directory of its modules, named after its version."""
        return next((self.directory / 'modules').iterdir())


def ensure(say: Callable[[str], None]) -> Kernel:
    """Return the kernel, and fetch it if it is missing.

    :raises LabError: when it cannot be fetched; with the end of the log.
    """

    def build(work: Path, final: Path) -> None:
        # A suite that is not released has a date to be valid until, and
        # mirrors that are a few weeks late.
        late = '--aptopt=Acquire::Check-Valid-Until "false"'
        tree = debian.tree(
            SUITE, work, ['user-mode-linux'], ['--variant=extract', late]
        )
        libraries = next(tree.glob('usr/lib/*-linux-gnu'))
        loader = next(libraries.glob('ld-linux*.so.*'))
        for source, name in (
            (tree / 'usr/bin/linux.uml', 'linux.uml'),
            (tree / 'usr/lib/uml/modules', 'modules'),
            (loader.resolve(), loader.name),
            ((libraries / 'libc.so.6').resolve(), 'libc.so.6'),
        ):
            source.rename(work / name)
        cache.remove(tree)
        host.run(
            [
                *('patchelf', '--set-interpreter', str(final / loader.name)),
                *('--set-rpath', str(final), str(work / 'linux.uml')),
            ]
        )

    parts = (VERSION, SUITE, debian.archive(SUITE))
    return Kernel(cache.ensure('kernel', parts, build, say))
