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
"""Connect to one node within a time limit.

Only :mod:`~manila_glusterfs_clone.ssh.commands` uses this module.
"""

import dataclasses
import threading
import time

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import transports


@dataclasses.dataclass
class _Attempt:
    """One attempt to connect."""

    deadline: float
    step: str = 'reading the key files'
    connection: transports.Connection | None = None
    error: errors.Unreachable | None = None

    def enter(self, step: str) -> None:
        self.step = step


class Connector:
    """Connects one process to one node.

    Each attempt to connect runs in its own thread, because a name lookup
    cannot be interrupted. If a caller stops waiting before the attempt ends,
    the next call waits for the same attempt.

    :param seconds: the time limit for connecting and logging in.
    """

    def __init__(
        self,
        address: transports.Address,
        credentials: transports.Credentials,
        seconds: float,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._seconds = seconds
        self._condition = threading.Condition()
        self._attempt: _Attempt | None = None
        #: The connection that :meth:`connect` returned last.
        self._connection: transports.Connection | None = None

    def connect(self, deadline: float) -> transports.Connection:
        """Return a new connection.

        :param deadline: the monotonic time until which to wait.
        :raises Unreachable: connecting failed, or took too long.
        """
        with self._condition:
            while True:
                attempt = self._attempt or self._start_attempt()
                self._await(attempt, deadline)
                if self._attempt is attempt:
                    self._attempt = None
                connection = attempt.connection
                if connection is not None and connection.is_active():
                    self._connection = connection
                    return connection

    def close(self) -> None:
        """Close the connection, even if steps run on it."""
        with self._condition:
            attempt, self._attempt = self._attempt, None
            connections = [self._connection]
            self._connection = None
            if attempt is not None:
                connections.append(attempt.connection)
                attempt.error = errors.Unreachable(
                    self._address.host, 'the driver disconnected'
                )
            self._condition.notify_all()
        for connection in connections:
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
        if self._connection is not None:
            self._connection.sock.close()

    def _await(self, attempt: _Attempt, deadline: float) -> None:
        """Wait until an attempt has a connection.

        :raises Unreachable: the attempt failed, or takes too long.
        """
        wait_until = min(deadline, attempt.deadline)
        while attempt.connection is None:
            if (error := attempt.error) is not None:
                raise type(error)(error.node, error.reason)
            seconds_left = wait_until - time.monotonic()
            if seconds_left <= 0:
                error_class = errors.Unreachable
                if attempt.step == transports.TCP and wait_until < deadline:
                    error_class = errors.Down
                raise error_class(
                    self._address.host, f'{attempt.step} took too long'
                )
            self._condition.wait(seconds_left)

    def _start_attempt(self) -> _Attempt:
        attempt = _Attempt(time.monotonic() + self._seconds)
        threading.Thread(
            target=self._run, args=(attempt,), daemon=True
        ).start()
        self._attempt = attempt
        return attempt

    def _run(self, attempt: _Attempt) -> None:
        connection: transports.Connection | None = None
        error: errors.Unreachable | None = None
        try:
            connection = transports.login(
                self._address, self._credentials, self._seconds, attempt.enter
            )
        except errors.Unreachable as failure:
            error = failure
        except Exception as failure:
            error = errors.Unreachable(
                self._address.host, transports.describe(failure)
            )
        with self._condition:
            is_wanted = self._attempt is attempt
            if is_wanted:
                attempt.connection, attempt.error = connection, error
                if error is not None:
                    self._attempt = None
                self._condition.notify_all()
        if connection is not None and not is_wanted:
            connection.close()
