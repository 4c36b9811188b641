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
"""SSH servers on 127.0.0.1: a real sshd, and some that misbehave."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from typing import Any

import paramiko
from paramiko import common

from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.node.runner import frames

SSHD = shutil.which('sshd', path='/usr/sbin:/usr/bin:/sbin:/bin') or ''
HOST = '127.0.0.1'
USER = pwd.getpwuid(os.getuid()).pw_name

#: Seconds for things that take milliseconds, unless the machine is busy.
PATIENCE = 30.0

#: Stands in for sudo, where a password would be needed for ``false``.
SUDO = """\
#!/bin/sh
[ "$1" = -n ] || exit 99
shift
for word; do
    if [ "$word" = false ]; then
        echo 'sudo: a password is required' >&2
        exit 1
    fi
done
SUDO_LINE="$*" exec "$@"
"""

CONFIG = """\
ListenAddress {host}:{port}
AuthorizedKeysFile {home}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
SetEnv HOME={home} PATH={home}/bin:{path}
"""


def wait_until(true: Callable[[], object], what: str) -> None:
    """Wait for something that must come true soon."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f'not in {PATIENCE:g} s: {what}')
        time.sleep(0.01)


def ssh_keygen(*words: str) -> None:
    """Run ssh-keygen."""
    subprocess.run(
        ['ssh-keygen', '-q', *words], check=True, stdin=subprocess.DEVNULL
    )


def make_key(path: pathlib.Path, key_type: str = 'ed25519') -> None:
    """Make a key pair, ``path`` and ``path.pub``."""
    size = ['-b', '2048'] if key_type == 'rsa' else []
    ssh_keygen('-t', key_type, *size, '-N', '', '-f', str(path))


def known_hosts_line(port: int, public_key: pathlib.Path) -> str:
    """Give a line that says that a key is the one of a port."""
    kind, key = public_key.read_text().split()[:2]
    return f'[{HOST}]:{port} {kind} {key}\n'


def free_port() -> int:
    """Give a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def children(parent: int) -> list[int]:
    """Give what of sshd descends from a process; each has its session."""
    found = []
    for number in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            stat = pathlib.Path('/proc', number, 'stat').read_text()
            head, _, tail = stat.rpartition(')')
            pid, _, name = head.partition(' (')
            if name.startswith('sshd') and int(tail.split()[1]) == parent:
                found += [int(pid), *children(int(pid))]
    return found


class Sshd:
    """A real sshd with keys, files and port of its own.

    In ``home``: the keys ``host``, ``user`` and ``stranger``, and
    ``known_hosts``.

    :param host_keys: the private keys of the server, if not ``host``.
    :param certificates: the host certificates of the server.
    """

    def __init__(
        self,
        home: pathlib.Path,
        host_keys: Sequence[pathlib.Path] = (),
        certificates: Sequence[pathlib.Path] = (),
    ) -> None:
        self.home = home
        self.port = 0
        #: More lines of its configuration.
        self.more = ''
        #: What starts it, in place of its own command line.
        self.wrapper: Sequence[str] = ()
        self._host_keys = host_keys or (home / 'host',)
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        for name in ('host', 'user', 'stranger'):
            make_key(home / name)
        (home / 'bin').mkdir()
        (home / 'bin' / 'sudo').write_text(SUDO)
        (home / 'bin' / 'sudo').chmod(0o755)

    def start(self) -> None:
        """Start it; again on the same port, if it has run before."""
        if os.getuid() == 0:
            # Where its unprivileged half is locked into.
            os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        for _ in range(10):
            port = self.port or free_port()
            if self._start(port):
                self.port = port
                break
        else:
            log = (self.home / 'log').read_text()
            raise AssertionError(f'sshd does not start: {log}')
        (self.home / 'known_hosts').write_text(
            known_hosts_line(self.port, self.home / 'host.pub')
        )

    def _start(self, port: int) -> bool:
        config = self.home / 'config'
        text = CONFIG.format(
            host=HOST, port=port, home=self.home, path=os.environ['PATH']
        )
        text += self.more
        text += ''.join(f'HostKey {path}\n' for path in self._host_keys)
        text += ''.join(
            f'HostCertificate {path}\n' for path in self._certificates
        )
        # Newer ones shut out who fails to log in; older do not know it.
        config.write_text(text + 'PerSourcePenalties no\n')
        test = [SSHD, '-t', '-f', str(config)]
        if subprocess.run(test, capture_output=True).returncode:
            config.write_text(text)
        with (self.home / 'log').open('wb') as log:
            process = subprocess.Popen(
                [*self.wrapper, SSHD, '-D', '-e', '-f', str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._process = process
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                with socket.create_connection((HOST, port), 5) as probe:
                    probe.settimeout(5)
                    if probe.recv(4) == b'SSH-':
                        return True
            time.sleep(0.01)
        self.kill()
        return False

    def signal(self, number: int) -> None:
        """Send a signal to all of it, but not to the commands it runs."""
        assert self._process is not None
        for pid in (self._process.pid, *children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End it and all its connections, without a word."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Manners(paramiko.ServerInterface):
    """How a :class:`Crooked` server behaves: well, but for overrides."""

    def __init__(self, server: 'Crooked') -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return 'publickey'

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(
        self, channel: paramiko.Channel, command: bytes
    ) -> bool:
        self.server.commands.append(command.decode())
        threading.Thread(
            target=self._run, args=(channel, command.decode()), daemon=True
        ).start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        # The client has gone; or the test is over.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.execute(channel, command)

    def execute(self, channel: paramiko.Channel, command: str) -> None:
        """Play a runner."""
        parser = frames.Frames()
        while data := channel.recv(1 << 16):
            for request in parser.feed(data):
                for at, step in enumerate(request['steps']):
                    answer = self.answer(channel, step['verb'])
                    content = {'id': request['id'], 'step': at, **answer}
                    channel.sendall(frames.frame(parser.nonce or '', content))
        channel.send_exit_status(0)
        channel.close()

    def answer(self, channel: paramiko.Channel, verb: str) -> dict[str, Any]:
        """Return the answer to a step."""
        if verb == 'hello':
            greeting = {
                'release': runner.RELEASE,
                'oldest_served': runner.OLDEST_SERVED,
            }
            return {'outcome': 'done', 'stdout': json.dumps(greeting)}
        self.server.begun.append(verb)
        return {'outcome': 'done', 'status': 0, 'stdout': 'done'}


class Crooked:
    """A server with bad manners, with the files of an :class:`Sshd`."""

    def __init__(
        self, home: pathlib.Path, manners: type[Manners] = Manners
    ) -> None:
        self.home = home
        self.commands: list[str] = []
        #: The steps but for greetings.
        self.begun: list[str] = []
        self.connections = 0
        #: Set when all that waits on the server's side must end.
        self.over = threading.Event()
        self._manners = manners
        self._key = paramiko.Ed25519Key.from_private_key_file(
            str(home / 'host')
        )
        self._transports: list[paramiko.Transport] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        (home / 'known_hosts').write_text(
            known_hosts_line(self.port, home / 'host.pub')
        )
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(sock)
            transport.add_server_key(self._key)
            self._transports.append(transport)
            transport.start_server(
                event=threading.Event(), server=self._manners(self)
            )

    def close(self) -> None:
        """End it and all its connections."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
        for transport in self._transports:
            transport.close()


@contextlib.contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a port, and answer connections not even in SSH."""
    listener = socket.create_server((HOST, 0))
    taken: list[socket.socket] = []

    def talk(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            answer(sock)

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            taken.append(sock)
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)
        for sock in taken:
            sock.close()
