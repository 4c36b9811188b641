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
"""A manila-share process and its connections to the nodes of a model.

A :class:`Process` stands for one manila-share from start to end. It can be
killed, and any of its remote steps can get one of the faults of
:mod:`tests.model.fault_injection`.
"""

from collections.abc import Callable, Sequence
import threading
from typing import TypeVar
from xml.sax import saxutils

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import steps as runner_steps
from manila_glusterfs_clone.node.runner import validation
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone import options
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes
from tests.model import answers
from tests.model import fault_injection
from tests.model import glusterd
from tests.model import glusterd_state
from tests.model import model_cluster
from tests.model import model_node
from tests.model import shell
from tests.model import turns

T = TypeVar('T')

Fault = fault_injection.Fault
Variant = fault_injection.Variant
Step = fault_injection.Step
Killed = fault_injection.Killed

CONSOLE = child_processes.CONSOLE
#: The settings of the runner on each node.
SETTINGS = validation.Settings((options.DEFAULT_BRICK_ROOT,), ('gvg',))
#: Seconds until it is known that a node does not answer.
CONNECT_TIMEOUT = 15.0


_REFUSALS: dict[fault_injection.AnyFault | None, str] = {
    Fault.REFUSED: 'Pre-validation failed on localhost. Please check log '
    'file for details',
    Variant.GIVEN_UP: glusterd_state.COMMIT_FAILED,
}
_KILLED = {Fault.KILLED_AFTER, Variant.KILLED_SLOW}
_LOST = {Fault.LINK_CUT, Variant.SLOW, Variant.REBOOTED}


class Process:
    """A manila-share process.

    :param fault: what goes wrong, and at which step, counted from 0.
    """

    def __init__(
        self,
        pool: model_cluster.ModelCluster,
        fault: tuple[int, fault_injection.AnyFault] | None = None,
    ) -> None:
        self.pool = pool
        self.steps: list[Step] = []
        #: The number of requests to runners.
        self.requests = 0
        self.dead = False
        #: The time-out of the step that went wrong last.
        self.timeout = 0.0
        self._fault = fault
        self._words: tuple[frozenset[str], fault_injection.AnyFault] | None = (
            None
        )
        self._lock = threading.Lock()

    def fail_at(self, step: int, fault: fault_injection.AnyFault) -> None:
        """Plan a fault at a step, counted from the first."""
        self._fault = step, fault

    def fail_when(self, fault: fault_injection.AnyFault, *words: str) -> None:
        """Plan a fault at each step whose command has these words.

        The name of the node is one of the words of a step.
        """
        self._words = frozenset(words), fault

    def fail_no_more(self) -> None:
        """Cancel the planned faults."""
        self._fault = self._words = None

    def count_request(self) -> None:
        """Count a request to a runner, of one or more steps."""
        with self._lock:
            self.requests += 1

    def connect(
        self,
        address: commands.Address,
        credentials: commands.Credentials,
        *,
        sudo: bool = True,
    ) -> 'Remote':
        """Replace :class:`manila_glusterfs_clone.ssh.commands.Remote`."""
        return self.connect_to(address.host)

    def connect_to(self, name: str) -> 'Remote':
        """Return a connection to one node."""
        return Remote(self, self.pool.nodes[name])

    def step(
        self,
        node: model_node.ModelNode,
        argv: Sequence[str],
        timeout: float,
        action: Callable[[int | None], T],
    ) -> T:
        """Run one step, or inject the fault.

        :param action: the step; told after how many phases it is to be left
            to itself, if it is.
        """
        step = Step(node.name, tuple(argv))
        with self._lock:
            if self.dead:
                raise Killed
            index = len(self.steps)
            self.steps.append(step)
            if self._words and self._words[0] <= {*step.argv, node.name}:
                self._fault = index, self._words[1]
            elif self._fault and self._fault[0] == index:
                # Nodes that are asked in parallel number steps at random.
                assert turns.is_in_turn()
        fault = self._due(index, step, timeout)
        if not node.up:
            self.pool.time.advance(CONNECT_TIMEOUT)
            raise errors.Down(node.name, 'no route to host')
        if node.login_error is not None:
            raise node.login_error
        with self.pool.observer.command(str(step), is_read=step.is_read):
            answer = action(fault_injection.LEFT.get(fault))
        if fault in _KILLED:
            self.dead = True
            raise Killed
        if fault in (Variant.POWER_CUT_MIDWAY, Variant.POWER_CUT_AFTER):
            self.pool.cut(node.name)
        if fault in (Variant.REBOOTED, Variant.PEER_REBOOTED):
            others = (name for name in self.pool.nodes if name != node.name)
            name = node.name if fault is Variant.REBOOTED else max(others)
            self.pool.cut(name)
            self.pool.boot(name)
        if fault in _LOST:
            raise errors.LinkLost(node.name, step.argv, 'connection reset')
        if fault is Variant.POWER_CUT_MIDWAY:
            self._wait(timeout)
            raise errors.TimedOut(node.name, step.argv, timeout)
        if fault is Variant.GLUSTERD_KILLED_MIDWAY:
            # A console says nothing of it, and waits for ever.
            self.pool.kill_glusterd(node.name)
            self._wait(timeout)
            raise errors.TimedOut(node.name, step.argv, timeout)
        if fault is Fault.HANGS:
            self._wait(timeout)
            raise errors.TimedOut(node.name, step.argv, timeout)
        return answer

    def _wait(self, seconds: float) -> None:
        """Wait for an answer that does not come.

        All nodes have one clock. If nodes were asked in parallel, this time
        would pass for the others too, and their deadlines with it.
        """
        assert turns.is_in_turn()
        self.pool.time.advance(seconds)

    def _due(
        self, index: int, step: Step, timeout: float
    ) -> fault_injection.AnyFault | None:
        """Return the fault after this step; raise a fault before it."""
        if self._fault is None or self._fault[0] != index:
            return None
        fault, self.timeout = self._fault[1], timeout
        if fault is Fault.KILLED_BEFORE:
            self.dead = True
            raise Killed
        if fault is Variant.UNREACHABLE:
            self._wait(CONNECT_TIMEOUT)
            raise errors.Unreachable(step.node, 'no answer in time')
        if fault is Variant.LOST_BEFORE:
            raise errors.LinkLost(step.node, step.argv, 'connection reset')
        if fault is Variant.HANGS_IDLE:
            self._wait(timeout)
            raise errors.TimedOut(step.node, step.argv, timeout)
        if fault is Fault.POWER_CUT:
            self.pool.cut(step.node)
        if fault is Fault.GLUSTERD_KILLED:
            self.pool.kill_glusterd()
        if fault is Variant.LEFT_OUT:
            self.pool.state.mishaps['left out'] = 1
        if fault is Fault.REFUSED and not step.is_gluster:
            raise errors.CommandFailed(
                step.node, step.argv, 5, '', '  Input/output error\n'
            )
        return fault

    @property
    def fault(self) -> fault_injection.AnyFault | None:
        """Return the fault of the step that was counted last."""
        if self._fault is None or self._fault[0] != len(self.steps) - 1:
            return None
        return self._fault[1]


class Remote(commands.Remote):
    """One node of the model."""

    def __init__(self, process: Process, node: model_node.ModelNode) -> None:
        self.name = node.name
        self.process = process
        self.node = node

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        self.process.count_request()
        return self._run(step, timeout)

    def _run(self, step: commands.Step, timeout: float) -> commands.Result:
        timeout = step.timeout or timeout
        # The runner refuses what its checks do not allow.
        verb = verbs.check(SETTINGS, step.verb, dict(step.values))
        argv = step.argv
        ended = self.answer(argv, timeout)
        if ended.status and not verb.accepts_any_status:
            raise errors.CommandFailed(
                self.name, argv, ended.status, ended.stdout, ended.stderr
            )
        return commands.Result(
            self.name, argv, ended.status, ended.stdout, ended.stderr
        )

    def answer(
        self, argv: Sequence[str], timeout: float = 60.0
    ) -> shell.Answer:
        """Run a command on the node."""
        argv = tuple(argv)
        if argv[: len(CONSOLE)] == CONSOLE:
            return self._ask_gluster(argv, timeout)
        return self.process.step(
            self.node, argv, timeout, lambda left: self._execute(argv)
        )

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        # A fault can occur at each of the steps.
        self.process.count_request()
        return [self._run(step, timeout) for step in the_steps]

    def outcomes(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        self.process.count_request()
        outcomes: list[step_outcomes.Outcome] = []
        for step in the_steps:
            if outcomes and not isinstance(outcomes[-1], commands.Result):
                outcomes.append(step_outcomes.Skipped(self.name, step.verb))
                continue
            try:
                outcomes.append(self._run(step, timeout))
            except errors.Error as error:
                if not outcomes and isinstance(error, errors.Unreachable):
                    raise  # nothing was started
                outcomes.append(error)
        return tuple(outcomes)

    def greet(self) -> greetings.Greeting:
        self.process.step(self.node, ['hello'], CONNECT_TIMEOUT, lambda _: '')
        return greetings.Greeting(
            runner.RELEASE,
            runner.OLDEST_SERVED,
            frozenset(SETTINGS.brick_roots),
            frozenset(self.node.volume_groups),
            '',
            tuple(name for name in verbs.PROGRAMS if name in self.node.absent),
        )

    def _ask_gluster(
        self, argv: tuple[str, ...], timeout: float
    ) -> shell.Answer:
        words = argv[len(CONSOLE) :]
        text = self.gluster(('gluster', *words), timeout)
        if self.process.fault is Fault.GARBLED:
            text = fault_injection.garbled(text)
        elif '<?xml' not in text and runner_steps.runs_in_console(words):
            # A console ends after it has printed an error in plain text.
            raise errors.LinkLost(self.name, argv, 'the console ended', text)
        if words[:2] == ('volume', 'heal') and len(words) == 3:
            return _in_words(words[2], text)
        return shell.Answer(text, '', 0 if '<' in text else 1)

    def _execute(self, argv: tuple[str, ...]) -> shell.Answer:
        pool = self.process.pool
        with pool.guard:
            pool.glusterd.settle()
            answer = self.node.execute(argv)
        if self.process.fault is Fault.GARBLED:
            return fault_injection.garbled_answer(argv, answer)
        return answer

    def gluster(self, argv: Sequence[str], timeout: float) -> str:
        """Run one command of gluster."""

        def ask(left: int | None) -> str:
            fault = self.process.fault
            if fault in _REFUSALS:
                self.process.pool.time.advance(0.5)
                return answers.refusal(
                    glusterd_state.Refusal(
                        glusterd_state.INTERNAL, _REFUSALS[fault]
                    )
                )
            try:
                return self.process.pool.glusterd.ask(
                    self.node, argv[1:], phases=left, timeout=timeout
                )
            except glusterd.Stopped as error:
                raise errors.TimedOut(self.name, argv, timeout) from error

        return self.process.step(self.node, argv, timeout, ask)

    def close(self) -> None:
        """Do nothing: the model keeps no connection open."""


def _in_words(volume: str, text: str) -> shell.Answer:
    """Return the end of a command that answers in plain text."""
    if '<opErrstr>' in text:
        message = text.partition('<opErrstr>')[2].partition('</')[0]
        return shell.Answer(
            '', answers.not_healing(volume, saxutils.unescape(message)), 1
        )
    return shell.Answer(text, '', int('successful' not in text))
