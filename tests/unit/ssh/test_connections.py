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
"""The connection pool: shared, retired, and made again."""

import concurrent.futures
import os
import pathlib
import select
import signal
import threading
import time

import paramiko
from paramiko import common
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import connections
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


def test_64_threads_share_a_connection(node: commands.Remote) -> None:
    barrier = threading.Barrier(64)

    def work(number: int) -> str:
        barrier.wait()
        argv = ['sh', '-c', f'sleep 0.05; echo $SSH_CONNECTION {number}']
        return node.run(argv).stdout

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        said = list(pool.map(work, range(64)))
    assert [int(line.split()[-1]) for line in said] == list(range(64))
    # One connection; sshd would refuse the eleventh channel on it.
    assert len({line.split()[1] for line in said}) == 1


def test_busy(node: commands.Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, 'MAX_CHANNELS', 1)
    holder = node.open(['cat'])
    begun = time.monotonic()
    with pytest.raises(errors.Occupied) as caught:
        node.run(['true'], timeout=0.3)
    with pytest.raises(errors.Occupied):
        node.open(['cat'], timeout=0.3)
    assert 0.6 <= time.monotonic() - begun < 5
    # It is there: nobody may take it for down.
    assert not isinstance(caught.value, errors.Unreachable | errors.Unknown)
    holder.close()
    node.run(['true'])


def test_waiting_for_a_channel_counts_against_the_time_limit(
    node: commands.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command gets only the seconds left, on the node too."""
    monkeypatch.setattr(connections, 'MAX_CHANNELS', 1)
    holder = node.open(['cat'])
    timer = threading.Timer(2.5, holder.close)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(errors.TimedOut):
        node.run(['sleep', '60'], timeout=4.0)
    assert time.monotonic() - begun < 8
    timer.join()


def test_nothing_is_opened_before_the_first_command(
    tmp_path: pathlib.Path,
) -> None:
    before = threading.active_count()
    commands.Remote(
        commands.Address('nowhere.invalid'),
        commands.Credentials('/no/key', '/no/known_hosts'),
    )
    assert threading.active_count() == before


def test_closed_and_used_again(node: commands.Remote) -> None:
    first = ssh_helpers.which_connection(node)
    node.close()
    assert ssh_helpers.which_connection(node) != first


def test_forked(node: commands.Remote) -> None:
    console = node.open(['cat'])
    mine = ssh_helpers.which_connection(node)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, this copy of the test run must not go on.
        try:
            assert not console.is_alive
            theirs = ssh_helpers.which_connection(node)
            console.close()
            node.close()
            os.write(writer, theirs.encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        assert select.select([reader], [], [], sshd.PATIENCE)[0]
        theirs = os.read(reader, 1000).decode()
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert theirs.startswith(sshd.HOST)
    assert theirs != mine
    assert ssh_helpers.which_connection(node) == mine
    assert console.ask(
        'still here', terminator=b'\n', timeout=sshd.PATIENCE
    ) == (b'still here\n')


def test_sshd_restarted_between_commands(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    node = connect(mortal)
    for _ in range(3):
        node.run(['true'])
        mortal.kill()
        mortal.start()
    node.run(['true'])


def test_many_wait_for_one_connection(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    class Slow(sshd.Manners):
        def check_auth_publickey(
            self, username: str, key: paramiko.PKey
        ) -> int:
            time.sleep(0.3)
            return common.AUTH_SUCCESSFUL

    one = crooked(Slow)
    node = connect(one)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tries = [pool.submit(node.run, ['true']) for _ in range(16)]
        for each in tries:
            assert each.result(ssh_helpers.SOON).status == 0
    assert one.connections == 1


def test_a_time_out_does_not_end_other_commands(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    """Running commands end normally on a retired connection."""

    class Choosy(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            if 'hang' in command:
                self.server.over.wait()
            go.wait(sshd.PATIENCE)
            super().execute(channel, command)

    go = threading.Event()

    def attempt(seconds: float) -> int | None:
        one = crooked(Choosy)
        node = connect(one)
        go.clear()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            other = pool.submit(node.run, ['patient'])
            sshd.wait_until(lambda: one.begun, 'the other runs')
            error = ssh_helpers.failure(
                lambda: node.run(['hang'], timeout=seconds)
            )
            go.set()
            assert other.result(ssh_helpers.SOON).stdout == 'done\n'
        if 'hang' not in one.begun[-1]:
            return None
        assert isinstance(error, errors.TimedOut)
        node.run(['true'])
        return one.connections

    assert ssh_helpers.patiently(attempt, 0.5) == 2


def test_closed_during_a_command(
    server: sshd.Sshd, connect: ssh_helpers.Connect, tmp_path: pathlib.Path
) -> None:
    node = connect(server)
    flag = tmp_path / 'runs'
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(node.run, ['sh', '-c', f'touch {flag}; sleep 20'])
        sshd.wait_until(flag.exists, 'the command runs')
        node.close()
        with pytest.raises(errors.LinkLost):
            runs.result(ssh_helpers.SOON)


def test_no_threads_are_left(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    def ours() -> set[threading.Thread]:
        return {*threading.enumerate()} - before

    before = {*threading.enumerate()}
    node = connect(server)
    for _ in range(5):
        node.run(['cat'], stdin=b'x')
        node.open(['cat']).close()
    node.close()
    sshd.wait_until(lambda: not ours(), 'all threads have ended')
