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
"""Reading key files: what is reported if that fails."""

import os
import pathlib

import pytest

from manila_glusterfs_clone.ssh import key_files


def failure(path: pathlib.Path | str) -> key_files.Unusable:
    with pytest.raises(key_files.Unusable) as caught:
        key_files.read('private key', str(path), 'create it')
    return caught.value


def test_the_content(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'key').write_bytes(b'\xff\n')
    content = key_files.read('private key', str(tmp_path / 'key'), 'x')
    assert content == b'\xff\n'


def test_the_message_names_all(tmp_path: pathlib.Path) -> None:
    error = failure(tmp_path / 'none')
    assert error.kind == key_files.MISSING
    assert str(error) == (
        f'private key {tmp_path}/none does not exist; create it'
    )


def test_a_path_that_is_none() -> None:
    assert failure('a\0b').kind == key_files.UNREADABLE
    assert failure('').kind == key_files.MISSING
    assert failure('/dev/null').kind == key_files.UNREADABLE


@pytest.mark.parametrize('has_name', [True, False])
def test_permission_denied(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, has_name: bool
) -> None:
    """The user is named, because it is seldom the one that tests the file."""

    def denied(path: str) -> os.stat_result:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'stat', denied)
    if not has_name:
        monkeypatch.setattr(os, 'geteuid', lambda: 4_000_000_000)
    error = failure(tmp_path / 'key')
    assert error.kind == key_files.UNREADABLE
    assert has_name == ('4000000000' not in error.problem)
    assert 'let this user read' in error.remedy
