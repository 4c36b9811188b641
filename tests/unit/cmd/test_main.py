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
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone import node
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options

KEY = 'ssh-ed25519 AAAA me@here'
POOL = '--pool=gvg/pool'
RUNNER = archive.build(archive.sources())
SETTINGS = node.settings([options.DEFAULT_BRICK_ROOT], ['gvg'])


def test_the_installer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['node-installer', POOL]) == 0
    assert capsys.readouterr().out == node.installer(
        'manila', '', RUNNER, SETTINGS
    )


def test_for_another_user_with_a_key(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'key.pub'
    path.write_text(f'{KEY}\n')
    argv = ['node-installer', '--user=stack', f'--public-key={path}', POOL]
    assert main.main(argv) == 0
    assert capsys.readouterr().out == node.installer(
        'stack', KEY, RUNNER, SETTINGS
    )


@pytest.mark.parametrize(
    'user', ['', 'a b', '$(id)', 'a;b', '-x', 'Manila', 'a\n', 'x' * 33]
)
def test_an_invalid_user_name(
    capsys: pytest.CaptureFixture[str], user: str
) -> None:
    assert main.main(['node-installer', f'--user={user}', POOL]) == 3
    said = capsys.readouterr()
    assert said.out == ''
    assert repr(user) in said.err


def test_the_settings_of_the_runner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ['node-installer', '--pool=a/x', '--pool=b/y', '--pool=a/z']
    argv += ['--brick-root=/srv/x', '--brick-root=/srv/y']
    assert main.main(argv) == 0
    assert (
        '{\n  "brick_roots": [\n    "/srv/x",\n    "/srv/y"\n  ],\n'
        '  "volume_groups": [\n    "a",\n    "b"\n  ]\n}\n'
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    'argument',
    [
        '--pool=gvg',
        '--pool=-a/x',
        '--pool=a/b/c',
        '--pool=$(id)/x',
        '--brick-root=srv',
        '--brick-root=/srv/../etc',
        '--brick-root=/a b',
        '--brick-root=/',
    ],
)
def test_an_invalid_pool_or_brick_root(
    capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    assert main.main(['node-installer', POOL, argument]) == 3
    said = capsys.readouterr()
    assert said.out == ''
    assert argument.partition('=')[2] in said.err


@pytest.mark.parametrize(
    'content', ['one\ntwo\n', '-----BEGIN OPENSSH PRIVATE KEY-----']
)
def test_an_invalid_public_key(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, content: str
) -> None:
    path = tmp_path / 'key'
    path.write_text(content)
    assert main.main(['node-installer', f'--public-key={path}', POOL]) == 3
    said = capsys.readouterr()
    assert said.out == ''
    assert str(path) in said.err
    assert 'PRIVATE' not in said.err


def test_a_missing_key_file(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'none'
    assert main.main(['node-installer', f'--public-key={path}', POOL]) == 3
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    'argv',
    [
        ['nosuch'],
        ['--nosuch'],
        ['node-installer'],
        ['node-installer', POOL, '--nosuch'],
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main.main(argv) == 3
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.count('\n') == 1
    assert '--help' in said.err


def test_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 3
    assert 'usage: manila-glusterfs-clone' in capsys.readouterr().err


@pytest.mark.parametrize(
    'argv', [['help', 'node-installer'], ['node-installer', '--help']]
)
def test_help(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main.main(argv) == 0
    assert '--public-key FILE' in capsys.readouterr().out


def test_every_command_can_be_loaded_and_is_in_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(['--help']) == 0
    said = capsys.readouterr().out
    assert 'Could not load' not in said
    for name in main.COMMANDS:
        assert f'  {name}  ' in said


@pytest.mark.parametrize('argv', [['--debug'], []])
def test_an_unexpected_error(
    argv: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(manila_conf, 'load', fail)
    assert main.main([*argv, 'check']) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == 'manila-glusterfs-clone: AssertionError'
    assert ('Traceback (most recent call last):' in lines) == bool(argv)
    assert argv or len(lines) == 1
