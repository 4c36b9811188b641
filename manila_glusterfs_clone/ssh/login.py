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
"""Logging in: connects to a node by TCP and SSH, and verifies its host key.

For :mod:`manila_glusterfs_clone.ssh.connections` only. Host keys come from
one file and are never added to it. The one configured private key is the
only credential that is offered.
"""

import base64
from collections.abc import Callable
import contextlib
import dataclasses
import errno
import hashlib
import socket
import time

from oslo_log import log as logging
import paramiko

from manila_glusterfs_clone import errors

LOG = logging.getLogger(__name__)

#: Seconds between keepalive messages on an idle connection.
KEEPALIVE = 15
#: Seconds that data may stay unacknowledged before the kernel closes the TCP
#: connection. paramiko does not wait for answers to keepalive messages.
UNACKNOWLEDGED = 30

#: The first step of a login.
TCP = 'TCP connection'
_SSH = 'SSH handshake and login'

#: Errors of a TCP connection to an address at which nothing answers.
_NO_ANSWER = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
)


@dataclasses.dataclass(frozen=True)
class Address:
    """The host and port of a node, and the user to log in as."""

    host: str
    port: int = 22
    user: str = 'manila'

    def __str__(self) -> str:
        return self.host


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Paths of the private key and of the file of known host keys."""

    private_key: str
    known_hosts: str


class Connection:
    """An SSH connection; the pool counts the channels on it."""

    def __init__(
        self,
        client: paramiko.SSHClient,
        transport: paramiko.Transport,
        sock: socket.socket,
    ) -> None:
        # Older paramiko disconnects when the client object is collected.
        self.client = client
        self.transport = transport
        self.sock = sock
        self.channels = 0
        self.retired = False

    def is_active(self) -> bool:
        """Return whether the connection is up, as far as paramiko knows."""
        return self.transport.is_active()

    def close(self) -> None:
        """Disconnect at once; never wait for the node."""
        # Closing is not enough: a forked process may have the socket open.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.client.close()


def login(
    address: Address,
    credentials: Credentials,
    seconds: float,
    on_step: Callable[[str], None],
) -> Connection:
    """Connect and log in.

    :param seconds: time limit of each step. The caller must limit the sum.
    :param on_step: called with the name of each step when it begins.
    :raises Unreachable: with the name of the step that failed.
    :raises HostKeyRejected: the host key is unknown, or a different one.
    """
    node = address.host
    key = _private_key(node, credentials.private_key)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_RejectUnknown(node))
    _load_known_hosts(client, node, credentials.known_hosts)
    until = time.monotonic() + seconds
    sock = link = None
    step = TCP
    on_step(step)
    try:
        sock = socket.create_connection((node, address.port), seconds)
        tcp = socket.IPPROTO_TCP
        # Without this, the small packets of a command wait for each other.
        sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
        sock.setsockopt(
            tcp, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED * 1000)
        )
        step = _SSH
        on_step(step)
        seconds_left = max(0.1, until - time.monotonic())
        client.connect(
            node,
            address.port,
            address.user,
            pkey=key,
            sock=sock,
            timeout=seconds_left,
            banner_timeout=seconds_left,
            auth_timeout=seconds_left,
            allow_agent=False,
            look_for_keys=False,
        )
        transport = client.get_transport()
        if transport is None:
            raise EOFError('connection lost after login')
        transport.set_keepalive(KEEPALIVE)
        link = Connection(client, transport, sock)
    except errors.Unreachable:
        raise
    except paramiko.BadHostKeyException as error:
        raise errors.HostKeyRejected(
            node,
            f'{_fingerprint(error.key)} differs from the one in '
            f'{credentials.known_hosts}',
        ) from error
    except paramiko.AuthenticationException as error:
        raise errors.LoginRefused(
            node,
            f'login as {address.user} with the key '
            f'{credentials.private_key} failed: {describe(error)}',
        ) from error
    except Exception as error:
        error_class = errors.Unreachable
        if step == TCP and _is_no_answer(error):
            error_class = errors.Down
        elif isinstance(error, socket.gaierror) and (
            error.errno == socket.EAI_NONAME
        ):
            error_class = errors.NoSuchHost
        raise error_class(node, f'{step}: {describe(error)}') from error
    finally:
        if link is None:
            client.close()
            if sock is not None:
                sock.close()
    LOG.debug('%s: connected to port %d', node, address.port)
    return link


def _is_no_answer(error: Exception) -> bool:
    """Return whether nothing accepted or refused the TCP connection."""
    if isinstance(error, socket.gaierror):
        return False  # The name was not resolved, so nothing was tried.
    return isinstance(error, TimeoutError) or (
        isinstance(error, OSError) and error.errno in _NO_ANSWER
    )


def describe(error: Exception) -> str:
    """Return the text of an error, or its class if it has no text."""
    return str(error) or type(error).__name__


class _RejectUnknown(paramiko.MissingHostKeyPolicy):
    """Raise :class:`errors.HostKeyRejected` for an unknown host key.

    paramiko's RejectPolicy raises a plain SSHException.
    """

    def __init__(self, node: str) -> None:
        self._node = node

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        raise errors.HostKeyRejected(
            self._node, f'{_fingerprint(key)} of {hostname} is unknown'
        )


def _fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest())
    return f'{key.get_name()} SHA256:{digest.decode().rstrip("=")}'


def _load_known_hosts(
    client: paramiko.SSHClient, node: str, path: str
) -> None:
    try:
        client.load_host_keys(path)
    except OSError as error:
        raise errors.Unreachable(
            node, f'known_hosts file {path}: {error.strerror}'
        ) from error
    except Exception as error:
        raise errors.Unreachable(
            node, f'known_hosts file {path} is malformed'
        ) from error


def _private_key(node: str, path: str) -> paramiko.PKey:
    # connect() would report an unreadable key as a failed login.
    try:
        open(path, 'rb').close()
    except OSError as error:
        raise errors.Unreachable(
            node, f'private key {path}: {error.strerror}'
        ) from error
    for key_class in (
        paramiko.Ed25519Key,
        paramiko.ECDSAKey,
        paramiko.RSAKey,
    ):
        with contextlib.suppress(Exception):
            return key_class.from_private_key_file(path)
    raise errors.Unreachable(
        node, f'private key {path} is malformed, or needs a passphrase'
    )
