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
"""Entries of GlusterFS access lists: addresses, networks, common names.

In ``auth.allow``, GlusterFS 10 and 11.1 understand only the prefix lengths
``/8``, ``/16`` and ``/24``. They misread any other prefix length:
``10.0.0.9/32`` admits everyone (glusterfs issue 4108; reproduced on real
clusters). Therefore this module never writes a prefix length. It writes a
network as at most 128 addresses, or patterns such as ``10.0.*``. These entries
match exactly the addresses of the network.

glusterd stores each option as one line. If the line is longer than 4,092
bytes, glusterd overruns its buffer (``glusterd-store.c``). Therefore this
driver refuses a rule if the access list would exceed :data:`MAX_BYTES`.
"""

from collections.abc import Collection, Iterable, Sequence
import dataclasses
import ipaddress
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster

#: The maximum length of an access list, in bytes.
MAX_BYTES = 4000

_COMMON_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}')


@dataclasses.dataclass(eq=False)
class AddressNotValid(errors.NotPossible):
    """The target of an ``ip`` rule is not an address or network."""

    access_to: str
    reason: str

    def __str__(self) -> str:
        return (
            f'access rule for {self.access_to!r}: not an address or network: '
            f'{self.reason}; correct the address'
        )


@dataclasses.dataclass(eq=False)
class AddressNotIPv4(errors.NotPossible):
    """The target of an ``ip`` rule is an IPv6 address or network."""

    access_to: str

    def __str__(self) -> str:
        return (
            f'access rule for {self.access_to}: GlusterFS cannot match IPv6 '
            f'addresses; use an IPv4 address or network'
        )


@dataclasses.dataclass(eq=False)
class CommonNameNotValid(errors.NotPossible):
    """An access list cannot contain the common name of a ``cert`` rule."""

    access_to: str

    def __str__(self) -> str:
        return (
            f'common name {self.access_to!r}: has characters that a GlusterFS '
            f'access list cannot contain; use a certificate with another '
            f'common name'
        )


@dataclasses.dataclass(eq=False)
class CommonNameOfNode(errors.NotPossible):
    """The common name of a ``cert`` rule is that of a storage node."""

    access_to: str

    def __str__(self) -> str:
        return (
            f'common name {self.access_to!r}: belongs to a storage node; use '
            f'the common name of a client'
        )


@dataclasses.dataclass(eq=False)
class AccessListFull(errors.NotPossible):
    """The access list of a share has no room for all rules of the share."""

    max_bytes: int

    def __str__(self) -> str:
        return (
            f'access list: no room for all rules of the share in '
            f'{self.max_bytes} bytes; delete rules, or merge them into '
            f'networks'
        )


def is_common_name(name: str) -> bool:
    """Return whether a common name can be an entry of an access list."""
    return bool(_COMMON_NAME.fullmatch(name))


def patterns(network: ipaddress.IPv4Network) -> tuple[str, ...]:
    """Return entries that match exactly the addresses of a network."""
    octets, remaining_bits = divmod(network.prefixlen, 8)
    if remaining_bits:
        octets += 1
    if octets == 0:
        return ('*',)
    entries = []
    for subnet in network.subnets(new_prefix=octets * 8):
        first_octets = str(subnet.network_address).split('.')[:octets]
        entries.append('.'.join(first_octets) + ('' if octets == 4 else '.*'))
    return tuple(entries)


def matches(address: str, entries: Iterable[str]) -> bool:
    """Return whether at least one entry matches an address.

    :param entries: entries that :func:`patterns` returned.
    """
    return any(
        entry == address
        or (entry.endswith('*') and address.startswith(entry[:-1]))
        for entry in entries
    )


def parse(access_list: str) -> frozenset[str]:
    """Return the entries of an access list that admit clients."""
    return frozenset(access_list.split(',')) - {gluster.NO_CLIENT}


def extended(entries: Sequence[str], more: Iterable[str]) -> list[str]:
    """Return the entries of an access list plus more entries.

    :raises AccessListFull: the list would be too long.
    """
    all_entries = list(dict.fromkeys((*entries, *more)))
    if len(','.join(all_entries)) > MAX_BYTES:
        raise AccessListFull(MAX_BYTES)
    return all_entries


def kept(
    access_list: str,
    old_entries: Collection[str],
    server_names: Collection[str],
) -> str:
    """Return an access list with only the entries that an old list admits.

    :param old_entries: the entries of the old list.
    :param server_names: entries to keep in any case.
    """
    entries = [
        entry
        for entry in access_list.split(',')
        if entry in server_names or matches(entry, old_entries)
    ]
    return ','.join(entries) or gluster.NO_CLIENT


def entries_of_address(access_to: str) -> tuple[str, ...]:
    """Return the entries that admit an IPv4 address or network.

    :raises AddressNotValid: ``access_to`` is not an address or network.
    :raises AddressNotIPv4: ``access_to`` is an IPv6 address or network.
    """
    try:
        network = ipaddress.ip_network(access_to)
    except ValueError as error:
        raise AddressNotValid(access_to, str(error)) from error
    if not isinstance(network, ipaddress.IPv4Network):
        raise AddressNotIPv4(access_to)
    return patterns(network)


def entries_of_common_name(
    access_to: str, server_names: Iterable[str]
) -> tuple[str, ...]:
    """Return the entries that admit clients with a common name.

    :param access_to: the common name in the certificates of the clients.
    :param server_names: the common names in the certificates of the nodes.
    :raises CommonNameNotValid: an access list cannot contain the common name.
    :raises CommonNameOfNode: the common name belongs to a storage node.
    """
    if not is_common_name(access_to):
        raise CommonNameNotValid(access_to)
    if access_to.casefold() in {name.casefold() for name in server_names}:
        raise CommonNameOfNode(access_to)
    return (access_to,)
