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
"""The driver's side of the runner, over streams of its own and a process."""

from collections.abc import Callable, Iterator
import json
import os
import pathlib
import queue
import re
import signal
import threading
import time
from typing import Any

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner as node_runner
from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import runner_client
from manila_glusterfs_clone.ssh import step_outcomes as runner_steps
from tests.unit import runner_process
from tests.unit.runner_process import step

VOLUME = runner_process.VOLUME
LV = f'gvg/{VOLUME}'
MIB = runner_process.MIB
RELEASES = {'release': node_runner.RELEASE, 'oldest_served': 1}
GREETING = json.dumps(RELEASES)
BAD_PROGRAMS = json.dumps({**RELEASES, 'missing_programs': 1})


def outcomes(
    connection: runner_client.Connection, *asked: runner_client.Step
) -> tuple[runner_client.Outcome, ...]:
    return connection.outcomes(asked, 20.0)


def run(
    connection: runner_client.Connection, *asked: runner_client.Step
) -> list[runner_client.Result]:
    return connection.run(asked, 20.0)


class Script:
    """Streams that answer as a test says."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.nonce = ''
        self.is_closed = False
        self.failure: Exception | None = None
        #: Called with each request.
        self.react: Callable[[dict[str, Any]], None] = lambda request: None
        self._parts: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue()
        self._frames = frames.Frames()

    def send(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        for request in self._frames.feed(data):
            self.nonce = self._frames.nonce or ''
            self.requests.append(request)
            self.react(request)

    def read(self) -> tuple[bytes, bytes] | None:
        return self._parts.get(timeout=20)

    def close(self) -> None:
        self.is_closed = True
        self.end()

    def put(self, data: bytes, stderr: bytes = b'') -> None:
        self._parts.put((data, stderr))

    def end(self) -> None:
        self._parts.put(None)

    def answer(self, at: int = 0, **answer: Any) -> bytes:
        """Make an answer to the last request."""
        content = {'id': self.requests[-1]['id'], 'step': at, **answer}
        return frames.frame(self.nonce, content)

    def always(self, **answer: Any) -> None:
        """Answer each step of each request so."""

        def react(request: dict[str, Any]) -> None:
            for at in range(len(request['steps'])):
                self.put(self.answer(at, **answer))

        self.react = react


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def connection(script: Script) -> Iterator[runner_client.Connection]:
    connection = runner_client.Connection('gl1', script)
    yield connection
    connection.close()


@pytest.fixture
def node(tmp_path: pathlib.Path) -> runner_process.Node:
    return runner_process.Node(tmp_path)


@pytest.fixture
def stream(node: runner_process.Node) -> Iterator[runner_process.LocalStream]:
    process = node.start()
    yield runner_process.LocalStream(process)
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


# -- outcomes


@pytest.mark.parametrize(
    ('answer', 'kind'),
    [
        ({'outcome': 'refused', 'kind': 'invalid'}, runner_steps.NotAllowed),
        ({'outcome': 'refused', 'kind': 'missing'}, errors.CommandFailed),
        ({'outcome': 'refused', 'kind': 'busy'}, errors.Occupied),
        ({'outcome': 'refused', 'kind': 'late'}, errors.Occupied),
        (
            {'outcome': 'refused', 'kind': 'glusterd'},
            runner_steps.GlusterdNotRunning,
        ),
        ({'outcome': 'refused', 'kind': 'stopping'}, errors.Unreachable),
        (
            {'outcome': 'refused', 'kind': 'status', 'status': 5},
            errors.CommandFailed,
        ),
        ({'outcome': 'skipped'}, runner_steps.Skipped),
        ({'outcome': 'unknown', 'kind': 'deadline'}, errors.TimedOut),
        (
            {'outcome': 'unknown', 'kind': 'signal', 'status': -9},
            errors.LinkLost,
        ),
        ({'outcome': 'unknown', 'kind': 'ended'}, errors.LinkLost),
        ({'outcome': 'unknown', 'kind': 'garbled'}, errors.Garbled),
        ({'outcome': 'unknown', 'kind': 'failed'}, runner_steps.RunnerFailed),
        # What this driver does not know is no refusal.
        ({'outcome': 'unknown', 'kind': 'new'}, errors.Garbled),
        ({'outcome': 'refused', 'kind': 'new'}, errors.Garbled),
        ({'outcome': 'refused', 'kind': 'status'}, errors.Garbled),
        ({'outcome': 'new'}, errors.Garbled),
        ({}, errors.Garbled),
    ],
    ids=str,
)
def test_what_answers_mean(
    script: Script,
    connection: runner_client.Connection,
    answer: dict[str, Any],
    kind: type[errors.Error],
) -> None:
    script.always(**answer)
    (outcome,) = outcomes(connection, step('list_lvs', names=[]))
    assert type(outcome) is kind
    assert 'gl1' in str(outcome)
    known = {'refused': errors.Refused, 'skipped': errors.Refused}
    expected: type[errors.Error] = errors.Unknown
    if kind is not errors.Garbled:
        expected = known.get(answer.get('outcome', ''), errors.Unknown)
    assert isinstance(outcome, expected)


def test_what_a_program_printed(
    script: Script, connection: runner_client.Connection
) -> None:
    script.always(
        outcome='refused',
        kind='status',
        argv=['lvextend', 'x'],
        status=5,
        stdout='out',
        stderr='no room',
    )
    with pytest.raises(errors.CommandFailed) as caught:
        run(connection, step('extend_lv', lv=LV, size=MIB))
    assert caught.value.argv == ('lvextend', 'x')
    assert caught.value.status == 5
    assert (caught.value.stdout, caught.value.stderr) == ('out', 'no room')


def test_the_step_that_failed_is_raised(
    script: Script, connection: runner_client.Connection
) -> None:
    def react(request: dict[str, Any]) -> None:
        script.put(
            script.answer(0, outcome='skipped')
            + script.answer(1, outcome='refused', kind='invalid', reason='y')
            + script.answer(2, outcome='skipped')
        )

    script.react = react
    with pytest.raises(runner_steps.NotAllowed) as caught:
        run(connection, *(step('list_lvs', names=[]) for _ in range(3)))
    assert caught.value.problem == 'y'


# -- the end of a connection


def lose_link(script: Script) -> None:
    script.end()


def send_half_a_frame(script: Script) -> None:
    script.put(script.answer(outcome='done')[:-5])
    script.end()


def send_another_length(script: Script) -> None:
    script.put(script.answer(outcome='done').replace(b'done', b'done!'))


def send_noise(script: Script) -> None:
    script.put(b'Connection to gl1 closed.\n')


def report_a_broken_frame(script: Script) -> None:
    script.put(frames.frame(script.nonce, {'broken': 'no frame'}))


def answer_another_request(script: Script) -> None:
    script.put(frames.frame(script.nonce, {'id': 99, 'step': 0}))


def answer_another_step(script: Script) -> None:
    script.put(script.answer(7, outcome='done'))


def answer_twice(script: Script) -> None:
    script.put(script.answer(0, outcome='done') * 2)


def answer_for_no_step(script: Script) -> None:
    script.put(script.answer(outcome='done', step=None))


@pytest.mark.parametrize(
    'end',
    [
        lose_link,
        send_half_a_frame,
        send_another_length,
        send_noise,
        report_a_broken_frame,
        answer_another_request,
        answer_another_step,
        answer_twice,
        answer_for_no_step,
    ],
)
def test_all_that_is_asked_is_unknown_then(
    script: Script,
    connection: runner_client.Connection,
    end: Callable[[Script], None],
) -> None:
    script.always(outcome='done', stdout=GREETING)
    connection.greet(5)
    found: list[Any] = []
    script.react = lambda request: None
    other = threading.Thread(
        target=lambda: found.extend(
            outcomes(connection, step('sync', paths=['/x']))
        )
    )
    other.start()
    while len(script.requests) < 2:
        time.sleep(0.001)
    script.react = lambda request: end(script)
    found.extend(
        outcomes(
            connection, step('unmount', path='/a'), step('unmount', path='/b')
        )
    )
    other.join()
    assert len(found) == 3
    lost = [type(o) for o in found]
    assert lost.count(errors.LinkLost) >= 2
    assert set(lost) <= {errors.LinkLost, runner_steps.Result}
    assert errors.is_unknown(found[-1])
    assert script.is_closed
    assert not connection.is_alive
    with pytest.raises(errors.Unreachable):
        run(connection, step('list_lvs', names=[]))
    assert len(script.requests) == 3


def test_steps_that_were_answered_are_known(
    script: Script, connection: runner_client.Connection
) -> None:
    def react(request: dict[str, Any]) -> None:
        script.put(script.answer(0, outcome='done', stdout='7'))
        script.put(b'', b'segmentation fault')
        script.end()

    script.react = react
    first, second = outcomes(
        connection, step('unmount', path='/a'), step('unmount', path='/b')
    )
    assert isinstance(first, runner_steps.Result)
    assert first.stdout == '7'
    assert isinstance(second, errors.LinkLost)
    assert 'segmentation fault' in second.reason


def test_a_request_that_cannot_be_sent(
    script: Script,
    connection: runner_client.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part of it may have been sent."""
    monkeypatch.setattr(runner_client, '_LAST_OUTPUT_SECONDS', 0.01)
    script.failure = OSError('broken pipe')
    (outcome,) = outcomes(connection, step('unmount', path='/b'))
    assert isinstance(outcome, errors.LinkLost)
    assert outcome.reason == 'broken pipe'


def test_no_answer_comes(
    script: Script,
    connection: runner_client.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_client, 'MARGIN_SECONDS', -5.95)
    (outcome,) = outcomes(connection, step('unmount', 0.05, path='/b'))
    assert isinstance(outcome, errors.TimedOut)
    assert outcome.seconds == 0.05
    assert script.is_closed


def test_time_limits_of_steps(
    script: Script, connection: runner_client.Connection
) -> None:
    """A step without a time limit has that of the request."""
    script.always(outcome='unknown', kind='deadline')
    found = connection.outcomes(
        [runner_client.Step('list_mounts'), step('unmount', 300.0, path='/b')],
        40.0,
    )
    (request,) = script.requests
    assert [each['seconds'] for each in request['steps']] == [40.0, 300.0]
    assert [getattr(each, 'seconds') for each in found] == [40.0, 300.0]  # noqa: B009


def test_a_request_that_is_too_long(
    connection: runner_client.Connection,
) -> None:
    words = ['x' * frames.LONGEST_REQUEST]
    with pytest.raises(ValueError, match='bytes'):
        run(connection, step('gluster', words=words))
    assert connection.is_alive


def test_another_process(
    script: Script,
    connection: runner_client.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, 'getpid', lambda: -1)
    with pytest.raises(errors.Unreachable):
        run(connection, step('list_lvs', names=[]))
    connection.close()
    assert not script.is_closed


# -- greetings


def test_noise_before_the_greeting(
    script: Script, connection: runner_client.Connection
) -> None:
    script.put(b'Welcome to gl1!\n\n', b'sudo: unable to resolve host gl1\n')
    script.always(outcome='done', stdout=GREETING)
    assert connection.greet(5).release == node_runner.RELEASE


@pytest.mark.parametrize('printed', [(b'no', b''), (b'', b'no'), (b'', b'')])
def test_no_greeting(
    script: Script,
    connection: runner_client.Connection,
    printed: tuple[bytes, bytes],
) -> None:
    def react(request: dict[str, Any]) -> None:
        script.put(*printed)
        script.end()

    script.react = react
    with pytest.raises(greetings.NoRunner) as caught:
        connection.greet(5)
    assert isinstance(caught.value, errors.Refused)
    assert caught.value.reason == ''.join(map(bytes.decode, printed))
    assert script.is_closed


def test_the_ends_of_what_a_node_printed_are_shown(
    script: Script, connection: runner_client.Connection
) -> None:
    script.put(b'.bashrc: error\n' + b'x' * 99999 + b'\nsudo: no rule\n')
    script.end()
    with pytest.raises(greetings.NoRunner) as caught:
        connection.greet(5)
    text = str(caught.value)
    assert '.bashrc: error' in text
    assert 'sudo: no rule' in text
    assert len(text) < 1000


def test_the_runner_ended_before_the_greeting(
    script: Script, connection: runner_client.Connection
) -> None:
    """Its output is the reason, whether it is read before or after."""
    script.put(b'', b'sudo: a password is required\n')
    script.end()
    script.failure = OSError('broken pipe')
    with pytest.raises(greetings.NoRunner) as caught:
        connection.greet(5)
    assert caught.value.reason == 'sudo: a password is required'


@pytest.mark.parametrize(
    'value', ['', '{}', '{"release": "x"}', '[1]', BAD_PROGRAMS]
)
def test_a_greeting_that_is_none(
    script: Script, connection: runner_client.Connection, value: str
) -> None:
    script.always(outcome='done', stdout=value)
    with pytest.raises(greetings.NoRunner):
        connection.greet(5)


# -- with a real process


def test_a_real_runner(
    node: runner_process.Node, stream: runner_process.LocalStream
) -> None:
    (node.root / 'bin' / 'umount').unlink()
    connection = runner_client.Connection('gl1', stream)
    greeting = connection.greet(20)
    assert greeting.volume_groups == {'gvg', 'tvg'}
    assert greeting.missing_programs == ('umount',)
    target = f'{node.bricks}/{VOLUME}'
    answers = run(
        connection,
        step('make_directory', path=target),
        step('create_lv', lv=LV, pool='pool', size=MIB, tags=['manila.brick']),
        step('gluster', words=['volume', 'list']),
    )
    assert [answer.status for answer in answers][:2] == [0, 0]
    assert answers[1].argv[0] == 'lvcreate'
    assert 'volume list' in answers[2].stdout
    with pytest.raises(runner_steps.NotAllowed):
        run(connection, step('remove_lvs', lvs=['root/swap']))
    connection.close()
    assert stream.process.wait(20) == 0


def test_threads_share_a_real_runner(
    node: runner_process.Node, stream: runner_process.LocalStream
) -> None:
    connection = runner_client.Connection('gl1', stream)
    connection.greet(20)
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        words = ['volume', 'info', f'v{number}']
        found[number] = run(connection, step('gluster', words=words))[0].stdout

    threads = [
        threading.Thread(target=ask, args=(number,)) for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [*range(12)]
    for number, text in found.items():
        assert re.search(rf'<line>volume info v{number}</line>', text)
    connection.close()


def test_a_real_runner_is_killed(
    node: runner_process.Node, stream: runner_process.LocalStream
) -> None:
    connection = runner_client.Connection('gl1', stream)
    connection.greet(20)
    node.program('lvextend', f'kill -{signal.SIGKILL:d} {stream.process.pid}')
    with pytest.raises(errors.LinkLost):
        run(connection, step('extend_lv', lv=LV, size=128 * MIB))
    assert not connection.is_alive
