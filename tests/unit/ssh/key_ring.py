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
"""Key pairs for the tests of host keys and user keys."""

from collections.abc import Iterator
import pathlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import serialization

from tests.unit import sshd

HOST_KEY_TYPES = ('ed25519', 'ecdsa', 'rsa')

_PLAIN = serialization.NoEncryption()
_FORMATS = {
    'openssh': serialization.PrivateFormat.OpenSSH,
    'pkcs8': serialization.PrivateFormat.PKCS8,
    'pem': serialization.PrivateFormat.TraditionalOpenSSL,
}

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
)


def user_keys() -> Iterator[tuple[str, PrivateKey]]:
    """Yield a new private key of each type that the driver supports."""
    yield 'ed25519', ed25519.Ed25519PrivateKey.generate()
    yield 'rsa', rsa.generate_private_key(65537, 2048)
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        yield f'ecdsa{curve.key_size}', ec.generate_private_key(curve)


def encode(
    key: PrivateKey,
    name: str,
    encryption: serialization.KeySerializationEncryption = _PLAIN,
) -> bytes:
    """Return the text of a private key in one of the formats."""
    return key.private_bytes(
        serialization.Encoding.PEM, _FORMATS[name], encryption
    )


def format_names(key: PrivateKey) -> tuple[str, ...]:
    """Return the names of the formats that a type of key has."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return ('openssh', 'pkcs8')
    return tuple(_FORMATS)


class Ring:
    """The keys of a test, in one directory.

    ``host_TYPE`` are the keys of the server, ``stranger_TYPE`` keys of other
    hosts, and ``authority_TYPE`` sign. ``user_TYPE_FORMAT`` are user keys;
    ``authorized_keys`` has all of them.
    """

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        for role in ('host', 'stranger', 'authority'):
            for key_type in HOST_KEY_TYPES:
                sshd.make_key(home / f'{role}_{key_type}', key_type)
        self.users: list[str] = []
        public_keys: list[bytes] = []
        for key_type, key in user_keys():
            for name in format_names(key):
                path = home / f'user_{key_type}_{name}'
                path.write_bytes(encode(key, name))
                path.chmod(0o600)
                self.users.append(path.name)
            public_keys.append(
                key.public_key().public_bytes(
                    serialization.Encoding.OpenSSH,
                    serialization.PublicFormat.OpenSSH,
                )
            )
        self.authorized_keys = b'\n'.join((*public_keys, b''))

    def public(self, name: str) -> str:
        """Return the type and the text of a public key."""
        path = self.home / f'{name}.pub'
        return ' '.join(path.read_text().split()[:2])

    def certify(self, authority: str, key_type: str, *options: str) -> str:
        """Certify a key of the host; return the name of the certificate."""
        sshd.ssh_keygen(
            *('-s', str(self.home / f'authority_{authority}'), '-I', 'id'),
            *options,
            str(self.home / f'host_{key_type}.pub'),
        )
        made = self.home / f'host_{key_type}-cert.pub'
        count = len(list(self.home.glob('certificate*')))
        return made.rename(self.home / f'certificate{count}.pub').name

    def server(
        self, key_types: tuple[str, ...], certificates: tuple[str, ...] = ()
    ) -> sshd.Sshd:
        """Start a server with some of the host keys."""
        count = len(list(self.home.glob('server*')))
        home = self.home / f'server{count}'
        home.mkdir()
        server = sshd.Sshd(
            home,
            [self.home / f'host_{key_type}' for key_type in key_types],
            [self.home / name for name in certificates],
        )
        (home / 'user.pub').write_bytes(self.authorized_keys)
        server.start()
        return server
