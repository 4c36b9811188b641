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
"""Fail a command at once if its node is known to be down.

A command to a node that does not answer fails only after the connection
time-out. Then the node is *known to be down*: for :data:`RETRY_SECONDS`, all
commands to this node fail at once with the same error. So a maintenance pass,
which runs commands for each share, waits for the time-out only once.

After :data:`RETRY_SECONDS`, one command tries to connect again. Meanwhile
other commands still fail at once, for :data:`RETRY_SECONDS` at most.
"""

from collections.abc import Iterator, Sequence
import contextlib
import threading
import time
import typing

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes

#: Seconds between two attempts to connect to a node that does not answer.
RETRY_SECONDS = 30.0
#: After a failure that took less than this many seconds, the next command
#: tries to connect, because it would fail quickly, too.
_QUICK_SECONDS = 2.0


class CommandRunner(typing.Protocol):
    """The interface through which the tools run commands on a node."""

    name: str

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        """Run one step; see :meth:`commands.Remote.run`."""

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        """Run several steps; see :meth:`commands.Remote.run_all`."""

    def outcomes(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        """Run several steps; see :meth:`commands.Remote.outcomes`."""

    def greet(self) -> greetings.Greeting:
        """Exchange greetings; see :meth:`commands.Remote.greet`."""

    def close(self) -> None:
        """Disconnect from the node."""


class CircuitBreaker:
    """Forward commands to a node, unless the node is known to be down.

    If a node refuses the connection at once, for example because sshd does not
    run, the node is not known to be down: each command tries to connect. The
    same holds for a node that answers, but whose runner cannot be used: when
    an operator has installed the right runner, the next command uses it.
    """

    def __init__(self, runner: CommandRunner) -> None:
        self.name = runner.name
        self._runner = runner
        self._lock = threading.Lock()
        self._failure: errors.Unreachable | None = None
        #: The monotonic time after which a command tries to connect again.
        self._retry_at = 0.0

    @property
    def is_known_down(self) -> bool:
        """Return whether a command would fail at once, without connecting."""
        with self._lock:
            return (
                self._failure is not None and time.monotonic() < self._retry_at
            )

    def reset(self) -> None:
        """Forget the failure, so that the next command tries to connect."""
        with self._lock:
            self._failure = None

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        """Run one step to its end.

        :raises Unreachable: the runner was not reached, or the node is known
            to be down.
        """
        with self._recording():
            return self._runner.run(step, timeout=timeout)

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        """Run several steps as :meth:`run`, up to the first error."""
        with self._recording():
            return self._runner.run_all(the_steps, timeout=timeout)

    def outcomes(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        """Run several steps, and return the outcome of each."""
        outcomes: tuple[step_outcomes.Outcome, ...] = ()
        try:
            with self._recording():
                outcomes = self._runner.outcomes(the_steps, timeout=timeout)
                step_outcomes.results_of(outcomes)
        except errors.Error:
            if not outcomes:
                raise
        return outcomes

    def greet(self) -> greetings.Greeting:
        """Return what the runner reports about itself.

        :raises Unreachable: as :meth:`run`.
        """
        with self._recording():
            return self._runner.greet()

    def close(self) -> None:
        """Disconnect from the node, and forget the failure."""
        self.reset()
        self._runner.close()

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """Fail if the node is known to be down; else record the outcome."""
        start = time.monotonic()
        with self._lock:
            failure = self._failure
            if failure is not None:
                if start < self._retry_at:
                    raise type(failure)(*failure.args)
                # Only this command tries to connect. Meanwhile others fail.
                self._retry_at = start + RETRY_SECONDS
        try:
            yield
        except errors.Unreachable as error:
            now = time.monotonic()
            with self._lock:
                if now - start < _QUICK_SECONDS or isinstance(
                    error, greetings.NoRunner | greetings.WrongRelease
                ):
                    self._failure = None
                else:
                    self._failure = error
                    self._retry_at = now + RETRY_SECONDS
            raise
        except errors.Refused:
            self.reset()
            raise
        self.reset()
