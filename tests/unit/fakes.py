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
"""Stand-ins for a node and for time, no cleverer than they must be.

:class:`Node` answers a command with what is next in its script for exactly
that command; what it was not told to expect fails the test.
"""

from collections.abc import Callable, Iterable, Sequence
import contextlib
import copy
import dataclasses
import pathlib
import re
import shlex
import threading
import typing

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import steps as runner_steps
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone import options
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
RELEASES = ('10.3', '11.1')

#: How long glusterd has run.
AGE = ('glusterd_age',)
LOG = ('read_glusterd_log',)
CONSOLE = child_processes.CONSOLE
GREETING = greetings.Greeting(
    runner.RELEASE,
    runner.OLDEST_SERVED,
    brick_roots=frozenset({options.DEFAULT_BRICK_ROOT}),
    volume_groups=frozenset({'gvg'}),
    problem='',
)

_RECORDING = re.compile(
    r'\$ (?P<command>[^\n]*)\n\[status (?P<status>\d+)\]\n'
    r'\[stdout\]\n(?P<stdout>.*)\[stderr\]\n(?P<stderr>.*)',
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command says, and its exit status."""

    stdout: str = ''
    stderr: str = ''
    status: int = 0


@dataclasses.dataclass(frozen=True)
class Recording:
    """What a real tool answered."""

    argv: tuple[str, ...]
    answer: Answer


def golden(release: str, name: str) -> Recording:
    """Read one of the recordings."""
    match = _RECORDING.fullmatch((GOLDEN / release / name).read_text())
    assert match is not None, name
    argv = tuple(shlex.split(match['command']))
    if argv[0] == 'lvs':
        # Recorded before the driver overrode the settings of lvm.conf.
        names = [word for word in argv[1:] if not word.startswith('-')]
        argv = tuple(verbs.list_lvs(names))
    return Recording(
        argv,
        Answer(match['stdout'], match['stderr'], int(match['status'])),
    )


def golden_names(release: str, prefix: str = '') -> list[str]:
    """Name the recordings of a release."""
    return sorted(path.name for path in (GOLDEN / release).glob(f'{prefix}*'))


def xml(
    body: str = '', *, ret: int = 0, errno: int = 0, message: str = ''
) -> str:
    """Make an answer of gluster."""
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<cliOutput>\n<opRet>{ret}</opRet>\n<opErrno>{errno}</opErrno>\n'
        f'<opErrstr>{message}</opErrstr>\n{body}</cliOutput>\n'
    )


Reply = Answer | Exception


class Node(commands.Remote):
    """A node that follows a script.

    What is told last for a command is said again and again.
    """

    def __init__(self, name: str = 'gl1') -> None:
        self.name = name
        self.asked: list[tuple[str, ...]] = []
        #: Those that no gluster console can run.
        self.ran: list[tuple[str, ...]] = []
        self.greeting: greetings.Greeting | errors.Error = GREETING
        #: Called with each gluster command, before the answer.
        self.during: Callable[[str], None] = lambda line: None
        self.closed = False
        #: The number of requests to the runner.
        self.request_count = 0
        self._script: dict[tuple[str, ...], list[Reply]] = {}
        #: Until a test says more, glusterd has logged nothing.
        self._log: list[Reply] = [Answer('""')]
        self._lock = threading.Lock()

    def replay(self, release: str, *names: str) -> 'Node':
        """Answer with these recordings, in this order."""
        for name in names:
            recording = golden(release, name)
            self.answer(recording.argv, recording.answer)
        return self

    def answer(self, argv: Sequence[str], *replies: Reply) -> 'Node':
        """Answer a command like this, one reply each time."""
        self._script.setdefault(tuple(argv), []).extend(replies)
        return self

    def gluster(self, words: str, *replies: Reply | str) -> 'Node':
        """Answer a gluster command like this."""
        return self.answer(
            (*CONSOLE, *words.split()),
            *(Answer(r) if isinstance(r, str) else r for r in replies),
        )

    def grown(self, age: str = '86400\n') -> 'Node':
        """Tell of a glusterd that was started long ago, or then."""
        self.gluster('volume list', xml('<volList/>'))
        return self.answer(AGE, Answer(age))

    def said(self) -> list[str]:
        """Give what gluster was told, in order."""
        head = len(CONSOLE)
        return [
            ' '.join(argv[head:])
            for argv in self.asked
            if argv[:head] == CONSOLE
        ]

    def next(self, argv: tuple[str, ...]) -> Answer:
        with self._lock:
            self.asked.append(argv)
            usual = self._log if argv == LOG else None
            replies = self._script.get(argv, usual)
            assert replies, f'not expected: {shlex.join(argv)}'
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise copy.copy(reply)
        return reply

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        return self.run_all([step], timeout=timeout)[0]

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        with self._lock:
            self.request_count += 1
        return [self._run(step) for step in the_steps]

    def outcomes(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        with self._lock:
            self.request_count += 1
        outcomes: list[step_outcomes.Outcome] = []
        for step in the_steps:
            if outcomes and not isinstance(outcomes[-1], commands.Result):
                outcomes.append(step_outcomes.Skipped(self.name, step.verb))
                continue
            try:
                outcomes.append(self._run(step))
            except errors.Error as error:
                if not outcomes and isinstance(error, errors.Unreachable):
                    raise  # nothing was started
                outcomes.append(error)
        return tuple(outcomes)

    def _run(self, step: commands.Step) -> commands.Result:
        argv = step.argv
        words = argv[len(CONSOLE) :]
        in_console = False
        if argv[: len(CONSOLE)] == CONSOLE:
            in_console = runner_steps.runs_in_console(words)
            self.during(' '.join(words))
        if not in_console and argv != LOG:
            self.ran.append(argv)
        said = self.next(argv)
        if in_console:
            # A console that prints no XML ends, or waits.
            if child_processes.END not in said.stdout:
                raise errors.LinkLost(
                    self.name, argv, 'the console ended', said.stdout
                )
        elif said.status and not verbs.VERBS[step.verb].accepts_any_status:
            raise errors.CommandFailed(
                self.name, argv, said.status, said.stdout, said.stderr
            )
        return commands.Result(
            self.name, argv, said.status, said.stdout, said.stderr
        )

    def greet(self) -> greetings.Greeting:
        if isinstance(self.greeting, errors.Error):
            raise copy.copy(self.greeting)
        return self.greeting

    def close(self) -> None:
        self.closed = True


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@contextlib.contextmanager
def threads(
    actions: Iterable[Callable[[], object]],
) -> typing.Iterator[list[threading.Thread]]:
    """Do things side by side; all have ended when this ends."""
    started = [
        threading.Thread(target=action, daemon=True) for action in actions
    ]
    for thread in started:
        thread.start()
    yield started
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()
