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
"""A private key and a known_hosts file, for back ends without a real sshd."""

import functools
import pathlib
import tempfile

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives import serialization

#: Removed when Python ends.
_DIRECTORY = tempfile.TemporaryDirectory(prefix='keys-')


@functools.cache
def private_key() -> str:
    """Return the path of a private key."""
    path = pathlib.Path(_DIRECTORY.name, 'key')
    text = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    path.touch(0o600)
    path.write_bytes(text)
    return str(path)


@functools.cache
def known_hosts() -> str:
    """Return the path of a known_hosts file."""
    path = pathlib.Path(_DIRECTORY.name, 'known_hosts')
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    line = key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    path.write_text(f'gl* {line.decode()}\n')
    return str(path)
