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
"""Connect to a node by TCP and SSH, verify its host key, and log in.

Only the modules of this package use this module. It reads the known host keys
from one file, and never changes the file. It logs in only with the configured
private key.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import errno
import socket
import time
from typing import Any

from oslo_log import log as logging
import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import host_keys
from manila_glusterfs_clone.ssh import key_files
from manila_glusterfs_clone.ssh import known_hosts
from manila_glusterfs_clone.ssh import private_keys

LOG = logging.getLogger(__name__)

#: Seconds between two keepalive messages on an idle connection.
KEEPALIVE_SECONDS = 15
#: Seconds after which the kernel closes a TCP connection whose data the node
#: does not acknowledge. This limit detects a dead node: paramiko does not wait
#: for the answers to keepalive messages.
UNACKNOWLEDGED_SECONDS = 30

#: The names of the two steps of a login, for error texts.
TCP = 'name lookup or TCP connection'
_SSH = 'SSH handshake and login'

#: The errno values of a TCP connection attempt that nothing answers.
_NO_ANSWER = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
)


@dataclasses.dataclass(frozen=True)
class Address:
    """The host and port of a node's sshd, and the user to log in as."""

    host: str
    port: int = 22
    user: str = 'manila'

    def __str__(self) -> str:
        return self.host


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The paths of the private key file and of the known_hosts file."""

    private_key: str
    known_hosts: str


class Connection:
    """An SSH connection after login."""

    def __init__(
        self,
        client: paramiko.SSHClient,
        transport: paramiko.Transport,
        sock: socket.socket,
    ) -> None:
        # Keep a reference: older releases of paramiko disconnect when Python
        # deletes the client object.
        self.client = client
        self.transport = transport
        self.sock = sock

    def is_active(self) -> bool:
        """Return whether paramiko reports the connection as up."""
        return self.transport.is_active()

    def close(self) -> None:
        """Disconnect at once, without waiting for the node."""
        # Shut the socket down: if a forked process has a copy of the socket,
        # closing the socket here does not end the TCP connection.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.client.close()


def login(
    address: Address,
    credentials: Credentials,
    seconds: float,
    on_step: Callable[[str], None],
) -> Connection:
    """Connect to a node, and log in.

    :param seconds: the time limit of each step. The caller must limit the
        total time, because a name lookup has no time limit.
    :param on_step: called with the name of each step when the step begins.
    :raises Unreachable: a key file is unusable, or a step failed.
    :raises HostKeyRejected: the host key is unknown, differs from the known
        one, or is revoked.
    """
    node = address.host
    try:
        key = private_keys.load(credentials.private_key)
        known = known_hosts.read(credentials.known_hosts)
    except key_files.Unusable as error:
        raise errors.Unreachable(node, str(error)) from error
    policy = host_keys.Policy(node, address.port, known)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(policy)

    def make_transport(*args: Any, **kwargs: Any) -> paramiko.Transport:
        transport = paramiko.Transport(*args, **kwargs)
        algorithms = transport.get_security_options()
        algorithms.key_types = policy.sort(algorithms.key_types)
        return transport

    deadline = time.monotonic() + seconds
    sock = connection = None
    step = TCP
    on_step(step)
    try:
        sock = socket.create_connection((node, address.port), seconds)
        tcp = socket.IPPROTO_TCP
        # By default TCP delays a small packet until the previous packet is
        # acknowledged. This delay would slow down each command.
        sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
        sock.setsockopt(
            tcp, socket.TCP_USER_TIMEOUT, int(UNACKNOWLEDGED_SECONDS * 1000)
        )
        step = _SSH
        on_step(step)
        seconds_left = max(0.1, deadline - time.monotonic())
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
            transport_factory=make_transport,
        )
        transport = client.get_transport()
        if transport is None:
            raise EOFError('connection lost after login')
        transport.set_keepalive(KEEPALIVE_SECONDS)
        connection = Connection(client, transport, sock)
    except errors.Unreachable:
        raise
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
        if connection is None:
            client.close()
            if sock is not None:
                sock.close()
    LOG.debug('%s: connected to port %d', node, address.port)
    return connection


def _is_no_answer(error: Exception) -> bool:
    """Return whether nothing answered a TCP connection attempt."""
    if isinstance(error, socket.gaierror):
        return False  # The name lookup failed before the attempt.
    return isinstance(error, TimeoutError) or (
        isinstance(error, OSError) and error.errno in _NO_ANSWER
    )


def describe(error: Exception) -> str:
    """Return the text of an error; if it is empty, the name of its class."""
    if isinstance(error, ConnectionRefusedError):
        return (
            f'{error}; start sshd on the node, or correct '
            f'glusterfs_clone_ssh_port'
        )
    return str(error) or type(error).__name__
