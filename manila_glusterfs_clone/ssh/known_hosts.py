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
"""Read a known_hosts file, and find the lines of a host.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". As in OpenSSH,
the driver skips lines that it cannot read. If a port has no keys of its own
(``[HOST]:PORT``), the driver uses the keys of ``HOST``.

This module does not use paramiko's ``HostKeys``. That class treats
``@cert-authority`` lines as malformed, keeps only one key of each type for a
host, ignores patterns, and compares names case-sensitively.
"""

import base64
import binascii
from collections.abc import Iterator
import dataclasses
import hashlib
import hmac
import re

from manila_glusterfs_clone.ssh import key_files

#: The markers of lines. A line without a marker has a host key.
AUTHORITY, REVOKED = '@cert-authority', '@revoked'

_ROLE = 'known_hosts file'
_REMEDY = (
    'write the host keys of all nodes to it ("ssh-keyscan NODE" prints them), '
    'and verify the keys'
)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line with a public key."""

    number: int
    #: :data:`AUTHORITY`, :data:`REVOKED` or empty.
    marker: str
    #: Comma-separated names or patterns, or one hashed name.
    names: str
    key_type: str
    #: The key in the wire format of SSH.
    key: bytes

    def has_name(self, name: str) -> bool:
        """Return whether the line is valid for a name in lower case."""
        if self.names.startswith('|'):
            return _is_hash_of(name, self.names)
        is_listed = False
        for pattern in self.names.split(','):
            if _matches(name, pattern.removeprefix('!')):
                if pattern.startswith('!'):
                    return False
                is_listed = True
        return is_listed


@dataclasses.dataclass(frozen=True)
class KnownHosts:
    """The content of a known_hosts file."""

    path: str
    lines: tuple[Line, ...]
    #: The numbers of the lines that the driver cannot read.
    malformed_lines: tuple[int, ...]

    def lines_of(self, host: str, port: int) -> Iterator[tuple[Line, ...]]:
        """Yield the lines for each name of a host, the best name first."""
        for name in names_of(host, port):
            yield tuple(line for line in self.lines if line.has_name(name))


def names_of(host: str, port: int) -> tuple[str, ...]:
    """Return the names of a host in known_hosts files, the best one first."""
    name = host.lower()
    return (name,) if port == 22 else (f'[{name}]:{port}', name)


def read(path: str) -> KnownHosts:
    """Read a known_hosts file.

    :raises key_files.Unusable: the file cannot be read, or has no key.
    """
    content = key_files.read(_ROLE, path, _REMEDY)
    lines: list[Line] = []
    malformed_lines: list[int] = []
    # Latin-1 has a character for each byte; names and keys are ASCII.
    for number, text in enumerate(content.decode('latin-1').split('\n'), 1):
        text = text.strip(' \t\r')
        if not text or text.startswith('#'):
            continue
        if (line := _parse(number, text)) is None:
            malformed_lines.append(number)
        else:
            lines.append(line)
    if malformed_lines and not lines:
        numbers = ', '.join(map(str, malformed_lines[:10]))
        raise key_files.Unusable(
            _ROLE,
            path,
            key_files.MALFORMED,
            f'has no host key; it has malformed lines: {numbers}',
            _REMEDY,
        )
    if not lines:
        raise key_files.Unusable(
            _ROLE, path, key_files.EMPTY, 'has no host key', _REMEDY
        )
    return KnownHosts(path, tuple(lines), tuple(malformed_lines))


def check(path: str) -> None:
    """Check a known_hosts file.

    :raises key_files.Unusable: see :func:`read`.
    """
    read(path)


def _parse(number: int, text: str) -> Line | None:
    """Parse a line; return None if the line is malformed."""
    fields = re.split('[ \t]+', text)
    marker = fields.pop(0) if text.startswith('@') else ''
    if marker not in (AUTHORITY, REVOKED, '') or len(fields) < 3:
        return None
    names, key_type, encoded = fields[:3]
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    # A key in the wire format starts with its type.
    if not key.startswith(len(key_type).to_bytes(4, 'big') + _bytes(key_type)):
        return None
    return Line(number, marker, names, key_type, key)


def _bytes(text: str) -> bytes:
    return text.encode('latin-1')


def _is_hash_of(name: str, hashed_name: str) -> bool:
    """Return whether ``|1|SALT|HASH`` is the hash of a name."""
    parts = hashed_name.split('|')
    if len(parts) != 4 or parts[1] != '1':
        return False
    try:
        salt = base64.b64decode(parts[2], validate=True)
        expected = base64.b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return False
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(digest, expected)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern with ``*`` and ``?``."""
    expression = re.escape(pattern.lower())
    expression = expression.replace(r'\*', '.*').replace(r'\?', '.')
    return re.fullmatch(expression, name) is not None
