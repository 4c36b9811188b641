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
"""Host certificates: parsing, and signatures that are not valid."""

import base64
import dataclasses
import pathlib
import time

import pytest

from manila_glusterfs_clone.ssh import host_certificates
from tests.unit.ssh import key_ring
from tests.unit import sshd


@pytest.fixture(scope='module')
def ring(tmp_path_factory: pytest.TempPathFactory) -> key_ring.Ring:
    return key_ring.Ring(tmp_path_factory.mktemp('ring'))


def blob(path: pathlib.Path) -> bytes:
    return base64.b64decode(path.read_text().split()[1])


def find_problem(certificate: host_certificates.Certificate) -> str:
    return certificate.find_problem('gl1', time.time())


@pytest.mark.parametrize('authority', key_ring.HOST_KEY_TYPES)
@pytest.mark.parametrize('key_type', key_ring.HOST_KEY_TYPES)
def test_fields(ring: key_ring.Ring, authority: str, key_type: str) -> None:
    name = ring.certify(
        *(authority, key_type, '-h', '-n', 'gl1,gl2', '-V', '0x1:0x7fffffff')
    )
    certificate = host_certificates.parse(blob(ring.home / name))
    assert certificate.key_id == 'id'
    assert certificate.principals == ('gl1', 'gl2')
    assert (certificate.valid_after, certificate.valid_before) == (
        1,
        0x7FFFFFFF,
    )
    assert certificate.authority == blob(
        ring.home / f'authority_{authority}.pub'
    )
    assert find_problem(certificate) == ''
    assert 'principals' in certificate.find_problem('GL1', time.time())
    assert 'not valid yet' in certificate.find_problem('gl1', 0.9)
    assert 'expired' in certificate.find_problem('gl1', 0x7FFFFFFF)


@pytest.mark.parametrize('authority', key_ring.HOST_KEY_TYPES)
def test_a_changed_byte(ring: key_ring.Ring, authority: str) -> None:
    """No byte can change, also none of the nonce or the extensions.

    paramiko ignores the lengths in a signature. That changes no field.
    """
    name = ring.certify(authority, 'ed25519', '-h', '-n', 'gl1')
    data = blob(ring.home / name)
    original = host_certificates.parse(data)
    assert find_problem(original) == ''
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        try:
            certificate = host_certificates.parse(bytes(changed))
        except ValueError:
            continue
        if not find_problem(certificate):
            assert index > len(original.signed_part)
            assert original == dataclasses.replace(
                certificate, signature=original.signature
            )
    for length in range(0, len(data), 7):
        try:
            certificate = host_certificates.parse(data[:length])
        except ValueError:
            continue
        assert find_problem(certificate), length


def test_the_signature_of_another_authority(ring: key_ring.Ring) -> None:
    name = ring.certify('ed25519', 'ed25519', '-h', '-n', 'gl1')
    certificate = host_certificates.parse(blob(ring.home / name))
    for other in ('stranger_ed25519', 'stranger_rsa', 'host_ed25519'):
        forged = dataclasses.replace(
            certificate, authority=blob(ring.home / f'{other}.pub')
        )
        assert 'signature' in find_problem(forged)


def test_a_sha1_signature(ring: key_ring.Ring) -> None:
    name = ring.certify('rsa', 'ed25519', '-h', '-n', 'gl1', '-t', 'ssh-rsa')
    certificate = host_certificates.parse(blob(ring.home / name))
    assert 'signature' in find_problem(certificate)


def test_no_certificate(ring: key_ring.Ring) -> None:
    for data in (b'', b'x', blob(ring.home / 'host_rsa.pub')):
        with pytest.raises(ValueError, match='unsupported'):
            host_certificates.parse(data)


def test_the_kind_is_checked(ring: key_ring.Ring) -> None:
    name = ring.certify('ed25519', 'rsa', '-n', 'gl1')
    certificate = host_certificates.parse(blob(ring.home / name))
    assert 'ssh-keygen -h' in find_problem(certificate)
    assert sshd.HOST not in certificate.principals
