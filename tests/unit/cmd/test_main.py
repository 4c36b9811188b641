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
"""The command for operators."""

import pathlib

import pytest

from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone import node

KEY = 'ssh-ed25519 AAAA me@here'


def test_the_installer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['node-installer']) == 0
    assert capsys.readouterr().out == node.installer('manila', '')


def test_for_another_user_with_a_key(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'key.pub'
    path.write_text(f'{KEY}\n')
    argv = ['node-installer', '--user=stack', f'--public-key={path}']
    assert main.main(argv) == 0
    assert capsys.readouterr().out == node.installer('stack', KEY)


@pytest.mark.parametrize(
    'user', ['', 'a b', '$(id)', 'a;b', '-x', 'Manila', 'a\n', 'x' * 33]
)
def test_an_invalid_user_name(
    capsys: pytest.CaptureFixture[str], user: str
) -> None:
    assert main.main(['node-installer', f'--user={user}']) == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert repr(user) in said.err


@pytest.mark.parametrize(
    'content', ['one\ntwo\n', '-----BEGIN OPENSSH PRIVATE KEY-----']
)
def test_an_invalid_public_key(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, content: str
) -> None:
    path = tmp_path / 'key'
    path.write_text(content)
    assert main.main(['node-installer', f'--public-key={path}']) == 1
    said = capsys.readouterr()
    assert said.out == ''
    assert str(path) in said.err
    assert 'PRIVATE' not in said.err


def test_a_missing_key_file(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'none'
    assert main.main(['node-installer', f'--public-key={path}']) == 1
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize('argv', [[], ['nosuch'], ['--nosuch']])
def test_usage(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(argv)
    assert caught.value.code == 2
    assert 'usage: manila-glusterfs-clone' in capsys.readouterr().err
