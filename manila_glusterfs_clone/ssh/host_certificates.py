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
"""Parse and verify a host certificate of OpenSSH (PROTOCOL.certkeys)."""

import dataclasses

import paramiko

#: The end of the name of each type of certificate.
SUFFIX = '-cert-v01@openssh.com'

_HOST_CERTIFICATE = 2
#: The number of strings in a public key, by the prefix of its type.
_KEY_FIELDS = {'ssh-ed25519': 1, 'ecdsa-sha2-': 2, 'ssh-rsa': 2}
#: The signatures that OpenSSH accepts from an authority
#: (CASignatureAlgorithms); it does not accept ``ssh-rsa``, which is SHA-1.
_SIGNATURES: dict[str, tuple[str, ...]] = {
    'ssh-ed25519': ('ssh-ed25519',),
    'ssh-rsa': ('rsa-sha2-512', 'rsa-sha2-256'),
    **{
        f'ecdsa-sha2-nistp{size}': (f'ecdsa-sha2-nistp{size}',)
        for size in (256, 384, 521)
    },
}


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The fields of a certificate that its verification needs."""

    kind: int
    key_id: str
    #: The host names for which the certificate is valid.
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: bytes
    #: The public key of the authority, in the wire format of SSH.
    authority: bytes
    signed_part: bytes
    signature: bytes

    def find_problem(self, host: str, now: float) -> str:
        """Return why the certificate is not valid for a host; '' if it is.

        :param host: the host name in lower case.
        :param now: the time, in seconds since the epoch.
        """
        if not self._has_valid_signature():
            return 'its signature is wrong or of an unsupported type'
        if self.kind != _HOST_CERTIFICATE:
            return 'it is not a host certificate ("ssh-keygen -h" makes them)'
        if now < self.valid_after:
            return 'it is not valid yet; check the clocks'
        if now >= self.valid_before:
            return 'it has expired'
        if self.critical_options:
            return 'it has critical options, which are unsupported'
        if host not in self.principals:
            names = ', '.join(self.principals) or 'no name'
            return f'it is valid for {names} (principals), not for {host}'
        return ''

    def _has_valid_signature(self) -> bool:
        try:
            key_type = paramiko.Message(self.authority).get_string().decode()
            algorithm = paramiko.Message(self.signature).get_string().decode()
            if algorithm not in _SIGNATURES.get(key_type, ()):
                return False
            key = _public_key(key_type, self.authority)
            return key.verify_ssh_sig(
                self.signed_part, paramiko.Message(self.signature)
            )
        except Exception:
            # paramiko raises errors of many classes for malformed keys.
            return False


def _public_key(key_type: str, data: bytes) -> paramiko.PKey:
    if key_type == 'ssh-ed25519':
        return paramiko.Ed25519Key(data=data)
    if key_type == 'ssh-rsa':
        return paramiko.RSAKey(data=data)
    return paramiko.ECDSAKey(data=data)


def parse(data: bytes) -> Certificate:
    """Parse a certificate.

    :raises ValueError: the certificate is malformed or of an unsupported
        type.
    """
    message = paramiko.Message(data)
    key_type = message.get_string().decode()
    field_counts = [
        count
        for prefix, count in _KEY_FIELDS.items()
        if key_type.startswith(prefix) and key_type.endswith(SUFFIX)
    ]
    if not field_counts:
        raise ValueError(f'host certificate type {key_type!r} is unsupported')
    # The nonce, and the public key.
    for _ in range(1 + field_counts[0]):
        message.get_string()
    message.get_int64()  # The serial number.
    kind = message.get_int()
    key_id = message.get_string().decode(errors='replace')
    principals = _strings(message.get_string())
    valid_after, valid_before = message.get_int64(), message.get_int64()
    critical_options = message.get_string()
    message.get_string()  # Extensions.
    message.get_string()  # Reserved.
    authority = message.get_string()
    signed_part = message.get_so_far()
    signature = message.get_string()
    # paramiko pads and truncates strings of a wrong length.
    if data != signed_part + len(signature).to_bytes(4, 'big') + signature:
        raise ValueError('the host certificate is malformed')
    return Certificate(
        kind=kind,
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        critical_options=critical_options,
        authority=authority,
        signed_part=signed_part,
        signature=signature,
    )


def _strings(data: bytes) -> tuple[str, ...]:
    message = paramiko.Message(data)
    strings = []
    while message.get_remainder():
        strings.append(message.get_string().decode(errors='replace'))
    return tuple(strings)
