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
"""A manila-share process and its links to the nodes of a model.

:class:`Process` stands for one life of manila-share: it can be killed, and
any of its remote steps can go wrong in one of the ways of :class:`Fault`.
"""

from collections.abc import Callable, Collection, Sequence
import dataclasses
import enum
import threading
from typing import TypeVar

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import remote
from tests.model import answers
from tests.model import node as nodes
from tests.model import pool as pools
from tests.model import shell
from tests.model import state as states

T = TypeVar('T')

CONSOLE = ('gluster', '--mode=script', '--xml')
#: Bytes after which the command line cuts a line in two.
CUT = 1023
#: Seconds until it is known that a node does not answer.
CONNECT_TIMEOUT = 15.0

_READS = {'lvs', 'findmnt', 'getfattr', 'hostname', 'systemctl'}
_GLUSTER_READS = {'list', 'info', 'config', 'status', 'heal'}


class Killed(BaseException):
    """The process of the caller is no more."""


class Fault(enum.Enum):
    """A way in which one remote step goes wrong."""

    KILLED = 'the caller is killed before it'
    UNREACHABLE = 'no session is had'
    LOST_BEFORE = 'the link is lost before it has an effect'
    LOST_AFTER = 'the link is lost after it has had its effect'
    TIMED_OUT = 'no answer comes though it has its effect'
    REFUSED = 'it is refused'
    GIVEN_UP = 'gluster gives it up in the midst of it, to no effect'
    SLOW = 'the link is lost, and it goes on for a minute'
    CUT = 'the node loses its power before it'


_REFUSALS: dict[Fault | None, str] = {
    Fault.REFUSED: 'Pre-validation failed on localhost. Please check log '
    'file for details',
    Fault.GIVEN_UP: states.COMMIT_FAILED,
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One remote step."""

    node: str
    argv: tuple[str, ...]

    @property
    def is_gluster(self) -> bool:
        return self.argv[0] == 'gluster'

    @property
    def is_read(self) -> bool:
        if self.is_gluster:
            return self.argv[1].startswith('-') or (
                self.argv[2] in _GLUSTER_READS
            )
        return self.argv[0] in _READS

    def __str__(self) -> str:
        return f'{" ".join(self.argv)} on {self.node}'


class Process:
    """A manila-share process.

    :param fault: what goes wrong, and at which step, counted from 0.
    """

    def __init__(
        self, pool: pools.Pool, fault: tuple[int, Fault] | None = None
    ) -> None:
        self.pool = pool
        self.steps: list[Step] = []
        self.dead = False
        self._fault = fault
        self._words: tuple[frozenset[str], Fault] | None = None
        self._guard = threading.Lock()

    def fail_at(self, step: int, fault: Fault) -> None:
        """Have something go wrong at a step, counted from the first."""
        self._fault = step, fault

    def fail_when(self, fault: Fault, *words: str) -> None:
        """Have something go wrong at a step that has these words."""
        self._words = frozenset(words), fault

    def connect(
        self,
        address: remote.Address,
        credentials: remote.Credentials,
        *,
        sudo: bool = True,
    ) -> 'Remote':
        """Stand in for :class:`manila_glusterfs_clone.remote.Remote`."""
        return self.connect_to(address.host)

    def connect_to(self, name: str) -> 'Remote':
        """Give a link to one node."""
        return Remote(self, self.pool.nodes[name])

    def step(
        self,
        node: nodes.Node,
        argv: Sequence[str],
        timeout: float,
        action: Callable[[bool], T],
    ) -> T:
        """Carry out one step, or have it go wrong.

        :param action: the step; told whether it is to be left half-way.
        """
        step = Step(node.name, tuple(argv))
        with self._guard:
            if self.dead:
                raise Killed
            index = len(self.steps)
            self.steps.append(step)
            if self._words and self._words[0] <= set(step.argv):
                self._fault = index, self._words[1]
        fault = self._due(index, step, timeout)
        if not node.up:
            self.pool.time.advance(CONNECT_TIMEOUT)
            raise errors.Down(node.name, 'no route to host')
        answer = action(fault is Fault.SLOW)
        if fault in (Fault.LOST_AFTER, Fault.SLOW):
            raise errors.LinkLost(node.name, step.argv, 'connection reset')
        if fault is Fault.TIMED_OUT:
            self.pool.time.advance(timeout)
            raise errors.TimedOut(node.name, step.argv, timeout)
        return answer

    def _due(self, index: int, step: Step, timeout: float) -> Fault | None:
        """Give what goes wrong after this step; raise what does before."""
        if self._fault is None or self._fault[0] != index:
            return None
        fault = self._fault[1]
        if fault is Fault.KILLED:
            self.dead = True
            raise Killed
        if fault is Fault.UNREACHABLE:
            self.pool.time.advance(CONNECT_TIMEOUT)
            raise errors.Unreachable(step.node, 'no answer in time')
        if fault is Fault.LOST_BEFORE:
            raise errors.LinkLost(step.node, step.argv, 'connection reset')
        if fault is Fault.CUT:
            self.pool.cut(step.node)
        if fault is Fault.REFUSED and not step.is_gluster:
            raise errors.CommandFailed(
                step.node, step.argv, 5, '', '  Input/output error\n'
            )
        return fault

    @property
    def fault(self) -> Fault | None:
        """What goes wrong with the step that was counted last."""
        if self._fault is None or self._fault[0] != len(self.steps) - 1:
            return None
        return self._fault[1]


class Remote(remote.Remote):
    """One node of the model."""

    def __init__(self, process: Process, node: nodes.Node) -> None:
        self.name = node.name
        self.process = process
        self.node = node

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60.0,
        accept: Collection[int] = (0,),
        stdin: bytes = b'',
    ) -> remote.Result:
        argv = tuple(argv)
        shown = argv
        if argv[: len(CONSOLE)] == CONSOLE:
            shown = ('gluster', *argv[len(CONSOLE) :])
            text = self.gluster(shown, timeout)
            ended = shell.Answer(text, '', 0 if '<' in text else 1)
        else:
            ended = self.process.step(
                self.node, argv, timeout, lambda slow: self._execute(argv)
            )
        if ended.status not in accept:
            raise errors.CommandFailed(
                self.name, argv, ended.status, ended.stdout, ended.stderr
            )
        return remote.Result(
            self.name, argv, ended.status, ended.stdout, ended.stderr
        )

    def _execute(self, argv: tuple[str, ...]) -> shell.Answer:
        pool = self.process.pool
        with pool.guard:
            pool.glusterd.settle()
            return self.node.execute(argv)

    def gluster(self, argv: Sequence[str], timeout: float) -> str:
        """Carry out one command of gluster."""

        def ask(slow: bool) -> str:
            fault = self.process.fault
            if fault in _REFUSALS:
                self.process.pool.time.advance(0.5)
                return answers.refusal(
                    states.Refusal(states.INTERNAL, _REFUSALS[fault])
                )
            return self.process.pool.glusterd.ask(
                self.node, argv[1:], slow=slow
            )

        return self.process.step(self.node, argv, timeout, ask)

    def open(self, argv: Sequence[str]) -> remote.Conversation:
        assert tuple(argv) == CONSOLE
        if self.process.dead:
            raise Killed
        if not self.node.up:
            self.process.pool.time.advance(CONNECT_TIMEOUT)
            raise errors.Down(self.name, 'no route to host')
        return Conversation(self)

    def close(self) -> None:
        """Nothing is kept open."""


class Conversation(remote.Conversation):
    """A console of gluster.

    It ends when the node does, and after saying something that is no XML.
    A line that is too long is cut, and its tail carried out as a command.
    """

    def __init__(self, link: Remote) -> None:
        self.stderr = b''
        self._link = link
        self._over = False
        self._left = b''

    @property
    def alive(self) -> bool:
        return not self._over and self._link.node.up

    def ask(self, line: str, *, until: bytes, timeout: float) -> bytes:
        assert self.alive and '\n' not in line
        data = line.encode()
        try:
            for start in range(0, len(data), CUT):
                words = data[start : start + CUT].decode().split()
                text = self._link.gluster(['gluster', *words], timeout)
                if '<?xml' not in text:
                    raise errors.LinkLost(
                        self._link.name,
                        (*CONSOLE, *words),
                        'the process has ended',
                        text,
                    )
                self._left += text.encode()
        except BaseException:
            self._over = True
            raise
        answer, mark, self._left = self._left.partition(until)
        return answer + mark

    def close(self) -> None:
        self._over = True


def matters(fault: Fault, step: Step) -> bool:
    """Whether a fault at a step differs from the same at another one.

    A kill before a read is one before the next write, a read has no effect
    to be lost, and what is not gluster's does not go on by itself.
    """
    if fault in (Fault.KILLED, Fault.LOST_AFTER, Fault.CUT):
        return not step.is_read
    if fault in (Fault.SLOW, Fault.GIVEN_UP):
        return step.is_gluster and not step.is_read
    return True
