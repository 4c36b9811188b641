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
"""What can go wrong, as data.

A remote action is *done*, *refused* or *unknown*, and the tree says which::

    Error
    ├── Refused                  nothing happened, and we know why
    │   ├── Unreachable          no session with the node was had
    │   │   ├── Down             nothing answers at its address
    │   │   ├── NoSuchHost       its name has no address
    │   │   ├── LoginRefused     sshd does not accept the user or the key
    │   │   ├── HostKeyRejected  the node is not who it should be
    │   │   └── CutOff           its glusterd misses most of its peers
    │   ├── CommandFailed        the command ran and said no (exit status)
    │   │   ├── BadFileSystem    the kernel has given the file system up
    │   │   └── InUse            somebody on the node holds it
    │   ├── GlusterRefused       glusterd said no (opRet, opErrno, opErrstr)
    │   │   ├── Busy             another transaction holds the lock
    │   │   │   └── Occupied     we have too much under way on the node
    │   │   ├── AlreadyExists    the name is taken
    │   │   └── NotFound         no such volume or snapshot
    │   └── NotPossible          our own checks said no, before any command
    │       └── Missing          what should be worked on is not there
    ├── Unknown                  it may have happened: read the state again
    │   ├── TimedOut             no answer within the deadline
    │   ├── LinkLost             the session broke, or ended with no status
    │   ├── Garbled              an answer that cannot be understood
    │   └── CommitFailed         glusterd gave up when it had begun
    ├── Unsettled                the state contradicts what was done
    ├── health.Misconfigured     every mistake in the set-up, at once
    └── SeveralFailed            what failed on several nodes side by side

Classes carry what happened; the sentence is made in ``__str__``. No code
above the room that raises an error looks at text.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import shlex

#: How much of a command's output goes into a message, in characters.
EXCERPT = 400


class Error(Exception):
    """The root of all errors this package raises on purpose.

    A class for one situation is a dataclass: its fields are the data, and its
    ``__str__`` makes the sentence for people. It lives in the module that
    raises it.
    """

    def __post_init__(self) -> None:
        """Copy the fields of a dataclass to ``args``, as pickle needs them."""
        if dataclasses.is_dataclass(self):
            self.args = tuple(
                getattr(self, field.name) for field in dataclasses.fields(self)
            )


class Refused(Error):
    """Nothing happened, and we know why."""


class Unknown(Error):
    """It may have happened or not: read the state again."""


class Unreachable(Refused):
    """No session with the node was had, so nothing was started on it."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)
        self.node = node
        self.reason = reason

    def __str__(self) -> str:
        return f'node {self.node} cannot be reached over SSH: {self.reason}'


class Down(Unreachable):
    """Nothing answers at the address of the node, not even to say no."""


class NoSuchHost(Unreachable):
    """The name of the node has no address."""


class LoginRefused(Unreachable):
    """sshd on the node does not accept the user or the key."""


class HostKeyRejected(Unreachable):
    """The node's host key is unknown, or not the one that is known."""

    def __str__(self) -> str:
        return (
            f'the host key of node {self.node} was rejected: {self.reason}; '
            f'if it is right, add it to the known_hosts file'
        )


class CutOff(Unreachable):
    """glusterd on a node has no connection to most of its peers."""

    def __init__(self, node: str, missed: int, peers: int) -> None:
        super().__init__(node, f'{missed} of {peers} peers are missed')
        self.args = (node, missed, peers)

    def __str__(self) -> str:
        where = f'glusterd on node {self.node}'
        return f'{where} is cut off from the cluster: {self.reason}'


class CommandFailed(Refused):
    """A command ran to its end on the node and said no."""

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        status: int,
        stdout: str,
        stderr: str,
    ) -> None:
        super().__init__(node, tuple(argv), status, stdout, stderr)
        self.node = node
        self.argv = tuple(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        said = (self.stderr.strip() or self.stdout.strip())[-EXCERPT:]
        return (
            f'on node {self.node}, {shlex.join(self.argv)!r} ended with '
            f'status {self.status}: {said or "no output"}'
        )


class BadFileSystem(CommandFailed):
    """The kernel has given a mounted file system up: a disk failed it."""


class InUse(CommandFailed):
    """A mount or LV that somebody on the node has open.

    :param failed: what the tool said.
    :param path: of the mount point or device.
    """

    def __init__(self, failed: CommandFailed, path: str) -> None:
        super().__init__(*failed.args)
        self.args = (failed, path)
        self.path = path

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; "fuser -vm {self.path}" there tells who '
            f'holds it; try again when it is free'
        )


class GlusterRefused(Refused):
    """glusterd answered, and its answer was no."""

    def __init__(
        self, node: str, argv: Sequence[str], errno: int, message: str
    ) -> None:
        super().__init__(node, tuple(argv), errno, message)
        self.node = node
        self.argv = tuple(argv)
        self.errno = errno
        self.message = message

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node} refused {shlex.join(self.argv)!r}: '
            f'{self.message or "no reason given"} (errno {self.errno})'
        )


class Busy(GlusterRefused):
    """Another transaction holds the lock; the same may succeed later.

    glusterd gives a lock back after three minutes at the latest, but not
    always where a node was lost meanwhile (glusterfs issues 283 and 4603).
    """

    def __str__(self) -> str:
        return (
            f'{super().__str__()}; if that lasts, "held by" in '
            f'/var/log/glusterfs/glusterd.log there is followed by the UUID '
            f'of the node that has the lock ("gluster pool list" names it): '
            f'restart glusterd on it'
        )


class Occupied(Busy):
    """All places that a node has for our commands were in use."""

    def __init__(self, node: str, argv: Sequence[str] = ()) -> None:
        super().__init__(node, argv, 0, 'all places were in use')
        self.args = (node, tuple(argv))

    def __str__(self) -> str:
        what = shlex.join(self.argv) or 'a command'
        return f'node {self.node}: too busy with ours to start {what!r}'


class AlreadyExists(GlusterRefused):
    """A volume or snapshot of that name exists."""


class NotFound(GlusterRefused):
    """There is no volume or snapshot of that name."""


class NotPossible(Refused):
    """Our own checks said no before anything was done.

    :param reason: what is in the way and, where there is one, the remedy.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Missing(NotPossible):
    """What should be worked on is not there, or was never finished."""


class Held(NotPossible):
    """Another operation had the lock all the time."""


class TimedOut(Unknown):
    """No answer came within the deadline."""

    def __init__(self, node: str, argv: Sequence[str], seconds: float) -> None:
        super().__init__(node, tuple(argv), seconds)
        self.node = node
        self.argv = tuple(argv)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f'on node {self.node}, {shlex.join(self.argv)!r} gave no answer '
            f'within {self.seconds:g} s; it may have taken effect'
        )


class LinkLost(Unknown):
    """The session broke in mid-command, or ended with no exit status.

    :param partial: what had been answered until then.
    """

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        reason: str,
        partial: str = '',
    ) -> None:
        super().__init__(node, tuple(argv), reason, partial)
        self.node = node
        self.argv = tuple(argv)
        self.reason = reason
        self.partial = partial

    def __str__(self) -> str:
        return (
            f'the session with node {self.node} broke during '
            f'{shlex.join(self.argv)!r}: {self.reason}; it may have taken '
            f'effect'
        )


class Garbled(Unknown):
    """An answer came that cannot be understood."""

    def __init__(self, node: str, argv: Sequence[str], answer: str) -> None:
        super().__init__(node, tuple(argv), answer)
        self.node = node
        self.argv = tuple(argv)
        self.answer = answer

    def __str__(self) -> str:
        said = self.answer.strip()[-EXCERPT:]
        return (
            f'node {self.node} answered {shlex.join(self.argv)!r} with '
            f'something that cannot be understood: {said!r}'
        )


class CommitFailed(Unknown):
    """glusterd began and gave up: some nodes may have done it."""

    def __init__(self, node: str, argv: Sequence[str], message: str) -> None:
        super().__init__(node, tuple(argv), message)
        self.node = node
        self.argv = tuple(argv)
        self.message = message

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node} could not finish '
            f'{shlex.join(self.argv)!r}: {self.message}; see '
            f'/var/log/glusterfs/glusterd.log on the node that is named'
        )


class Unsettled(Error):
    """The state that was read contradicts what was done.

    :param what: the object concerned, in the operator's words.
    :param found: what is wrong with it and, where known, the remedy.
    """

    def __init__(self, what: str, found: str) -> None:
        super().__init__(what, found)
        self.what = what
        self.found = found

    def __str__(self) -> str:
        return f'{self.what}: {self.found}'


class SeveralFailed(Error):
    """What failed on several nodes side by side.

    Unknown as soon as one of its parts is: see :func:`is_unknown`.
    """

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        super().__init__(dict(errors))
        self.errors = dict(errors)

    def __str__(self) -> str:
        return '; '.join(str(error) for error in self.errors.values())


def is_unknown(error: BaseException) -> bool:
    """Whether the action that raised this may have taken effect."""
    if isinstance(error, SeveralFailed):
        return any(is_unknown(part) for part in error.errors.values())
    return isinstance(error, Unknown)
