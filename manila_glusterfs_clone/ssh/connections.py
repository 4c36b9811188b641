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
"""The pool of SSH connections to one node.

Only :mod:`~manila_glusterfs_clone.ssh.channels` and
:mod:`~manila_glusterfs_clone.ssh.commands` use this module.
"""

import dataclasses
import threading
import time

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import login

#: The maximum number of channels that are reserved or open on one connection.
#: sshd allows 10 by default (MaxSessions).
MAX_CHANNELS = 8


@dataclasses.dataclass
class _Attempt:
    """One attempt to connect; all threads that need a connection share it."""

    deadline: float
    step: str = 'reading the key files'
    error: errors.Unreachable | None = None

    def enter(self, step: str) -> None:
        self.step = step


class ConnectionPool:
    """The connections of one process to one node.

    All new channels are opened on the current connection. After a failure the
    pool *retires* the connection: it opens no new channels on it.
    :meth:`release` closes a retired connection with its last channel.

    Each attempt to connect runs in its own thread, because a name lookup
    cannot be interrupted.

    :param seconds: the time limit for connecting and logging in.
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
        self._condition = threading.Condition()
        self._current: login.Connection | None = None
        self._attempt: _Attempt | None = None
        self._queue: list[object] = []

    def take(self, deadline: float) -> login.Connection:
        """Reserve one channel, and return the connection on which to open it.

        Connect first if there is no connection. Wait while the connection has
        :data:`MAX_CHANNELS` channels; threads get channels in the order of
        their calls. After the caller has closed the channel, it must call
        :meth:`release`.

        :param deadline: the monotonic time until which to wait.
        :raises Unreachable: connecting failed, or took too long.
        :raises Occupied: no channel of the connection became free in time.
        """
        ticket = object()
        attempt: _Attempt | None = None
        with self._condition:
            self._queue.append(ticket)
            try:
                while True:
                    wait_until, error_class = deadline, errors.Unreachable
                    if (connection := self._usable_connection()) is not None:
                        ahead_count = self._queue.index(ticket)
                        if (
                            connection.channel_count + ahead_count
                            < MAX_CHANNELS
                        ):
                            connection.channel_count += 1
                            return connection
                        reason = ''
                    else:
                        if attempt is not None and attempt.error is not None:
                            error = attempt.error
                            raise type(error)(error.node, error.reason)
                        attempt = self._attempt or self._start_attempt()
                        wait_until = min(deadline, attempt.deadline)
                        reason = f'{attempt.step} took too long'
                        if attempt.step == login.TCP and wait_until < deadline:
                            error_class = errors.Down
                    seconds_left = wait_until - time.monotonic()
                    if seconds_left <= 0 and connection is not None:
                        raise errors.Occupied(self._address.host)
                    if seconds_left <= 0:
                        raise error_class(self._address.host, reason)
                    self._condition.wait(seconds_left)
            finally:
                self._queue.remove(ticket)
                self._condition.notify_all()

    def release(self, connection: login.Connection, is_reusable: bool) -> None:
        """Release a channel that :meth:`take` reserved.

        :param is_reusable: False to retire the connection.
        """
        with self._condition:
            connection.channel_count -= 1
            if not is_reusable:
                self._retire(connection)
            is_unused = connection.is_retired and not connection.channel_count
            self._condition.notify_all()
        if is_unused:
            connection.close()

    def close(self) -> None:
        """Close the current connection, even if commands run on it."""
        with self._condition:
            connection, attempt = self._current, self._attempt
            if connection is not None:
                self._retire(connection)
            if attempt is not None:
                self._attempt = None
                attempt.error = errors.Unreachable(
                    self._address.host, 'the driver disconnected'
                )
            self._condition.notify_all()
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked process, close the copy of the parent's socket.

        Then the forked process cannot send anything on the connection of the
        parent. The parent keeps its connection, because closing a copy of the
        socket sends nothing to the node.

        This method takes no lock: a lock that another thread held during the
        fork is never released in the forked process.
        """
        if self._current is not None:
            self._current.sock.close()

    def _usable_connection(self) -> login.Connection | None:
        if self._current is not None and not self._current.is_active():
            self._retire(self._current)
        return self._current

    def _retire(self, connection: login.Connection) -> None:
        connection.is_retired = True
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
        with self._condition:
            is_current = self._attempt is attempt
            if is_current:
                self._attempt = None
                self._current = connection
                attempt.error = error
                self._condition.notify_all()
        if connection is not None and not is_current:
            connection.close()
