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
"""The checks of the options, and of the key files that they name."""

import dataclasses
import pathlib

import pytest

from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import configuration
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.ssh import key_files as problems
from tests import key_files
from tests.unit import sshd

PRIVATE_KEY = 'glusterfs_clone_ssh_private_key'
KNOWN_HOSTS = 'glusterfs_clone_ssh_known_hosts'


def kinds(settings: options.Settings) -> list[tuple[str, str]]:
    found = [*configuration.check_key_files(settings)]
    for finding in found:
        path = (
            settings.ssh_private_key
            if finding.subject == PRIVATE_KEY
            else settings.ssh_known_hosts
        )
        assert path in finding.message
    return [(finding.subject, finding.kind) for finding in found]


def test_no_mistakes(settings: options.Settings) -> None:
    assert kinds(settings) == []
    assert [*configuration.check(settings, native.NativeProtocol)] == []


@pytest.mark.parametrize(
    ('name', 'key_kind', 'hosts_kind'),
    [
        ('none', problems.MISSING, problems.MISSING),
        ('.', problems.UNREADABLE, problems.UNREADABLE),
        ('empty', problems.EMPTY, problems.EMPTY),
        ('encrypted', problems.ENCRYPTED, problems.MALFORMED),
        ('key.pub', problems.NOT_PRIVATE, problems.MALFORMED),
        ('text', problems.MALFORMED, problems.MALFORMED),
    ],
)
def test_the_same_file_for_both(
    settings: options.Settings,
    tmp_path: pathlib.Path,
    name: str,
    key_kind: str,
    hosts_kind: str,
) -> None:
    (tmp_path / 'empty').touch()
    (tmp_path / 'text').write_text('SECRET\n')
    sshd.make_key(tmp_path / 'key')
    encrypted = str(tmp_path / 'encrypted')
    sshd.ssh_keygen('-t', 'ed25519', '-N', 'passphrase', '-f', encrypted)
    path = str(tmp_path / name)
    assert kinds(
        dataclasses.replace(
            settings, ssh_private_key=path, ssh_known_hosts=path
        )
    ) == [(PRIVATE_KEY, key_kind), (KNOWN_HOSTS, hosts_kind)]


def test_a_key_that_everybody_can_read(
    settings: options.Settings, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'key'
    path.write_text(pathlib.Path(key_files.private_key()).read_text())
    path.chmod(0o644)
    assert kinds(dataclasses.replace(settings, ssh_private_key=str(path))) == [
        (PRIVATE_KEY, problems.PERMISSIONS)
    ]
