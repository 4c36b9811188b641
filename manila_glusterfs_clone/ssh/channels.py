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
"""Run one remote process on the channel of an SSH connection.

Only the modules of this package use this module.

paramiko waits without a time limit for the answer to a request, and for space
in the send buffer of a socket. So a :class:`Watchdog` limits the time.
"""

from collections.abc import Sequence
import threading
import time

import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import transports

#: The errors that paramiko raises if a connection or channel is unusable.
CONNECTION_ERRORS = (paramiko.SSHException, EOFError, OSError)

_CHUNK_BYTES = 1 << 20


class Watchdog(threading.Thread):
    """Close a connection at the time limit of its channel.

    Closing the connection wakes all threads that wait for the node.

    :param started_at: the beginning of the time limit, in monotonic time.
    :param channel: None until the channel is opened.
    """

    def __init__(
        self,
        connection: transports.Connection,
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
        """Wait for :meth:`stop`; at the time limit, close the connection."""
        if self._stop_event.wait(max(0.0, self._deadline - time.monotonic())):
            return
        self.has_expired = True
        self._connection.close()
        if self.channel is not None:
            # Wake the thread that waits for an answer on the channel. paramiko
            # does not always wake this thread if the connection breaks.
            self.channel.event.set()


class Channel:
    """The only channel of a connection."""

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        connection: transports.Connection,
        channel: paramiko.Channel,
        watchdog: Watchdog,
    ) -> None:
        self.node = node
        self.argv = tuple(argv)
        self._connection = connection
        self._channel = channel
        self._watchdog = watchdog
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
                f'{transports.describe(error)}',
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

    def is_connected(self) -> bool:
        """Return whether the connection is up."""
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

    def close(self) -> None:
        """Close the channel and its connection."""
        self._watchdog.stop()
        self._connection.close()


class _DataEvent(threading.Event):
    """An event that is set when a channel receives stdout or stderr.

    Only :meth:`Channel.read` clears the event.
    """

    def clear(self) -> None:
        """Do nothing.

        paramiko calls this method when the buffer of one stream is empty. The
        buffer of the other stream may still have data.
        """

    def really_clear(self) -> None:
        super().clear()
