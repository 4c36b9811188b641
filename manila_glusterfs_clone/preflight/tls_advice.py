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
"""Check the TLS files of one node: do they exist, and are they valid."""

from collections.abc import Iterator, Sequence
import datetime

from cryptography import x509

from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import severity
from manila_glusterfs_clone.tools import node_facts

Level = severity.Level

#: Report a certificate this many days before it expires.
CERTIFICATE_DAYS = 30


def find(
    settings: options.Settings,
    facts: node_facts.Facts,
    now: datetime.datetime,
) -> Iterator[tuple[Level, str, str]]:
    """Yield the level, the kind and the message of each problem.

    :param now: the time, in UTC.
    """
    directory = facts.tls_directory or (
        f'the TLS directory ({" or ".join(node_facts.TLS_DIRECTORIES)})'
    )
    files = (facts.tls_certificate, facts.tls_authority)
    missing_names = [
        name
        for name, exists in (
            ('glusterfs.pem', facts.tls_certificate.exists),
            ('glusterfs.key', facts.has_tls_key),
            ('glusterfs.ca', facts.tls_authority.exists),
        )
        if not exists
    ]
    if missing_names:
        yield (
            Level.MISTAKE,
            'tls files',
            f'{", ".join(missing_names)} not found in {directory}, so bricks '
            f'do not start; create the files, or set glusterfs_clone_tls to '
            f'False',
        )
    for file in files:
        if not file.exists:
            continue
        try:
            certificates = _certificates(file.certificates)
        except ValueError as error:
            yield (
                Level.MISTAKE,
                f'unusable {file.path}',
                f'{file.path} has no usable certificate ({error}); replace it',
            )
            continue
        for certificate in certificates:
            yield from _find_in_dates(file.path, certificate, now)
        if file is facts.tls_certificate:
            yield from _find_in_name(settings, file.path, certificates[0])


def _certificates(texts: Sequence[str]) -> list[x509.Certificate]:
    """Parse the certificates of a file.

    :raises ValueError: the file has no certificate, or one cannot be parsed.
    """
    if not texts:
        raise ValueError('it has no certificate in the format PEM')
    return [x509.load_pem_x509_certificate(text.encode()) for text in texts]


def _find_in_dates(
    path: str, certificate: x509.Certificate, now: datetime.datetime
) -> Iterator[tuple[Level, str, str]]:
    begin, end = _validity(certificate)
    if now < begin:
        yield (
            Level.FAULT,
            f'dates of {path}',
            f'{path} is valid only from {begin:%Y-%m-%d %H:%M} UTC on; '
            f'correct the clock of the node, or replace the certificate',
        )
    elif end < now + datetime.timedelta(days=CERTIFICATE_DAYS):
        has_expired = end < now
        yield (
            Level.FAULT if has_expired else Level.WARNING,
            f'dates of {path}',
            f'{path} {"has expired" if has_expired else "will expire"} on '
            f'{end:%Y-%m-%d %H:%M} UTC; replace the certificate, and restart '
            f'glusterd and the bricks of the node',
        )


def _validity(
    certificate: x509.Certificate,
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the first and the last time at which a certificate is valid."""
    if hasattr(certificate, 'not_valid_after_utc'):
        return (
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
    # cryptography before 42.0 returns UTC without a time zone.
    utc = datetime.timezone.utc
    return (
        certificate.not_valid_before.replace(tzinfo=utc),
        certificate.not_valid_after.replace(tzinfo=utc),
    )


def _find_in_name(
    settings: options.Settings, path: str, certificate: x509.Certificate
) -> Iterator[tuple[Level, str, str]]:
    names = [
        str(attribute.value)
        for attribute in certificate.subject.get_attributes_for_oid(
            x509.oid.NameOID.COMMON_NAME
        )
    ]
    if not set(names) & set(settings.tls_server_names):
        yield (
            Level.MISTAKE,
            f'name in {path}',
            f'the common name in {path} is {", ".join(names) or "missing"}, '
            f'which bricks do not admit; add it to '
            f'glusterfs_clone_tls_server_names, or replace the certificate',
        )
