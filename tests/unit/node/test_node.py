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
"""The files for storage nodes, their installer, and the sudo rules."""

import configparser
import pathlib
import re
import shutil
import subprocess

import pytest

from manila_glusterfs_clone import names
from manila_glusterfs_clone import node
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone.node.runner import service
from manila_glusterfs_clone.node.runner import verbs

RULE = node.text(node.SUDOERS) + f'Defaults!{node.RUNNER_PATH} !requiretty\n'

KEY = 'ssh-ed25519 AAAAC3Nz a comment with $HOME, `id` and \'quotes\''
RUNNER = archive.build(archive.sources())
SETTINGS = node.settings(['/srv/x'], ['gvg'])


def installer(user: str, key: str) -> str:
    return node.installer(user, key, RUNNER, SETTINGS)


SCRIPTS = {
    'bare': installer('manila', ''),
    'with a key': installer('manila', KEY),
    'other user': installer('stack-1', KEY),
    node.SCRIPT: node.text(node.SCRIPT),
}


@pytest.mark.parametrize('name', SCRIPTS)
def test_scripts_are_shell(name: str) -> None:
    for shell in ('sh', 'dash', 'bash', 'busybox'):
        if shutil.which(shell):
            command = [shell, 'sh'] if shell == 'busybox' else [shell]
            subprocess.run(
                [*command, '-n'], input=SCRIPTS[name], text=True, check=True
            )


@pytest.mark.parametrize('name', SCRIPTS)
def test_shellcheck_has_no_complaints(name: str) -> None:
    done = subprocess.run(
        # SC2016: a key that is quoted is not to be expanded, indeed.
        ['shellcheck', '--shell=sh', '--exclude=SC2016', '-'],
        input=SCRIPTS[name],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('name', SCRIPTS)
def test_scripts_are_plain_text(name: str) -> None:
    assert SCRIPTS[name].startswith('#!/bin/sh\n')
    assert SCRIPTS[name].endswith('\n')
    assert SCRIPTS[name].isascii()
    assert '\r' not in SCRIPTS[name]
    assert '\t' not in SCRIPTS[name]


# -- the installer, run for real with everything that would change the host
# -- replaced

_COMMANDS = {
    'id': 'test -e "$STATE/user"',
    'useradd': 'echo "$*" >>"$STATE/useradd"; : >"$STATE/user"',
    'chown': ':',
    'systemctl': 'echo "$*" >>"$STATE/systemctl"',
    'getent': 'echo "x:x:1:1::$STATE/home:${SHELL_OF_USER:-/bin/sh}"',
    'usermod': 'echo "$*" >>"$STATE/usermod"',
    'visudo': '! grep -q "${BAD_SUDOERS:-none}" "$4"',
    'install': 'for last; do :; done; mkdir -p "$last"',
}


class Host:
    """A directory in place of the root directory of a node."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.state = root / 'state'
        self.bin = root / 'bin'
        self.state.mkdir()
        self.bin.mkdir()
        for name, body in _COMMANDS.items():
            path = self.bin / name
            path.write_text(f'#!/bin/sh\n{body}\n')
            path.chmod(0o755)

    def path(self, path: str) -> pathlib.Path:
        return self.root / path.lstrip('/')

    def install(
        self, user: str = 'manila', key: str = KEY, **environment: str
    ) -> 'subprocess.CompletedProcess[str]':
        script = installer(user, key)
        for path in (
            node.SCRIPT_PATH,
            node.UNIT_PATH,
            node.DROP_IN_PATH,
            node.SUDOERS_PATH,
            node.RUNNER_PATH,
            node.SETTINGS_PATH,
        ):
            # As a word of the script itself, not inside a file it writes.
            script = re.sub(
                rf'(?<![=\w]){re.escape(path)}', str(self.path(path)), script
            )
            self.path(path).parent.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            ['sh'],
            input=script,
            capture_output=True,
            text=True,
            env={
                'PATH': f'{self.bin}:/usr/bin:/bin',
                'STATE': str(self.state),
                **environment,
            },
        )

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in self.root.rglob('*')
            if path.is_file() and path.parent not in (self.bin, self.state)
        }


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path)


def test_installing(host: Host) -> None:
    done = host.install()
    assert done.returncode == 0, done.stderr
    script = host.path(node.SCRIPT_PATH)
    assert script.read_text() == node.text(node.SCRIPT)
    assert script.stat().st_mode & 0o777 == 0o755
    unit = host.path(node.UNIT_PATH)
    assert unit.read_text() == node.text(node.UNIT)
    assert unit.stat().st_mode & 0o777 == 0o644
    drop_in = host.path(node.DROP_IN_PATH).read_text()
    assert drop_in.replace(str(host.root), '') == node.text(node.DROP_IN)
    sudoers = host.path(node.SUDOERS_PATH)
    rule = sudoers.read_text().replace(str(host.root), '')
    assert rule == RULE
    assert sudoers.stat().st_mode & 0o777 == 0o440
    settings = host.path(node.SETTINGS_PATH)
    assert settings.read_text() == SETTINGS
    assert settings.stat().st_mode & 0o777 == 0o644
    assert not host.path(f'{node.SUDOERS_PATH}.new').exists()
    keys = host.state / 'home/.ssh/authorized_keys'
    assert keys.read_text() == f'\n{KEY}\n'
    assert keys.stat().st_mode & 0o777 == 0o600
    assert (host.state / 'systemctl').read_text().splitlines() == [
        'daemon-reload',
        f'enable {node.UNIT}',
    ]


def test_a_second_installation_changes_nothing(host: Host) -> None:
    assert host.install().returncode == 0
    first = host.files()
    assert host.install().returncode == 0
    assert host.files() == first
    assert len((host.state / 'useradd').read_text().splitlines()) == 1


@pytest.mark.parametrize('end', ['', '\n'])
def test_other_keys_are_kept(host: Host, end: str) -> None:
    keys = host.state / 'home/.ssh/authorized_keys'
    keys.parent.mkdir(parents=True)
    keys.write_text(f'{KEY} of another{end}')
    host.install()
    lines = [line for line in keys.read_text().splitlines() if line]
    assert lines == [f'{KEY} of another', KEY]


def test_without_a_key_no_key_is_installed(host: Host) -> None:
    assert host.install(key='').returncode == 0
    assert not (host.state / 'home').exists()


@pytest.mark.parametrize('shell', ['/usr/sbin/nologin', '/bin/false'])
def test_a_user_without_a_shell_gets_one(host: Host, shell: str) -> None:
    assert host.install().returncode == 0
    assert not (host.state / 'usermod').exists()
    assert host.install(SHELL_OF_USER=shell).returncode == 0
    assert (host.state / 'usermod').read_text() == '--shell /bin/sh manila\n'


def test_rejected_sudo_rules_are_removed(host: Host) -> None:
    done = host.install(BAD_SUDOERS='NOPASSWD')
    assert done.returncode == 1
    assert 'update sudo' in done.stderr
    assert not host.path(node.SUDOERS_PATH).exists()
    assert not host.path(f'{node.SUDOERS_PATH}.new').exists()
    assert not (host.state / 'systemctl').exists()


def test_rejected_sudo_rules_do_not_replace_old_ones(host: Host) -> None:
    host.install()
    host.install(user='stack', BAD_SUDOERS='NOPASSWD')
    text = host.path(node.SUDOERS_PATH).read_text()
    assert text.replace(str(host.root), '') == RULE


def test_a_sudo_without_requiretty(host: Host) -> None:
    assert host.install(BAD_SUDOERS='!requiretty').returncode == 0
    text = host.path(node.SUDOERS_PATH).read_text()
    assert text.replace(str(host.root), '') == node.text(node.SUDOERS)


def test_the_installed_runner_runs(host: Host) -> None:
    assert host.install().returncode == 0
    path = host.path(node.RUNNER_PATH)
    assert path.stat().st_mode & 0o777 == 0o755
    assert not host.path(f'{node.RUNNER_PATH}.new').exists()
    first, _, rest = path.read_bytes().partition(b'\n')
    assert first in (
        b'#!/usr/bin/python3 -IS',
        b'#!/usr/libexec/platform-python -IS',
    )
    assert rest == RUNNER
    done = subprocess.run(
        [str(path)], input=b'nonsense\n', capture_output=True
    )
    assert done.returncode == 3
    assert b'not a frame' in done.stderr


def test_no_file_contains_the_end_of_a_here_document() -> None:
    for name in (node.SCRIPT, node.UNIT, node.DROP_IN, node.SUDOERS):
        assert node._END not in node.text(name).splitlines()


# -- sudo


@pytest.mark.parametrize('user', ['manila', 'stack-1', '_x'])
def test_visudo_accepts_the_rules(tmp_path: pathlib.Path, user: str) -> None:
    path = tmp_path / 'sudoers'
    path.write_text(node.sudoers(user))
    path.chmod(0o440)
    subprocess.run(
        ['/usr/sbin/visudo', '-c', '-q', '-f', str(path)],
        check=True,
        capture_output=True,
    )


def test_there_is_one_rule_without_arguments() -> None:
    lines = node.sudoers('stack-1').splitlines()
    rules = [line for line in lines if not line.startswith('#')]
    assert rules == [f'stack-1 ALL=(root) NOPASSWD: {node.RUNNER_PATH} ""']


def test_the_runner_has_the_same_paths() -> None:
    assert service.SETTINGS == node.SETTINGS_PATH
    assert verbs.BOOT_UNIT == node.UNIT


# -- the unit


def test_the_unit() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(node.text(node.UNIT))
    assert unit['Service']['ExecStart'] == node.SCRIPT_PATH
    assert unit['Service']['Type'] == 'oneshot'
    assert 'glusterd.service' in unit['Unit']['Before'].split()
    assert 'glusterd.service' in unit['Install']['WantedBy'].split()
    # A brick that cannot be mounted must not keep glusterd from starting.
    assert 'RequiredBy' not in unit['Install']


def test_each_start_of_glusterd_runs_the_script() -> None:
    drop_in = configparser.ConfigParser(interpolation=None)
    drop_in.optionxform = str  # type: ignore[assignment,method-assign]
    drop_in.read_string(node.text(node.DROP_IN))
    before = drop_in['Service']['ExecStartPre']
    assert re.fullmatch(rf'-/usr/bin/timeout \d+ {node.SCRIPT_PATH}', before)


def test_the_script_uses_the_tags_of_the_driver() -> None:
    script = node.text(node.SCRIPT)
    assert f'*,{names.TAG_BRICK},*)' in script
    assert f'*,{names.TAG_SNAPSHOT}*)' in script
    assert names.TAG_MOUNT.replace('.', r'\.') in script
