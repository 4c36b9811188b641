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
"""The connection pool of one node: connects, shares, and retires connections.

For :mod:`manila_glusterfs_clone.ssh.channels` and
:mod:`manila_glusterfs_clone.ssh.commands` only.
"""

import dataclasses
import threading
import time

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import login

#: Channels at a time on one connection; sshd allows 10 (MaxSessions).
CHANNELS = 8


@dataclasses.dataclass
class _Attempt:
    """One attempt to connect, for all threads that wait for it."""

    until: float
    step: str = 'reading of the keys'
    error: errors.Unreachable | None = None

    def enter(self, step: str) -> None:
        self.step = step


class ConnectionPool:
    """The connections of one process to one node.

    New channels use the current connection. A retired connection gets no
    new channels, and is closed after its last channel. A thread of its own
    makes each connection, because nothing can interrupt a name lookup.

    :param seconds: the time limit for making a connection.
    """

    def __init__(
        self,
        address: login.Address,
        credentials: login.Credentials,
        seconds: float,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._seconds = seconds
        self._changed = threading.Condition()
        self._current: login.Connection | None = None
        self._attempt: _Attempt | None = None
        self._queue: list[object] = []

    def take(self, until: float) -> login.Connection:
        """Wait for a connection with room for a channel, first come first.

        The caller must give it back with :meth:`release`.

        :param until: monotonic time.
        :raises Unreachable: no connection could be made in time.
        :raises Occupied: the connection had no room in time.
        """
        ticket = object()
        attempt: _Attempt | None = None
        with self._changed:
            self._queue.append(ticket)
            try:
                while True:
                    end, error_class = until, errors.Unreachable
                    if (connection := self._usable()) is not None:
                        ahead = self._queue.index(ticket)
                        if connection.channels + ahead < CHANNELS:
                            connection.channels += 1
                            return connection
                        reason = ''
                    else:
                        if attempt is not None and attempt.error is not None:
                            error = attempt.error
                            raise type(error)(error.node, error.reason)
                        attempt = self._attempt or self._start_attempt()
                        end = min(until, attempt.until)
                        reason = f'{attempt.step}: no answer in time'
                        if attempt.step == login.TCP and end < until:
                            error_class = errors.Down
                    seconds_left = end - time.monotonic()
                    if seconds_left <= 0 and connection is not None:
                        raise errors.Occupied(self._address.host)
                    if seconds_left <= 0:
                        raise error_class(self._address.host, reason)
                    self._changed.wait(seconds_left)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def release(self, connection: login.Connection, reusable: bool) -> None:
        """Release the room of one channel.

        :param reusable: whether the connection may get new channels.
        """
        with self._changed:
            connection.channels -= 1
            if not reusable:
                self._retire(connection)
            unused = connection.retired and not connection.channels
            self._changed.notify_all()
        if unused:
            connection.close()

    def close(self) -> None:
        """Disconnect, even if commands are running."""
        with self._changed:
            connection, attempt = self._current, self._attempt
            if connection is not None:
                self._retire(connection)
            if attempt is not None:
                self._attempt = None
                attempt.error = errors.Unreachable(
                    self._address.host, 'the driver disconnected'
                )
            self._changed.notify_all()
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Leave the connection to the parent process; take no lock.

        For a forked process. Closing the file sends nothing to the node, and
        ensures that this process sends nothing later.
        """
        if self._current is not None:
            self._current.sock.close()

    def _usable(self) -> login.Connection | None:
        if self._current is not None and not self._current.is_active():
            self._retire(self._current)
        return self._current

    def _retire(self, connection: login.Connection) -> None:
        connection.retired = True
        if self._current is connection:
            self._current = None

    def _start_attempt(self) -> _Attempt:
        attempt = _Attempt(time.monotonic() + self._seconds)
        threading.Thread(
            target=self._connect, args=(attempt,), daemon=True
        ).start()
        self._attempt = attempt
        return attempt

    def _connect(self, attempt: _Attempt) -> None:
        connection: login.Connection | None = None
        error: errors.Unreachable | None = None
        try:
            connection = login.login(
                self._address, self._credentials, self._seconds, attempt.enter
            )
        except errors.Unreachable as failure:
            error = failure
        except Exception as failure:
            error = errors.Unreachable(
                self._address.host, login.describe(failure)
            )
        with self._changed:
            wanted = self._attempt is attempt
            if wanted:
                self._attempt = None
                self._current = connection
                attempt.error = error
                self._changed.notify_all()
        if connection is not None and not wanted:
            connection.close()
