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
"""Interactive processes: lines, answers, and their end."""

from collections.abc import Iterator

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import interactive_process
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


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
    node: commands.Remote,
) -> Iterator[interactive_process.InteractiveProcess]:
    console = node.open(sshd.python(CONSOLE))
    yield console
    console.close()


def ask(console: interactive_process.InteractiveProcess, line: str) -> bytes:
    return console.ask(line, terminator=b'>', timeout=sshd.PATIENCE)


def test_answers(console: interactive_process.InteractiveProcess) -> None:
    assert console.is_alive
    assert ask(console, 'one') == b'<one>'
    assert ask(console, 'zwölf') == '\n<zwölf>'.encode()
    console.close()
    assert not console.is_alive
    console.close()


def test_much_output_of_a_process(
    console: interactive_process.InteractiveProcess,
) -> None:
    assert ask(console, 'noise') == b'<noise>'
    assert len(ask(console, 'much')) == (5 << 20) + 3
    assert len(console.stderr) <= interactive_process.TAIL_BYTES


def test_mark_in_pieces(node: commands.Remote) -> None:
    code = """
import sys, time
for line in sys.stdin:
    for letter in 'x</end>y':
        sys.stdout.write(letter), time.sleep(0.02)
"""
    console = node.open(sshd.python(code))
    answer = console.ask('a', terminator=b'</end>', timeout=sshd.PATIENCE)
    assert answer == b'x</end>'
    answer = console.ask('b', terminator=b'</end>', timeout=sshd.PATIENCE)
    assert answer == b'yx</end>'
    console.close()


@pytest.mark.parametrize('line', ['a\nb', 'a\0b'])
def test_input_that_is_not_one_line(
    console: interactive_process.InteractiveProcess, line: str
) -> None:
    with pytest.raises(ValueError):
        ask(console, line)
    with pytest.raises(ValueError):
        console.ask('a', terminator=b'', timeout=1)
    assert ask(console, 'fine') == b'<fine>'


def test_the_process_dies(
    node: commands.Remote, console: interactive_process.InteractiveProcess
) -> None:
    mine = ssh_helpers.which_connection(node)
    with pytest.raises(errors.LinkLost) as caught:
        ask(console, 'die')
    assert '<half' in caught.value.partial_output
    assert 'going' in caught.value.partial_output
    assert caught.value.argv[-1] == 'die'
    assert not console.is_alive
    # Found dead: nothing has been said, so it may be said to another.
    with pytest.raises(errors.Unreachable):
        ask(console, 'more')
    assert ssh_helpers.which_connection(node) == mine


def test_the_process_hangs(
    node: commands.Remote, console: interactive_process.InteractiveProcess
) -> None:
    mine = ssh_helpers.which_connection(node)
    with pytest.raises(errors.TimedOut) as caught:
        console.ask('hang', terminator=b'>', timeout=0.3)
    assert caught.value.seconds == 0.3
    assert not console.is_alive
    with pytest.raises(errors.Unreachable):
        ask(console, 'more')
    assert ssh_helpers.which_connection(node) != mine


def test_ended_processes_release_their_channels(
    node: commands.Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, 'MAX_CHANNELS', 2)
    mine = ssh_helpers.which_connection(node)
    for number in range(6):
        console = node.open(['sh', '-c', 'read line'])
        assert node.run(['echo', 'beside']).stdout == 'beside\n'
        if number % 2:
            console.close()
        else:
            with pytest.raises(errors.LinkLost):
                ask(console, 'end')
    assert ssh_helpers.which_connection(node) == mine


def test_endless_output_does_not_extend_the_deadline(
    node: commands.Remote, impatient: None
) -> None:
    with pytest.raises(errors.TimedOut):
        node.open(['yes']).ask('x', terminator=b'>', timeout=0.3)
