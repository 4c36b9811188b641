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
"""A node's connection that fails at once while the node is known to be down.

Finding out that a node does not answer takes a connection time-out. Without
a memory each command pays it: one share after the other, where a pass looks
at all of them. With it, the first command pays, and those that follow within
:data:`REMEMBERED` seconds are refused with the same error. After that one
command finds out anew, while the others still are refused at once.
"""

from collections.abc import Collection, Iterator, Sequence
import contextlib
import threading
import time
import typing

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import remote

#: Seconds for which a node is taken for down after it did not answer.
REMEMBERED = 30.0
#: A refusal that came within so many seconds is cheap: it is not remembered.
_QUICK = 2.0


class CommandRunner(typing.Protocol):
    """What the rooms of the tools need of a node."""

    name: str

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60.0,
        accept: Collection[int] = (0,),
        stdin: bytes = b'',
        as_root: bool = True,
    ) -> remote.Result:
        """Run one command to its end; see :class:`remote.Remote`."""

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> remote.InteractiveProcess:
        """Start a process to talk with; see :class:`remote.Remote`."""

    def close(self) -> None:
        """Disconnect."""


class CircuitBreaker:
    """Forwards to a node's commands, unless the node is known to be down.

    Only what costs a time-out is remembered. A node that refuses at once
    (no sshd, a wrong key) is asked each time.
    """

    def __init__(self, node: CommandRunner) -> None:
        self.name = node.name
        self._node = node
        self._guard = threading.Lock()
        self._failure: errors.Unreachable | None = None
        self._until = 0.0

    @property
    def is_known_down(self) -> bool:
        """Whether a command would be refused without asking the node."""
        with self._guard:
            return self._failure is not None and time.monotonic() < self._until

    def reset(self) -> None:
        """Ask the node again, whatever it did before."""
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
    ) -> remote.Result:
        """Run one command to its end, or refuse to."""
        with self._remembering():
            return self._node.run(
                argv,
                timeout=timeout,
                accept=accept,
                stdin=stdin,
                as_root=as_root,
            )

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> remote.InteractiveProcess:
        """Start a process to talk with, or refuse to."""
        with self._remembering():
            return self._node.open(argv, timeout=timeout)

    def close(self) -> None:
        """Disconnect, and forget."""
        self.reset()
        self._node.close()

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        begun = time.monotonic()
        with self._guard:
            failure = self._failure
            if failure is not None:
                if begun < self._until:
                    raise type(failure)(*failure.args)
                # This caller finds out for all of them.
                self._until = begun + REMEMBERED
        try:
            yield
        except errors.Unreachable as error:
            now = time.monotonic()
            with self._guard:
                if now - begun < _QUICK:
                    self._failure = None
                else:
                    self._failure = error
                    self._until = now + REMEMBERED
            raise
        except errors.Refused:
            self.reset()
            raise
        self.reset()
