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
"""Read apt sources as apt does, and use only those of Debian."""

from pathlib import Path

import pytest

from tests.lab.errors import LabError
from tests.lab import sources

DEB822 = """\
# Comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://elsewhere.example/tool
Suites: ./
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [signed-by=/k.gpg arch=amd64] http://a.example/debian bookworm main # x
deb http://a.example/debian-security bookworm-security main contrib
deb-src http://a.example/debian bookworm main
deb http://a.example/debian bookworm contrib
deb http://pg.example/ bookworm-pgdg main
"""


def test_deb822_keeps_the_key_and_exchanges_the_suite() -> None:
    first, second = sources.from_deb822(DEB822, 'trixie')
    assert (first.uri, first.suite) == (
        'http://mirror.example/debian',
        'trixie',
    )
    assert 'Signed-By: \n -----BEGIN PGP' in first.deb822()
    assert (second.uri, second.suite) == (
        'http://mirror.example/debian-security',
        'trixie-security',
    )


@pytest.mark.parametrize('suite', ['bookworm', 'trixie'])
def test_the_security_suite_stays_one(suite: str) -> None:
    suites = [e.suite for e in sources.from_deb822(DEB822, suite)]
    assert suites == [suite, f'{suite}-security']


def test_one_line_format() -> None:
    first, second = sources.from_one_line(ONE_LINE, 'trixie')
    assert first.uri == 'http://a.example/debian'
    assert first.options == 'Signed-By: /k.gpg\n'
    assert second.suite == 'trixie-security'


def test_of_host_reads_both_and_names_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / 'sources.list').write_text(ONE_LINE)
    more = tmp_path / 'sources.list.d'
    more.mkdir()
    (more / 'a.list').write_text(ONE_LINE)
    (more / 'debian.sources').write_text(DEB822)
    (more / 'debian.sources.save').write_text('rubbish')
    text = sources.of_host('trixie', tmp_path)
    assert text.count('Types: deb\n') == 4
    assert 'bookworm' not in text


def test_a_host_without_debian_sources_is_a_lab_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match='no source of Debian packages'):
        sources.of_host('trixie', tmp_path)
