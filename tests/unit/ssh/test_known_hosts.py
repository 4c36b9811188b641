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
"""known_hosts files; ``ssh-keygen -F`` is the oracle for names."""

import pathlib
import re
import subprocess

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies
import pytest

from manila_glusterfs_clone.ssh import key_files
from manila_glusterfs_clone.ssh import known_hosts

KEY = (
    'ssh-ed25519 '
    'AAAAC3NzaC1lZDI1NTE5AAAAIPCmdQRXhpJtyECoAs2z0FHr7X+1YDwWZbfrJTrYf9kX'
)


def numbers(path: pathlib.Path, host: str, port: int) -> list[list[int]]:
    """Return the numbers of the lines for each name of a host."""
    known = known_hosts.read(str(path))
    return [
        [line.number for line in lines] for lines in known.lines_of(host, port)
    ]


def test_names() -> None:
    assert known_hosts.names_of('GL1', 22) == ('gl1',)
    assert known_hosts.names_of('FE80::1', 2222) == (
        '[fe80::1]:2222',
        'fe80::1',
    )


def test_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'hosts'
    path.write_text(
        f'# gl1 {KEY}\n\n  gl1 {KEY} comment\r\n'
        f'@cert-authority *,!gl1 {KEY}\n'
        f'@revoked\tgl1\t{KEY}\n'
        f'@other gl1 {KEY}\n'
        'gl1 ssh-ed25519\n'
        f'gl1 ssh-rsa {KEY.split()[1]}\n'
        'gl1 ssh-ed25519 AAAA!\n'
        'gl1 1024 35 1234\n'
    )
    known = known_hosts.read(str(path))
    assert [(line.number, line.marker) for line in known.lines] == [
        (3, ''),
        (4, known_hosts.AUTHORITY),
        (5, known_hosts.REVOKED),
    ]
    assert known.malformed_lines == (6, 7, 8, 9, 10)
    assert numbers(path, 'gl1', 22) == [[3, 5]]
    assert numbers(path, 'gl2', 24007) == [[4], [4]]


@pytest.mark.parametrize(
    ('content', 'kind'),
    [
        (b'', key_files.EMPTY),
        (b'\n# gl1\n', key_files.EMPTY),
        (b'gl1\n', key_files.MALFORMED),
        (b'\xff\xfeg\0l\0', key_files.MALFORMED),
        (b'-----BEGIN OPENSSH PRIVATE KEY-----\nx\n', key_files.MALFORMED),
    ],
)
def test_a_file_without_keys(
    tmp_path: pathlib.Path, content: bytes, kind: str
) -> None:
    path = tmp_path / 'hosts'
    path.write_bytes(content)
    with pytest.raises(key_files.Unusable) as caught:
        known_hosts.check(str(path))
    assert caught.value.kind == kind
    assert caught.value.path == str(path)
    assert 'ssh-keyscan' in caught.value.remedy


def test_a_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(key_files.Unusable) as caught:
        known_hosts.check(str(tmp_path / 'none'))
    assert caught.value.kind == key_files.MISSING


NAMES = strategies.sampled_from(['gl1', '[gl1]:22', '[gl1]:2222', 'gl1.x'])
PATTERNS = strategies.lists(
    strategies.text('gl1.*?!x[]:2', min_size=1, max_size=6) | NAMES,
    min_size=1,
    max_size=3,
).map(','.join)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=NAMES, patterns=PATTERNS)
def test_patterns_as_openssh(
    tmp_path: pathlib.Path, name: str, patterns: str
) -> None:
    path = tmp_path / 'hosts'
    path.write_text(f'{patterns} {KEY}\n')
    found = subprocess.run(
        ['ssh-keygen', '-F', name, '-f', str(path)],
        capture_output=True,
        check=False,
    )
    (line,) = known_hosts.read(str(path)).lines
    assert line.has_name(name) == bool(found.stdout), patterns


def test_hashes_of_openssh(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'hosts'
    path.write_text(f'gl1,[gl2]:2222 {KEY}\n')
    argv = ['ssh-keygen', '-H', '-f', str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    assert len(re.findall(r'^\|1\|', path.read_text(), re.MULTILINE)) == 2
    assert numbers(path, 'gl1', 22) == [[1]]
    assert numbers(path, 'gl2', 2222) == [[2], []]
    assert numbers(path, 'gl2', 22) == [[]]


@pytest.mark.parametrize('names', ['|1|', '|1|x|y', '|2|AAAA|AAAA', '|'])
def test_a_malformed_hash(tmp_path: pathlib.Path, names: str) -> None:
    path = tmp_path / 'hosts'
    path.write_text(f'{names} {KEY}\n')
    assert numbers(path, 'gl1', 22) == [[]]
