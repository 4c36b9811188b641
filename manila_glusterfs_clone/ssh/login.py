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
"""Where a node is, and how to get an SSH connection to it.

Below :mod:`manila_glusterfs_clone.ssh.connections` and for it alone. Host
keys come from one file and are never learnt; the one private key is all that
is offered.
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

#: Seconds between signs of life on an idle connection.
KEEPALIVE = 15
#: Seconds data may stay unacknowledged before the kernel ends a link:
#: nobody waits for answers to those signs of life.
UNACKNOWLEDGED = 30

#: The first step of a login.
TCP = 'TCP connection'

_SILENCE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a node is, and as whom to log in."""

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
    """A connection; who makes it counts its users."""

    def __init__(
        self,
        client: paramiko.SSHClient,
        transport: paramiko.Transport,
        sock: socket.socket,
    ) -> None:
        # Older paramiko disconnects when the client object goes away.
        self.client = client
        self.transport = transport
        self.sock = sock
        self.users = 0
        self.retired = False

    def is_active(self) -> bool:
        """Tell whether it is there, as far as is known here."""
        return self.transport.is_active()

    def close(self) -> None:
        """Disconnect at once; never waits for the node."""
        # A forked process may hold the socket too: closing is not enough.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.client.close()


def login(
    address: Address,
    credentials: Credentials,
    seconds: float,
    at: Callable[[str], None],
) -> Connection:
    """Connect and log in.

    :param seconds: for each step; the caller must not wait for more.
    :param at: told each step as it begins.
    :raises Unreachable: with the step that failed.
    :raises HostKeyRejected: it is not the node that is known.
    """
    node = address.host
    key = _private_key(node, credentials.private_key)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_RejectUnknown(node))
    _load_known_hosts(client, node, credentials.known_hosts)
    until = time.monotonic() + seconds
    sock = link = None
    step = TCP
    at(step)
    try:
        sock = socket.create_connection((node, address.port), seconds)
        tcp = socket.IPPROTO_TCP
        # Else the small packets of a command wait for each other.
        sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
        sock.setsockopt(
            tcp, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED * 1000)
        )
        step = 'SSH handshake and login'
        at(step)
        left = max(0.1, until - time.monotonic())
        client.connect(
            node,
            address.port,
            address.user,
            pkey=key,
            sock=sock,
            timeout=left,
            banner_timeout=left,
            auth_timeout=left,
            allow_agent=False,
            look_for_keys=False,
        )
        transport = client.get_transport()
        if transport is None:
            raise EOFError('lost at once')
        transport.set_keepalive(KEEPALIVE)
        link = Connection(client, transport, sock)
    except errors.Unreachable:
        raise
    except paramiko.BadHostKeyException as error:
        raise errors.HostKeyRejected(
            node, f'{_fingerprint(error.key)} is not the one that is known'
        ) from error
    except paramiko.AuthenticationException as error:
        raise errors.LoginRefused(
            node,
            f'no login as {address.user} with the key '
            f'{credentials.private_key}: {said(error)}',
        ) from error
    except Exception as error:
        kind = errors.Unreachable
        if step == TCP and _is_silent(error):
            kind = errors.Down
        elif isinstance(error, socket.gaierror) and (
            error.errno == socket.EAI_NONAME
        ):
            kind = errors.NoSuchHost
        raise kind(node, f'{step}: {said(error)}') from error
    finally:
        if link is None:
            client.close()
            if sock is not None:
                sock.close()
    LOG.debug('%s: connected to port %d', node, address.port)
    return link


def _is_silent(error: Exception) -> bool:
    """Whether nobody took the TCP connection, nor refused it."""
    if isinstance(error, socket.gaierror):
        return False  # no address, no node
    return isinstance(error, TimeoutError) or (
        isinstance(error, OSError) and error.errno in _SILENCE
    )


def said(error: Exception) -> str:
    """Give what an error says, or what it is if it says nothing."""
    return str(error) or type(error).__name__


class _RejectUnknown(paramiko.MissingHostKeyPolicy):
    """paramiko's own raises something that has no type of its own."""

    def __init__(self, node: str) -> None:
        self._node = node

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        raise errors.HostKeyRejected(
            self._node, f'{_fingerprint(key)} of {hostname} is not known'
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
    # Not left to connect(), which calls any trouble a failed login.
    try:
        open(path, 'rb').close()
    except OSError as error:
        raise errors.Unreachable(
            node, f'private key {path}: {error.strerror}'
        ) from error
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with contextlib.suppress(Exception):
            return kind.from_private_key_file(path)
    raise errors.Unreachable(
        node, f'private key {path} is malformed, or needs a passphrase'
    )
