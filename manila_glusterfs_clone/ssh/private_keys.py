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
"""Load the private key to log in with.

No paramiko release that the driver supports reads PKCS#8 (``BEGIN PRIVATE
KEY``). So cryptography reads the file, and paramiko gets the key in the format
of OpenSSH.
"""

import base64
import io
import os
import re

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import serialization
import paramiko

from manila_glusterfs_clone.ssh import key_files

_ROLE = 'private key'
_CREATE = (
    'create a key with "ssh-keygen -t ed25519 -N \'\' -f {path}", or correct '
    'glusterfs_clone_ssh_private_key'
)
_DECRYPT_OPENSSH = (
    'remove the passphrase with "ssh-keygen -p -N \'\' -f {path}"'
)
#: ssh-keygen reads no Ed25519 keys in PKCS#8.
_DECRYPT = (
    'write a decrypted copy with "openssl pkey -in {path} -out NEW-FILE"'
)
_SUPPORTED = 'use an Ed25519, RSA or ECDSA (P-256, P-384 or P-521) key'

#: A private key in PEM, or in the format of OpenSSH. Other blocks of the file
#: (the parameters of an elliptic curve, certificates) are skipped.
_KEY_BLOCK = re.compile(
    rb'-----BEGIN (?P<label>(?:[A-Z0-9]+ )*PRIVATE KEY)-----\r?\n.*?'
    rb'-----END (?P=label)-----',
    re.DOTALL,
)
_CURVES = ('secp256r1', 'secp384r1', 'secp521r1')
#: Types of keys in the format of OpenSSH that cryptography does not load. If
#: cryptography does not load a key of another type, the file is damaged. Then
#: do not print the type: it may contain a part of the key.
_UNSUPPORTED_TYPES = (
    'sk-ssh-ed25519@openssh.com',
    'sk-ecdsa-sha2-nistp256@openssh.com',
    'ssh-dss',
)
_OPENSSH_LABEL = b'OPENSSH PRIVATE KEY'
_OPENSSH_MAGIC = b'openssh-key-v1\0'

#: The first bytes of files without a private key, the problem and the remedy.
_OTHER_CONTENTS = (
    (
        rb'(---- BEGIN SSH2 PUBLIC KEY|-----BEGIN (RSA )?PUBLIC KEY)|'
        rb'(ssh-|ecdsa-|sk-)\S+-cert-v01@openssh\.com |'
        rb'(ssh-(rsa|dss|ed25519)|ecdsa-sha2-|sk-(ssh|ecdsa)-)\S* ?AAAA',
        'is a public key or a certificate',
        'set glusterfs_clone_ssh_private_key to the path of the private key, '
        'usually the same path without ".pub"',
    ),
    (
        rb'-----BEGIN (X509 |TRUSTED )?CERTIFICATE',
        'is a TLS certificate',
        'set glusterfs_clone_ssh_private_key to the path of the private key',
    ),
    (
        rb'PuTTY-User-Key-File-',
        'is in the format of PuTTY',
        'convert it with "puttygen {path} -O private-openssh -o NEW-FILE"',
    ),
)


def load(path: str) -> paramiko.PKey:
    """Return the private key in a file.

    :raises key_files.Unusable: the file cannot be read, or has no private key
        that the driver can use.
    """
    content = key_files.read(_ROLE, path, _CREATE.format(path=path))
    if not content.strip():
        raise _unusable(path, key_files.EMPTY, 'is empty', _CREATE)
    if (match := _KEY_BLOCK.search(content)) is None:
        raise _describe_other_content(path, content)
    return _parse(path, match['label'], match[0] + b'\n')


def check(path: str) -> None:
    """Check the private key in a file, and the permissions of the file.

    :raises key_files.Unusable: see :func:`load`; or every user of this host
        can read or replace the key.
    """
    load(path)
    mode = os.stat(path).st_mode & 0o7777
    if mode & 0o006:
        raise _unusable(
            path,
            key_files.PERMISSIONS,
            f'has mode {mode:04o}, so every user of this host can log in to '
            f'the nodes with it',
            'run "chmod o= {path}", and replace the key if others may have '
            'read it',
        )


def _unusable(
    path: str, kind: str, problem: str, remedy: str
) -> key_files.Unusable:
    return key_files.Unusable(
        _ROLE, path, kind, problem, remedy.format(path=path)
    )


def _describe_other_content(path: str, content: bytes) -> key_files.Unusable:
    """Return the error for a file without a complete private key."""
    for pattern, problem, remedy in _OTHER_CONTENTS:
        if re.match(pattern, content.lstrip()):
            return _unusable(path, key_files.NOT_PRIVATE, problem, remedy)
    return _malformed(path)


def _malformed(path: str) -> key_files.Unusable:
    return _unusable(
        path,
        key_files.MALFORMED,
        'is malformed',
        'copy the whole file again, or set glusterfs_clone_ssh_private_key to '
        'another private key',
    )


def _parse(path: str, label: bytes, block: bytes) -> paramiko.PKey:
    key_type = ''
    is_encrypted = label.startswith(b'ENCRYPTED ') or (
        b'\nProc-Type: 4,ENCRYPTED' in block
    )
    parse = serialization.load_pem_private_key
    if label == _OPENSSH_LABEL:
        parse = serialization.load_ssh_private_key
        try:
            cipher, key_type = _openssh_header(block)
        except ValueError:
            raise _malformed(path) from None
        is_encrypted = cipher != 'none'
    if is_encrypted:
        raise _unusable(
            path,
            key_files.ENCRYPTED,
            'is encrypted, and the driver has no passphrase for it',
            _DECRYPT_OPENSSH if label == _OPENSSH_LABEL else _DECRYPT,
        )
    try:
        key = parse(block, None)
    except Exception:
        # Omit the cause: it does not help, and could contain the key.
        if key_type in _UNSUPPORTED_TYPES:
            raise _unsupported(path, key_type) from None
        raise _malformed(path) from None
    if isinstance(key, rsa.RSAPrivateKey):
        key_class: type[paramiko.PKey] = paramiko.RSAKey
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        key_class = paramiko.Ed25519Key
    elif isinstance(key, ec.EllipticCurvePrivateKey) and (
        key.curve.name in _CURVES
    ):
        key_class = paramiko.ECDSAKey
    else:
        raise _unsupported(path, _type_of(key))
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return key_class.from_private_key(io.StringIO(text.decode()))


def _type_of(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f'ECDSA {key.curve.name}'
    return type(key).__name__.strip('_').removesuffix('PrivateKey')


def _unsupported(path: str, key_type: str) -> key_files.Unusable:
    return _unusable(
        path,
        key_files.UNSUPPORTED,
        f'has the type {key_type}, which the driver does not support',
        _SUPPORTED,
    )


def _openssh_header(block: bytes) -> tuple[str, str]:
    """Return the cipher and the type of a key in the format of OpenSSH.

    The header is not encrypted (PROTOCOL.key of OpenSSH).

    :raises ValueError: the header is malformed.
    """
    lines = block.strip().splitlines()[1:-1]
    content = base64.b64decode(b''.join(lines))
    if not content.startswith(_OPENSSH_MAGIC):
        raise ValueError('no OpenSSH key')
    message = paramiko.Message(content[len(_OPENSSH_MAGIC) :])
    cipher = message.get_string()
    message.get_string()  # The name of the key derivation function.
    message.get_string()  # Its options.
    message.get_int()  # The number of keys.
    public_key = paramiko.Message(message.get_string())
    return cipher.decode(), public_key.get_string().decode()
