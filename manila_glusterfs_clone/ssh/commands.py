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
"""Run commands on a node over SSH: argv in, :class:`Result` out.

A command has one of these outcomes:

* *refused*, ``Unreachable`` or ``Occupied``: the command was not started.
* *unknown*, ``LinkLost``: the exit status or a part of the output was lost, or
  a signal killed the command.
* *unknown*, ``TimedOut``: the node killed the command at the time limit, or
  the driver received no exit status in time.
* *done*: the command ended with an exit status that the caller accepts.
* *refused*, ``CommandFailed``: the command ended with another exit status.

The program ``timeout`` on the node kills a command at the time limit of the
caller. The driver waits :data:`MARGIN_SECONDS` longer for the exit status.
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
from manila_glusterfs_clone.ssh import interactive_process
from manila_glusterfs_clone.ssh import login

LOG = logging.getLogger(__name__)

#: Seconds that the driver waits for the exit status after the time limit.
MARGIN_SECONDS = 10.0
#: Seconds from SIGTERM to SIGKILL when ``timeout`` kills a command; less than
#: :data:`MARGIN_SECONDS`.
KILL_AFTER_SECONDS = 5

Address = login.Address
Credentials = login.Credentials


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a command whose exit status the caller accepts."""

    node: str
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def command_line(
    argv: Sequence[str], *, sudo: bool, seconds: int | None = None
) -> str:
    """Return a command line for a POSIX shell on a node.

    :param seconds: the time limit on the node, at least 1; None for no limit.
    :raises ValueError: ``argv`` is empty, or a word has a NUL, at which the
        node would cut the line.
    """
    if not argv or any('\0' in word for word in argv):
        raise ValueError(f'not a command: {tuple(argv)!r}')
    words = ['sudo', '-n'] if sudo else []
    if seconds is not None:
        words += ['timeout', '-k', str(KILL_AFTER_SECONDS), str(seconds)]
    # LC_ALL stands before sudo, which passes it on to the command: the sudo
    # rules on the node do not allow it after sudo.
    return 'LC_ALL=C ' + shlex.join([*words, *argv])


class Remote:
    """A node on which to run commands over SSH; many threads may use it.

    A command connects first if its process has no connection to the node.

    :param sudo: whether commands that need root run with sudo.
    :param connect_timeout: seconds for name lookup, connection and login
        together. The same limit applies to opening a channel.
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
        self._pool_by_pid: dict[int, connections.ConnectionPool] = {}

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

        :param timeout: seconds, including the wait for a connection and for
            a channel.
        :param accept: the exit statuses that mean success.
        :param as_root: whether the command needs root.
        :raises Unreachable, Occupied: nothing was started.
        :raises CommandFailed: the exit status is not in ``accept``.
        :raises TimedOut, LinkLost: the command may have taken effect.
        """
        argv = tuple(argv)
        sudo = self._sudo and as_root
        command_line(argv, sudo=sudo)
        start = time.monotonic()
        outcome: int | str = 'error'
        try:
            result = self._run(argv, timeout, stdin, sudo)
            outcome = result.status
        except errors.Error as error:
            outcome = type(error).__name__
            raise
        finally:
            self._log(argv, outcome, start)
        if result.status in accept:
            return result
        if 128 < result.status <= 192:
            # The outcome is unknown: the signal may have killed the command
            # in the middle of its work.
            raise errors.LinkLost(
                self.name,
                argv,
                f'the command was killed by signal {result.status - 128}',
                result.stdout,
            )
        raise errors.CommandFailed(
            self.name, argv, result.status, result.stdout, result.stderr
        )

    def open(
        self, argv: Sequence[str], *, timeout: float = 15.0
    ) -> interactive_process.InteractiveProcess:
        """Start an interactive process; it runs without a time limit.

        :param timeout: seconds to wait for a connection and a channel.
        :raises Unreachable, Occupied: nothing was started.
        :raises LinkLost: the process may have been started.
        """
        argv = tuple(argv)
        line = command_line(argv, sudo=self._sudo)
        start = time.monotonic()
        channel = self._open_channel(argv, timeout)
        try:
            channel.set_time_limit(self._connect_timeout)
            channel.start(line)
            channel.clear_time_limit()
        except BaseException:
            channel.close(is_reusable=False)
            raise
        self._log(argv, 'started', start)
        return interactive_process.InteractiveProcess(channel)

    def close(self) -> None:
        """Disconnect; the outcome of running commands is then *unknown*."""
        self._pool().close()

    def _run(
        self, argv: tuple[str, ...], timeout: float, stdin: bytes, sudo: bool
    ) -> Result:
        deadline = time.monotonic() + timeout
        channel = self._open_channel(argv, timeout)
        is_reusable = False
        try:
            start = time.monotonic()
            limit_seconds = max(1, math.ceil(deadline - start))
            channel.start(command_line(argv, sudo=sudo, seconds=limit_seconds))
            stdout, stderr, status = channel.communicate(stdin)
            is_reusable = channel.is_reusable()
            is_late = time.monotonic() - start >= limit_seconds
            # At the time limit, the status is 124, or 137 after SIGKILL. If
            # the login shell has replaced itself by ``timeout``, SIGKILL
            # leaves no status.
            if status in (124, 137) or (
                status < 0 and is_reusable and is_late
            ):
                raise errors.TimedOut(self.name, argv, timeout)
            if status < 0:
                raise channel.error_for('no exit status received', stdout)
        finally:
            channel.close(is_reusable)
        return Result(
            self.name,
            argv,
            status,
            stdout.decode(errors='replace'),
            stderr.decode(errors='replace'),
        )

    def _open_channel(
        self, argv: tuple[str, ...], timeout: float
    ) -> channels.Channel:
        start = time.monotonic()
        deadline = start + timeout
        pool = self._pool()
        reason = ''
        # If the connection is dead, try once more on a new connection. This
        # is safe, because opening a channel starts no command.
        for _ in range(2):
            connection = pool.take(deadline)
            watchdog = channels.Watchdog(
                connection, start, timeout + MARGIN_SECONDS
            )
            is_reusable = is_opened = False
            try:
                watchdog.start()
                channel = channels.open_channel(
                    connection,
                    min(self._connect_timeout, deadline - time.monotonic()),
                )
                is_opened = True
                return channels.Channel(
                    self.name, argv, pool, connection, channel, watchdog
                )
            except channels.ChannelRefused as error:
                is_reusable = True
                raise errors.Unreachable(self.name, str(error)) from error
            except channels.CONNECTION_ERRORS as error:
                reason = f'no channel was opened: {login.describe(error)}'
            finally:
                if not is_opened:
                    watchdog.stop()
                    pool.release(connection, is_reusable)
        raise errors.Unreachable(self.name, reason)

    def _pool(self) -> connections.ConnectionPool:
        # Use no lock: a lock that another thread holds during a fork is never
        # released in the child process.
        pid = os.getpid()
        pool = self._pool_by_pid.get(pid)
        if pool is None:
            new_pool = connections.ConnectionPool(
                self._address, self._credentials, self._connect_timeout
            )
            pool = self._pool_by_pid.setdefault(pid, new_pool)
            for other_pid in [*self._pool_by_pid]:
                if other_pid != pid:
                    parent_pool = self._pool_by_pid.pop(other_pid, None)
                    if parent_pool is not None:
                        parent_pool.abandon()
        return pool

    def _log(
        self, argv: Sequence[str], outcome: int | str, start: float
    ) -> None:
        seconds = time.monotonic() - start
        LOG.debug(
            '%s: %s: %s, %.3f s', self.name, shlex.join(argv), outcome, seconds
        )
