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
"""Open SSH channels, and run one remote process on each.

Only the modules of this package use this module.

paramiko has no time limit for the answer to a request, and none for space in
the send buffer of a socket. So a :class:`Watchdog` limits the time of each
channel.
"""

from collections.abc import Sequence
import contextlib
import threading
import time

import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import login

#: Time limit, in seconds, for closing a channel. If closing takes longer, no
#: new channels are opened on the connection.
CLOSE_TIMEOUT = 2.0

#: The errors that paramiko raises if a connection or channel is unusable.
CONNECTION_ERRORS = (paramiko.SSHException, EOFError, OSError)

_CHUNK_BYTES = 1 << 20


class ChannelRefused(Exception):
    """The node is connected, but refuses to open a channel."""


def open_channel(
    connection: login.Connection, seconds: float
) -> paramiko.Channel:
    """Open a channel; retry while sshd refuses it.

    sshd limits the number of sessions. It frees the session of a command a
    moment after it has reported the end of the command.

    :param seconds: the time limit for all attempts together.
    :raises ChannelRefused: sshd still refused at the time limit.
    :raises CONNECTION_ERRORS: the connection is dead, or the node did not
        answer in time.
    """
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        seconds_left = deadline - time.monotonic()
        try:
            return connection.transport.open_session(
                timeout=max(0.0, seconds_left)
            )
        except paramiko.SSHException as error:
            # This may be the error of a channel that another thread has
            # requested. So check the time and the connection instead.
            seconds_left = deadline - time.monotonic()
            if seconds_left <= 0 or not connection.is_active():
                raise
            if seconds_left <= pause:
                raise ChannelRefused(login.describe(error)) from error
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


class Watchdog(threading.Thread):
    """Close a channel at its time limit; if that fails, close the connection.

    When the watchdog closes the channel, a thread that waits for an answer
    wakes, and calls :meth:`stop`. A thread that waits for space in the send
    buffer does not wake. If no thread calls :meth:`stop` within
    :data:`CLOSE_TIMEOUT`, the watchdog closes the connection.

    :param started_at: the beginning of the time limit, in monotonic time.
    :param channel: None until the channel is opened.
    """

    def __init__(
        self,
        connection: login.Connection,
        started_at: float,
        seconds: float,
        channel: paramiko.Channel | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.channel = channel
        self.has_expired = False
        self.seconds = seconds
        self._connection = connection
        self._deadline = started_at + seconds
        self._stop_event = threading.Event()

    def stop(self) -> None:
        """Cancel the time limit."""
        self._stop_event.set()

    def run(self) -> None:
        """Wait for :meth:`stop`; at the time limit, close the channel."""
        if self._stop_event.wait(max(0.0, self._deadline - time.monotonic())):
            return
        self.has_expired = True
        threading.Thread(target=self._close_channel, daemon=True).start()
        if not self._stop_event.wait(CLOSE_TIMEOUT):
            self._connection.close()
            if self.channel is not None:
                # Wake the thread that waits for an answer on the channel.
                # paramiko does not always wake it if the connection breaks.
                self.channel.event.set()

    def _close_channel(self) -> None:
        with contextlib.suppress(*CONNECTION_ERRORS):
            if self.channel is not None:
                self.channel.close()


class Channel:
    """An open channel of a connection.

    The channel counts towards :data:`connections.MAX_CHANNELS` until
    :meth:`close` releases it.
    """

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
        #: The first call of close() acquires this lock and keeps it.
        self._close_lock = threading.Lock()
        self._data_event = _DataEvent()
        channel.in_buffer.set_event(self._data_event)
        channel.in_stderr_buffer.set_event(self._data_event)
        watchdog.channel = channel

    def start(self, line: str) -> None:
        """Start a command line in the login shell on the node.

        :raises Unreachable: the time limit had passed; nothing was started.
        :raises LinkLost: the channel failed; the command may have been
            started.
        """
        if self._watchdog.has_expired:
            raise errors.Unreachable(
                self.node, 'time limit reached before the command was started'
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
        """Send all data to the standard input of the process."""
        self._channel.sendall(data)

    def read(self) -> tuple[bytes, bytes] | None:
        """Wait for output; return stdout and stderr, or None at the end."""
        channel = self._channel
        while True:
            self._data_event.really_clear()
            # Check for the end before reading the buffers. In the reverse
            # order, output that arrives between the two steps would be lost.
            has_ended = channel.closed or channel.eof_received
            out = channel.recv(_CHUNK_BYTES) if channel.recv_ready() else b''
            err = (
                channel.recv_stderr(_CHUNK_BYTES)
                if channel.recv_stderr_ready()
                else b''
            )
            if out or err:
                return out, err
            if has_ended:
                return None
            self._data_event.wait()

    def is_reusable(self) -> bool:
        """Return whether new channels can be opened on the connection."""
        return self._connection.is_active() and not self._watchdog.has_expired

    def set_time_limit(self, seconds: float) -> None:
        """Replace the time limit of the channel.

        :param seconds: counted from now.
        """
        self._watchdog.stop()
        self._watchdog = Watchdog(
            self._connection, time.monotonic(), seconds, self._channel
        )
        self._watchdog.start()

    def clear_time_limit(self) -> None:
        """Remove the time limit of the channel."""
        self._watchdog.stop()

    def close(self, is_reusable: bool) -> None:
        """Close and release the channel; a second call does nothing.

        :param is_reusable: False to open no new channels on the connection.
        """
        if not self._close_lock.acquire(blocking=False):
            return
        try:
            if not self._channel.closed:
                self.set_time_limit(CLOSE_TIMEOUT)
                with contextlib.suppress(*CONNECTION_ERRORS):
                    self._channel.close()
        finally:
            self._watchdog.stop()
            self._pool.release(
                self._connection, is_reusable and self.is_reusable()
            )


class _DataEvent(threading.Event):
    """An event that is set when a channel receives stdout or stderr.

    Only :meth:`Channel.read` clears it.
    """

    def clear(self) -> None:
        """Do nothing.

        paramiko calls this when it has emptied the buffer of one stream. The
        buffer of the other stream may still have data.
        """

    def really_clear(self) -> None:
        super().clear()
