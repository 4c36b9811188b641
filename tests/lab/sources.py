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
"""The host's apt sources, read to make those of a guest.

A guest takes its packages from where its host takes them: only the suite
is exchanged. Both of apt's formats are read, deb822 (``*.sources``) and
one line a source (``*.list``). Of what is there, the Debian archive's main
and security entries are used, and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import os
from pathlib import Path
import re

from tests.lab.errors import LabError

#: Debian's suites, by code name and by place in line.
SUITES = frozenset(
    'buster bullseye bookworm trixie forky duke sid'
    ' oldoldstable oldstable stable testing unstable'.split()
)

_ONE_LINE = re.compile(
    r'^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)'
    r'\s+(?P<components>[^#]+)'
)


@dataclass(frozen=True)
class Entry:
    """One source of Debian packages.

    :param options: fields other than the four, as deb822 text, or ''.
    """

    uri: str
    suite: str
    options: str

    def deb822(self) -> str:
        """Return the entry as a stanza of a ``.sources`` file."""
        return (
            f'Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\n'
            f'Components: main\n{self.options}'
        )


def _exchanged(suite: str, wanted: str) -> str | None:
    """Return the suite of a guest for a suite of the host, or None."""
    base, _, part = suite.rstrip('/').partition('-')
    if base not in SUITES or part not in ('', 'security'):
        return None
    return f'{wanted}-{part}' if part else wanted


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Return the stanzas of deb822 text, with continuation lines."""
    for block in re.split(r'\n[ \t]*\n', text):
        fields: dict[str, str] = {}
        name = ''
        for line in block.splitlines():
            if line.startswith('#'):
                continue
            if line[:1] in ' \t' and name:
                fields[name] += f'\n{line}'
            elif ':' in line:
                name, _, value = line.partition(':')
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def from_deb822(text: str, wanted: str) -> Iterator[Entry]:
    """Return the entries of a ``.sources`` file for the suite *wanted*."""
    for fields in _stanzas(text):
        if (
            'deb' not in fields.get('types', '').split()
            or 'main' not in fields.get('components', '').split()
            or fields.get('enabled', 'yes').lower() in ('no', 'false', '0')
        ):
            continue
        options = ''.join(
            f'{name.title()}: {value}\n'
            for name, value in fields.items()
            if name in ('signed-by', 'trusted', 'check-valid-until')
        )
        for uri in fields.get('uris', '').split():
            for suite in fields.get('suites', '').split():
                if exchanged := _exchanged(suite, wanted):
                    yield Entry(uri, exchanged, options)


def from_one_line(text: str, wanted: str) -> Iterator[Entry]:
    """Return the entries of a ``.list`` file for the suite *wanted*."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if not match or 'main' not in match['components'].split():
            continue
        options = ''.join(
            f'{name.title()}: {value.replace(",", " ")}\n'
            for name, _, value in (
                word.partition('=')
                for word in (match['options'] or '').split()
            )
            if name in ('signed-by', 'trusted', 'check-valid-until')
        )
        if exchanged := _exchanged(match['suite'], wanted):
            yield Entry(match['uri'], exchanged, options)


def directory() -> Path:
    """Return the directory of the sources: the host's, or the one that is set.

    A host that is no Debian needs a directory with Debian's.
    """
    return Path(os.environ.get('MANILA_GLUSTERFS_CLONE_LAB_APT', '/etc/apt'))


def of_host(wanted: str, root: Path) -> str:
    """Return the text of a ``.sources`` file for the suite *wanted*.

    :param root: laid out as ``/etc/apt``.
    :raises LabError: when the host has no Debian sources.
    """
    entries: list[Entry] = []
    lists = [root / 'sources.list', *sorted(root.glob('sources.list.d/*'))]
    for path in lists:
        if not path.is_file():
            continue
        text = path.read_text(errors='replace')
        if path.suffix == '.sources':
            entries += from_deb822(text, wanted)
        elif path.suffix == '.list':
            entries += from_one_line(text, wanted)
    unique = list(dict.fromkeys(entries))
    if not any(entry.suite == wanted for entry in unique):
        raise LabError(
            f'no source of Debian packages was found below {root}: the '
            f'images of the guests are made from the sources of their host. '
            f'On another system than Debian, have the variable '
            f'MANILA_GLUSTERFS_CLONE_LAB_APT name a directory with a file '
            f'sources.list of a Debian mirror'
        )
    return '\n'.join(entry.deb822() for entry in unique)
