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
"""Make file trees of Debian packages of any suite, from the host's mirror."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.lab import host
from tests.lab import sources


def archive(suite: str) -> str:
    """Return the sources of a suite's packages, as text for apt.

    :raises LabError: when the host has no Debian sources.
    """
    return sources.of_host(suite, sources.directory())


def tree(
    suite: str, work: Path, packages: Iterable[str], options: Iterable[str]
) -> Path:
    """Make a tree of packages of a suite in the directory *work*.

    :param options: more of mmdebstrap's.
    :raises LabError: when it cannot be made; with the end of the log.
    """
    (work / 'debian.sources').write_text(archive(suite))
    root = work / 'root'
    host.run_logged(
        [
            *('mmdebstrap', '--verbose', *options),
            *('--aptopt=Acquire::Retries "3"', *_proxies()),
            f'--include={",".join(packages)}',
            *(suite, str(root), str(work / 'debian.sources')),
        ],
        work / 'mmdebstrap.log',
        timeout=1800,
    )
    return root


def _proxies() -> Iterator[str]:
    """Return the host's apt proxy settings as options of mmdebstrap."""
    for line in host.run(['apt-config', 'dump']).splitlines():
        if line.startswith(('Acquire::http::', 'Acquire::https::')):
            yield f'--aptopt={line}'
