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
"""The tree of errors, by the outcome of a remote action.

A remote action is *done*, *refused* or *unknown*. The root classes are::

    Error
    ├── Refused                  nothing was changed, for a known reason
    │   ├── Unreachable          no SSH session could be opened
    │   │   ├── Down             nothing answers at the node's address
    │   │   ├── NoSuchHost       the node's name has no address
    │   │   ├── LoginRefused     sshd does not accept the user or the key
    │   │   ├── HostKeyRejected  the host key is unknown or another one
    │   │   └── CutOff           glusterd has lost most of its peers
    │   ├── CommandFailed        a command failed (exit status)
    │   │   ├── BadFileSystem    the kernel shut the file system down
    │   │   └── InUse            a process on the node holds the object
    │   ├── GlusterRefused       glusterd refused (opRet, opErrno, opErrstr)
    │   │   ├── Busy             another transaction holds the lock
    │   │   │   └── Occupied     this service runs too much on the node
    │   │   ├── AlreadyExists    the name is taken
    │   │   └── NotFound         no such volume or snapshot
    │   └── NotPossible          our own checks refused, before any command
    │       ├── Missing          the object does not exist or is unfinished
    │       └── Held             another operation holds the lock
    ├── Unknown                  it may have happened: read the state again
    │   ├── TimedOut             no answer within the deadline
    │   ├── LinkLost             the session broke, or sent no exit status
    │   ├── Garbled              the answer is unreadable
    │   └── CommitFailed         glusterd failed after it had begun
    ├── Unsettled                the state contradicts what was done
    └── SeveralFailed            failures of several nodes side by side

Classes carry the data; ``__str__`` makes the sentence for operators. Callers
decide by class and fields, never by the sentence. A class for one situation
is a subclass in the module that raises it.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import shlex

#: Characters of a command's output that a message includes.
EXCERPT = 400


class Error(Exception):
    """The root of all errors that this package raises on purpose.

    Subclasses are dataclasses: the fields are the data, and ``__str__`` makes
    the sentence. Fields are tuples, not lists.
    """

    def __post_init__(self) -> None:
        """Copy the fields of a dataclass to ``args``, as pickle needs them."""
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                if isinstance(value := getattr(self, field.name), list):
                    setattr(self, field.name, tuple(value))
            self.args = tuple(
                getattr(self, field.name) for field in dataclasses.fields(self)
            )


class Refused(Error):
    """Nothing was changed, for a known reason."""


class Unknown(Error):
    """The action may have taken effect or not: read the state again."""


@dataclasses.dataclass(eq=False)
class Unreachable(Refused):
    """No SSH session could be opened, so nothing was run on the node."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f'node {self.node} cannot be reached over SSH: {self.reason}'


class Down(Unreachable):
    """Nothing answers at the node's address, not even with a refusal."""


class NoSuchHost(Unreachable):
    """The name of the node has no address."""


class LoginRefused(Unreachable):
    """sshd on the node does not accept the user or the key."""


class HostKeyRejected(Unreachable):
    """The node's host key is unknown, or differs from the known one."""

    def __str__(self) -> str:
        return (
            f'the host key of node {self.node} was rejected: {self.reason}; '
            f'verify it, and add it to the known_hosts file if it is genuine'
        )


class CutOff(Unreachable):
    """glusterd on a node has no connection to most of its peers."""

    def __init__(self, node: str, missed: int, peers: int) -> None:
        super().__init__(node, f'{missed} of {peers} peers are disconnected')
        self.args = (node, missed, peers)

    def __str__(self) -> str:
        return f'glusterd on node {self.node} is cut off: {self.reason}'


@dataclasses.dataclass(eq=False)
class CommandFailed(Refused):
    """A command on a node ended with an exit status that means failure."""

    node: str
    argv: Sequence[str]
    status: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        output = (self.stderr.strip() or self.stdout.strip())[-EXCERPT:]
        return (
            f'on node {self.node}, {shlex.join(self.argv)!r} ended with '
            f'status {self.status}: {output or "no output"}'
        )


class BadFileSystem(CommandFailed):
    """The kernel shut a mounted file system down after a disk failure."""


class InUse(CommandFailed):
    """A process on the node holds a mount or LV open.

    :param failed: the failed command.
    :param path: of the mount point or device.
    """

    def __init__(self, failed: CommandFailed, path: str) -> None:
        super().__init__(*failed.args)
        self.args = (failed, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; "fuser -vm {self.path}" on the node lists '
            f'the processes that hold it; end them and try again'
        )


@dataclasses.dataclass(eq=False)
class GlusterRefused(Refused):
    """glusterd answered that it refuses."""

    node: str
    argv: Sequence[str]
    errno: int
    message: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node} refused {shlex.join(self.argv)!r}: '
            f'{self.message or "no reason given"} (errno {self.errno})'
        )


class Busy(GlusterRefused):
    """Another transaction holds the lock; a retry may succeed.

    glusterd releases a lock after three minutes at the latest, but not
    always if a node was lost meanwhile (glusterfs issues 283 and 4603).
    """

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; if this persists, look for "held by" in '
            f'/var/log/glusterfs/glusterd.log on that node: the UUID after it '
            f'is that of the node with the lock ("gluster pool list" shows '
            f'its name); restart glusterd on that node'
        )


class Occupied(Busy):
    """This service already runs as many commands on a node as it may."""

    def __init__(self, node: str, argv: Sequence[str] = ()) -> None:
        super().__init__(node, argv, 0, 'too many commands are running')
        self.args = (node, tuple(argv))

    def __str__(self) -> str:
        command = shlex.join(self.argv) or 'a command'
        return f'node {self.node} runs too many commands to start {command!r}'


class AlreadyExists(GlusterRefused):
    """A volume or snapshot of that name exists."""


class NotFound(GlusterRefused):
    """No volume or snapshot of that name exists."""


class NotPossible(Refused):
    """Our own checks refused, before any command.

    A subclass for each situation names the obstacle and the remedy.
    """


class Missing(NotPossible):
    """The object does not exist, or was never finished."""


class Held(NotPossible):
    """Another operation held the lock for as long as this one could wait."""


@dataclasses.dataclass(eq=False)
class TimedOut(Unknown):
    """No answer came within the deadline."""

    node: str
    argv: Sequence[str]
    seconds: float

    def __str__(self) -> str:
        return (
            f'on node {self.node}, {shlex.join(self.argv)!r} gave no answer '
            f'within {self.seconds:g} s; it may have taken effect'
        )


@dataclasses.dataclass(eq=False)
class LinkLost(Unknown):
    """The session broke during a command, or sent no exit status.

    :param partial: the part of the answer that had arrived.
    """

    node: str
    argv: Sequence[str]
    reason: str
    partial: str = ''

    def __str__(self) -> str:
        return (
            f'the session with node {self.node} broke during '
            f'{shlex.join(self.argv)!r}: {self.reason}; it may have taken '
            f'effect'
        )


@dataclasses.dataclass(eq=False)
class Garbled(Unknown):
    """An answer is unreadable or incomplete."""

    node: str
    argv: Sequence[str]
    answer: str

    def __str__(self) -> str:
        return (
            f'the answer of node {self.node} to {shlex.join(self.argv)!r} is '
            f'unreadable: {self.answer.strip()[-EXCERPT:]!r}'
        )


@dataclasses.dataclass(eq=False)
class CommitFailed(Unknown):
    """glusterd failed after it had begun: some nodes may have changed."""

    node: str
    argv: Sequence[str]
    message: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node} could not finish '
            f'{shlex.join(self.argv)!r}: {self.message}; see '
            f'/var/log/glusterfs/glusterd.log on the node that is named'
        )


class Unsettled(Error):
    """The state that was read contradicts what was done.

    A subclass for each situation names the object, its state and the remedy.
    """


class SeveralFailed(Error):
    """Failures of several nodes side by side.

    The outcome is unknown if one of them is: see :func:`is_unknown`.
    """

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        super().__init__(dict(errors))
        self.errors = dict(errors)

    def __str__(self) -> str:
        return '; '.join(str(error) for error in self.errors.values())


def is_unknown(error: BaseException) -> bool:
    """Return whether the action that raised an error may have taken effect."""
    return any(isinstance(part, Unknown) for part in parts_of(error))


def parts_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the failures that an error combines; else the error itself."""
    if not isinstance(error, SeveralFailed):
        return (error,)
    return tuple(
        part for failure in error.errors.values() for part in parts_of(failure)
    )
