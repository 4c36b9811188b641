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
"""Every command ends in time as done, refused or unknown, whichever is so."""

from collections.abc import Callable, Iterator
import concurrent.futures
import functools
import logging
import math
import os
import pathlib
import select
import signal
import socket
import threading
import time
from typing import Any, TypeVar

import paramiko
from paramiko import common
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import channels
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import interactive_process
from manila_glusterfs_clone.ssh import login
from manila_glusterfs_clone.ssh import remote
from tests.unit import sshd

T = TypeVar('T')

#: Seconds within which all that hangs has to be given up. What is waited for
#: with patience, one after the other, must have come by then.
SOON = 3 * sshd.PATIENCE


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    server = sshd.Sshd(tmp_path_factory.mktemp('sshd'))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal(tmp_path: pathlib.Path) -> Iterator[sshd.Sshd]:
    """An sshd for one test, to be hurt."""
    server = sshd.Sshd(tmp_path)
    server.start()
    yield server
    server.kill()


Connect = Callable[..., remote.Remote]


def make_remote(
    server: sshd.Sshd | sshd.Crooked | None = None,
    *,
    port: int = 0,
    home: pathlib.Path | None = None,
    key: str = 'user',
    known_hosts: str = 'known_hosts',
    sudo: bool = False,
    connect_timeout: float = sshd.PATIENCE,
) -> remote.Remote:
    if server is not None:
        port, home = server.port, server.home
    assert home is not None
    return remote.Remote(
        remote.Address(sshd.HOST, port, sshd.USER),
        remote.Credentials(str(home / key), str(home / known_hosts)),
        sudo=sudo,
        connect_timeout=connect_timeout,
    )


@pytest.fixture(scope='module')
def well(server: sshd.Sshd) -> Iterator[remote.Remote]:
    """A connection for all tests that do it no harm."""
    node = make_remote(server)
    yield node
    node.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make remotes that are closed after the test."""
    made = []

    def connect(*args: Any, **kwargs: Any) -> remote.Remote:
        made.append(make_remote(*args, **kwargs))
        return made[-1]

    yield connect
    for node in made:
        node.close()


@pytest.fixture
def node(server: sshd.Sshd, connect: Connect) -> remote.Remote:
    return connect(server)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, 'MARGIN', 0.3)
    monkeypatch.setattr(channels, 'CLOSE_TIMEOUT', 0.5)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SOON


def patiently(attempt: Callable[[float], T | None], seconds: float) -> T:
    """Try something with ever more time, until it got as far as it is to.

    On a busy machine a short time may be up before what is to hang begins.

    :param attempt: is given the seconds; gives None where that was so.
    """
    while (outcome := attempt(seconds)) is None:
        seconds *= 2
        assert seconds < SOON
    return outcome


def failure(start: Callable[[], object]) -> errors.Error:
    with pytest.raises(errors.Error) as caught:
        start()
    return caught.value


def which_connection(node: remote.Remote) -> str:
    return node.run(['printenv', 'SSH_CONNECTION']).stdout


# The command line.


def test_command_line() -> None:
    line = remote.command_line
    assert (
        line(['lvs', '-o', 'lv name'], sudo=True, seconds=60)
        == "LC_ALL=C sudo -n timeout -k 5 60 lvs -o 'lv name'"
    )
    assert line(['lvs'], sudo=False, seconds=1) == (
        'LC_ALL=C timeout -k 5 1 lvs'
    )
    assert line(['gluster', '--xml'], sudo=True) == (
        'LC_ALL=C sudo -n gluster --xml'
    )


@pytest.mark.parametrize('argv', [(), ('echo', 'a\0b')])
def test_not_a_command(well: remote.Remote, argv: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        well.run(argv)
    with pytest.raises(ValueError):
        well.open(argv)


def test_address_is_shown_as_host() -> None:
    assert str(remote.Address('node1', 2222, 'someone')) == 'node1'


# A node that is well.


def test_success(well: remote.Remote) -> None:
    result = well.run(['echo', 'hello'])
    assert result == remote.Result(
        sshd.HOST, ('echo', 'hello'), 0, 'hello\n', ''
    )


def test_locale(well: remote.Remote) -> None:
    assert well.run(['printenv', 'LC_ALL']).stdout == 'C\n'


def test_other_status(well: remote.Remote) -> None:
    argv = ['sh', '-c', 'echo out; echo err >&2; exit 3']
    with pytest.raises(errors.CommandFailed) as caught:
        well.run(argv)
    error = caught.value
    assert (error.node, error.argv) == (sshd.HOST, tuple(argv))
    assert (error.status, error.stdout, error.stderr) == (3, 'out\n', 'err\n')
    assert not errors.is_unknown(error)


def test_accepted_status(well: remote.Remote) -> None:
    assert well.run(['sh', '-c', 'exit 5'], accept=(0, 5)).status == 5
    with pytest.raises(errors.CommandFailed):
        well.run(['true'], accept=(5,))


def test_no_such_command(well: remote.Remote) -> None:
    with pytest.raises(errors.CommandFailed) as caught:
        well.run(['/no/such/command'])
    assert caught.value.status == 127


def test_argv_arrives_unchanged(well: remote.Remote) -> None:
    words = [
        'a b',
        '',
        "it's",
        '"double"',
        'two\nlines\n',
        '$(reboot) `reboot` ${HOME} $HOME',
        '; reboot & | > < ! # * ? [a-z] {a,b} ~ \\ \\n',
        'äöü ☃ \U0001f600',
        '\t',
        '-rf',
        'a=b',
        '%s',
    ]
    code = 'import sys; print(*map(ascii, sys.argv[1:]), sep="\\n", end="")'
    result = well.run(sshd.python(code, *words))
    assert result.stdout.split('\n') == [ascii(word) for word in words]


def test_output_that_is_no_text(well: remote.Remote) -> None:
    result = well.run(['printf', '\\377ok'])
    assert result.stdout == '\ufffdok'


def test_much_output_on_both_streams(well: remote.Remote) -> None:
    size = 5 << 20
    code = f"""
import os, sys
os.write(2, b'e' * 10)
sys.stderr.write('e' * {size})
sys.stdout.write('o' * {size})
"""
    result = well.run(sshd.python(code))
    assert len(result.stdout) == size
    assert len(result.stderr) == size + 10


def test_stdin_echoed(well: remote.Remote) -> None:
    data = os.urandom(3 << 19).hex().encode()
    result = well.run(['cat'], stdin=data)
    assert result.stdout == data.decode()


def test_stdin_nobody_reads(well: remote.Remote) -> None:
    assert well.run(['true'], stdin=b'x' * (5 << 20)).stdout == ''


def test_stdin_is_closed(well: remote.Remote) -> None:
    assert well.run(['cat']).stdout == ''


def test_sudo(server: sshd.Sshd, connect: Connect) -> None:
    node = connect(server, sudo=True)
    result = node.run(['printenv', 'LC_ALL', 'SUDO_LINE'])
    assert result.stdout == ('C\ntimeout -k 5 60 printenv LC_ALL SUDO_LINE\n')
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(['false'])
    assert caught.value.stderr.startswith('sudo: ')


def test_what_anybody_may_ask_goes_without_sudo(
    server: sshd.Sshd, connect: Connect
) -> None:
    node = connect(server, sudo=True)
    said = node.run(['printenv', 'SUDO_LINE'], accept=(1,), as_root=False)
    assert said.stdout == ''


def test_log_names_no_stdin(
    well: remote.Remote, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, 'manila_glusterfs_clone'):
        well.run(['sh', '-c', 'cat >&2; exit 4'], accept=(4,), stdin=b'SECRET')
    assert f"{sshd.HOST}: sh -c 'cat >&2; exit 4': 4, " in caplog.text
    assert 'SECRET' not in caplog.text


def test_64_threads_at_once(node: remote.Remote) -> None:
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


def test_busy(node: remote.Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, 'CHANNELS', 1)
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


def test_waiting_for_its_turn_uses_the_time_limit_up(
    node: remote.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited has what is left, on the node too."""
    monkeypatch.setattr(connections, 'CHANNELS', 1)
    holder = node.open(['cat'])
    timer = threading.Timer(2.5, holder.close)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(errors.TimedOut):
        node.run(['sleep', '60'], timeout=4.0)
    assert time.monotonic() - begun < 8
    timer.join()


def test_opens_nothing_by_itself(tmp_path: pathlib.Path) -> None:
    before = threading.active_count()
    remote.Remote(
        remote.Address('nowhere.invalid'),
        remote.Credentials('/no/key', '/no/known_hosts'),
    )
    assert threading.active_count() == before


def test_closed_and_used_again(node: remote.Remote) -> None:
    first = which_connection(node)
    node.close()
    assert which_connection(node) != first


def test_forked(node: remote.Remote) -> None:
    console = node.open(['cat'])
    mine = which_connection(node)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens, this copy of the test run must not go on.
        try:
            assert not console.alive
            theirs = which_connection(node)
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
    assert which_connection(node) == mine
    assert console.ask('still here', until=b'\n', timeout=sshd.PATIENCE) == (
        b'still here\n'
    )


# Commands that take too long, or die.


@pytest.mark.parametrize(
    'ignores', [pytest.param('', id=''), pytest.param('TERM', id='SIGTERM')]
)
def test_timeout_on_the_node(
    node: remote.Remote,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    ignores: str,
) -> None:
    monkeypatch.setattr(remote, 'KILL_AFTER', 1)
    note = tmp_path / 'pid'
    note.touch()
    code = f'trap "" {ignores}; echo $$ > {note}; while :; do sleep 0.1; done'

    def attempt(seconds: float) -> str | None:
        mine = which_connection(node)
        error = failure(lambda: node.run(['sh', '-c', code], timeout=seconds))
        if not note.read_text():
            return None
        assert isinstance(error, errors.TimedOut)
        assert error.seconds == seconds
        return mine

    mine = patiently(attempt, 1)
    pid = int(note.read_text())
    sshd.wait_until(lambda: not _lives(pid), 'the process is gone')
    # That was an answer: nothing is wrong with the connection.
    assert which_connection(node) == mine


def test_killed_by_a_signal(node: remote.Remote) -> None:
    with pytest.raises(errors.LinkLost):
        node.run(['sh', '-c', 'kill -SEGV $$'])
    with pytest.raises(errors.LinkLost, match='signal 11'):
        node.run(['sh', '-c', 'exit 139'])


def _lives(pid: int) -> bool:
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


# Conversations.

CONSOLE = """
import sys, time
for line in sys.stdin:
    word = line.strip()
    if word == 'die':
        sys.stderr.write('going'), sys.stdout.write('<half'), sys.exit(1)
    if word == 'hang':
        sys.stdout.write('<half'), time.sleep(1000)
    if word == 'noise':
        sys.stderr.write('n' * (5 << 20))
    if word == 'much':
        word = 'm' * (5 << 20)
    print(f'<{word}>')
"""


@pytest.fixture
def console(
    node: remote.Remote,
) -> Iterator[interactive_process.InteractiveProcess]:
    console = node.open(sshd.python(CONSOLE))
    yield console
    console.close()


def ask(console: interactive_process.InteractiveProcess, line: str) -> bytes:
    return console.ask(line, until=b'>', timeout=sshd.PATIENCE)


def test_conversation(console: interactive_process.InteractiveProcess) -> None:
    assert console.alive
    assert ask(console, 'one') == b'<one>'
    assert ask(console, 'zwölf') == '\n<zwölf>'.encode()
    console.close()
    assert not console.alive
    console.close()


def test_conversation_with_much_to_say(
    console: interactive_process.InteractiveProcess,
) -> None:
    assert ask(console, 'noise') == b'<noise>'
    assert len(ask(console, 'much')) == (5 << 20) + 3
    assert len(console.stderr) <= interactive_process.TAIL


def test_conversation_mark_in_pieces(node: remote.Remote) -> None:
    code = """
import sys, time
for line in sys.stdin:
    for letter in 'x</end>y':
        sys.stdout.write(letter), time.sleep(0.02)
"""
    console = node.open(sshd.python(code))
    answer = console.ask('a', until=b'</end>', timeout=sshd.PATIENCE)
    assert answer == b'x</end>'
    answer = console.ask('b', until=b'</end>', timeout=sshd.PATIENCE)
    assert answer == b'yx</end>'
    console.close()


@pytest.mark.parametrize('line', ['a\nb', 'a\0b'])
def test_conversation_only_lines(
    console: interactive_process.InteractiveProcess, line: str
) -> None:
    with pytest.raises(ValueError):
        ask(console, line)
    with pytest.raises(ValueError):
        console.ask('a', until=b'', timeout=1)
    assert ask(console, 'fine') == b'<fine>'


def test_conversation_dies(
    node: remote.Remote, console: interactive_process.InteractiveProcess
) -> None:
    mine = which_connection(node)
    with pytest.raises(errors.LinkLost) as caught:
        ask(console, 'die')
    assert '<half' in caught.value.partial
    assert 'going' in caught.value.partial
    assert caught.value.argv[-1] == 'die'
    assert not console.alive
    # Found dead: nothing has been said, so it may be said to another.
    with pytest.raises(errors.Unreachable):
        ask(console, 'more')
    assert which_connection(node) == mine


def test_conversation_hangs(
    node: remote.Remote, console: interactive_process.InteractiveProcess
) -> None:
    mine = which_connection(node)
    with pytest.raises(errors.TimedOut) as caught:
        console.ask('hang', until=b'>', timeout=0.3)
    assert caught.value.seconds == 0.3
    assert not console.alive
    with pytest.raises(errors.Unreachable):
        ask(console, 'more')
    assert which_connection(node) != mine


def test_conversations_give_their_places_back(
    node: remote.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, 'CHANNELS', 2)
    mine = which_connection(node)
    for number in range(6):
        console = node.open(['sh', '-c', 'read line'])
        assert node.run(['echo', 'beside']).stdout == 'beside\n'
        if number % 2:
            console.close()
        else:
            with pytest.raises(errors.LinkLost):
                ask(console, 'end')
    assert which_connection(node) == mine


# Who is not let in, or not trusted.


def refusal(
    node: remote.Remote, timeout: float = sshd.PATIENCE
) -> errors.Unreachable:
    with pytest.raises(errors.Unreachable) as caught:
        node.run(['true'], timeout=timeout)
    assert not errors.is_unknown(caught.value)
    with pytest.raises(type(caught.value)):
        node.open(['true'])
    return caught.value


def test_unknown_host_key(server: sshd.Sshd, connect: Connect) -> None:
    (server.home / 'empty').write_text(
        sshd.known_hosts_line(server.port + 1, server.home / 'host.pub')
    )
    error = refusal(connect(server, known_hosts='empty'))
    assert isinstance(error, errors.HostKeyRejected)
    assert 'unknown' in error.reason
    assert 'SHA256:' in error.reason


def test_wrong_host_key(server: sshd.Sshd, connect: Connect) -> None:
    (server.home / 'wrong').write_text(
        sshd.known_hosts_line(server.port, server.home / 'stranger.pub')
    )
    error = refusal(connect(server, known_hosts='wrong'))
    assert isinstance(error, errors.HostKeyRejected)
    assert 'differs' in error.reason


def test_wrong_user_key(server: sshd.Sshd, connect: Connect) -> None:
    error = refusal(connect(server, key='stranger'))
    assert not isinstance(error, errors.HostKeyRejected)
    assert str(server.home / 'stranger') in error.reason


def test_missing_files(server: sshd.Sshd, connect: Connect) -> None:
    error = refusal(connect(server, key='none'))
    assert str(server.home / 'none') in error.reason
    assert 'No such file' in error.reason
    error = refusal(connect(server, known_hosts='none'))
    assert str(server.home / 'none') in error.reason
    assert 'No such file' in error.reason
    error = refusal(connect(server, known_hosts='.'))
    assert 'directory' in error.reason


def test_malformed_files(server: sshd.Sshd, connect: Connect) -> None:
    (server.home / 'bad').write_bytes(b'CONTENT \xff CONTENT CONTENT\n')
    for error in (
        refusal(connect(server, key='bad')),
        refusal(connect(server, known_hosts='bad')),
    ):
        assert 'malformed' in error.reason
        assert str(server.home / 'bad') in error.reason
        assert 'CONTENT' not in str(error)


def test_key_with_a_passphrase(server: sshd.Sshd, connect: Connect) -> None:
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(server.home / 'locked'), password='secret')
    error = refusal(connect(server, key='locked'))
    assert 'passphrase' in error.reason


@pytest.mark.skipif(os.getuid() == 0, reason='root may read all files')
def test_unreadable_key(server: sshd.Sshd, connect: Connect) -> None:
    (server.home / 'mode0').write_text('CONTENT')
    (server.home / 'mode0').chmod(0)
    error = refusal(connect(server, key='mode0'))
    assert 'Permission denied' in error.reason


# A node that goes away.


def test_nobody_listens(server: sshd.Sshd, connect: Connect) -> None:
    node = connect(home=server.home, port=sshd.free_port())
    assert 'refused' in refusal(node).reason


def test_no_such_name(server: sshd.Sshd) -> None:
    node = remote.Remote(
        remote.Address('nowhere.invalid', 22),
        remote.Credentials(
            str(server.home / 'user'), str(server.home / 'known_hosts')
        ),
        connect_timeout=5,
    )
    with pytest.raises(errors.Unreachable):
        node.run(['true'])


def test_sshd_killed_in_mid_command(
    mortal: sshd.Sshd, connect: Connect
) -> None:
    node = connect(mortal)
    flag = mortal.home / 'runs'
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = pool.submit(
            node.run,
            ['sh', '-c', f'echo half; touch {flag}; sleep 20'],
        )
        talks = pool.submit(
            node.open(['sleep', '20']).ask,
            'hello',
            until=b'>',
            timeout=sshd.PATIENCE,
        )
        sshd.wait_until(flag.exists, 'the command runs')
        mortal.kill()
        with pytest.raises(errors.LinkLost) as caught:
            runs.result(sshd.PATIENCE)
        assert caught.value.partial == 'half\n'
        with pytest.raises(errors.LinkLost):
            talks.result(sshd.PATIENCE)
    assert 'refused' in refusal(node).reason
    mortal.start()
    node.run(['true'])


def test_sshd_restarted_between_commands(
    mortal: sshd.Sshd, connect: Connect
) -> None:
    node = connect(mortal)
    for _ in range(3):
        node.run(['true'])
        mortal.kill()
        mortal.start()
    node.run(['true'])


def test_frozen_under_full_pipes(
    mortal: sshd.Sshd,
    connect: Connect,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More is given to a frozen node than its socket takes."""
    # The kernel is not to be the one that gives up.
    monkeypatch.setattr(login, 'UNACKNOWLEDGED', 10 * SOON)
    node = connect(mortal)
    flag = mortal.home / 'runs'

    def work(seconds: float) -> Exception | None:
        started = time.monotonic()
        error = None
        try:
            node.run(
                ['sh', '-c', f'touch {flag}; sleep {SOON:g}; cat'],
                timeout=seconds,
                stdin=b'x' * (8 << 20),
            )
        except errors.Error as caught:
            error = caught
        assert time.monotonic() - started < SOON
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
            found = [future.result(SOON) for future in futures]
        mortal.signal(signal.SIGCONT)
        return found if flag.exists() else None

    found = patiently(attempt, 1)
    not_started = (errors.Unreachable, errors.Occupied)
    assert all(
        isinstance(error, (errors.Unknown, *not_started)) for error in found
    )
    assert any(isinstance(error, errors.Unknown) for error in found)
    assert any(isinstance(error, not_started) for error in found)
    sshd.wait_until(lambda: node.run(['true']), 'it works again')


# Servers with bad manners.


@pytest.fixture
def crooked(
    server: sshd.Sshd, tmp_path: pathlib.Path
) -> Iterator[Callable[[type[sshd.Manners]], sshd.Crooked]]:
    for name in ('host', 'host.pub', 'user'):
        (tmp_path / name).write_bytes((server.home / name).read_bytes())
    made = []

    def crooked(manners: type[sshd.Manners]) -> sshd.Crooked:
        made.append(sshd.Crooked(tmp_path, manners))
        return made[-1]

    yield crooked
    for one in made:
        one.close()


MakeCrooked = Callable[[type[sshd.Manners]], sshd.Crooked]


def test_crooked_but_well(crooked: MakeCrooked, connect: Connect) -> None:
    one = crooked(sshd.Manners)
    node = connect(one)
    assert node.run(['x'], timeout=7).stdout == 'done\n'
    assert one.commands == ['LC_ALL=C timeout -k 5 7 x']
    node.open(['y']).close()
    assert one.commands[1:] == ['LC_ALL=C y']


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
    connect: Connect,
    answer: Callable[[socket.socket], None],
) -> None:
    with sshd.raw(answer) as port:
        node = connect(home=server.home, port=port, connect_timeout=0.3)
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            started = time.monotonic()
            tries = [pool.submit(node.run, ['true']) for _ in range(40)]
            for one in tries:
                with pytest.raises(errors.Unreachable):
                    one.result(SOON)
            # Together, not one after the other.
            assert time.monotonic() - started < 0.3 * 40


def test_many_wait_for_one_connection(
    crooked: MakeCrooked, connect: Connect
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
            assert each.result(SOON).status == 0
    assert one.connections == 1


def test_own_time_is_shorter_than_connecting(
    server: sshd.Sshd, connect: Connect
) -> None:
    with sshd.raw(lambda sock: None) as port:
        node = connect(home=server.home, port=port, connect_timeout=10)
        started = time.monotonic()
        with pytest.raises(errors.Unreachable, match='in time'):
            node.run(['true'], timeout=0.3)
        assert time.monotonic() - started < 5


def test_login_never_answered(crooked: MakeCrooked, connect: Connect) -> None:
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
        error = refusal(connect(one, connect_timeout=seconds))
        return error if asked.is_set() else None

    assert 'login' in patiently(attempt, 0.5).reason


def test_channel_refused(crooked: MakeCrooked, connect: Connect) -> None:
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
            error = failure(start)
            if time.monotonic() - started >= seconds:
                # The last answer was late: that is as good as none.
                return None
            assert isinstance(error, errors.Unreachable)
            assert not errors.is_unknown(error)
            assert 'prohibited' in error.reason
        return one.connections

    assert patiently(attempt, 0.3) == 1


def test_channel_never_opened(crooked: MakeCrooked, connect: Connect) -> None:
    """A dead connection is found when a channel is wanted: a new one."""

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

    assert patiently(attempt, 0.5) == 2


Start = Callable[[remote.Remote, float], object]


def test_exec_never_answered(
    crooked: MakeCrooked, connect: Connect, impatient: None
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
        error = failure(lambda: start(node, seconds))
        return error if 'hang' in one.commands[-1] else None

    for start in (
        lambda node, seconds: node.run(['hang'], timeout=seconds),
        lambda node, seconds: node.open(['hang']),
    ):
        error = patiently(functools.partial(attempt, start), 0.3)
        assert isinstance(error, errors.LinkLost)
        assert 'request to start' in error.reason


def test_exec_refused_is_unknown(
    crooked: MakeCrooked, connect: Connect
) -> None:
    """paramiko does not tell it from a channel that is closed."""

    class Unable(sshd.Manners):
        def check_channel_exec_request(
            self, channel: paramiko.Channel, command: bytes
        ) -> bool:
            return False

    with pytest.raises(errors.LinkLost):
        connect(crooked(Unable)).run(['true'])


def test_link_dropped_in_mid_command(
    crooked: MakeCrooked, connect: Connect
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
        assert caught.value.partial == 'half'


def test_link_dropped_after_the_status(
    crooked: MakeCrooked, connect: Connect
) -> None:
    """The status came, but perhaps not all of the output."""

    class Dropping(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            channel.sendall(b'half')
            channel.send_exit_status(0)
            transport = channel.get_transport()
            assert transport is not None
            transport.sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(errors.LinkLost):
        connect(crooked(Dropping)).run(['true'])


def test_channel_closed_with_no_status(
    crooked: MakeCrooked, connect: Connect
) -> None:
    class Closing(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            channel.sendall(b'half')
            channel.close()

    one = crooked(Closing)
    node = connect(one)
    with pytest.raises(errors.LinkLost, match='status') as caught:
        node.run(['true'])
    assert caught.value.partial == 'half'


def hang(
    one: sshd.Crooked, node: remote.Remote, command: str, seconds: float
) -> errors.TimedOut | None:
    """Run what hangs; give None if the time was up before it began."""
    node.run(['true'])
    error = failure(lambda: node.run([command], timeout=seconds))
    if command not in one.begun[-1]:
        return None
    assert isinstance(error, errors.TimedOut)
    return error


def test_trickle_does_not_extend_the_deadline(
    crooked: MakeCrooked, connect: Connect, impatient: None
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
        error = hang(one, node, 'trickle', seconds)
        if error is None:
            return None
        assert error.seconds == seconds + remote.MARGIN
        with pytest.raises(errors.TimedOut):
            node.open(['trickle']).ask('x', until=b'>', timeout=0.3)
        return one.connections

    assert patiently(attempt, 0.5) == 2


def test_flood_does_not_extend_the_deadline(
    node: remote.Remote, impatient: None
) -> None:
    with pytest.raises(errors.TimedOut):
        node.open(['yes']).ask('x', until=b'>', timeout=0.3)


def test_silence_after_the_status(
    crooked: MakeCrooked, connect: Connect, impatient: None
) -> None:
    class Holding(sshd.Manners):
        def execute(self, channel: paramiko.Channel, command: str) -> None:
            if 'hold' in command:
                channel.send_exit_status(0)
                self.server.over.wait()
            super().execute(channel, command)

    def attempt(seconds: float) -> errors.TimedOut | None:
        one = crooked(Holding)
        return hang(one, connect(one), 'hold', seconds)

    patiently(attempt, 0.3)


def test_time_out_spares_the_others(
    crooked: MakeCrooked, connect: Connect, impatient: None
) -> None:
    """Others end in peace on a connection that is given up."""

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
            error = failure(lambda: node.run(['hang'], timeout=seconds))
            go.set()
            assert other.result(SOON).stdout == 'done\n'
        if 'hang' not in one.begun[-1]:
            return None
        assert isinstance(error, errors.TimedOut)
        node.run(['true'])
        return one.connections

    assert patiently(attempt, 0.5) == 2


def test_closed_under_a_running_command(
    server: sshd.Sshd, connect: Connect, tmp_path: pathlib.Path
) -> None:
    node = connect(server)
    flag = tmp_path / 'runs'
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runs = pool.submit(node.run, ['sh', '-c', f'touch {flag}; sleep 20'])
        sshd.wait_until(flag.exists, 'the command runs')
        node.close()
        with pytest.raises(errors.LinkLost):
            runs.result(SOON)


def test_no_threads_are_left(server: sshd.Sshd, connect: Connect) -> None:
    def ours() -> set[threading.Thread]:
        return {*threading.enumerate()} - before

    before = {*threading.enumerate()}
    node = connect(server)
    for _ in range(5):
        node.run(['cat'], stdin=b'x')
        node.open(['cat']).close()
    node.close()
    sshd.wait_until(lambda: not ours(), 'all threads have ended')
