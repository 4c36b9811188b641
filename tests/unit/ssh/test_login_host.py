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
"""The runner behind programs of real hosts: shells, sudo and banners.

Each host has something that other hosts do not have. The driver works on all
of them, or names what it cannot work with.
"""

from collections.abc import Callable, Iterator
import concurrent.futures
import os
import shutil

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from tests.unit import runner_process
from tests.unit.ssh import login_host
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd

pytestmark = pytest.mark.skipif(
    not login_host.can_be_made(), reason='needs root and namespaces'
)

READ = ssh_helpers.READ
LV = f'gvg/{runner_process.VOLUME}'
CHANGE = commands.Step('extend_lv', {'lv': LV, 'size': 1 << 30})
Host = login_host.LoginHost
Dress = Callable[[Host], None]

#: Means the same to all shells.
NOISE = """\
sh -c 'echo "warning: setlocale: cannot change locale (de_DE)" >&2'
echo 'Welcome to gl1!'
printf 'no end of line'
"""
#: The files that the shells read even if they run a single command.
FILES_OF_SHELLS = ('.bashrc', '.zshenv', '.cshrc', '.config/fish/config.fish')


def defaults(*settings: str) -> Dress:
    """Return what sets defaults of sudo."""

    def put_on(host: Host) -> None:
        host.sudoers = ''.join(f'Defaults {each}\n' for each in settings)

    return put_on


def user_requiretty(host: Host) -> None:
    """Ask for a terminal in a line that is for the login user."""
    host.sudoers = f'Defaults:{login_host.USER} requiretty\n'


def login_shell(*paths: str) -> Dress:
    """Return what sets the login shell, which prints something."""

    def put_on(host: Host) -> None:
        for name in FILES_OF_SHELLS:
            (host.home / name).parent.mkdir(parents=True, exist_ok=True)
            (host.home / name).write_text(NOISE)
        for path in paths:
            if found := shutil.which(path):
                host.shell = found
                return
        pytest.skip(f'{paths[0]} is not installed')

    return put_on


def busybox(host: Host) -> None:
    """Make the shell of busybox the login shell, and "sh"."""
    found = shutil.which('busybox')
    if not found:
        pytest.skip('busybox is not installed')
    shell = host.home / 'sh'
    shutil.copy(found, shell)
    host.shell = str(shell)
    host.replaced[os.path.realpath('/bin/sh')] = shell


def unresolvable(host: Host) -> None:
    """Give the host a name that it cannot resolve: sudo complains."""
    host.host_name = 'gl1-unknown'
    host.replace('/etc/hosts', '127.0.0.1 localhost\n')
    host.replace('/etc/nsswitch.conf', 'passwd: files\nhosts: files\n')


def noisy(host: Host) -> None:
    """Have all that can print something print something."""
    unresolvable(host)
    login_shell('bash')(host)
    defaults('lecture=always')(host)
    banner = host.home / 'banner'
    banner.write_text('Authorized use only.\n' * 20)
    # sshd runs this file, whatever the login shell is.
    (host.home / '.ssh').mkdir()
    (host.home / '.ssh' / 'rc').write_text('echo "last login"; echo rc >&2\n')
    host.server.more = f'Banner {banner}\n'


def hardened(host: Host) -> None:
    """Allow one session, and no environment; have sudo ask for a terminal."""
    defaults('requiretty', 'use_pty', 'timestamp_timeout=0', 'umask=0077')(
        host
    )
    host.server.more = (
        'MaxSessions 1\nMaxStartups 2:100:2\nPermitUserRC no\nPermitTTY no\n'
        'AllowTcpForwarding no\nAllowAgentForwarding no\nMaxAuthTries 2\n'
        f'X11Forwarding no\nAllowUsers {login_host.USER}\n'
    )


def input_logged(host: Host) -> None:
    """Have sudo record what the runner reads and writes."""
    (host.home / 'log-of-sudo').mkdir()
    defaults('log_input', 'log_output', f'iolog_dir={host.home}/log-of-sudo')(
        host
    )


def sudo_rs(host: Host) -> None:
    """Use the sudo of Ubuntu 25.10, which has fewer settings."""
    sudo, visudo = shutil.which('sudo-rs'), shutil.which('visudo-rs')
    if not sudo or not visudo:
        pytest.skip('sudo-rs is not installed')
    (host.home / 'bin' / 'sudo').symlink_to(sudo)
    host.visudo = visudo


DRESSES: dict[str, Dress] = {
    'bash': login_shell('bash'),
    'dash': login_shell('dash', 'sh'),
    'zsh': login_shell('zsh'),
    'fish': login_shell('fish'),
    'tcsh': login_shell('tcsh'),
    'mksh': login_shell('mksh'),
    'busybox': busybox,
    'requiretty': defaults('requiretty'),
    'requiretty of the user': user_requiretty,
    'use_pty': defaults('use_pty'),
    'no use_pty': defaults('!use_pty'),
    'lecture': defaults('lecture=always'),
    'environment': defaults('env_reset', 'secure_path=/usr/bin', '!setenv'),
    'unresolvable': unresolvable,
    'noisy': noisy,
    'hardened': hardened,
    'input logged': input_logged,
    'sudo-rs': sudo_rs,
}


@pytest.fixture(params=DRESSES)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with login_host.made() as host:
        DRESSES[request.param](host)
        host.start()
        yield host


def test_life_of_a_runner(host: Host) -> None:
    node = host.remote()
    try:
        run_steps(host, node)
        kill_runner(host, node)
        lose_link(host, node)
    finally:
        node.close()


def run_steps(host: Host, node: commands.Remote) -> None:
    """Requests and answers pass, and nothing is left behind."""
    size = 300000
    host.node.program(
        'lvs', f"/usr/bin/head -c {size} /dev/zero | /usr/bin/tr '\\0' x"
    )
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(node.run, READ) for _ in range(8)]
        for each in runs:
            assert len(each.result(sshd.PATIENCE).stdout) == size
    host.node.lvs(runner_process.lv(runner_process.VOLUME))
    node.run(CHANGE)
    host.node.program('lvextend', 'echo err >&2; exit 3')
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(CHANGE)
    # No word of others.
    assert (caught.value.status, caught.value.stderr) == (3, 'err\n')
    assert host.runners()
    node.close()
    sshd.wait_until(lambda: not host.runners(), 'the end of the runner')


def kill_runner(host: Host, node: commands.Remote) -> None:
    """The outcome is unknown, and the next step starts another runner."""
    host.node.program('lvextend', 'kill -9 $PPID')
    with pytest.raises(errors.LinkLost):
        node.run(CHANGE)
    host.node.program('lvextend', '')
    assert node.run(CHANGE).status == 0


def lose_link(host: Host, node: commands.Remote) -> None:
    """A change goes on to its end, and the runner ends after it."""
    host.node.program(
        'lvextend',
        f'echo begun >>"$S/calls"; {runner_process.UNTIL_GO}; '
        f'echo end >>"$S/calls"',
    )
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(node.run, CHANGE)
        sshd.wait_until(lambda: host.node.calls()[-1] == 'begun', 'it runs')
        host.server.kill()
        with pytest.raises(errors.LinkLost):
            runs.result(sshd.PATIENCE)
    host.node.go()
    sshd.wait_until(lambda: host.node.calls()[-1] == 'end', 'the end')
    sshd.wait_until(lambda: not host.runners(), 'the end of the runner')


def without_rule(host: Host) -> None:
    host.rule = ''


def without_login(host: Host) -> None:
    host.shell = shutil.which('nologin', path='/usr/sbin:/sbin') or ''


def with_an_end(host: Host) -> None:
    login_shell('bash')(host)
    (host.home / '.bashrc').write_text(f'{NOISE}echo go away >&2; exit 1\n')


@pytest.mark.parametrize(
    ('put_on', 'cause'),
    [
        (without_rule, 'a password is required'),
        (without_login, 'This account is currently not available'),
        (with_an_end, 'go away'),
    ],
)
def test_cause_is_named(put_on: Dress, cause: str) -> None:
    """The words of the node are in the message, and nothing was run."""
    with login_host.made() as host:
        noisy(host)
        put_on(host)
        host.start()
        remote = host.remote()
        try:
            error = ssh_helpers.refusal(remote)
        finally:
            remote.close()
        assert isinstance(error, greetings.NoRunner)
        assert cause in str(error)
        assert not host.node.calls()
