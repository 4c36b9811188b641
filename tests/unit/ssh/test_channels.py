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
"""Channels: opening, deadlines, and lost connections."""

import concurrent.futures
import math
import signal
import socket
from typing import Any

import paramiko
from paramiko import common
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import transports
from tests.unit import runner_process
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd

READ = ssh_helpers.READ


def test_channel_refused(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    class Full(sshd.Manners):
        refusals = 0.0

        def check_channel_request(self, kind: str, chanid: int) -> int:
            Full.refusals -= 1
            if Full.refusals < 0:
                return common.OPEN_SUCCEEDED
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    # A new connection opens it.
    Full.refusals = 1
    assert connect(crooked(Full)).run(READ).stdout == 'done'
    Full.refusals = math.inf
    one = crooked(Full)
    assert 'prohibited' in ssh_helpers.refusal(connect(one)).reason
    assert one.connections == 2


def test_channel_never_opened(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    """A connection that opens no channel is dead, and is replaced."""

    class Stuck(sshd.Manners):
        def check_channel_request(self, kind: str, chanid: int) -> int:
            if self.server.connections == 1:
                self.server.over.wait()
            return common.OPEN_SUCCEEDED

    def attempt(seconds: float) -> int | None:
        one = crooked(Stuck)
        node = connect(one)
        node._connect_timeout = seconds
        try:
            assert node.run(READ).stdout == 'done'
        except errors.Unreachable:
            # Nor did the new one open it in time.
            return None
        return one.connections

    assert ssh_helpers.patiently(attempt, 0.5) == 2


def test_request_to_start_is_never_answered(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    class Stuck(sshd.Manners):
        def check_channel_exec_request(
            self, channel: paramiko.Channel, command: bytes
        ) -> bool:
            self.server.commands.append(command.decode())
            self.server.over.wait()
            return False

    def attempt(seconds: float) -> errors.Unreachable | None:
        one = crooked(Stuck)
        node = connect(one)
        node._connect_timeout = seconds
        error = ssh_helpers.refusal(node)
        return error if one.commands else None

    error = ssh_helpers.patiently(attempt, 0.5)
    assert 'request to start' in error.reason


def test_refused_request_to_start(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    class Unable(sshd.Manners):
        def check_channel_exec_request(
            self, channel: paramiko.Channel, command: bytes
        ) -> bool:
            return False

    ssh_helpers.refusal(connect(crooked(Unable)))


@pytest.mark.parametrize('how', ['shutdown', 'close', 'half a frame'])
def test_connection_lost_during_a_step(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect, how: str
) -> None:
    class Dropping(sshd.Manners):
        def answer(
            self, channel: paramiko.Channel, verb: str
        ) -> dict[str, Any]:
            if verb != 'hello':
                if how == 'half a frame':
                    channel.sendall(b'@half')
                if how == 'shutdown':
                    transport = channel.get_transport()
                    assert transport is not None
                    transport.sock.shutdown(socket.SHUT_RDWR)
                channel.close()
            return super().answer(channel, verb)

    node = connect(crooked(Dropping))
    for _ in range(2):
        with pytest.raises(errors.LinkLost):
            node.run(READ)


def test_frozen_node_with_full_sockets(
    mortal: sshd.Sshd,
    connect: ssh_helpers.Connect,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More is sent to a frozen node than the socket has room for."""
    # The kernel is not to be the one that gives up.
    monkeypatch.setattr(
        transports, 'UNACKNOWLEDGED_SECONDS', 10 * ssh_helpers.SOON
    )
    monkeypatch.setattr(
        'manila_glusterfs_clone.ssh.runner_client._SEND_SECONDS', 0.5
    )
    directory = mortal.home / 'node'
    directory.mkdir()
    host = runner_process.Node(directory)
    node = connect(mortal, runner=host.file)
    node.run(READ)
    step = commands.Step('gluster', {'words': ['x' * (1 << 19)]})
    mortal.signal(signal.SIGSTOP)
    try:
        node._connect_timeout = 1.0
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            futures = [
                pool.submit(node.run, step, timeout=2) for _ in range(20)
            ]
            failures = [f.exception(ssh_helpers.SOON) for f in futures]
    finally:
        mortal.signal(signal.SIGCONT)
    assert all(
        isinstance(error, (errors.Unknown, errors.Unreachable))
        for error in failures
    )
    assert any(isinstance(error, errors.Unknown) for error in failures)
    node._connect_timeout = sshd.PATIENCE
    sshd.wait_until(lambda: node.run(READ), 'it works again')
