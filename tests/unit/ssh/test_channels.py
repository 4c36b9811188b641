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

from collections.abc import Callable
import concurrent.futures
import functools
import math
import signal
import socket
import time

import paramiko
from paramiko import common
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import login
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


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

    def attempt(seconds: float) -> int | None:
        one = crooked(Full)
        node = connect(one)
        # Its places were taken for a moment.
        Full.refusals = 3
        assert node.run(['true']).stdout == 'done\n'
        Full.refusals = math.inf
        node._connect_timeout = seconds
        for start in (lambda: node.run(['true']), lambda: node.open(['true'])):
            started = time.monotonic()
            error = ssh_helpers.failure(start)
            if time.monotonic() - started >= seconds:
                # The last answer was late: that is as good as none.
                return None
            assert isinstance(error, errors.Unreachable)
            assert not errors.is_unknown(error)
            assert 'prohibited' in error.reason
        return one.connections

    assert ssh_helpers.patiently(attempt, 0.3) == 1


def test_channel_never_opened(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    """A connection that opens no channel is dead, and is replaced."""

    class Stuck(sshd.Manners):
        def check_channel_request(self, kind: str, chanid: int) -> int:
            if self.server.connections == 1 and self.server.commands:
                self.server.over.wait()
            return common.OPEN_SUCCEEDED

    def attempt(seconds: float) -> int | None:
        one = crooked(Stuck)
        node = connect(one)
        node.run(['true'])
        node._connect_timeout = seconds
        try:
            assert node.run(['true']).stdout == 'done\n'
        except errors.Unreachable:
            # Nor did the new one open it in time.
            return None
        return one.connections

    assert ssh_helpers.patiently(attempt, 0.5) == 2


Start = Callable[[commands.Remote, float], object]


def test_request_to_start_is_never_answered(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    class Stuck(sshd.Manners):
        def check_channel_exec_request(
            self, channel: paramiko.Channel, command: bytes
        ) -> bool:
            if b'hang' in command:
                self.server.commands.append(command.decode())
                self.server.over.wait()
            return super().check_channel_exec_request(channel, command)

    def attempt(start: Start, seconds: float) -> errors.Error | None:
        one = crooked(Stuck)
        node = connect(one)
        node.run(['true'])
        node._connect_timeout = seconds
        error = ssh_helpers.failure(lambda: start(node, seconds))
        return error if 'hang' in one.commands[-1] else None

    for start in (
        lambda node, seconds: node.run(['hang'], timeout=seconds),
        lambda node, seconds: node.open(['hang']),
    ):
        error = ssh_helpers.patiently(functools.partial(attempt, start), 0.3)
        assert isinstance(error, errors.LinkLost)
        assert 'request to start' in error.reason


def test_refused_request_to_start_is_unknown(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    """paramiko reports a refusal like a closed channel."""

    class Unable(sshd.Manners):
        def check_channel_exec_request(
            self, channel: paramiko.Channel, command: bytes
        ) -> bool:
            return False

    with pytest.raises(errors.LinkLost):
        connect(crooked(Unable)).run(['true'])


def test_connection_lost_during_a_command(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    class Dropping(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            channel.sendall(b'half')
            transport = channel.get_transport()
            assert transport is not None
            transport.sock.shutdown(socket.SHUT_RDWR)

    node = connect(crooked(Dropping))
    for _ in range(2):
        with pytest.raises(errors.LinkLost) as caught:
            node.run(['true'], accept=(0, -1))
        assert caught.value.partial_output == 'half'


def test_connection_lost_after_the_exit_status(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    """The exit status was received, but perhaps not all of the output."""

    class Dropping(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            channel.sendall(b'half')
            channel.send_exit_status(0)
            transport = channel.get_transport()
            assert transport is not None
            transport.sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(errors.LinkLost):
        connect(crooked(Dropping)).run(['true'])


def test_channel_closed_without_an_exit_status(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    class Closing(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            channel.sendall(b'half')
            channel.close()

    one = crooked(Closing)
    node = connect(one)
    with pytest.raises(errors.LinkLost) as caught:
        node.run(['true'])
    assert caught.value.partial_output == 'half'
    assert 'status' in caught.value.reason


def test_slow_output_does_not_extend_the_deadline(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    class Trickling(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            if 'trickle' in command:
                while not self.server.over.wait(0.02):
                    channel.sendall(b'.')
                    channel.sendall_stderr(b'.')
            super().execute(channel, command)

    def attempt(seconds: float) -> int | None:
        one = crooked(Trickling)
        node = connect(one)
        error = ssh_helpers.hang(one, node, 'trickle', seconds)
        if error is None:
            return None
        assert error.seconds == seconds + commands.MARGIN_SECONDS
        with pytest.raises(errors.TimedOut):
            node.open(['trickle']).ask('x', terminator=b'>', timeout=0.3)
        return one.connections

    assert ssh_helpers.patiently(attempt, 0.5) == 2


def test_channel_not_closed_after_the_exit_status(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    class Holding(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            if 'hold' in command:
                channel.send_exit_status(0)
                self.server.over.wait()
            super().execute(channel, command)

    def attempt(seconds: float) -> errors.TimedOut | None:
        one = crooked(Holding)
        return ssh_helpers.hang(one, connect(one), 'hold', seconds)

    ssh_helpers.patiently(attempt, 0.3)


def test_frozen_node_with_full_sockets(
    mortal: sshd.Sshd,
    connect: ssh_helpers.Connect,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More input is sent to a frozen node than the socket has room for."""
    # The kernel is not to be the one that gives up.
    monkeypatch.setattr(login, 'UNACKNOWLEDGED_SECONDS', 10 * ssh_helpers.SOON)
    node = connect(mortal)
    flag = mortal.home / 'runs'

    def work(seconds: float) -> Exception | None:
        started = time.monotonic()
        error = None
        try:
            node.run(
                ['sh', '-c', f'touch {flag}; sleep {ssh_helpers.SOON:g}; cat'],
                timeout=seconds,
                stdin=b'x' * (8 << 20),
            )
        except errors.Error as caught:
            error = caught
        assert time.monotonic() - started < ssh_helpers.SOON
        return error

    def attempt(seconds: float) -> list[Exception | None] | None:
        node._connect_timeout = sshd.PATIENCE
        node.run(['true'])
        node._connect_timeout = seconds
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            futures = [pool.submit(work, seconds) for _ in range(20)]
            sshd.wait_until(
                lambda: flag.exists() or all(each.done() for each in futures),
                'a command runs, or none does',
            )
            mortal.signal(signal.SIGSTOP)
            found = [future.result(ssh_helpers.SOON) for future in futures]
        mortal.signal(signal.SIGCONT)
        return found if flag.exists() else None

    found = ssh_helpers.patiently(attempt, 1)
    not_started = (errors.Unreachable, errors.Occupied)
    assert all(
        isinstance(error, (errors.Unknown, *not_started)) for error in found
    )
    assert any(isinstance(error, errors.Unknown) for error in found)
    assert any(isinstance(error, not_started) for error in found)
    sshd.wait_until(lambda: node.run(['true']), 'it works again')
