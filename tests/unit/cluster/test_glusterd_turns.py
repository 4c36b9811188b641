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

from collections.abc import Iterator
import contextlib
import threading
import time

import pytest

from manila_glusterfs_clone.cluster import glusterd_turns
from manila_glusterfs_clone.cluster import parallel

WAIT = 10.0


class Commands:
    """Commands in threads, each of which runs until :meth:`end`."""

    def __init__(self) -> None:
        self.turns = glusterd_turns.Turns()
        self.begun: list[str] = []
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()

    def start(
        self,
        name: str,
        place: contextlib.AbstractContextManager[None] | None = None,
    ) -> None:
        """Start a command, and return when it runs or waits."""
        end = self._ends[name] = threading.Event()
        count = len(self.turns._waiting) + len(self.begun)

        def run() -> None:
            with place or contextlib.nullcontext(), self.turns.turn():
                with self._changed:
                    self.begun.append(name)
                    self._changed.notify_all()
                assert end.wait(WAIT)

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        self.wait_until(
            lambda: len(self.turns._waiting) + len(self.begun) > count
        )

    def end(self, name: str) -> None:
        self._ends[name].set()

    def wait_until(self, is_true: object) -> None:
        assert callable(is_true)
        with self._changed:
            for _ in range(int(WAIT / 0.01)):
                if is_true():
                    return
                self._changed.wait(0.01)
        raise AssertionError(f'begun: {self.begun}')

    def close(self) -> None:
        for end in self._ends.values():
            end.set()
        for thread in self._threads:
            thread.join(WAIT)


@pytest.fixture
def commands() -> Iterator[Commands]:
    made = Commands()
    yield made
    made.close()


def test_the_operation_that_began_first_goes_first(
    commands: Commands,
) -> None:
    with glusterd_turns.operation():
        first = contextlib.nullcontext()
        older = glusterd_turns._began_at.get()
    assert older is not None
    commands.start('running', first)
    commands.start('newer')
    commands.start('older', _place(older))
    assert commands.begun == ['running']
    commands.end('running')
    commands.wait_until(lambda: len(commands.begun) == 2)
    commands.end('older')
    commands.wait_until(lambda: len(commands.begun) == 3)
    assert commands.begun == ['running', 'older', 'newer']


@contextlib.contextmanager
def _place(began_at: float) -> Iterator[None]:
    token = glusterd_turns._began_at.set(began_at)
    yield
    glusterd_turns._began_at.reset(token)


def test_an_urgent_operation_goes_first(commands: Commands) -> None:
    commands.start('running')
    commands.start('clone', glusterd_turns.operation())
    commands.start('deny', glusterd_turns.operation(is_urgent=True))
    commands.end('running')
    commands.wait_until(lambda: len(commands.begun) == 2)
    assert commands.begun[1] == 'deny'


def test_who_has_waited_for_long_is_not_overtaken(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glusterd_turns, 'URGENCY_SECONDS', 0.0)
    commands.start('running')
    commands.start('clone', glusterd_turns.operation())
    commands.start('deny', glusterd_turns.operation(is_urgent=True))
    commands.end('running')
    commands.wait_until(lambda: len(commands.begun) == 2)
    assert commands.begun[1] == 'clone'


def test_a_command_that_hangs_does_not_stop_others(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glusterd_turns, 'LONGEST_TURN_SECONDS', 0.2)
    commands.start('hangs')
    commands.start('next')
    commands.start('last')
    commands.wait_until(lambda: len(commands.begun) == 3)
    assert commands.begun == ['hangs', 'next', 'last']


def test_a_hang_costs_each_command_the_same(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that began after the hang hang, too."""
    monkeypatch.setattr(glusterd_turns, 'LONGEST_TURN_SECONDS', 0.5)
    begun_at = time.monotonic()
    for number in range(9):
        commands.start(f'hangs {number}')
    commands.wait_until(lambda: len(commands.begun) == 9)
    # One turn after the other would take 4 s.
    assert time.monotonic() - begun_at < 3


def test_an_error_ends_a_turn() -> None:
    room = glusterd_turns.Turns()
    for _ in range(2):
        with pytest.raises(KeyError), room.turn():
            raise KeyError
    assert not room._waiting
    assert not room._begun_at


def test_a_command_that_is_given_up_leaves_its_place() -> None:
    class GivenUp(BaseException):
        pass

    class Condition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            raise GivenUp

    room = glusterd_turns.Turns()
    room._condition = Condition()
    with room.turn(), pytest.raises(GivenUp), room.turn():
        pass
    with room.turn():
        assert not room._waiting


def test_parallel_actions_have_the_place_of_their_operation() -> None:
    with glusterd_turns.operation():
        began_at = glusterd_turns._began_at.get()
        results, _ = parallel.try_all(
            dict.fromkeys('ab', glusterd_turns._began_at.get)
        )
        with parallel.beside('share', glusterd_turns._began_at.get) as future:
            assert future.result() == began_at
    assert results == dict.fromkeys('ab', began_at)
    assert glusterd_turns._began_at.get() is None
