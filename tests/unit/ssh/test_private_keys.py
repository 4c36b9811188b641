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
"""The private key: each type and format, and files that are no such key."""

import base64
import os
import pathlib
import shlex
import subprocess

from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives import serialization
import pytest

from manila_glusterfs_clone.ssh import key_files
from manila_glusterfs_clone.ssh import private_keys
from tests.unit.ssh import key_ring
from tests.unit import sshd

KEYS = dict(key_ring.user_keys())
CASES = [
    (key_type, name)
    for key_type, key in KEYS.items()
    for name in key_ring.format_names(key)
]
PASSPHRASE = serialization.BestAvailableEncryption(b'passphrase')


def public_key(key: key_ring.PrivateKey) -> str:
    """Return the public key in base64."""
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return line.decode().split()[1]


def problem(path: pathlib.Path, content: bytes | None = None) -> str:
    """Return the kind of problem that a key file has."""
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(key_files.Unusable) as caught:
        private_keys.check(str(path))
    error = caught.value
    assert error.path == str(path)
    assert error.remedy
    assert error.__cause__ is None or isinstance(error.__cause__, OSError)
    # No line of the file is in the message.
    for line in (content or b'').splitlines():
        assert len(line) < 8 or line.decode('latin-1') not in str(error)
    return error.kind


def decrypt(path: pathlib.Path, passphrase: str) -> None:
    """Do what the message about an encrypted key says."""
    with pytest.raises(key_files.Unusable) as caught:
        private_keys.load(str(path))
    command = caught.value.remedy.split('"')[1]
    argv = shlex.split(command.replace('NEW-FILE', f'{path}.new'))
    more = {
        'ssh-keygen': ['-P', passphrase],
        'openssl': ['-passin', f'pass:{passphrase}'],
    }
    subprocess.run([*argv, *more[argv[0]]], check=True, capture_output=True)
    if argv[0] == 'openssl':
        pathlib.Path(f'{path}.new').replace(path)


@pytest.mark.parametrize(('key_type', 'name'), CASES)
@pytest.mark.parametrize(
    ('before', 'ending', 'after'),
    [(b'', b'\n', b''), (b'Bag Attributes\n\n', b'\r\n', b'\nmore\n')],
    ids=['plain', 'with other text'],
)
def test_each_type_and_format(
    tmp_path: pathlib.Path,
    key_type: str,
    name: str,
    before: bytes,
    ending: bytes,
    after: bytes,
) -> None:
    key = KEYS[key_type]
    text = key_ring.encode(key, name).replace(b'\n', ending)
    path = tmp_path / 'key'
    path.write_bytes(before + text + after)
    path.chmod(0o640)
    private_keys.check(str(path))
    loaded = private_keys.load(str(path))
    assert loaded.can_sign()
    assert loaded.get_base64() == public_key(key)


@pytest.mark.parametrize(('key_type', 'name'), CASES)
def test_an_encrypted_key(
    tmp_path: pathlib.Path, key_type: str, name: str
) -> None:
    text = key_ring.encode(KEYS[key_type], name, PASSPHRASE)
    path = tmp_path / 'key'
    assert problem(path, text) == key_files.ENCRYPTED
    decrypt(path, 'passphrase')
    assert private_keys.load(str(path)).get_base64() == public_key(
        KEYS[key_type]
    )


@pytest.mark.parametrize(
    ('key_type', 'options'),
    [
        ('rsa', ('-b', '2048', '-m', 'PEM')),
        ('rsa', ('-b', '2048', '-m', 'PKCS8')),
        ('rsa', ('-b', '2048', '-m', 'RFC4716')),
        ('ecdsa', ('-m', 'PEM')),
        ('ecdsa', ('-m', 'PKCS8')),
        ('ed25519', ()),
    ],
)
@pytest.mark.parametrize('passphrase', ['', 'passphrase'])
def test_a_key_of_ssh_keygen(
    tmp_path: pathlib.Path,
    key_type: str,
    options: tuple[str, ...],
    passphrase: str,
) -> None:
    path = tmp_path / 'key'
    sshd.ssh_keygen(
        *('-t', key_type, *options, '-N', passphrase, '-f', str(path))
    )
    if passphrase:
        assert problem(path) == key_files.ENCRYPTED
        decrypt(path, passphrase)
    public = pathlib.Path(f'{path}.pub').read_text().split()[1]
    assert private_keys.load(str(path)).get_base64() == public


@pytest.mark.parametrize(
    'argv',
    [
        'genpkey -algorithm ed25519',
        'genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048',
        'genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384',
        'ecparam -name secp521r1 -genkey',
        'genrsa -traditional',
    ],
)
def test_a_key_of_openssl(tmp_path: pathlib.Path, argv: str) -> None:
    path = tmp_path / 'key'
    command = ['openssl', *argv.split(), '-out', str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    # ssh-keygen reads no Ed25519 key of OpenSSL.
    public = subprocess.run(
        ['ssh-keygen', '-y', '-f', str(path)], capture_output=True, check=False
    ).stdout.split()
    loaded = private_keys.load(str(path)).get_base64()
    assert 'ed25519' in argv or loaded == public[1].decode()


def test_public_keys_and_certificates(tmp_path: pathlib.Path) -> None:
    for key_type in ('ed25519', 'rsa', 'ecdsa'):
        path = tmp_path / key_type
        sshd.make_key(path, key_type)
        public = pathlib.Path(f'{path}.pub').read_bytes()
        assert problem(tmp_path / 'x', public) == key_files.NOT_PRIVATE
        sshd.ssh_keygen('-s', str(path), '-I', 'id', f'{path}.pub')
        certificate = pathlib.Path(f'{path}-cert.pub').read_bytes()
        assert problem(tmp_path / 'x', certificate) == key_files.NOT_PRIVATE
        for form in ('RFC4716', 'PKCS8', 'PEM'):
            exported = subprocess.run(
                ['ssh-keygen', '-e', '-m', form, '-f', str(path)],
                capture_output=True,
                check=False,
            ).stdout
            if exported:
                kind = problem(tmp_path / 'x', exported)
                assert kind == key_files.NOT_PRIVATE, exported


OTHER_FILES = {
    b'': key_files.EMPTY,
    b' \n\n': key_files.EMPTY,
    b'gl1 ssh-ed25519 AAAA\n': key_files.MALFORMED,
    b'some other text, \xff\n': key_files.MALFORMED,
    b'\0' * 100: key_files.MALFORMED,
    b'-----BEGIN CERTIFICATE-----\nAAAA\n': key_files.NOT_PRIVATE,
    b'PuTTY-User-Key-File-3: ssh-ed25519\n': key_files.NOT_PRIVATE,
    b'sk-ssh-ed25519@openssh.com AAAAGnNr\n': key_files.NOT_PRIVATE,
}


@pytest.mark.parametrize(
    ('content', 'kind'), OTHER_FILES.items(), ids=lambda value: str(value)[:20]
)
def test_a_file_without_a_private_key(
    tmp_path: pathlib.Path, content: bytes, kind: str
) -> None:
    assert problem(tmp_path / 'key', content) == kind


@pytest.mark.parametrize(('key_type', 'name'), CASES)
def test_a_damaged_key(
    tmp_path: pathlib.Path, key_type: str, name: str
) -> None:
    """Each line missing, and each line without its second half."""
    lines = key_ring.encode(KEYS[key_type], name).splitlines(keepends=True)
    for number, line in enumerate(lines):
        for rest in (b'', line[: len(line) // 2]):
            text = b''.join((*lines[:number], rest, *lines[number + 1 :]))
            kind = problem(tmp_path / 'key', text)
            assert kind == key_files.MALFORMED, text


def openssh_key(key_type: bytes) -> bytes:
    """Return an OpenSSH key of a type that no library knows."""

    def string(data: bytes) -> bytes:
        return len(data).to_bytes(4, 'big') + data

    content = b'openssh-key-v1\0' + b''.join(
        (string(b'none'), string(b'none'), string(b''), b'\0\0\0\1')
    )
    content += string(string(key_type)) + string(b'secret')
    return (
        b'-----BEGIN OPENSSH PRIVATE KEY-----\n'
        + base64.b64encode(content)
        + b'\n-----END OPENSSH PRIVATE KEY-----\n'
    )


def pkcs8(key: ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_unsupported_types(tmp_path: pathlib.Path) -> None:
    contents = [
        openssh_key(b'sk-ssh-ed25519@openssh.com'),
        openssh_key(b'ssh-dss'),
        pkcs8(ec.generate_private_key(ec.SECP256K1())),
        pkcs8(ed448.Ed448PrivateKey.generate()),
    ]
    for content in contents:
        assert problem(tmp_path / 'key', content) == key_files.UNSUPPORTED
    path = tmp_path / 'dsa'
    key = dsa.generate_private_key(1024)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    assert problem(path) == key_files.UNSUPPORTED


@pytest.mark.parametrize('mode', [0o644, 0o604, 0o602, 0o666])
def test_a_key_that_others_can_use(tmp_path: pathlib.Path, mode: int) -> None:
    path = tmp_path / 'key'
    path.write_bytes(key_ring.encode(KEYS['ed25519'], 'pkcs8'))
    path.chmod(mode)
    assert problem(path) == key_files.PERMISSIONS
    # A running service is not cut off from its nodes.
    private_keys.load(str(path))


def test_an_unknown_type_is_not_shown(tmp_path: pathlib.Path) -> None:
    """In a damaged file, it may be a part of the secret."""
    content = openssh_key(b'SECRET')
    assert problem(tmp_path / 'key', content) == key_files.MALFORMED
    with pytest.raises(key_files.Unusable) as caught:
        private_keys.load(str(tmp_path / 'key'))
    assert 'SECRET' not in str(caught.value)


def test_missing_and_unreadable(tmp_path: pathlib.Path) -> None:
    assert problem(tmp_path / 'none') == key_files.MISSING
    assert problem(tmp_path) == key_files.UNREADABLE
    (tmp_path / 'file').write_text('x')
    assert problem(tmp_path / 'file' / 'below') == key_files.UNREADABLE
    os.mkfifo(tmp_path / 'pipe')
    assert problem(tmp_path / 'pipe') == key_files.UNREADABLE
