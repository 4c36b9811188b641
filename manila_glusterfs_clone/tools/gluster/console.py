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
"""Run gluster commands on one node, and parse their XML answers.

A command in its own ``gluster`` process takes about a second. In a process
that already runs, it takes milliseconds. So the runner keeps a few ``gluster
--mode=script --xml`` processes on each node. Such a process is a *console*; it
runs one command at a time.

Behaviour of consoles on GlusterFS 10.3 and 11.1, and how the driver handles
it:

* A console cuts a line of 1,024 bytes or more, and runs the rest as another
  command. So the runner runs a long command in its own process.
* While glusterd is down, a console does not answer. It runs the command when
  glusterd runs again. So the runner refuses a command if glusterd is down. If
  glusterd stops during a command, the answer comes late, and the runner could
  take it for the answer to the next command. So the runner kills a console
  that did not answer in time.
* Values of volume options can begin with ``--``. A console reads no options,
  but ``gluster`` in its own process reads such a value as an option
  (``parse_cmdline`` in cli/src/cli.c). So the runner puts an argument ``--``,
  which ends the options, before the command.
* A console prints the answer to ``volume heal … info`` only when the console
  ends. So the runner runs this command in its own process.
* The CLI, the program ``gluster``, waits 120 s for glusterd. Then it prints
  ``Error : Request timed out``. The transaction may still run, so the outcome
  is *unknown*. The time limit of the driver for changes is longer than 120 s.
* The exit status does not show the outcome of a command that prints XML. So
  the driver reads ``opRet``, ``opErrno`` and ``opErrstr``: see
  :mod:`~manila_glusterfs_clone.tools.gluster.refusals`.
"""

import contextlib
import dataclasses
import threading
import time
import typing
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeTree

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools.gluster import log
from manila_glusterfs_clone.tools.gluster import refusals

#: The time, in seconds, that the CLI waits for glusterd.
_CLI_TIMEOUT = 120
#: Time limit for a command, in seconds; longer than :data:`_CLI_TIMEOUT`.
TIMEOUT = 135.0

#: The numbers of *slots* on a node for slow commands and for quick reads. Each
#: running command occupies one slot. Quick reads never wait for slow commands.
_WRITE_SLOTS, _READ_SLOTS = 3, 2

#: Texts that the CLI prints instead of XML.
_GLUSTERD_DOWN = (
    'Connection failed. Please check if gluster daemon is operational.'
)
_TIMED_OUT = 'Error : Request timed out'

#: The ``root`` of an :class:`Answer` that is not XML.
_NO_XML = ElementTree.Element('none')

GlusterdNotRunning = step_outcomes.GlusterdNotRunning


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer of the gluster command line to one command."""

    errno: int
    message: str
    has_succeeded: bool
    root: ElementTree.Element


def parse_answer(text: str) -> Answer:
    """Parse the XML answer of the gluster command line.

    :raises ValueError: the text is not XML, or not an answer of gluster.
    """
    try:
        root = SafeTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    return_code = root.findtext('opRet')
    if root.tag != 'cliOutput' or return_code is None:
        raise ValueError('no opRet in a cliOutput')
    return Answer(
        errno=int(root.findtext('opErrno') or 0),
        message=(root.findtext('opErrstr') or '').strip(),
        has_succeeded=int(return_code) == 0,
        root=root,
    )


class Console:
    """The gluster command line of one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self.name = runner.name
        self._runner = runner
        self._write_slots = threading.BoundedSemaphore(_WRITE_SLOTS)
        self._read_slots = threading.BoundedSemaphore(_READ_SLOTS)

    def run(
        self,
        *words: str,
        timeout: float = TIMEOUT,
        is_read: bool = False,
    ) -> Answer:
        """Run one gluster command.

        :param words: the arguments of ``gluster``, without whitespace.
        :param timeout: seconds, including the wait for a free slot.
        :param is_read: whether the command changes nothing and is quick.
        :raises errors.Busy, errors.AlreadyExists, errors.NotFound,
            errors.GlusterRefused: glusterd refused the command.
        :raises errors.Occupied: no slot was free in time.
        :raises GlusterdNotRunning: glusterd does not run on this node.
        :raises errors.Unreachable: the node cannot be reached.
        :raises errors.Unknown: the command may have taken effect.
        """
        for word in words:
            if not word or any(c.isspace() or c == '\0' for c in word):
                raise ValueError(f'{word!r} is not one word')
        deadline = time.monotonic() + timeout
        try:
            output = self._output(words, deadline, is_read)
        except errors.LinkLost:
            if not is_read:
                raise
            # The connection may have broken while it was idle, for example
            # because the node rebooted. A read is safe to repeat.
            output = self._output(words, deadline, is_read)
        return self._check(words, self._parse(words, output))

    def read_all(
        self, *commands: typing.Sequence[str], timeout: float
    ) -> list[Answer]:
        """Run several commands that change nothing, in one request.

        :param timeout: seconds for each command, including the wait for a
            slot.
        :raises errors.Error: as :meth:`run`, for the first command that
            failed.
        """
        answers = self.try_read_all(*commands, timeout=timeout)
        for answer in answers:
            if isinstance(answer, errors.Error):
                raise answer
        return typing.cast(list[Answer], answers)

    def try_read_all(
        self, *commands: typing.Sequence[str], timeout: float
    ) -> list[Answer | errors.Error]:
        """Run several commands that change nothing, in one request.

        :param timeout: seconds for each command, with the wait for a slot.
        :return: for each command its answer, or why glusterd refused it.
        :raises errors.Error: as :meth:`run`, if a command has no answer.
        """
        deadline = time.monotonic() + timeout
        try:
            results = self._run_all(commands, deadline, is_read=True)
        except errors.LinkLost:
            results = self._run_all(commands, deadline, is_read=True)
        answers: list[Answer | errors.Error] = []
        for words, result in zip(commands, results, strict=True):
            parsed = self._parse(words, self._text(result))
            try:
                answers.append(self._check(words, parsed))
            except errors.Error as error:
                answers.append(error)
        return answers

    def run_without_xml(self, *words: str, timeout: float = TIMEOUT) -> None:
        """Run one gluster command that never prints XML.

        :raises errors.GlusterRefused: glusterd refused the command.
        :raises errors.Unknown: the command may have taken effect.
        """
        result = self._run(words, time.monotonic() + timeout, is_read=False)
        output = (result.stdout + result.stderr).strip()
        if _GLUSTERD_DOWN in output:
            raise self._lost(result, output)
        if _TIMED_OUT in output:
            raise errors.TimedOut(self.name, ('gluster', *words), _CLI_TIMEOUT)
        if result.status:
            # The last line has the reason, in the same words as in XML.
            reason = output.rpartition('\n')[2]
            self._check(words, Answer(0, reason, False, _NO_XML))

    def _output(
        self, words: typing.Sequence[str], deadline: float, is_read: bool
    ) -> str:
        """Run a command, and return its output."""
        try:
            outcome: step_outcomes.Outcome = self._run(
                words, deadline, is_read
            )
        except errors.LinkLost as error:
            outcome = error
        return self._text(outcome)

    def _text(self, outcome: step_outcomes.Outcome) -> str:
        """Return the output of a command, or raise its error."""
        if isinstance(outcome, errors.LinkLost):
            # After a console has printed an error in plain text, it ends.
            for known_text in (_GLUSTERD_DOWN, _TIMED_OUT):
                if known_text in outcome.partial_output:
                    return known_text
        if isinstance(outcome, errors.Error):
            raise outcome
        output = outcome.stdout or outcome.stderr
        if _GLUSTERD_DOWN in output:
            raise self._lost(outcome, output)
        return output

    def _lost(
        self, result: step_outcomes.Result, output: str
    ) -> errors.LinkLost:
        """Return the error of a process that lost its connection to glusterd.

        The CLI prints the same text if glusterd is down, and if glusterd ends
        during the command (cli_rpc_notify in cli/src/cli.c). So the outcome is
        unknown.
        """
        return errors.LinkLost(
            result.node, result.argv, 'glusterd has stopped', output
        )

    def _run(
        self, words: typing.Sequence[str], deadline: float, is_read: bool
    ) -> step_outcomes.Result:
        return self._run_all([words], deadline, is_read)[0]

    def _run_all(
        self,
        commands: typing.Sequence[typing.Sequence[str]],
        deadline: float,
        is_read: bool,
    ) -> list[step_outcomes.Result]:
        with self._slot(commands[0], deadline, is_read) as seconds_left:
            return self._runner.run_all(
                [step(words, seconds_left) for words in commands],
                timeout=seconds_left,
            )

    @contextlib.contextmanager
    def _slot(
        self, words: typing.Sequence[str], deadline: float, is_read: bool
    ) -> typing.Iterator[float]:
        """Occupy a slot; yield the seconds that are left until ``deadline``.

        :raises errors.Occupied: no slot became free in time.
        """
        slots = self._read_slots if is_read else self._write_slots
        if not slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise errors.Occupied(self.name, ('gluster', *words))
        try:
            yield self._seconds_left(words, deadline)
        finally:
            slots.release()

    def _seconds_left(
        self, words: typing.Sequence[str], deadline: float
    ) -> float:
        """Return the seconds until a deadline, more than 0.

        :raises errors.Occupied: the deadline has passed.
        """
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise errors.Occupied(self.name, ('gluster', *words))
        return seconds

    def _parse(self, words: typing.Sequence[str], text: str) -> Answer:
        argv = ('gluster', *words)
        if _GLUSTERD_DOWN in text:
            raise GlusterdNotRunning(self.name)
        if _TIMED_OUT in text:
            raise errors.TimedOut(self.name, argv, _CLI_TIMEOUT)
        try:
            return parse_answer(text)
        except ValueError as error:
            raise errors.Garbled(self.name, argv, text) from error

    def _check(self, words: typing.Sequence[str], answer: Answer) -> Answer:
        """Return the answer if the command succeeded; else raise an error."""
        argv = ('gluster', *words)
        if answer.has_succeeded:
            return answer
        message = answer.message
        if not log.has_cause(message):
            if logged := log.read_last_errors(self._runner):
                message = f'{message}{refusals.LOGGED}{logged}'
        if refusals.is_partially_done(message):
            raise errors.CommitFailed(self.name, argv, message)
        error_class = refusals.error_class(answer.errno, message)
        raise error_class(self.name, argv, answer.errno, message)


def step(words: typing.Sequence[str], seconds: float) -> step_outcomes.Step:
    """Return the step that runs a gluster command."""
    return step_outcomes.Step('gluster', {'words': list(words)}, seconds)
