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

import ast
import configparser
import pathlib
import re
import shutil
import subprocess

import pytest

import manila_glusterfs_clone
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node
from manila_glusterfs_clone.preflight import programs_and_sudo
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.tools import file_systems
from tests.unit import fakes

MARK = 'trusted.glusterfs.volume-id'
BRICK = '/run/gluster/snaps/2ba6f450/brick1/brick'

KEY = 'ssh-ed25519 AAAAC3Nz a comment with $HOME, `id` and \'quotes\''
SCRIPTS = {
    'bare': node.installer('manila', ''),
    'with a key': node.installer('manila', KEY),
    'other user': node.installer('stack-1', KEY),
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
    'getent': 'echo "x:x:1:1::$STATE/home:/bin/sh"',
    'visudo': 'exit "${BAD_SUDOERS:-0}"',
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
        script = node.installer(user, key)
        for path in (
            node.SCRIPT_PATH,
            node.UNIT_PATH,
            node.DROP_IN_PATH,
            node.SUDOERS_PATH,
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

    def files(self) -> dict[str, tuple[str, int]]:
        return {
            str(path): (path.read_text(), path.stat().st_mode & 0o777)
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
    assert sudoers.read_text() == node.text(node.SUDOERS)
    assert sudoers.stat().st_mode & 0o777 == 0o440
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


def test_rejected_sudo_rules_are_removed(host: Host) -> None:
    done = host.install(BAD_SUDOERS='1')
    assert done.returncode == 1
    assert '1.9.10' in done.stderr
    assert not host.path(node.SUDOERS_PATH).exists()
    assert not host.path(f'{node.SUDOERS_PATH}.new').exists()
    assert not (host.state / 'systemctl').exists()


def test_rejected_sudo_rules_do_not_replace_old_ones(host: Host) -> None:
    host.install()
    host.install(user='stack', BAD_SUDOERS='1')
    text = host.path(node.SUDOERS_PATH).read_text()
    assert text == node.text(node.SUDOERS)


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


def test_the_rules_name_only_the_user() -> None:
    for line in node.sudoers('stack-1').splitlines():
        if not line.startswith('#'):
            assert re.match(r'(Defaults:)?stack-1 ', line) or not line
    # What is no user's name stays.
    assert node.sudoers('stack-1').count('manila-glusterfs-clone-') == 1


def allowed(command: str) -> bool:
    """Return whether the sudo rules allow a command line."""
    program, _, arguments = command.partition(' ')
    for line in node.text(node.SUDOERS).splitlines():
        match = re.fullmatch(r'manila .* NOPASSWD: (\S+) (\^.*\$)', line)
        if match and match[1].rpartition('/')[2] == program:
            if re.search(match[2], arguments):
                return True
    return False


def _first_words() -> set[str]:
    """Return the programs that the modules run as root."""
    package = pathlib.Path(manila_glusterfs_clone.__file__).parent
    found = set()
    for path in package.rglob('*.py'):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if any(word.arg == 'as_root' for word in call.keywords):
                continue
            name = getattr(call.func, 'attr', '')
            first = call.args[0]
            if name == 'run' and isinstance(first, ast.List):
                first = first.elts[0]
            elif name != '_run':
                continue
            if isinstance(first, ast.Constant):
                found.add(str(first.value))
    # It may ask for the state of one unit, and set one attribute.
    return found - {'systemctl', 'setfattr'}


def test_sudo_allows_reading_the_state_of_the_boot_unit() -> None:
    line = commands.command_line(
        ['systemctl', 'is-enabled', node.UNIT], sudo=True, seconds=60
    )
    assert allowed(line.removeprefix('LC_ALL=C sudo -n '))


def test_sudo_allows_writing_a_volume_id() -> None:
    fake = fakes.Node()
    line = ['setfattr', f'--name={MARK}', f'--value=0x{"a1" * 16}', BRICK]
    fake.answer(line, fakes.Answer())
    file_systems.FileSystems(fake).write_volume_id(BRICK, 'a1' * 16)
    said = commands.command_line(fake.ran[0], sudo=True, seconds=60)
    assert allowed(said.removeprefix('LC_ALL=C sudo -n '))


def test_the_commands_of_the_driver_are_found() -> None:
    assert {'lvs', 'lvremove', 'mount', 'getfattr', 'hostname'} <= (
        _first_words()
    )


@pytest.mark.parametrize('program', sorted({*_first_words(), 'gluster'}))
def test_sudo_allows_the_commands_of_the_driver(program: str) -> None:
    line = commands.command_line(
        [program, '--some', 'a b'], sudo=True, seconds=60
    )
    prefix = 'LC_ALL=C sudo -n '
    assert line.startswith(prefix)
    # sudo is given words; it matches them joined by single blanks.
    assert allowed(line[len(prefix) :])


def test_the_probe_tries_all_commands_of_the_driver() -> None:
    tried = {
        program.name
        for program in programs_and_sudo.PROGRAMS
        if program.as_root
    }
    assert _first_words() | {'gluster', 'systemctl', 'setfattr'} == tried


@pytest.mark.parametrize(
    'program',
    [p for p in programs_and_sudo.PROGRAMS if p.as_root],
    ids=lambda p: p.name,
)
def test_sudo_allows_the_commands_of_the_probe(
    program: programs_and_sudo.Program,
) -> None:
    line = commands.command_line(
        [program.name, *program.probe_arguments], sudo=True, seconds=10
    )
    assert line in programs_and_sudo.script(sudo=True)
    assert allowed(line.removeprefix('LC_ALL=C sudo -n '))


def test_sudo_allows_the_console() -> None:
    line = commands.command_line(
        ['gluster', '--mode=script', '--xml'], sudo=True
    )
    assert allowed(line.removeprefix('LC_ALL=C sudo -n '))


@pytest.mark.parametrize(
    'command',
    [
        'timeout -k 5 60 sh -c id',
        'timeout -k 5 60 bash',
        'timeout 60 lvs',
        'timeout --foreground -k 5 60 lvs',
        'timeout -k 5 60 lvsx',
        'timeout -k 5 60 /tmp/lvs',
        'timeout -k 5 60 lvmconfig --file /etc/cron.d/x',
        'timeout -k 5 60 /sbin/lvmconfig --file /etc/cron.d/x',
        'timeout -k 5 60 xlvs',
        'timeout -k 5 60 systemctl stop glusterd',
        f'timeout -k 5 60 systemctl is-enabled {node.UNIT} glusterd',
        'timeout -k 5 60 mkfsxxfs',
        f'timeout -k 5 60 setfattr --name={MARK} --value=0x1 {BRICK}',
        f'timeout -k 5 60 setfattr --name=user.x --value=0x{"a" * 32} /b',
        f'timeout -k 5 60 setfattr --name={MARK} --value=0x{"a" * 32} /b /c',
        'timeout -k 5 60 setfattr --restore=/b',
        'gluster volume list',
        'gluster --mode=script --xml volume list',
        'lvs',
        'sh',
    ],
)
def test_sudo_allows_nothing_else(command: str) -> None:
    assert not allowed(command)


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
