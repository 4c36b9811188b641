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

A remote action is *done*, *refused* or *unknown*. The base classes are::

    Error
    ├── Refused                  the action changed nothing
    │   ├── Unreachable          no SSH session could be opened
    │   │   ├── Down             nothing answers at the node's address
    │   │   ├── NoSuchHost       the node's name has no address
    │   │   ├── LoginRefused     sshd does not accept the user or the key
    │   │   ├── HostKeyRejected  the host key is unknown or has changed
    │   │   └── CutOff           glusterd has lost half of its peers or more
    │   ├── CommandFailed        a command ended with a failure status
    │   │   ├── BadFileSystem    the kernel shut the file system down
    │   │   └── InUse            a process has the mount or LV open
    │   ├── GlusterRefused       glusterd refused a command
    │   │   ├── Busy             another transaction holds the lock
    │   │   │   └── Occupied     this service has no free slot on the node
    │   │   ├── AlreadyExists    a volume or snapshot has the name
    │   │   └── NotFound         no volume or snapshot has the name
    │   └── NotPossible          the driver itself refused
    │       ├── Missing          the share has no finished volume of its own
    │       └── Held             another operation holds the lock
    ├── Unknown                  the action may have been done
    │   ├── TimedOut             no answer within the time limit
    │   ├── LinkLost             the session broke, or sent no exit status
    │   ├── Garbled              the answer is unreadable
    │   └── CommitFailed         glusterd failed during the change
    ├── Unsettled                the state contradicts the completed action
    └── SeveralFailed            the errors of several nodes

The fields of an error contain its data; ``__str__`` returns a sentence for
operators. Callers decide by the class and the fields, never by the sentence.
An error that only one module raises is a subclass in that module.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import shlex
import typing

#: The maximum number of characters of a command's output in a message.
EXCERPT = 400


class Error(Exception):
    """The base class of all errors that this package raises on purpose.

    Most subclasses are dataclasses. A list in a field becomes a tuple.
    """

    def __post_init__(self) -> None:
        """Set ``args`` to the fields of the dataclass; pickle needs this."""
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                if isinstance(value := getattr(self, field.name), list):
                    setattr(self, field.name, tuple(value))
            self.args = tuple(
                getattr(self, field.name) for field in dataclasses.fields(self)
            )


class Refused(Error):
    """The action failed for a known reason, and changed nothing."""


class Unknown(Error):
    """The action may have been done or not; the caller must read the state."""


@dataclasses.dataclass(eq=False)
class Unreachable(Refused):
    """No SSH session could be opened, so nothing was run on the node."""

    node: str
    reason: str
    _REMEDY: typing.ClassVar[str] = ''

    def __str__(self) -> str:
        return f'node {self.node}: no SSH session: {self.reason}{self._REMEDY}'


class Down(Unreachable):
    """Nothing at the node's address answers a TCP connection attempt."""

    _REMEDY = '; start the node, or repair the network'


class NoSuchHost(Unreachable):
    """The name of the node has no address."""

    _REMEDY = '; correct glusterfs_clone_nodes, or the DNS'


class LoginRefused(Unreachable):
    """sshd on the node does not accept the user or the key."""

    _REMEDY = '; add the public key to the authorized_keys of that user'


class HostKeyRejected(Unreachable):
    """The node's host key is unknown, or differs from the known one."""

    _REMEDY = '; if the key is genuine, write it to the known_hosts file'


class CutOff(Unreachable):
    """glusterd on a node has lost half of its peers or more.

    :param missed: the number of nodes that are disconnected or not its peers.
    :param peers: the number of all nodes, including this one.
    """

    def __init__(self, node: str, missed: int, peers: int) -> None:
        super().__init__(node, f'no connection to {missed} of {peers} nodes')
        self.args = (node, missed, peers)

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: {self.reason}; start glusterd on '
            f'the peers, or repair the network between the nodes'
        )


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
            f'node {self.node}: {shlex.join(self.argv)!r} failed with status '
            f'{self.status}: {output or "no output"}'
        )


class BadFileSystem(CommandFailed):
    """A mounted file system is damaged, or the kernel shut it down.

    The usual cause is a disk failure.
    """


class InUse(CommandFailed):
    """A process on the node has a mounted file system or an LV open.

    :param error: the error of the command that failed.
    :param path: the mount point, or the path of the device.
    """

    def __init__(self, error: CommandFailed, path: str) -> None:
        super().__init__(*error.args)
        self.args = (error, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; run "fuser -vm {self.path}" on the node, '
            f'end the processes that it lists, and retry'
        )


@dataclasses.dataclass(eq=False)
class GlusterRefused(Refused):
    """glusterd refused a command (opRet, opErrno and opErrstr)."""

    node: str
    argv: Sequence[str]
    errno: int
    message: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: refused '
            f'{shlex.join(self.argv)!r}: {self.message or "no reason given"} '
            f'(errno {self.errno})'
        )


class Busy(GlusterRefused):
    """Another transaction holds the lock in glusterd; a retry may succeed.

    glusterd releases a lock after at most three minutes. If a node fails
    during a transaction, glusterd may never release the lock of the
    transaction (glusterfs issues 283 and 4603).
    """

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; retry in a few minutes. If retries fail, '
            f'restart glusterd on the node whose UUID follows "held by" in '
            f'/var/log/glusterfs/glusterd.log on node {self.node} ("gluster '
            f'pool list" shows the names of the UUIDs)'
        )


class Occupied(Busy):
    """This service runs too many commands on a node to start another one."""

    def __init__(self, node: str, argv: Sequence[str] = ()) -> None:
        super().__init__(node, argv, 0, 'too many commands are running')
        self.args = (node, tuple(argv))

    def __str__(self) -> str:
        command = repr(shlex.join(self.argv)) if self.argv else 'a command'
        return f'node {self.node}: {self.message}; {command} was not started'


class AlreadyExists(GlusterRefused):
    """A volume or snapshot with the name exists."""


class NotFound(GlusterRefused):
    """No volume or snapshot with the name exists."""


class NotPossible(Refused):
    """The driver itself refused an operation.

    Each situation has a subclass, whose message has the reason and the
    remedy.
    """


class Missing(NotPossible):
    """The share has no finished volume of its own."""


class Held(NotPossible):
    """Another operation held the lock until the time limit for waiting."""


@dataclasses.dataclass(eq=False)
class TimedOut(Unknown):
    """The driver received no answer within the time limit."""

    node: str
    argv: Sequence[str]
    seconds: float

    def __str__(self) -> str:
        return (
            f'node {self.node}: no answer to {shlex.join(self.argv)!r} within '
            f'{self.seconds:g} s; the command may have taken effect'
        )


@dataclasses.dataclass(eq=False)
class LinkLost(Unknown):
    """The SSH session broke during a command, or sent no exit status.

    :param partial_output: the output that the driver received until then.
    """

    node: str
    argv: Sequence[str]
    reason: str
    partial_output: str = ''

    def __str__(self) -> str:
        return (
            f'node {self.node}: the outcome of {shlex.join(self.argv)!r} is '
            f'unknown: {self.reason}; the command may have taken effect'
        )


@dataclasses.dataclass(eq=False)
class Garbled(Unknown):
    """The driver cannot parse an answer, or the answer is incomplete."""

    node: str
    argv: Sequence[str]
    answer: str

    def __str__(self) -> str:
        return (
            f'node {self.node}: unreadable answer to '
            f'{shlex.join(self.argv)!r}: {self.answer.strip()[-EXCERPT:]!r}'
        )


@dataclasses.dataclass(eq=False)
class CommitFailed(Unknown):
    """glusterd failed during a change; some nodes may have the change."""

    node: str
    argv: Sequence[str]
    message: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: could not complete '
            f'{shlex.join(self.argv)!r}: {self.message}; some nodes may have '
            f'the change, see /var/log/glusterfs/glusterd.log on each node'
        )


class Unsettled(Error):
    """The state of the cluster contradicts an action that was completed.

    Each situation has a subclass, whose message has the object, its state
    and the remedy.
    """


class SeveralFailed(Error):
    """Several errors, usually of one action on several nodes.

    :func:`is_unknown` returns whether the outcome of the action is unknown.

    :param errors: the errors, by the name of the node or of the action.
    """

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        super().__init__(dict(errors))
        self.errors = dict(errors)

    def __str__(self) -> str:
        return '; '.join(str(error) for error in self.errors.values())


def is_unknown(error: BaseException) -> bool:
    """Return whether an action that raised an error may have been done."""
    return any(isinstance(part, Unknown) for part in parts_of(error))


def parts_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the errors in a :class:`SeveralFailed`; else the error itself."""
    if not isinstance(error, SeveralFailed):
        return (error,)
    return tuple(
        part for failure in error.errors.values() for part in parts_of(failure)
    )
