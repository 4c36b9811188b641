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
"""Logging in: host keys, user keys, and servers that do not answer."""

from collections.abc import Callable
import concurrent.futures
import os
import socket
import threading
import time

import paramiko
from paramiko import common
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


def test_unknown_host_key(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    (server.home / 'empty').write_text(
        sshd.known_hosts_line(server.port + 1, server.home / 'host.pub')
    )
    error = ssh_helpers.refusal(connect(server, known_hosts='empty'))
    assert isinstance(error, errors.HostKeyRejected)
    assert 'unknown' in error.reason
    assert 'SHA256:' in error.reason


def test_wrong_host_key(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    (server.home / 'wrong').write_text(
        sshd.known_hosts_line(server.port, server.home / 'stranger.pub')
    )
    error = ssh_helpers.refusal(connect(server, known_hosts='wrong'))
    assert isinstance(error, errors.HostKeyRejected)
    assert 'differs' in error.reason


def test_wrong_user_key(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    error = ssh_helpers.refusal(connect(server, key='stranger'))
    assert not isinstance(error, errors.HostKeyRejected)
    assert str(server.home / 'stranger') in error.reason


def test_missing_files(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    error = ssh_helpers.refusal(connect(server, key='none'))
    assert str(server.home / 'none') in error.reason
    assert 'does not exist' in error.reason
    error = ssh_helpers.refusal(connect(server, known_hosts='none'))
    assert str(server.home / 'none') in error.reason
    assert 'does not exist' in error.reason
    error = ssh_helpers.refusal(connect(server, known_hosts='.'))
    assert 'is not a file' in error.reason


def test_malformed_files(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    (server.home / 'bad').write_bytes(b'CONTENT \xff CONTENT CONTENT\n')
    for error in (
        ssh_helpers.refusal(connect(server, key='bad')),
        ssh_helpers.refusal(connect(server, known_hosts='bad')),
    ):
        assert 'malformed' in error.reason
        assert str(server.home / 'bad') in error.reason
        assert 'CONTENT' not in str(error)


def test_key_with_a_passphrase(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(server.home / 'locked'), password='secret')
    error = ssh_helpers.refusal(connect(server, key='locked'))
    assert 'passphrase' in error.reason


@pytest.mark.skipif(os.getuid() == 0, reason='root may read all files')
def test_unreadable_key(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    (server.home / 'mode0').write_text('CONTENT')
    (server.home / 'mode0').chmod(0)
    error = ssh_helpers.refusal(connect(server, key='mode0'))
    assert 'cannot be read' in error.reason


def test_connection_refused(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    node = connect(home=server.home, port=sshd.free_port())
    assert 'refused' in ssh_helpers.refusal(node).reason


def test_no_such_name(server: sshd.Sshd) -> None:
    node = commands.Remote(
        commands.Address('nowhere.invalid', 22),
        commands.Credentials(
            str(server.home / 'user'), str(server.home / 'known_hosts')
        ),
        connect_timeout=5,
    )
    with pytest.raises(errors.Unreachable):
        node.run(ssh_helpers.READ)


@pytest.mark.parametrize(
    'answer',
    [
        pytest.param(lambda sock: None, id='silence'),
        pytest.param(lambda sock: sock.close(), id='hang-up'),
        pytest.param(lambda sock: sock.sendall(b'SSH'), id='half a banner'),
        pytest.param(
            lambda sock: sock.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n'),
            id='another protocol',
        ),
        pytest.param(
            lambda sock: sock.sendall(bytes(range(256)) * 40), id='garbage'
        ),
        pytest.param(
            lambda sock: [sock.sendall(b'hello\n') for _ in range(10**6)],
            id='endless greeting',
        ),
    ],
)
def test_no_ssh_server(
    server: sshd.Sshd,
    connect: ssh_helpers.Connect,
    answer: Callable[[socket.socket], None],
) -> None:
    with sshd.raw(answer) as port:
        node = connect(home=server.home, port=port, connect_timeout=0.3)
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            started = time.monotonic()
            tries = [
                pool.submit(node.run, ssh_helpers.READ) for _ in range(40)
            ]
            for one in tries:
                with pytest.raises(errors.Unreachable):
                    one.result(ssh_helpers.SOON)
            # Together, not one after the other.
            assert time.monotonic() - started < 0.3 * 40


def test_login_never_answered(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    asked = threading.Event()

    class Silent(sshd.Manners):
        def check_auth_publickey(
            self, username: str, key: paramiko.PKey
        ) -> int:
            asked.set()
            self.server.over.wait()
            return common.AUTH_FAILED

    one = crooked(Silent)

    def attempt(seconds: float) -> errors.Unreachable | None:
        error = ssh_helpers.refusal(connect(one, connect_timeout=seconds))
        return error if asked.is_set() else None

    assert 'login' in ssh_helpers.patiently(attempt, 0.5).reason


def test_time_limit_shorter_than_the_connect_timeout(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    with sshd.raw(lambda sock: None) as port:
        node = connect(home=server.home, port=port, connect_timeout=10)
        started = time.monotonic()
        with pytest.raises(errors.Unreachable) as caught:
            node.run(ssh_helpers.READ, timeout=0.3)
        assert 'took too long' in caught.value.reason
        assert time.monotonic() - started < 5
