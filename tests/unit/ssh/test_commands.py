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
"""Each command ends in time as done, refused or unknown."""

import concurrent.futures
import logging
import os
import pathlib

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


def test_command_line() -> None:
    line = commands.command_line
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
def test_not_a_command(well: commands.Remote, argv: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        well.run(argv)
    with pytest.raises(ValueError):
        well.open(argv)


def test_address_is_shown_as_host() -> None:
    assert str(commands.Address('node1', 2222, 'someone')) == 'node1'


def test_success(well: commands.Remote) -> None:
    result = well.run(['echo', 'hello'])
    assert result == commands.Result(
        sshd.HOST, ('echo', 'hello'), 0, 'hello\n', ''
    )


def test_locale(well: commands.Remote) -> None:
    assert well.run(['printenv', 'LC_ALL']).stdout == 'C\n'


def test_other_status(well: commands.Remote) -> None:
    argv = ['sh', '-c', 'echo out; echo err >&2; exit 3']
    with pytest.raises(errors.CommandFailed) as caught:
        well.run(argv)
    error = caught.value
    assert (error.node, error.argv) == (sshd.HOST, tuple(argv))
    assert (error.status, error.stdout, error.stderr) == (3, 'out\n', 'err\n')
    assert not errors.is_unknown(error)


def test_accepted_status(well: commands.Remote) -> None:
    assert well.run(['sh', '-c', 'exit 5'], accept=(0, 5)).status == 5
    with pytest.raises(errors.CommandFailed):
        well.run(['true'], accept=(5,))


def test_no_such_command(well: commands.Remote) -> None:
    with pytest.raises(errors.CommandFailed) as caught:
        well.run(['/no/such/command'])
    assert caught.value.status == 127


def test_argv_arrives_unchanged(well: commands.Remote) -> None:
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


def test_output_that_is_no_text(well: commands.Remote) -> None:
    result = well.run(['printf', '\\377ok'])
    assert result.stdout == '\ufffdok'


def test_much_output_on_both_streams(well: commands.Remote) -> None:
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


def test_stdin_echoed(well: commands.Remote) -> None:
    data = os.urandom(3 << 19).hex().encode()
    result = well.run(['cat'], stdin=data)
    assert result.stdout == data.decode()


def test_stdin_nobody_reads(well: commands.Remote) -> None:
    assert well.run(['true'], stdin=b'x' * (5 << 20)).stdout == ''


def test_stdin_is_closed(well: commands.Remote) -> None:
    assert well.run(['cat']).stdout == ''


def test_sudo(server: sshd.Sshd, connect: ssh_helpers.Connect) -> None:
    node = connect(server, sudo=True)
    result = node.run(['printenv', 'LC_ALL', 'SUDO_LINE'])
    assert result.stdout == ('C\ntimeout -k 5 60 printenv LC_ALL SUDO_LINE\n')
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(['false'])
    assert caught.value.stderr.startswith('sudo: ')


def test_as_root_false_runs_without_sudo(
    server: sshd.Sshd, connect: ssh_helpers.Connect
) -> None:
    node = connect(server, sudo=True)
    said = node.run(['printenv', 'SUDO_LINE'], accept=(1,), as_root=False)
    assert said.stdout == ''


def test_log_names_no_stdin(
    well: commands.Remote, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, 'manila_glusterfs_clone'):
        well.run(['sh', '-c', 'cat >&2; exit 4'], accept=(4,), stdin=b'SECRET')
    assert f"{sshd.HOST}: sh -c 'cat >&2; exit 4': 4, " in caplog.text
    assert 'SECRET' not in caplog.text


@pytest.mark.parametrize(
    'ignores', [pytest.param('', id=''), pytest.param('TERM', id='SIGTERM')]
)
def test_timeout_on_the_node(
    node: commands.Remote,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    ignores: str,
) -> None:
    monkeypatch.setattr(commands, 'KILL_AFTER_SECONDS', 1)
    note = tmp_path / 'pid'
    note.touch()
    code = f'trap "" {ignores}; echo $$ > {note}; while :; do sleep 0.1; done'

    def attempt(seconds: float) -> str | None:
        mine = ssh_helpers.which_connection(node)
        error = ssh_helpers.failure(
            lambda: node.run(['sh', '-c', code], timeout=seconds)
        )
        if not note.read_text():
            return None
        assert isinstance(error, errors.TimedOut)
        assert error.seconds == seconds
        return mine

    mine = ssh_helpers.patiently(attempt, 1)
    pid = int(note.read_text())
    sshd.wait_until(lambda: not _lives(pid), 'the process is gone')
    # That was an answer: nothing is wrong with the connection.
    assert ssh_helpers.which_connection(node) == mine


def test_killed_by_a_signal(node: commands.Remote) -> None:
    with pytest.raises(errors.LinkLost):
        node.run(['sh', '-c', 'kill -SEGV $$'])
    with pytest.raises(errors.LinkLost) as caught:
        node.run(['sh', '-c', 'exit 139'])
    assert 'signal 11' in caught.value.reason


def _lives(pid: int) -> bool:
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


def test_sshd_killed_in_mid_command(
    mortal: sshd.Sshd, connect: ssh_helpers.Connect
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
            terminator=b'>',
            timeout=sshd.PATIENCE,
        )
        sshd.wait_until(flag.exists, 'the command runs')
        mortal.kill()
        with pytest.raises(errors.LinkLost) as caught:
            runs.result(sshd.PATIENCE)
        assert caught.value.partial_output == 'half\n'
        with pytest.raises(errors.LinkLost):
            talks.result(sshd.PATIENCE)
    assert 'refused' in ssh_helpers.refusal(node).reason
    mortal.start()
    node.run(['true'])


def test_the_fake_server(
    crooked: ssh_helpers.MakeCrooked, connect: ssh_helpers.Connect
) -> None:
    one = crooked(sshd.Manners)
    node = connect(one)
    assert node.run(['x'], timeout=7).stdout == 'done\n'
    assert one.commands == ['LC_ALL=C timeout -k 5 7 x']
    node.open(['y']).close()
    assert one.commands[1:] == ['LC_ALL=C y']
