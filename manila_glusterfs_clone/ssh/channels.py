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
"""Channels: opens a channel of an SSH connection, for one remote process.

For :mod:`manila_glusterfs_clone.ssh.commands` only. paramiko waits without a
limit in some places: for the answer to a request, and for room in a socket.
So a :class:`Watchdog` limits the time of all that is done on a channel.
"""

from collections.abc import Sequence
import contextlib
import threading
import time

import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import login

#: Seconds for closing a channel. A connection that takes longer is dead.
CLOSE_TIMEOUT = 2.0

#: Errors of paramiko for a connection or channel that cannot be used.
CONNECTION_ERRORS = (paramiko.SSHException, EOFError, OSError)

_CHUNK = 1 << 20


class ChannelRefused(Exception):
    """The node is connected, but does not open a channel."""


def open_channel(
    connection: login.Connection, seconds: float
) -> paramiko.Channel:
    """Open a channel; retry while the node has no free session.

    sshd frees the session of a command a moment after it reported the end
    of the command. So many commands in a row can exhaust the sessions.

    :raises ChannelRefused: the node refused a channel until the time was up.
    :raises CONNECTION_ERRORS: the connection is dead.
    """
    until = time.monotonic() + seconds
    pause = 0.01
    while True:
        seconds_left = until - time.monotonic()
        try:
            return connection.transport.open_session(
                timeout=max(0.0, seconds_left)
            )
        except paramiko.SSHException as error:
            # paramiko may raise the error of another thread's channel here.
            seconds_left = until - time.monotonic()
            if seconds_left <= 0 or not connection.is_active():
                raise
            if seconds_left <= pause:
                raise ChannelRefused(login.describe(error)) from error
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


class Watchdog(threading.Thread):
    """Closes a channel, and if need be its connection, when the time is up.

    Closing the channel wakes a thread that waits for the node, but not one
    that waits for room in the socket. If the socket has no room for
    :data:`CLOSE_TIMEOUT`, no channel of the connection makes progress, so
    the connection is closed.

    :param seconds: counted from the monotonic time ``since``.
    """

    def __init__(
        self,
        connection: login.Connection,
        since: float,
        seconds: float,
        channel: paramiko.Channel | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.channel = channel
        self.expired = False
        self.seconds = seconds
        self._connection = connection
        self._until = since + seconds
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def run(self) -> None:
        """Wait until stopped, or until the time is up."""
        if self._stopped.wait(max(0.0, self._until - time.monotonic())):
            return
        self.expired = True
        threading.Thread(target=self._close_channel, daemon=True).start()
        if not self._stopped.wait(CLOSE_TIMEOUT):
            self._connection.close()
            if self.channel is not None:
                # paramiko may not wake the waiting thread of a channel that
                # was requested while the connection broke.
                self.channel.event.set()

    def _close_channel(self) -> None:
        with contextlib.suppress(*CONNECTION_ERRORS):
            if self.channel is not None:
                self.channel.close()


class Channel:
    """An open channel; it counts on its connection until it is closed."""

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        pool: connections.ConnectionPool,
        connection: login.Connection,
        channel: paramiko.Channel,
        watchdog: Watchdog,
    ) -> None:
        self.node = node
        self.argv = tuple(argv)
        self._pool = pool
        self._connection = connection
        self._channel = channel
        self._watchdog = watchdog
        #: Locked when the channel is closed.
        self._closed = threading.Lock()
        self._data_event = _DataEvent()
        channel.in_buffer.set_event(self._data_event)
        channel.in_stderr_buffer.set_event(self._data_event)
        watchdog.channel = channel

    def start(self, line: str) -> None:
        """Start a command line in the node's login shell.

        :raises Unreachable: the time was up before; nothing was started.
        :raises LinkLost: the command may run.
        """
        if self._watchdog.expired:
            raise errors.Unreachable(
                self.node, 'the time was up before the command was started'
            )
        try:
            self._channel.exec_command(line.encode())
        except CONNECTION_ERRORS as error:
            raise errors.LinkLost(
                self.node,
                self.argv,
                f'no answer to the request to start the command: '
                f'{login.describe(error)}',
            ) from error

    def send(self, data: bytes) -> None:
        """Send all of the data to the standard input."""
        self._channel.sendall(data)

    def read(self) -> tuple[bytes, bytes] | None:
        """Wait for data; return stdout and stderr, or None at their end."""
        channel = self._channel
        while True:
            self._data_event.really_clear()
            # Checked before the buffers, which then have all of the data.
            ended = channel.closed or channel.eof_received
            out = channel.recv(_CHUNK) if channel.recv_ready() else b''
            err = (
                channel.recv_stderr(_CHUNK)
                if channel.recv_stderr_ready()
                else b''
            )
            if out or err:
                return out, err
            if ended:
                return None
            self._data_event.wait()

    def communicate(self, stdin: bytes) -> tuple[bytes, bytes, int]:
        """Send all input and read all output.

        :returns: stdout, stderr and the exit status. The status is negative
            if the node sent none, or if the output is not complete.
        """
        stdout, stderr = bytearray(), bytearray()
        if stdin:
            threading.Thread(
                target=self._feed, args=(stdin,), daemon=True
            ).start()
        else:
            self._feed(b'')
        try:
            while (piece := self.read()) is not None:
                stdout += piece[0]
                stderr += piece[1]
        except CONNECTION_ERRORS as error:
            raise self.error_for(
                login.describe(error), bytes(stdout)
            ) from error
        status = self._channel.recv_exit_status()
        # After the watchdog closed the channel, the node sends an end of
        # output too.
        complete = self._channel.eof_received or self._connection.is_active()
        if self._watchdog.expired or not complete:
            status = -1
        return bytes(stdout), bytes(stderr), status

    def is_alive(self) -> bool:
        """Return whether the process runs, as far as this side knows."""
        channel = self._channel
        return (
            self._connection.is_active()
            and not channel.closed
            and not channel.eof_received
        )

    def is_reusable(self) -> bool:
        """Return whether the connection may get new channels."""
        return self._connection.is_active() and not self._watchdog.expired

    def error_for(
        self, reason: str, partial: bytes, *more: str
    ) -> errors.Unknown:
        """Return the error for a process whose end is unknown.

        :param more: words to show after the command, for example its input.
        """
        argv = (*self.argv, *more)
        if self._watchdog.expired:
            return errors.TimedOut(self.node, argv, self._watchdog.seconds)
        return errors.LinkLost(
            self.node, argv, reason, partial.decode(errors='replace')
        )

    def set_time_limit(self, seconds: float) -> None:
        """Limit the time of the channel, counted from now."""
        self._watchdog.stop()
        self._watchdog = Watchdog(
            self._connection, time.monotonic(), seconds, self._channel
        )
        self._watchdog.start()

    def clear_time_limit(self) -> None:
        """Remove the time limit."""
        self._watchdog.stop()

    def close(self, reusable: bool) -> None:
        """Close the channel; closing it again does nothing.

        :param reusable: whether the connection may get new channels.
        """
        if not self._closed.acquire(blocking=False):
            return
        try:
            if not self._channel.closed:
                self.set_time_limit(CLOSE_TIMEOUT)
                with contextlib.suppress(*CONNECTION_ERRORS):
                    self._channel.close()
        finally:
            self._watchdog.stop()
            self._pool.release(
                self._connection, reusable and self.is_reusable()
            )

    def _feed(self, data: bytes) -> None:
        # If the process reads no more input, its exit status has the reason.
        with contextlib.suppress(*CONNECTION_ERRORS):
            self._channel.sendall(data)
            self._channel.shutdown_write()


class _DataEvent(threading.Event):
    """Set when either stream of a channel has data; cleared by the reader."""

    def clear(self) -> None:
        """Do nothing.

        paramiko calls this when one stream is empty. The other may have data.
        """

    def really_clear(self) -> None:
        super().clear()
