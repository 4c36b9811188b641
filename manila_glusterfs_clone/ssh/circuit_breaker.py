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
"""A circuit breaker: commands to a node that is known to be down fail at once.

A command to a node that does not answer takes a connection time-out. Without
the circuit breaker each command would take one, for example once per share in
a maintenance pass. With it, only the first command waits. Commands in the
next :data:`RETRY_SECONDS` fail at once with the same error. After that, one
command tries the node again, while all others still fail at once.
"""

from collections.abc import Collection, Iterator, Sequence
import contextlib
import threading
import time
import typing

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import interactive_process

#: Seconds until a node that did not answer is tried again.
RETRY_SECONDS = 30.0
#: Seconds. A failure that takes less is cheap and is not remembered.
_QUICK = 2.0


class CommandRunner(typing.Protocol):
    """The interface that the tools need of a node."""

    name: str

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60.0,
        accept: Collection[int] = (0,),
        stdin: bytes = b'',
        as_root: bool = True,
    ) -> commands.Result:
        """Run one command to its end; see :class:`remote.Remote`."""

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> interactive_process.InteractiveProcess:
        """Start an interactive process; see :class:`remote.Remote`."""

    def close(self) -> None:
        """Disconnect."""


class CircuitBreaker:
    """Forwards commands to a node, unless the node is known to be down.

    Only failures that take a time-out are remembered. A node that refuses
    at once (no sshd, a wrong key) is tried each time.
    """

    def __init__(self, node: CommandRunner) -> None:
        self.name = node.name
        self._node = node
        self._guard = threading.Lock()
        self._failure: errors.Unreachable | None = None
        #: The monotonic time of the next attempt.
        self._retry_at = 0.0

    @property
    def is_known_down(self) -> bool:
        """Whether a command would fail without an attempt to connect."""
        with self._guard:
            return (
                self._failure is not None and time.monotonic() < self._retry_at
            )

    def reset(self) -> None:
        """Forget the last failure, so that the next command is tried."""
        with self._guard:
            self._failure = None

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60.0,
        accept: Collection[int] = (0,),
        stdin: bytes = b'',
        as_root: bool = True,
    ) -> commands.Result:
        """Run one command to its end, unless the node is known down."""
        with self._recording():
            return self._node.run(
                argv,
                timeout=timeout,
                accept=accept,
                stdin=stdin,
                as_root=as_root,
            )

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> interactive_process.InteractiveProcess:
        """Start an interactive process, unless the node is known down."""
        with self._recording():
            return self._node.open(argv, timeout=timeout)

    def close(self) -> None:
        """Disconnect, and forget the last failure."""
        self.reset()
        self._node.close()

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """Fail if the node is known to be down; record how the body ends."""
        start = time.monotonic()
        with self._guard:
            failure = self._failure
            if failure is not None:
                if start < self._retry_at:
                    raise type(failure)(*failure.args)
                # This command is the attempt; others still fail at once.
                self._retry_at = start + RETRY_SECONDS
        try:
            yield
        except errors.Unreachable as error:
            now = time.monotonic()
            with self._guard:
                if now - start < _QUICK:
                    self._failure = None
                else:
                    self._failure = error
                    self._retry_at = now + RETRY_SECONDS
            raise
        except errors.Refused:
            self.reset()
            raise
        self.reset()
