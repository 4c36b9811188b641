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
"""One node over SSH: argv in, :class:`Result` out.

The rooms below: ``channels``, ``connections``, ``login``. How a command ends:

* *refused*, ``Unreachable``: anything before the request to start it is
  sent, so nothing was started;
* *unknown*, ``LinkLost``: anything from then on until its exit status and
  the end of its output are here, and death by a signal;
* *unknown*, ``TimedOut``: killed on the node for taking too long, or no
  end seen here in time;
* otherwise it ran to its end, and the exit status decides.

What is left of the caller's time is given to ``timeout`` on the node, so
that what is too slow goes away there; only :data:`MARGIN` later do we stop
listening here.
"""

from collections.abc import Collection, Sequence
import dataclasses
import math
import os
import shlex
import time

from oslo_log import log as logging

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import channels
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import login

LOG = logging.getLogger(__name__)

#: Seconds by which the deadline here is later than the one on the node.
MARGIN = 10.0
#: Seconds between SIGTERM and SIGKILL on the node; less than MARGIN.
KILL_AFTER = 5
#: Bytes of a conversation's stderr that are kept.
TAIL = 4096

Address = login.Address
Credentials = login.Credentials


@dataclasses.dataclass(frozen=True)
class Result:
    """A command that ran to its end with an accepted status."""

    node: str
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def command_line(
    argv: Sequence[str], *, sudo: bool, seconds: int | None = None
) -> str:
    """Make the line for the node's login shell, which is a POSIX one.

    :param seconds: the limit on the node, at least 1; None for no limit.
    :raises ValueError: no command, or a NUL in it: the node would run
        what stands before it.
    """
    if not argv or any('\0' in word for word in argv):
        raise ValueError(f'not a command: {tuple(argv)!r}')
    words = ['sudo', '-n'] if sudo else []
    if seconds is not None:
        words += ['timeout', '-k', str(KILL_AFTER), str(seconds)]
    # Before sudo, which keeps LC_*: sudoers lists only what comes after.
    return 'LC_ALL=C ' + shlex.join([*words, *argv])


class Remote:
    """One node over SSH: argv in, Result out; for any number of threads.

    Connects when first used, again when the connection was lost, and anew
    in a forked process.

    :param connect_timeout: seconds for name lookup, TCP, key exchange and
        authentication together, and for the opening of one channel.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        sudo: bool = True,
        connect_timeout: float = 15.0,
    ) -> None:
        self.name = address.host
        self._address = address
        self._credentials = credentials
        self._sudo = sudo
        self._connect_timeout = connect_timeout
        self._of_process: dict[int, connections.ConnectionPool] = {}

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60.0,
        accept: Collection[int] = (0,),
        stdin: bytes = b'',
        as_root: bool = True,
    ) -> Result:
        """Run one command to its end.

        :param timeout: seconds. Waiting for a connection and for its turn
            uses them up too: the node gets what is left.
        :param as_root: False for what anybody may ask.
        :raises Unreachable, Occupied: nothing was started.
        :raises CommandFailed: it ended with a status not accepted.
        :raises TimedOut, LinkLost: it may have taken effect.
        """
        argv = tuple(argv)
        sudo = self._sudo and as_root
        command_line(argv, sudo=sudo)
        started = time.monotonic()
        end: int | str = 'error'
        try:
            result = self._run(argv, timeout, stdin, sudo)
            end = result.status
        except errors.Error as error:
            end = type(error).__name__
            raise
        finally:
            self._log(argv, end, started)
        if result.status in accept:
            return result
        if 128 < result.status <= 192:
            # What was killed has not said no: it may be half-way.
            raise errors.LinkLost(
                self.name,
                argv,
                f'it was killed by signal {result.status - 128}',
                result.stdout,
            )
        raise errors.CommandFailed(
            self.name, argv, result.status, result.stdout, result.stderr
        )

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> 'InteractiveProcess':
        """Start a process to talk with, which has no time limit itself.

        :param timeout: seconds to wait for its turn.
        :raises Unreachable, Occupied: nothing was started.
        :raises LinkLost: it may have been started.
        """
        argv = tuple(argv)
        line = command_line(argv, sudo=self._sudo)
        started = time.monotonic()
        channel = self._session(argv, timeout)
        try:
            channel.limit(self._connect_timeout)
            channel.start(line)
            channel.unlimited()
        except BaseException:
            channel.close(sound=False)
            raise
        self._log(argv, 'started', started)
        return InteractiveProcess(channel)

    def close(self) -> None:
        """Disconnect; what is still running ends *unknown*."""
        self._links().close()

    def _run(
        self, argv: tuple[str, ...], timeout: float, stdin: bytes, sudo: bool
    ) -> Result:
        until = time.monotonic() + timeout
        channel = self._session(argv, timeout)
        sound = False
        try:
            begun = time.monotonic()
            left = max(1, math.ceil(until - begun))
            channel.start(command_line(argv, sudo=sudo, seconds=left))
            stdout, stderr, status = channel.finish(stdin)
            sound = channel.sound()
            late = time.monotonic() - begun >= left
            # A shell may replace itself by the command; what then has to
            # be killed ends by a signal, and that is no status.
            if status in (124, 137) or (status < 0 and sound and late):
                raise errors.TimedOut(self.name, argv, timeout)
            if status < 0:
                raise channel.broken('no exit status came', stdout)
        finally:
            channel.close(sound)
        return Result(
            self.name,
            argv,
            status,
            stdout.decode(errors='replace'),
            stderr.decode(errors='replace'),
        )

    def _session(
        self, argv: tuple[str, ...], timeout: float
    ) -> channels.Channel:
        started = time.monotonic()
        until = started + timeout
        pool = self._links()
        reason = ''
        # The opening of a channel starts nothing yet: a connection that
        # proves dead by then is replaced, once.
        for _ in range(2):
            link = pool.take(until)
            watch = channels.Watch(link, started, timeout + MARGIN)
            sound = opened = False
            try:
                watch.start()
                left = min(self._connect_timeout, until - time.monotonic())
                channel = channels.open_channel(link, left)
                opened = True
                return channels.Channel(
                    self.name, argv, pool, link, channel, watch
                )
            except channels.ChannelRefused as error:
                sound = True
                raise errors.Unreachable(self.name, str(error)) from error
            except channels.BROKEN as error:
                reason = f'no channel: {login.said(error)}'
            finally:
                if not opened:
                    watch.done()
                    pool.release(link, sound)
        raise errors.Unreachable(self.name, reason)

    def _links(self) -> connections.ConnectionPool:
        # No lock, for a fork may have left it locked for ever.
        pid = os.getpid()
        found = self._of_process.get(pid)
        if found is None:
            new = connections.ConnectionPool(
                self._address, self._credentials, self._connect_timeout
            )
            found = self._of_process.setdefault(pid, new)
            for other in [*self._of_process]:
                if other != pid:
                    parent = self._of_process.pop(other, None)
                    if parent is not None:
                        parent.forget()
        return found

    def _log(self, argv: Sequence[str], end: int | str, since: float) -> None:
        took = time.monotonic() - since
        line = shlex.join(argv)
        LOG.debug('%s: %s: %s, %.3f s', self.name, line, end, took)


class InteractiveProcess:
    """A process that answers line by line; for one thread at a time.

    After any error it is over. ``stderr`` is the last that came there.
    """

    #: Whether nothing has come that was not asked for.
    in_step = True

    def __init__(self, channel: channels.Channel) -> None:
        self.stderr = b''
        self._heard = bytearray()
        self._channel = channel
        self._pid = os.getpid()

    @property
    def alive(self) -> bool:
        """Whether the process is there, as far as is known here."""
        return self._pid == os.getpid() and self._channel.alive()

    def ask(self, line: str, *, until: bytes, timeout: float) -> bytes:
        """Say a line, and listen until the mark has come.

        What follows the mark is the beginning of the next answer.

        :param timeout: seconds until the mark must be here.
        :returns: the answer with the mark.
        :raises ValueError: not one line, or no mark; nothing was said.
        :raises Unreachable: it was over before; nothing was said.
        :raises LinkLost: the line may have taken effect; ``partial`` is
            what came of the answer, and the end of stderr.
        :raises TimedOut: the line may have taken effect.
        """
        if not until or '\n' in line or '\0' in line:
            raise ValueError(f'not one line, or no mark: {line!r}')
        data = line.encode() + b'\n'
        channel = self._channel
        if not self.alive:
            self.close()
            raise errors.Unreachable(
                channel.node, f'{shlex.join(channel.argv)!r} has ended'
            )
        started = time.monotonic()
        end = 'error'
        answered = False
        try:
            channel.limit(timeout)
            answer = self._exchange(data, until)
            channel.unlimited()
            end = f'{len(answer)} bytes'
            answered = True
            return answer
        except channels.BROKEN as error:
            said = b'\n'.join(filter(None, (self._heard, self.stderr)))
            failure = channel.broken(login.said(error), said, line)
            end = type(failure).__name__
            raise failure from error
        finally:
            if not answered:
                self.close()
            took = time.monotonic() - started
            what = shlex.join([*channel.argv, line])
            LOG.debug('%s: %s: %s, %.3f s', channel.node, what, end, took)

    def close(self) -> None:
        """End the process, by the end of its input."""
        if self._pid == os.getpid():
            self._channel.close(self._channel.sound())

    def _exchange(self, data: bytes, until: bytes) -> bytes:
        channel = self._channel
        channel.send(data)
        heard = self._heard
        seen = 0
        while (at := heard.find(until, seen)) < 0:
            seen = max(0, len(heard) - len(until) + 1)
            piece = channel.read()
            if piece is None:
                raise EOFError('the process has ended')
            heard += piece[0]
            self.stderr = (self.stderr + piece[1])[-TAIL:]
        answer = bytes(heard[: at + len(until)])
        del heard[: len(answer)]
        self.in_step = not heard.strip()
        return answer
