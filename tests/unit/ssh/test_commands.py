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
"""Each step ends in time as done, refused or unknown."""

import concurrent.futures
import contextlib
import logging
import os
import select
import signal
import threading
import time
from typing import Any

import paramiko
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner as node_runner
from manila_glusterfs_clone.node.runner import service
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes
from tests.unit import runner_process
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd

READ = ssh_helpers.READ
LV = f'gvg/{runner_process.VOLUME}'
CHANGE = commands.Step('extend_lv', {'lv': LV, 'size': 1 << 30})
Host = runner_process.Node


def started(host: Host, program: str) -> bool:
    """Return whether a program was started, but for a check of the LV."""
    return any(call.startswith(f'{program} ') for call in host.calls())


def test_address_is_shown_as_host() -> None:
    assert str(commands.Address('node1', 2222, 'someone')) == 'node1'


def test_success(node: commands.Remote, host: Host) -> None:
    result = node.run(CHANGE)
    assert (result.node, result.argv) == (sshd.HOST, CHANGE.argv)
    assert (result.status, result.stdout, result.stderr) == (0, '', '')


def test_other_status(node: commands.Remote, host: Host) -> None:
    host.program('lvextend', 'echo out; echo err >&2; exit 3')
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(CHANGE)
    error = caught.value
    assert (error.node, error.argv) == (sshd.HOST, CHANGE.argv)
    assert (error.status, error.stdout, error.stderr) == (3, 'out\n', 'err\n')
    assert not errors.is_unknown(error)


def test_not_allowed(node: commands.Remote, host: Host) -> None:
    with pytest.raises(step_outcomes.NotAllowed) as caught:
        node.run(commands.Step('remove_lvs', {'lvs': ['root/swap']}))
    assert not errors.is_unknown(caught.value)
    assert not host.calls()


def test_several_steps(node: commands.Remote, host: Host) -> None:
    results = node.run_all([CHANGE, READ])
    assert [result.argv for result in results] == [CHANGE.argv, READ.argv]
    host.program('lvextend', 'exit 5')
    with pytest.raises(errors.CommandFailed) as caught:
        node.run_all([READ, CHANGE, READ])
    assert caught.value.argv == CHANGE.argv


def test_much_output(node: commands.Remote, host: Host) -> None:
    host.program('lvs', '/usr/bin/head -c 9000000 /dev/zero')
    assert len(node.run(READ).stdout) == 9000000


def test_sudo(
    server: sshd.Sshd, connect: ssh_helpers.Connect, host: Host
) -> None:
    node = connect(server, sudo=True, runner=host.file)
    assert node.run(READ).status == 0
    denied = connect(server, sudo=True, runner='false')
    error = ssh_helpers.refusal(denied)
    assert isinstance(error, greetings.NoRunner)
    assert error.reason == 'sudo: a password is required'


def test_there_is_no_runner(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    error = ssh_helpers.refusal(connect(server, runner='/no/such/runner'))
    assert isinstance(error, greetings.NoRunner)
    assert '/no/such/runner' in error.reason


def test_noise(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect, host: Host
) -> None:
    """What a login shell prints is no answer."""
    noise = 'echo Welcome; echo complaint >&2; printf "no end of line"\n'
    (mortal.home / '.bashrc').write_text(noise)
    assert connect(mortal, runner=host.file).run(READ).status == 0


@pytest.mark.parametrize(
    ('release', 'oldest', 'is_too_old'), [(1, 1, True), (9, 9, False)]
)
def test_release(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    monkeypatch: pytest.MonkeyPatch,
    release: int,
    oldest: int,
    is_too_old: bool,
) -> None:
    one = crooked(sshd.Manners)
    monkeypatch.setattr(node_runner, 'RELEASE', release)
    monkeypatch.setattr(node_runner, 'OLDEST_SERVED', oldest)

    class Driver:
        RELEASE = 5

    monkeypatch.setattr(greetings, 'runner', Driver)
    error = ssh_helpers.refusal(connect(one))
    assert isinstance(error, greetings.WrongRelease)
    assert error.is_too_old is is_too_old
    assert ('node-installer' in str(error)) is is_too_old
    assert not one.begun


def test_log(node: commands.Remote, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, 'manila_glusterfs_clone'):
        node.run(READ)
    assert f'{sshd.HOST}: lvs --reportformat=json' in caplog.text
    assert ': done, ' in caplog.text


# -- unknown


def test_timeout_on_the_node(node: commands.Remote, host: Host) -> None:
    def attempt(seconds: float) -> errors.Error | None:
        host.program('lvextend', '/bin/sleep 60')
        error = ssh_helpers.failure(lambda: node.run(CHANGE, timeout=seconds))
        return error if started(host, 'lvextend') else None

    error = ssh_helpers.patiently(attempt, 1.0)
    assert isinstance(error, errors.TimedOut)
    assert error.argv == CHANGE.argv
    # That was an answer: nothing is wrong with the connection.
    before = node._process().connection
    node.run(READ)
    assert node._process().connection is before


def test_killed_by_a_signal(node: commands.Remote, host: Host) -> None:
    host.program('lvextend', 'kill -SEGV $$')
    with pytest.raises(errors.LinkLost) as caught:
        node.run(CHANGE)
    assert 'signal 11' in caught.value.reason


def test_runner_killed(node: commands.Remote, host: Host) -> None:
    host.program('lvextend', 'kill -9 $PPID')
    with pytest.raises(errors.LinkLost):
        node.run(CHANGE)
    host.program('lvextend', '')
    assert node.run(CHANGE).status == 0


def test_sshd_killed_in_mid_step(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect, host: Host
) -> None:
    """A change goes on to its end, and the runner ends after it."""
    node = connect(mortal, runner=host.file)
    host.program(
        'lvextend', f'{runner_process.UNTIL_GO}; echo end >>"$S/calls"'
    )
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(node.run, CHANGE)
        sshd.wait_until(lambda: started(host, 'lvextend'), 'it runs')
        mortal.kill()
        with pytest.raises(errors.LinkLost):
            runs.result(sshd.PATIENCE)
    assert 'refused' in ssh_helpers.refusal(node).reason
    host.go()
    sshd.wait_until(lambda: host.calls()[-1] == 'end', 'the end')
    mortal.start()
    assert node.run(READ).status == 0


def test_no_answer(
    crooked: ssh_helpers.MakeCrooked,
    connect: ssh_helpers.Connect,
    impatient: None,
) -> None:
    class Silent(sshd.Manners):
        def answer(
            self, channel: paramiko.Channel, verb: str
        ) -> dict[str, Any]:
            answer = super().answer(channel, verb)
            if verb == 'list_mounts':
                self.server.over.wait()
            return answer

    one = crooked(Silent)
    node = connect(one)
    node.run(READ)
    with pytest.raises(errors.TimedOut):
        node.run(commands.Step('list_mounts'), timeout=0.3)
    assert node.run(READ).stdout == 'done'
    assert one.connections == 2


@pytest.mark.parametrize('is_idle', [False, True])
def test_frozen_node(
    mortal: sshd.Sshd,
    connect: ssh_helpers.Connect,
    host: Host,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    is_idle: bool,
) -> None:
    """Nothing is sent on a connection that was idle and does not answer."""
    node = connect(mortal, runner=host.file)
    node.run(READ)
    monkeypatch.setattr(commands, '_FRESH_SECONDS', 0.0 if is_idle else 60.0)
    node._connect_timeout = 0.5
    mortal.signal(signal.SIGSTOP)
    try:
        error = ssh_helpers.failure(lambda: node.run(CHANGE, timeout=1.0))
        assert errors.is_unknown(error) is not is_idle
        assert isinstance(error, errors.Unreachable) is is_idle
    finally:
        mortal.signal(signal.SIGCONT)
    node._connect_timeout = sshd.PATIENCE
    assert node.run(READ).status == 0
    assert started(host, 'lvextend') is not is_idle or not is_idle


# -- one connection for all


def test_64_threads_share_a_runner(node: commands.Remote, host: Host) -> None:
    barrier = threading.Barrier(64)
    host.program('lvs', 'echo $PPID')

    def work(number: int) -> str:
        barrier.wait()
        return node.run(READ).stdout

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        runners = {*pool.map(work, range(64))}
    assert len(runners) == 1


def test_the_runner_serves_as_many_requests() -> None:
    assert commands._MAX_REQUESTS < service._MOST_REQUESTS
    assert commands._MAX_REQUESTS < runner_process.MOST_REQUESTS


def test_one_session_is_enough(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect, host: Host
) -> None:
    mortal.kill()
    mortal.more = 'MaxSessions 1\n'
    mortal.start()
    node = connect(mortal, runner=host.file)
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(node.run, READ) for _ in range(8)]:
                assert each.result(ssh_helpers.SOON).status == 0
        # The next one starts where the last one may not have ended yet.
        host.program('lvextend', 'kill -9 $PPID')
        with pytest.raises(errors.LinkLost):
            node.run(CHANGE)


def test_busy(
    node: commands.Remote, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, '_MAX_REQUESTS', 1)
    host.program('lvs', runner_process.UNTIL_GO)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        holder = pool.submit(node.run, READ)
        sshd.wait_until(lambda: started(host, 'lvs'), 'it runs')
        with pytest.raises(errors.Occupied) as caught:
            node.run(READ, timeout=0.3)
        # It answers, so it must not count as down.
        assert not isinstance(
            caught.value, errors.Unreachable | errors.Unknown
        )
        host.go()
        holder.result(sshd.PATIENCE)
    node.run(READ)


def test_threads_share_the_failure_to_connect(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    with sshd.raw(lambda sock: time.sleep(ssh_helpers.SOON)) as port:
        node = connect(port=port, home=server.home, connect_timeout=1.0)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            found = [pool.submit(ssh_helpers.refusal, node) for _ in range(20)]
            for each in found:
                each.result(ssh_helpers.SOON)
        assert time.monotonic() - begun < 10


def test_nothing_is_opened_before_the_first_step() -> None:
    before = threading.active_count()
    commands.Remote(
        commands.Address('nowhere.invalid'),
        commands.Credentials('/no/key', '/no/known_hosts'),
    )
    assert threading.active_count() == before


def test_closed_and_used_again(node: commands.Remote, host: Host) -> None:
    host.program('lvs', 'echo $PPID')
    first = node.run(READ).stdout
    node.close()
    assert node.run(READ).stdout != first


def test_closed_during_a_step(node: commands.Remote, host: Host) -> None:
    host.program('lvs', '/bin/sleep 20')
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(node.run, READ)
        sshd.wait_until(lambda: started(host, 'lvs'), 'it runs')
        node.close()
        with pytest.raises(errors.LinkLost):
            runs.result(ssh_helpers.SOON)


def test_forked(node: commands.Remote, host: Host) -> None:
    host.program('lvs', 'echo $PPID')
    mine = node.run(READ).stdout
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, this copy of the test run must not go on.
        with contextlib.suppress(BaseException):
            theirs = node.run(READ).stdout
            node.close()
            os.write(writer, theirs.encode())
        os._exit(0)
    os.close(writer)
    try:
        assert select.select([reader], [], [], sshd.PATIENCE)[0]
        theirs = os.read(reader, 1000).decode()
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert theirs.strip().isdigit()
    assert theirs != mine
    assert node.run(READ).stdout == mine


def test_sshd_restarted_between_steps(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect, host: Host
) -> None:
    node = connect(mortal, runner=host.file)
    for _ in range(3):
        node.run(READ)
        mortal.kill()
        mortal.start()
        sshd.wait_until(lambda: not _is_alive(node), 'it has noticed')
    node.run(READ)


def _is_alive(node: commands.Remote) -> bool:
    connection = node._process().connection
    return connection is not None and connection.is_alive


def test_no_threads_are_left(node: commands.Remote) -> None:
    def ours() -> set[threading.Thread]:
        return {*threading.enumerate()} - before

    before = {*threading.enumerate()}
    for _ in range(3):
        node.run(READ)
    node.close()
    sshd.wait_until(lambda: not ours(), 'all threads have ended')
