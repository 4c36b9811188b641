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
"""A real sshd with a login user, a sudo and a host name of its own.

It runs in namespaces in which these files of the host are replaced, so it
needs root and changes nothing of the host.
"""

from collections.abc import Iterator, Sequence
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from unittest import mock

from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import commands
from tests.unit import runner_process
from tests.unit import sshd

USER = 'stack'
_UID = 64999
#: Replaces files of the host, and starts a program.
_REPLACE = (
    'hostname "$1"; shift; '
    'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; '
    'shift; exec "$@"'
)
#: The rules of sudo beside that of the driver.
_BASE = 'root ALL=(ALL:ALL) ALL\n'


class LoginHost:
    """A host on which the driver logs in as a user, and uses sudo.

    :param home: a directory that all users may read.
    """

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        (home / 'node').mkdir()
        self.node = runner_process.Node(home / 'node')
        self.server = sshd.Sshd(home)
        # The real one.
        (home / 'bin' / 'sudo').unlink()
        self.host_name = 'gl1'
        #: Other lines of sudoers, before the rule of the driver.
        self.sudoers = ''
        #: The rule of the driver.
        self.rule = node_files.sudoers(USER).replace(
            node_files.RUNNER_PATH, str(self.node.file)
        )
        self.shell = shutil.which('bash') or '/bin/sh'
        self.visudo = shutil.which('visudo', path='/usr/sbin:/usr/bin') or ''
        #: Files in place of those of the host.
        self.replaced: dict[str, pathlib.Path] = {}
        self.replace('/etc/hosts', f'127.0.0.1 localhost {self.host_name}\n')

    def replace(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a file of the host."""
        file = self.home / path.strip('/').replace('/', '-')
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)
        self.replaced[path] = file

    def start(self) -> None:
        """Start sshd with what was set."""
        home, shell = self.home, self.shell
        accounts = pathlib.Path('/etc/passwd').read_text()
        passwords = pathlib.Path('/etc/shadow').read_text()
        self.replace(
            '/etc/passwd',
            f'{accounts}{USER}:x:{_UID}:{_UID}::{home}:{shell}\n',
        )
        self.replace(
            '/etc/shadow', f'{passwords}{USER}:*:19000:0:99999:7:::\n', 0o640
        )
        self.replace('/etc/sudoers', self._sudoers(), 0o440)
        files = [
            word
            for target, file in self.replaced.items()
            for word in (str(file), target)
        ]
        self.server.wrapper = (
            *('unshare', '--mount', '--uts', 'sh', '-euc', _REPLACE, 'sh'),
            *(self.host_name, *files, '--'),
        )
        self.server.start()

    def remote(self) -> commands.Remote:
        """Return the driver's side."""
        with runner_path(self.node.file):
            return commands.Remote(
                commands.Address(sshd.HOST, self.server.port, USER),
                commands.Credentials(
                    str(self.home / 'user'), str(self.home / 'known_hosts')
                ),
                connect_timeout=sshd.PATIENCE,
            )

    def runners(self) -> list[int]:
        """Return the processes of the runner."""
        found = []
        for number in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):
                words = pathlib.Path('/proc', number, 'cmdline').read_bytes()
                line = words.rstrip(b'\0').split(b'\0')
                if line[-1] == bytes(self.node.file) and b'sudo' not in line:
                    found.append(int(number))
        return found

    def _sudoers(self) -> str:
        """Return what the installer makes of the rules, as it does that."""
        text = f'{_BASE}{self.sudoers}{self.rule}'
        assert self._accepts(text)
        exception = f'Defaults!{self.node.file} !requiretty\n'
        return text + exception if self._accepts(text + exception) else text

    def _accepts(self, text: str) -> bool:
        file = self.home / 'sudoers.new'
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o440)
        done = subprocess.run(
            [self.visudo, '-c', '-q', '-f', str(file)], capture_output=True
        )
        return done.returncode == 0


@contextlib.contextmanager
def runner_path(path: pathlib.Path) -> Iterator[None]:
    """Have the driver start another file as the runner."""
    with mock.patch.object(node_files, 'RUNNER_PATH', str(path)):
        yield


@contextlib.contextmanager
def made() -> Iterator[LoginHost]:
    """Make a host, and end it."""
    with tempfile.TemporaryDirectory(prefix='login-host-') as name:
        os.chmod(name, 0o755)
        host = LoginHost(pathlib.Path(name))
        try:
            yield host
        finally:
            host.server.kill()


def can_be_made() -> bool:
    """Return whether this process may make namespaces."""
    words: Sequence[str] = ('unshare', '--mount', '--uts', 'true')
    return os.getuid() == 0 and (
        subprocess.run(words, capture_output=True).returncode == 0
    )
