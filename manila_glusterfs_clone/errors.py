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

The outcome of a remote action is *done*, *refused* or *unknown*::

    Error
    ├── Refused                  the action failed
    │   ├── Unreachable          the node or its glusterd is unusable
    │   │   ├── Down             nothing answers at the node's address
    │   │   ├── NoSuchHost       the node's name has no address
    │   │   ├── LoginRefused     sshd does not accept the user or the key
    │   │   ├── HostKeyRejected  the host key is unknown or has changed
    │   │   └── CutOff           glusterd is not connected to most nodes
    │   ├── CommandFailed        a command ended with a failure status
    │   │   ├── BadFileSystem    a file system is damaged or shut down
    │   │   └── InUse            a process uses the file system or LV
    │   ├── GlusterRefused       glusterd refused a command
    │   │   ├── Busy             another transaction holds glusterd's lock
    │   │   │   └── Occupied     this process runs too many commands
    │   │   ├── AlreadyExists    the volume or snapshot exists
    │   │   └── NotFound         the volume or snapshot does not exist
    │   └── NotPossible          the driver refused the operation
    │       ├── Missing          the share has no volume with its mark
    │       └── Held             another operation holds the driver's lock
    ├── Unknown                  the action may have taken effect
    │   ├── TimedOut             no answer within the time limit
    │   ├── LinkLost             the SSH session broke
    │   ├── Garbled              the answer is unreadable
    │   └── CommitFailed         glusterd failed during a change
    ├── Unsettled                the state of the cluster is wrong
    └── SeveralFailed            several errors

Other modules define subclasses. The fields of an error contain its data;
``__str__`` returns a sentence for operators. Callers read only the class and
the fields.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import shlex
import typing

#: The maximum length of a command's output in an error text, in characters.
EXCERPT = 400


class Error(Exception):
    """The base class of the errors in this tree."""

    def __post_init__(self) -> None:
        """Turn lists into tuples; set ``args`` to the fields, for pickle."""
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                if isinstance(value := getattr(self, field.name), list):
                    setattr(self, field.name, tuple(value))
            self.args = tuple(
                getattr(self, field.name) for field in dataclasses.fields(self)
            )


class Refused(Error):
    """The action certainly failed; usually it changed nothing."""


class Unknown(Error):
    """The action may have taken effect; the caller must read the state."""


@dataclasses.dataclass(eq=False)
class Unreachable(Refused):
    """A node or its glusterd is unusable; the action was not started."""

    node: str
    reason: str
    _REMEDY: typing.ClassVar[str] = ''

    def __str__(self) -> str:
        return f'node {self.node}: no SSH session: {self.reason}{self._REMEDY}'


class Down(Unreachable):
    """A TCP connection attempt, or its name lookup, got no answer."""

    _REMEDY = '; start the node, or repair the network'


class NoSuchHost(Unreachable):
    """The name of the node has no address."""

    _REMEDY = '; correct glusterfs_clone_nodes, or the DNS'


class LoginRefused(Unreachable):
    """sshd on the node does not accept the user or the key."""

    _REMEDY = '; add the public key to the authorized_keys of that user'


class HostKeyRejected(Unreachable):
    """The known_hosts file has no host key of the node, or another key."""

    _REMEDY = (
        '; if the key is genuine, add it to the known_hosts file, and remove '
        'older keys of the node'
    )


class CutOff(Unreachable):
    """glusterd on a node is not connected to most nodes.

    :param lost_count: the number of nodes without a connection.
    :param node_count: the number of all nodes, including this one.
    """

    def __init__(self, node: str, lost_count: int, node_count: int) -> None:
        super().__init__(
            node, f'no connection to {lost_count} of {node_count} nodes'
        )
        self.args = (node, lost_count, node_count)

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: {self.reason}; run "gluster pool '
            f'list" on all nodes; start glusterd on disconnected nodes, and '
            f'probe missing nodes'
        )


@dataclasses.dataclass(eq=False)
class CommandFailed(Refused):
    """A command failed; it may have made a part of its changes."""

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
    """A file system is damaged or shut down, usually by a disk failure."""


class InUse(CommandFailed):
    """A process on the node uses a mounted file system or an LV.

    :param error: the error of the failed command.
    :param path: the mount point, or the device of the LV.
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
    """glusterd refused a command."""

    node: str
    argv: Sequence[str]
    #: opErrno and opErrstr in the answer of glusterd.
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

    Normally glusterd releases a lock within three minutes. If a node fails
    during a transaction, glusterd may never release its lock (glusterfs issues
    283 and 4603).
    """

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; retry in a few minutes. If retries fail, '
            f'read the UUID after "held by" in '
            f'/var/log/glusterfs/glusterd.log on node {self.node}, find its '
            f'node with "gluster pool list", and restart glusterd there'
        )


class Occupied(Busy):
    """This process already runs too many commands on a node."""

    def __init__(self, node: str, argv: Sequence[str] = ()) -> None:
        super().__init__(node, argv, 0, 'too many commands are running')
        self.args = (node, tuple(argv))

    def __str__(self) -> str:
        command = repr(shlex.join(self.argv)) if self.argv else 'a command'
        return f'node {self.node}: {self.message}; {command} was not started'


class AlreadyExists(GlusterRefused):
    """The volume or snapshot to create already exists."""


class NotFound(GlusterRefused):
    """The volume or snapshot that a command names does not exist."""


class NotPossible(Refused):
    """The driver refused an operation; each reason has a subclass."""

    #: The filter of Manila's scheduler that refuses such requests, too; empty
    #: if none.
    scheduler_filter: typing.ClassVar[str] = ''


class Missing(NotPossible):
    """The volume of a share does not exist, or lacks the share's mark.

    The mark is the option :data:`~manila_glusterfs_clone.names.OPTION_SHARE`.
    """


class Held(NotPossible):
    """Another operation of the driver holds a lock; the wait timed out."""


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
    """The SSH session broke before the driver received the exit status.

    :param partial_output: the output that the driver received.
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
            f'the change; see /var/log/glusterfs/glusterd.log on each node'
        )


class Unsettled(Error):
    """The cluster is in an unexpected state; each state has a subclass."""


class SeveralFailed(Error):
    """Several errors, usually of one action on several nodes.

    The errors may include an :class:`Unknown`: see :func:`is_unknown`.

    :param errors: by name of the node or of the action.
    """

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        super().__init__(dict(errors))
        self.errors = dict(errors)

    def __str__(self) -> str:
        return '; '.join(str(error) for error in self.errors.values())


def is_unknown(error: BaseException) -> bool:
    """Return whether the action that failed may have taken effect."""
    return any(isinstance(part, Unknown) for part in parts_of(error))


def parts_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return an error; for a :class:`SeveralFailed`, all errors in it."""
    if not isinstance(error, SeveralFailed):
        return (error,)
    return tuple(
        part for failure in error.errors.values() for part in parts_of(failure)
    )
