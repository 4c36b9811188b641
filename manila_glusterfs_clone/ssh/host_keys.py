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
"""Verify the host key of a node, by the rules of OpenSSH.

A node usually has keys of several types, and presents one: the type that the
client prefers. So the driver prefers the types that the known_hosts file has
for the node.
"""

import base64
from collections.abc import Iterable, Sequence
import hashlib
import itertools
import time

import paramiko

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import host_certificates
from manila_glusterfs_clone.ssh import known_hosts

#: Prefixes of the algorithms that a certified host key may sign with. The
#: other algorithms use SHA-1.
_CERTIFIABLE = ('ssh-ed25519', 'ecdsa-sha2-', 'rsa-sha2-')


class HostKeyRevoked(errors.HostKeyRejected):
    """The known_hosts file revokes the host key or its authority."""

    _REMEDY = '; give the node a new host key'


class HostCertificateRejected(errors.HostKeyRejected):
    """The node presents no valid certificate of the known authority.

    Its host key is not in the known_hosts file either.
    """

    _REMEDY = (
        '; correct the host certificate (HostCertificate in the sshd_config '
        'of the node), or write the host key to the known_hosts file'
    )


class Policy(paramiko.MissingHostKeyPolicy):
    """The policy that verifies the host key of one node.

    paramiko applies its policy to each host key that is not in its own list.
    The driver keeps that list empty, so paramiko applies this policy to every
    host key.
    """

    def __init__(
        self, node: str, port: int, known: known_hosts.KnownHosts
    ) -> None:
        self._node = node
        self._known = known
        self._name = known_hosts.names_of(node, port)[0]
        lines_by_name = tuple(known.lines_of(node, port))
        lines = [line for lines in lines_by_name for line in lines]
        # As in OpenSSH: use the keys of the name with the port. If there are
        # none, use the keys of the name without the port.
        self._key_lines: list[known_hosts.Line] = []
        for name_lines in lines_by_name:
            if not self._key_lines:
                self._key_lines = [x for x in name_lines if not x.marker]
        self._revoked = {
            line.key: line.number
            for line in lines
            if line.marker == known_hosts.REVOKED
        }
        self._authorities = {
            line.key for line in lines if line.marker == known_hosts.AUTHORITY
        }

    def sort(self, algorithms: Sequence[str]) -> tuple[str, ...]:
        """Return algorithms of host keys, the preferred ones first.

        If the file has an authority for the node, certificates come first.
        Then follow the types of the known keys. The other types come last. If
        the node has only keys of other types, it presents one of these, and
        the error shows this key.

        :param algorithms: all algorithms that paramiko supports.
        """
        types = {line.key_type for line in self._key_lines}
        certificates = [
            f'{name}{host_certificates.SUFFIX}'
            for name in algorithms
            if self._authorities and name.startswith(_CERTIFIABLE)
        ]
        return (
            *certificates,
            *(name for name in algorithms if _key_type(name) in types),
            *(name for name in algorithms if _key_type(name) not in types),
        )

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Verify the host key that the node presents.

        :raises HostKeyRevoked: the key or its authority is revoked.
        :raises HostCertificateRejected: the file has an authority for the
            node, but neither the certificate nor the key is valid.
        :raises HostKeyRejected: the key is unknown, or differs from the known
            key of its type.
        """
        certificate_problem = self._find_certificate_problem(key)
        self._check_not_revoked('the key', key.asbytes())
        if certificate_problem is None:
            return
        path = self._known.path
        if any(line.key == key.asbytes() for line in self._key_lines):
            return
        same_type = [
            line.number
            for line in self._key_lines
            if line.key_type == key.get_name()
        ]
        if same_type:
            raise errors.HostKeyRejected(
                self._node,
                f'the host key {_fingerprint(key)} differs from the one in '
                f'{path}, line {_numbers(same_type)}',
            )
        if self._authorities:
            raise HostCertificateRejected(
                self._node,
                f'{_fingerprint(key)} of {self._name} is not in {path}, and '
                f'{certificate_problem}',
            )
        problem = f'{path} has no key of {self._name}'
        if self._key_lines:
            types = ', '.join(sorted({x.key_type for x in self._key_lines}))
            problem = f'{path} has only keys of other types ({types})'
        if self._known.malformed_lines:
            numbers = _numbers(self._known.malformed_lines)
            problem += f', and the malformed lines {numbers}'
        raise errors.HostKeyRejected(
            self._node,
            f'the host key {_fingerprint(key)} of {self._name} is unknown: '
            f'{problem}',
        )

    def _find_certificate_problem(self, key: paramiko.PKey) -> str | None:
        """Return why no certificate confirms the key; None if one does so."""
        if not self._authorities:
            return 'the file has no authority'
        # paramiko stores the certificate of a key here.
        if (blob := key.public_blob) is None:
            return 'the node presents no host certificate'
        try:
            certificate = host_certificates.parse(blob.key_blob)
        except ValueError as error:
            return str(error)
        self._check_not_revoked('the authority', certificate.authority)
        if certificate.authority not in self._authorities:
            return 'no authority in the file signed its host certificate'
        problem = certificate.find_problem(self._node.lower(), time.time())
        if problem:
            return f'its host certificate is not valid: {problem}'
        return None

    def _check_not_revoked(self, subject: str, key: bytes) -> None:
        if (number := self._revoked.get(key)) is not None:
            raise HostKeyRevoked(
                self._node,
                f'{subject} of the node is revoked by {self._known.path}, '
                f'line {number}',
            )


def _key_type(algorithm: str) -> str:
    """Return the type of the host keys that sign with an algorithm."""
    return 'ssh-rsa' if algorithm.startswith('rsa-sha2-') else algorithm


def _numbers(numbers: Iterable[int]) -> str:
    """Return numbers of lines for a message, not more than ten."""
    return ', '.join(map(str, itertools.islice(numbers, 10)))


def _fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest())
    return f'{key.get_name()} SHA256:{digest.decode().rstrip("=")}'
