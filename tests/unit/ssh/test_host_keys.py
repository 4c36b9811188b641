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
"""Host keys: which of them a node presents, and which are accepted.

A real sshd presents the keys, and OpenSSH's own client is the oracle. The
environment variable ``SSH_KEY_CASES`` raises the number of random cases, and
``all`` tries each host key with each user key.
"""

import base64
from collections.abc import Callable, Iterator
import contextlib
import hashlib
import hmac
import itertools
import os
import pathlib
import random
import subprocess

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import host_keys
from manila_glusterfs_clone.ssh import known_hosts
from manila_glusterfs_clone.ssh import transports
from tests.unit.ssh import key_ring
from tests.unit import sshd

_WANTED = os.environ.get('SSH_KEY_CASES', '')
RANDOM_CASES = int(_WANTED) if _WANTED.isdigit() else 10
SUBSETS = [
    subset
    for count in (1, 2, 3)
    for subset in itertools.combinations(key_ring.HOST_KEY_TYPES, count)
]
#: The types of authorities, and of the keys that they certify.
CERTIFICATES = (
    list(itertools.product(key_ring.HOST_KEY_TYPES, repeat=2))
    if _WANTED
    else [('ed25519', 'rsa'), ('ecdsa', 'ed25519'), ('rsa', 'ecdsa')]
)


@pytest.fixture(scope='module')
def ring(tmp_path_factory: pytest.TempPathFactory) -> key_ring.Ring:
    return key_ring.Ring(tmp_path_factory.mktemp('ring'))


Serve = Callable[..., sshd.Sshd]


@pytest.fixture(scope='module')
def serve(ring: key_ring.Ring) -> Iterator[Serve]:
    """Start servers, each only once."""
    servers: dict[tuple[tuple[str, ...], ...], sshd.Sshd] = {}

    def serve(*parts: tuple[str, ...]) -> sshd.Sshd:
        if parts not in servers:
            servers[parts] = ring.server(*parts)
        return servers[parts]

    yield serve
    for server in servers.values():
        server.kill()


def connect(
    server: sshd.Sshd, user_key: pathlib.Path, lines: str, host: str = ''
) -> str:
    """Log in with a known_hosts file of these lines.

    :return: the type of the host key.
    """
    path = server.home / 'tried'
    path.write_text(lines)
    connection = transports.login(
        transports.Address(host or sshd.HOST, server.port, sshd.USER),
        transports.Credentials(str(user_key), str(path)),
        sshd.PATIENCE,
        lambda step: None,
    )
    with contextlib.closing(connection):
        return connection.transport.get_remote_server_key().get_name()


def rejection(*args: object, **kwargs: object) -> errors.HostKeyRejected:
    with pytest.raises(errors.HostKeyRejected) as caught:
        connect(*args, **kwargs)  # type: ignore[arg-type]
    return caught.value


def openssh_connects(
    server: sshd.Sshd, user_key: pathlib.Path, lines: str, key_type: str
) -> bool:
    """Return whether OpenSSH's client connects.

    :param key_type: the only type of host keys to accept, or empty.
    """
    path = server.home / 'tried'
    path.write_text(lines)
    options = {
        'BatchMode': 'yes',
        'IdentitiesOnly': 'yes',
        'StrictHostKeyChecking': 'yes',
        'GlobalKnownHostsFile': 'none',
        'UserKnownHostsFile': str(path),
        'UpdateHostKeys': 'no',
    }
    if key_type == 'ssh-rsa':
        options['HostKeyAlgorithms'] = 'rsa-sha2-512'
    elif key_type:
        options['HostKeyAlgorithms'] = key_type
    result = subprocess.run(
        [
            *('ssh', '-F', 'none', '-p', str(server.port)),
            *('-i', str(user_key), '-l', sshd.USER),
            *(word for k, v in options.items() for word in ('-o', f'{k}={v}')),
            *(sshd.HOST, 'true'),
        ],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode in (0, 255), result.stderr
    return result.returncode == 0


def hashed(name: str) -> str:
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f'|1|{base64.b64encode(salt).decode()}|' + (
        base64.b64encode(digest).decode()
    )


# -- the types of keys


@pytest.mark.parametrize('known', SUBSETS, ids='+'.join)
@pytest.mark.parametrize('served', SUBSETS, ids='+'.join)
def test_a_node_with_any_of_its_keys_known(
    ring: key_ring.Ring,
    serve: Serve,
    served: tuple[str, ...],
    known: tuple[str, ...],
) -> None:
    """Each case has another user key, or all of them."""
    server = serve(served)
    lines = ''.join(
        f'[{sshd.HOST}]:{server.port} {ring.public(f"host_{key_type}")}\n'
        for key_type in known
    )
    case = SUBSETS.index(served) * len(SUBSETS) + SUBSETS.index(known)
    users = [ring.users[case % len(ring.users)]]
    for user in ring.users if _WANTED == 'all' else users:
        if {*served} & {*known}:
            connect(server, ring.home / user, lines)
        else:
            error = rejection(server, ring.home / user, lines)
            assert type(error) is errors.HostKeyRejected
            assert 'other types' in error.reason


@pytest.mark.parametrize('key_type', key_ring.HOST_KEY_TYPES)
def test_a_changed_key(
    ring: key_ring.Ring, serve: Serve, key_type: str
) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    line = f'[{sshd.HOST}]:{server.port} {ring.public(f"stranger_{key_type}")}'
    error = rejection(server, ring.home / ring.users[0], f'# x\n{line}\n')
    assert type(error) is errors.HostKeyRejected
    assert 'differs' in error.reason
    assert 'line 2' in error.reason


def test_several_keys_of_a_type(ring: key_ring.Ring, serve: Serve) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    name = f'[{sshd.HOST}]:{server.port}'
    lines = (
        f'{name} {ring.public("stranger_rsa")}\n'
        f'{name} {ring.public("host_rsa")}\n'
    )
    connect(server, ring.home / ring.users[0], lines)


# -- the names of lines


@pytest.mark.parametrize(
    'names',
    [
        '[{host}]:{port}',
        'gl1,[{host}]:{port},gl2',
        '{host}',
        'gl1,{host}',
        '[127.0.0.?]:{port}',
        '[127.0.*]:*',
        '*',
        '*,!gl1',
        'hash [{host}]:{port}',
        'hash {host}',
    ],
)
def test_a_name_of_the_node(
    ring: key_ring.Ring, serve: Serve, names: str
) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    names = names.format(host=sshd.HOST, port=server.port)
    if names.startswith('hash '):
        names = hashed(names.removeprefix('hash '))
    line = f'{names} {ring.public("host_rsa")} comment of it\n'
    connect(server, ring.home / ring.users[0], line)


@pytest.mark.parametrize(
    'names',
    ['gl1', '[{host}]:1', '*,!{host},![{host}]:{port}', '27.0.0.1', 'hash x'],
)
def test_another_name(ring: key_ring.Ring, serve: Serve, names: str) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    names = names.format(host=sshd.HOST, port=server.port)
    if names.startswith('hash '):
        names = hashed(names.removeprefix('hash '))
    line = f'{names} {ring.public("host_rsa")}\nbad line\n'
    error = rejection(server, ring.home / ring.users[0], line)
    assert type(error) is errors.HostKeyRejected
    assert 'unknown' in error.reason
    assert 'malformed lines 2' in error.reason


def test_a_name_in_another_case(ring: key_ring.Ring, serve: Serve) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    for name in (f'[LOCALhost]:{server.port}', hashed('localhost')):
        line = f'{name} {ring.public("host_rsa")}\n'
        connect(server, ring.home / ring.users[0], line, host='LocalHost')


def test_a_file_that_openssh_hashed(ring: key_ring.Ring, serve: Serve) -> None:
    server = serve(key_ring.HOST_KEY_TYPES)
    path = ring.home / 'to_hash'
    path.write_text(
        f'gl1,[{sshd.HOST}]:{server.port} {ring.public("host_ecdsa")}\n'
    )
    sshd.ssh_keygen('-H', '-f', str(path))
    assert sshd.HOST not in path.read_text()
    connect(server, ring.home / ring.users[0], path.read_text())


# -- revoked keys and authorities


def test_a_revoked_key(ring: key_ring.Ring, serve: Serve) -> None:
    server = serve(('rsa',))
    lines = (
        f'[{sshd.HOST}]:{server.port} {ring.public("host_rsa")}\n'
        f'@revoked * {ring.public("host_rsa")}\n'
    )
    error = rejection(server, ring.home / ring.users[0], lines)
    assert isinstance(error, host_keys.HostKeyRevoked)
    assert 'line 2' in error.reason


def test_an_authority_is_no_host_key(
    ring: key_ring.Ring, serve: Serve
) -> None:
    """Even if a node has the key of an authority, it has no certificate."""
    server = serve(('rsa',))
    line = f'@cert-authority * {ring.public("host_rsa")}\n'
    error = rejection(server, ring.home / ring.users[0], line)
    assert isinstance(error, host_keys.HostCertificateRejected)
    assert 'no host certificate' in error.reason
    line += f'{sshd.HOST} {ring.public("host_rsa")}\n'
    connect(server, ring.home / ring.users[0], line)


@pytest.mark.parametrize(('authority', 'key_type'), CERTIFICATES)
def test_a_host_certificate(
    ring: key_ring.Ring, serve: Serve, authority: str, key_type: str
) -> None:
    certificate = ring.certify(
        authority, key_type, '-h', '-n', f'gl1,{sshd.HOST}'
    )
    server = ring.server((*key_ring.HOST_KEY_TYPES,), (certificate,))
    user = ring.home / ring.users[0]
    line = f'@cert-authority * {ring.public(f"authority_{authority}")}\n'
    try:
        connect(server, user, line)
        for revoked in (f'host_{key_type}', f'authority_{authority}'):
            more = f'@revoked * {ring.public(revoked)}\n'
            error = rejection(server, user, line + more)
            assert isinstance(error, host_keys.HostKeyRevoked)
        # Without its authority, the certificate counts as its key.
        connect(server, user, f'* {ring.public("host_rsa")}\n')
        other = f'@cert-authority * {ring.public("stranger_rsa")}\n'
        error = rejection(server, user, other)
        assert isinstance(error, host_keys.HostCertificateRejected)
        connect(server, user, f'{other}* {ring.public(f"host_{key_type}")}\n')
    finally:
        server.kill()


@pytest.mark.parametrize(
    ('options', 'problem'),
    [
        (('-h', '-n', 'gl1'), 'principals'),
        (('-h', '-n', '127.0.0.*'), 'principals'),
        (('-h',), 'no name'),
        (('-n', sshd.HOST), 'not a host certificate'),
        (('-h', '-n', sshd.HOST, '-V', '20200101:20210101'), 'expired'),
        (('-h', '-n', sshd.HOST, '-V', '20900101:20910101'), 'not valid yet'),
        (('-h', '-n', sshd.HOST, '-O', 'critical:x=y'), 'critical options'),
    ],
)
def test_an_invalid_host_certificate(
    ring: key_ring.Ring, options: tuple[str, ...], problem: str
) -> None:
    certificate = ring.certify('ed25519', 'ed25519', *options)
    server = ring.server(('ed25519', 'rsa'), (certificate,))
    user = ring.home / ring.users[0]
    line = f'@cert-authority * {ring.public("authority_ed25519")}\n'
    key_line = f'{sshd.HOST} {ring.public("host_ed25519")}\n'
    try:
        error = rejection(server, user, line)
        assert isinstance(error, host_keys.HostCertificateRejected)
        assert problem in error.reason
        connect(server, user, line + key_line)
    finally:
        server.kill()


# -- OpenSSH as the oracle


def random_lines(ring: key_ring.Ring, port: int, seed: int) -> str:
    """Return a known_hosts file of lines that are often nearly right."""
    chance = random.Random(seed)
    exact, bare = f'[{sshd.HOST}]:{port}', sshd.HOST
    names = [
        *(exact, bare, hashed(exact), hashed(bare), f'gl1,{exact}', '*'),
        *('gl1', f'*,!{exact}', f'*,!{bare}', '[127.*]:*', '*.1', f'!{bare}'),
        *(
            hashed('gl1'),
            f'[{sshd.HOST}]:{port + 1}',
            f'{bare},{exact}',
            '|1|',
        ),
    ]
    markers = ['', '', '', '', '', '@cert-authority ', '@revoked ', '@other ']
    lines = []
    for _ in range(chance.randint(1, 5)):
        role = chance.choice(['host', 'host', 'stranger', 'authority'])
        key_type = chance.choice(key_ring.HOST_KEY_TYPES)
        key = ring.public(f'{role}_{key_type}')
        if chance.random() < 0.15:
            kind, encoded = key.split()
            key = chance.choice(
                [
                    *(kind, f'{kind} {encoded[:-3]}', f'{kind}\t\t{encoded}'),
                    *(f'ssh-dss {encoded}', f'{kind} {encoded}\r', encoded),
                    *(f'{kind} !{encoded}', f'2048 65537 {encoded}', ''),
                ]
            )
        blanks = chance.choice(['', '', '', ' ', '\t', '#'])
        name, marker = chance.choice(names), chance.choice(markers)
        lines.append(f'{blanks}{marker}{name} {key}\n')
    return ''.join(lines)


@pytest.mark.parametrize('seed', range(RANDOM_CASES))
def test_as_openssh(ring: key_ring.Ring, serve: Serve, seed: int) -> None:
    """The driver connects where OpenSSH does, by keys that OpenSSH accepts.

    It may choose another key than OpenSSH, which sorts the types by the lines
    with the port only.
    """
    server = serve(SUBSETS[seed % len(SUBSETS)])
    user = ring.home / ring.users[0]
    lines = random_lines(ring, server.port, seed)
    key_type = ''
    try:
        key_type = connect(server, user, lines)
    except host_keys.HostKeyRevoked:
        # The driver takes revocations without a port for all ports.
        lines = lines.replace('@revoked ', '@revoked *,')
    except errors.Unreachable:
        pass
    accepted = openssh_connects(server, user, lines, key_type)
    assert accepted == bool(key_type), lines


def test_all_lines_of_a_node_are_read(
    ring: key_ring.Ring, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'known_hosts'
    path.write_text(random_lines(ring, 22, 3))
    known = known_hosts.read(str(path))
    numbers = [line.number for line in known.lines]
    assert numbers == sorted({*numbers} - {*known.malformed_lines})
