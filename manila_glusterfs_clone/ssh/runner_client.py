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
"""A connection to the runner on a node: send steps, receive outcomes.

:mod:`manila_glusterfs_clone.node.runner` describes the protocol. A step has
one of these outcomes:

* *done*: a :class:`~manila_glusterfs_clone.ssh.step_outcomes.Result`.
* *refused*: the runner answered ``refused``, an earlier step of the request
  was not done, or the connection had ended before the request was sent.
* *unknown*: the runner answered ``unknown``, or the connection ended between
  the request and the answer. A connection ends if the link is lost, the runner
  dies, a frame is broken, or no answer comes in time.

The runner kills a program at its time limit. If the driver has no answer
:data:`MARGIN_SECONDS` after the runner must have sent it, the driver ends the
connection.
"""

from collections.abc import Mapping, Sequence
import os
import secrets
import threading
import time
from typing import Any, Protocol

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.ssh import channels
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes

#: Seconds that an answer may take from the runner to the driver.
MARGIN_SECONDS = 10.0
#: Seconds to wait for the last output after sending has failed.
_LAST_OUTPUT_SECONDS = 1.0
#: The time limit, in seconds, for sending a request.
_SEND_SECONDS = 10.0

Step = step_outcomes.Step
Result = step_outcomes.Result
Outcome = step_outcomes.Outcome


class Stream(Protocol):
    """The streams of a runner: an SSH channel, or a local process."""

    def send(self, data: bytes) -> None:
        """Write all of the data, within a time limit.

        :raises Exception: possibly not all data was written.
        """

    def read(self) -> tuple[bytes, bytes] | None:
        """Wait for parts of stdout and stderr; return None at their end.

        :raises Exception: the streams broke.
        """

    def close(self) -> None:
        """End the streams, and wake up :meth:`read`."""


class ChannelStream:
    """The streams of a process on an SSH channel."""

    def __init__(self, channel: channels.Channel) -> None:
        self._channel = channel

    def send(self, data: bytes) -> None:
        self._channel.set_time_limit(_SEND_SECONDS)
        self._channel.send(data)
        self._channel.clear_time_limit()

    def read(self) -> tuple[bytes, bytes] | None:
        parts = self._channel.read()
        if parts is None and not self._channel.is_connected():
            raise ConnectionError('the SSH connection was lost')
        return parts

    def close(self) -> None:
        self._channel.close()


class _Request:
    """A request that the runner has not answered completely."""

    def __init__(
        self, node: str, the_steps: Sequence[Step], seconds: float
    ) -> None:
        self.steps = tuple(the_steps)
        #: The time limits of the steps.
        self.seconds = [step.timeout or seconds for step in the_steps]
        self.outcomes: list[Outcome | None] = [None] * len(the_steps)
        self.is_answered = threading.Event()
        self._node = node

    def take(self, answer: Mapping[str, Any]) -> None:
        """Record the answer to one step.

        :raises Broken: no step waits for this answer.
        """
        at = answer.get('step')
        if (
            type(at) is not int
            or not 0 <= at < len(self.steps)
            or (self.outcomes[at] is not None)
        ):
            raise frames.Broken(
                f'unexpected answer to step {at!r}: the request has no such '
                f'step, or it was answered before'
            )
        self.outcomes[at] = step_outcomes.outcome_of(
            self._node, self.steps[at], self.seconds[at], answer
        )
        if None not in self.outcomes:
            self.is_answered.set()


class Connection:
    """A connection to the runner on a node; safe for use by many threads.

    :param stream: the streams of a runner that was just started.
    """

    def __init__(self, node: str, stream: Stream) -> None:
        self.node = node
        #: The monotonic time of the last answer.
        self.heard_at = 0.0
        self._stream = stream
        self._frames = frames.Frames(secrets.token_hex(16))
        self._stderr = frames.Output(2 * frames.EXCERPT)
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._requests: dict[int, _Request] = {}
        self._last_id = 0
        #: Why the connection ended; None while it is up.
        self._end: str | None = None
        self._has_ended_itself = False
        self._pid = os.getpid()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def is_alive(self) -> bool:
        """Return whether the connection is possibly up."""
        return self._end is None and self._pid == os.getpid()

    def greet(self, seconds: float) -> greetings.Greeting:
        """Exchange greetings with the runner.

        If this fails, end the connection. Call this first, and again before a
        request if the connection was idle: then no request is lost on a dead
        connection.

        :raises NoRunner: the process on the node ended.
        :raises Unreachable: no greeting came in time.
        :raises WrongRelease: the runner does not fit this driver.
        """
        outcome: Outcome
        try:
            (outcome,) = self.outcomes([Step('hello')], seconds, margin=0.0)
        except errors.Unreachable as error:
            outcome = error
        try:
            if not isinstance(outcome, Result):
                raise self._no_greeting(outcome)
            return greetings.parse(self.node, outcome.stdout)
        except errors.Error:
            self.close()
            raise

    def _no_greeting(self, failure: errors.Error) -> errors.Unreachable:
        texts = (self._frames.noise(), self._stderr.text())
        output = '\n'.join(filter(None, map(str.strip, texts)))
        if self._has_ended_itself:
            return greetings.NoRunner(self.node, output)
        reason = self._end or str(failure)
        if output:
            reason = f'{reason}: {step_outcomes.excerpt(output)}'
        return errors.Unreachable(
            self.node, f'no greeting from the runner: {reason}'
        )

    def run(self, the_steps: Sequence[Step], seconds: float) -> list[Result]:
        """Run steps one after the other, and return their results.

        :param seconds: the time limit of steps without their own time limit.
        :raises errors.Error: the error of the first step that is not done.
        """
        return step_outcomes.results_of(self.outcomes(the_steps, seconds))

    def outcomes(
        self,
        the_steps: Sequence[Step],
        seconds: float,
        margin: float | None = None,
    ) -> tuple[Outcome, ...]:
        """Run steps, and return the outcome of each.

        :param seconds: the time limit of steps without their own time limit.
        :param margin: seconds to wait for a late answer.
        :raises errors.Unreachable: the connection had ended; nothing was sent.
        """
        request = _Request(self.node, the_steps, seconds)
        if margin is None:
            margin = (
                child_processes.KILL_AFTER
                + child_processes.GIVE_UP_AFTER
                + MARGIN_SECONDS
            )
        with self._lock:
            if not self.is_alive:
                raise errors.Unreachable(
                    self.node, self._end or 'the process has forked'
                )
            self._last_id += 1
            number = self._last_id
            self._requests[number] = request
        try:
            self._send(number, request)
            is_late = not request.is_answered.wait(
                sum(request.seconds) + margin
            )
            if is_late:
                self._finish('no answer in time')
        finally:
            with self._lock:
                del self._requests[number]
        return tuple(
            outcome or self._unanswered(step, step_seconds, is_late)
            for step, step_seconds, outcome in zip(
                the_steps, request.seconds, request.outcomes, strict=True
            )
        )

    def close(self) -> None:
        """End the connection; the outcome of running steps is *unknown*.

        In a forked process this does nothing: the parent owns the channel.
        """
        if self._pid == os.getpid():
            self._finish('the driver disconnected')

    def _send(self, number: int, request: _Request) -> None:
        line = frames.frame(
            self._frames.nonce or '',
            {
                'id': number,
                'steps': [
                    {
                        'verb': step.verb,
                        'seconds': seconds,
                        'values': dict(step.values),
                    }
                    for step, seconds in zip(
                        request.steps, request.seconds, strict=True
                    )
                ],
            },
        )
        if len(line) > frames.LONGEST_REQUEST:
            raise ValueError(
                f'request too long: {len(line)} bytes, at most '
                f'{frames.LONGEST_REQUEST}'
            )
        try:
            with self._send_lock:
                self._stream.send(line)
        except Exception as error:
            # If the runner has ended, its output has the reason.
            self._listener.join(_LAST_OUTPUT_SECONDS)
            self._finish(_describe(error))

    def _unanswered(
        self, step: Step, seconds: float, is_late: bool
    ) -> errors.Unknown:
        if is_late:
            return errors.TimedOut(self.node, step.argv, seconds)
        output = self._stderr.text().strip()
        reason = self._end or 'the runner ended'
        if output:
            reason = f'{reason}: {step_outcomes.excerpt(output)}'
        return errors.LinkLost(self.node, step.argv, reason)

    def _listen(self) -> None:
        try:
            while (parts := self._stream.read()) is not None:
                self._stderr.add(parts[1])
                for answer in self._frames.feed(parts[0]):
                    if 'broken' in answer:
                        raise frames.Broken(answer['broken'])
                    self._take(answer)
            within = '' if self._frames.is_whole else ' within an answer'
            self._has_ended_itself = self._end is None
            self._finish(f'the runner ended{within}')
        except Exception as error:
            self._finish(_describe(error))

    def _take(self, answer: Mapping[str, Any]) -> None:
        self.heard_at = time.monotonic()
        with self._lock:
            request = self._requests.get(answer.get('id', -1))
        if request is None:
            raise frames.Broken(
                f'unexpected answer: no such request: {answer!r:.200}'
            )
        request.take(answer)

    def _finish(self, reason: str) -> None:
        with self._lock:
            if self._end is not None:
                return
            self._end = reason
            waiting = [*self._requests.values()]
        for request in waiting:
            request.is_answered.set()
        self._stream.close()


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
