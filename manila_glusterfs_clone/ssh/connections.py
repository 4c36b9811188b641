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
"""The SSH connections to one node: made once, shared, and given up.

Below :mod:`manila_glusterfs_clone.ssh.remote` and for it alone.
"""

import dataclasses
import threading
import time

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import login

#: Commands at once on one connection; sshd allows 10 (MaxSessions).
CHANNELS = 8


@dataclasses.dataclass
class _Attempt:
    """The making of a connection, for all who wait for it."""

    until: float
    step: str = 'reading of the keys'
    error: errors.Unreachable | None = None

    def at(self, step: str) -> None:
        self.step = step


class ConnectionPool:
    """The connections of one process to one node.

    New commands share the current one. One that is given up takes no more
    of them, and is closed when the last on it has ended. A thread of its
    own makes it, for nothing can stop a name lookup.

    :param seconds: for the making of one.
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
        self._link: login.Connection | None = None
        self._attempt: _Attempt | None = None
        self._queue: list[object] = []

    def take(self, until: float) -> login.Connection:
        """Wait for a connection and a place on it, in order of arrival.

        :param until: monotonic time.
        :raises Unreachable: no connection by then.
        :raises Occupied: no place by then.
        """
        ticket = object()
        attempt: _Attempt | None = None
        with self._changed:
            self._queue.append(ticket)
            try:
                while True:
                    end, kind = until, errors.Unreachable
                    if (link := self._usable()) is not None:
                        if link.users + self._queue.index(ticket) < CHANNELS:
                            link.users += 1
                            return link
                        reason = ''
                    else:
                        if attempt is not None and attempt.error is not None:
                            error = attempt.error
                            raise type(error)(error.node, error.reason)
                        attempt = self._attempt or self._begin()
                        end = min(until, attempt.until)
                        reason = f'{attempt.step}: no answer in time'
                        if attempt.step == login.TCP and end < until:
                            kind = errors.Down
                    left = end - time.monotonic()
                    if left <= 0 and link is not None:
                        raise errors.Occupied(self._address.host)
                    if left <= 0:
                        raise kind(self._address.host, reason)
                    self._changed.wait(left)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def release(self, link: login.Connection, sound: bool) -> None:
        """Give a place back.

        :param sound: whether the connection may be used again.
        """
        with self._changed:
            link.users -= 1
            if not sound:
                self._retire(link)
            unused = link.retired and not link.users
            self._changed.notify_all()
        if unused:
            link.close()

    def close(self) -> None:
        """Disconnect, also from under running commands."""
        with self._changed:
            link, attempt = self._link, self._attempt
            if link is not None:
                self._retire(link)
            if attempt is not None:
                self._attempt = None
                attempt.error = errors.Unreachable(
                    self._address.host, 'disconnected meanwhile'
                )
            self._changed.notify_all()
        if link is not None:
            link.close()

    def forget(self) -> None:
        """Leave all to the process that forked this one; takes no lock.

        Closing the file is no word to the node, and makes sure that no
        word is sent from here.
        """
        if self._link is not None:
            self._link.sock.close()

    def _usable(self) -> login.Connection | None:
        if self._link is not None and not self._link.is_active():
            self._retire(self._link)
        return self._link

    def _retire(self, link: login.Connection) -> None:
        link.retired = True
        if self._link is link:
            self._link = None

    def _begin(self) -> _Attempt:
        attempt = _Attempt(time.monotonic() + self._seconds)
        threading.Thread(
            target=self._connect, args=(attempt,), daemon=True
        ).start()
        self._attempt = attempt
        return attempt

    def _connect(self, attempt: _Attempt) -> None:
        link: login.Connection | None = None
        error: errors.Unreachable | None = None
        try:
            link = login.login(
                self._address, self._credentials, self._seconds, attempt.at
            )
        except errors.Unreachable as failure:
            error = failure
        except Exception as failure:
            error = errors.Unreachable(self._address.host, login.said(failure))
        with self._changed:
            wanted = self._attempt is attempt
            if wanted:
                self._attempt = None
                self._link = link
                attempt.error = error
                self._changed.notify_all()
        if link is not None and not wanted:
            link.close()
