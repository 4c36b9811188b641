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
"""One channel of an SSH connection: a process on the node and its streams.

Below :mod:`manila_glusterfs_clone.ssh.remote` and for it alone. paramiko waits
without limit in places (for the answer to a request, for room in a
socket), so all that is done on a channel is under a :class:`Watch`.
"""

from collections.abc import Sequence
import contextlib
import threading
import time

import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import connections
from manila_glusterfs_clone.ssh import login

#: Seconds a link has to take the end of a channel, or else it is dead.
GRACE = 2.0

#: What paramiko raises when a connection or channel cannot be used.
BROKEN = (paramiko.SSHException, EOFError, OSError)

_CHUNK = 1 << 20


class ChannelRefused(Exception):
    """The node is there, but does not open a channel."""


def open_channel(link: login.Connection, seconds: float) -> paramiko.Channel:
    """Open a channel, for which the node may have no place at first.

    sshd frees a place a moment after it has told that a command ended, so
    that with many commands one after the other it can run out of them.

    :raises ChannelRefused: all the time.
    :raises BROKEN: the connection is dead.
    """
    until = time.monotonic() + seconds
    pause = 0.01
    while True:
        left = until - time.monotonic()
        try:
            return link.transport.open_session(timeout=max(0.0, left))
        except paramiko.SSHException as error:
            # The error itself may be that of another thread's channel.
            left = until - time.monotonic()
            if left <= 0 or not link.is_active():
                raise
            if left <= pause:
                raise ChannelRefused(login.said(error)) from error
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


class Watch(threading.Thread):
    """Ends what its owner does on a link when the time is up.

    Closing the channel frees whoever waits for the node, but not whoever
    waits for room in the socket. If that is so for long, nothing gets
    through for anybody, and the link can be closed.

    :param seconds: counted from the monotonic time ``since``.
    """

    def __init__(
        self,
        link: login.Connection,
        since: float,
        seconds: float,
        channel: paramiko.Channel | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.channel = channel
        self.expired = False
        self.seconds = seconds
        self._link = link
        self._until = since + seconds
        self._over = threading.Event()

    def done(self) -> None:
        """Stop watching."""
        self._over.set()

    def run(self) -> None:
        """Wait; called by start()."""
        if self._over.wait(max(0.0, self._until - time.monotonic())):
            return
        self.expired = True
        threading.Thread(target=self._hang_up, daemon=True).start()
        if not self._over.wait(GRACE):
            self._link.close()
            if self.channel is not None:
                # Its waiter is not told if the link broke at a bad moment.
                self.channel.event.set()

    def _hang_up(self) -> None:
        with contextlib.suppress(*BROKEN):
            if self.channel is not None:
                self.channel.close()


class Channel:
    """A channel in use: it has a place on its link until it is closed."""

    def __init__(
        self,
        node: str,
        argv: Sequence[str],
        pool: connections.ConnectionPool,
        link: login.Connection,
        channel: paramiko.Channel,
        watch: Watch,
    ) -> None:
        self.node = node
        self.argv = tuple(argv)
        self._pool = pool
        self._link = link
        self._channel = channel
        self._watch = watch
        self._closed = threading.Lock()
        self._news = _News()
        channel.in_buffer.set_event(self._news)
        channel.in_stderr_buffer.set_event(self._news)
        watch.channel = channel

    def start(self, line: str) -> None:
        """Have the node's login shell run a line.

        :raises Unreachable: too late to ask.
        :raises LinkLost: it may run.
        """
        if self._watch.expired:
            raise errors.Unreachable(self.node, 'no time left to start it')
        try:
            self._channel.exec_command(line.encode())
        except BROKEN as error:
            raise errors.LinkLost(
                self.node,
                self.argv,
                f'no answer to the request to start it: {login.said(error)}',
            ) from error

    def send(self, data: bytes) -> None:
        """Give input, all of it."""
        self._channel.sendall(data)

    def read(self) -> tuple[bytes, bytes] | None:
        """Wait for output and error output; None at the end of both."""
        channel = self._channel
        while True:
            self._news.clear_for_sure()
            # In this order: all that came before the end is there by then.
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
            self._news.wait()

    def finish(self, stdin: bytes) -> tuple[bytes, bytes, int]:
        """Give all input, take all output.

        :returns: both outputs and the exit status, which is negative if
            none came, or not all of the output.
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
        except BROKEN as error:
            raise self.broken(login.said(error), bytes(stdout)) from error
        status = self._channel.recv_exit_status()
        # Our own hanging up makes the node say that the output has ended.
        whole = self._channel.eof_received or self._link.is_active()
        if self._watch.expired or not whole:
            status = -1
        return bytes(stdout), bytes(stderr), status

    def alive(self) -> bool:
        """Tell whether the process is there, as far as is known here."""
        channel = self._channel
        return (
            self._link.is_active()
            and not channel.closed
            and not channel.eof_received
        )

    def sound(self) -> bool:
        """Tell whether the connection may be used by others after this."""
        return self._link.is_active() and not self._watch.expired

    def broken(
        self, reason: str, partial: bytes, *more: str
    ) -> errors.Unknown:
        """Make the error for an end that was none.

        :param more: what stands behind the command in the error.
        """
        argv = (*self.argv, *more)
        if self._watch.expired:
            return errors.TimedOut(self.node, argv, self._watch.seconds)
        return errors.LinkLost(
            self.node, argv, reason, partial.decode(errors='replace')
        )

    def limit(self, seconds: float) -> None:
        """Allow so much time from now on."""
        self._watch.done()
        self._watch = Watch(
            self._link, time.monotonic(), seconds, self._channel
        )
        self._watch.start()

    def unlimited(self) -> None:
        """Allow all the time there is."""
        self._watch.done()

    def close(self, sound: bool) -> None:
        """End it; a second time does nothing.

        :param sound: whether the connection may be used again.
        """
        if not self._closed.acquire(blocking=False):
            return
        try:
            if not self._channel.closed:
                self.limit(GRACE)
                with contextlib.suppress(*BROKEN):
                    self._channel.close()
        finally:
            self._watch.done()
            self._pool.release(self._link, sound and self.sound())

    def _feed(self, data: bytes) -> None:
        # A node that takes no more input says why in its status.
        with contextlib.suppress(*BROKEN):
            self._channel.sendall(data)
            self._channel.shutdown_write()


class _News(threading.Event):
    """Set by either stream of a channel, cleared by the reader only."""

    def clear(self) -> None:
        """Not: that one stream is empty says nothing of the other."""

    def clear_for_sure(self) -> None:
        super().clear()
