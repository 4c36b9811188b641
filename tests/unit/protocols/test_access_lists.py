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
"""Access list entries match exactly the addresses of a network."""

import fnmatch
import ipaddress

from hypothesis import given
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone.tools import gluster

ALL = 1 << 32
ADDRESSES = st.integers(0, ALL - 1)
NETWORKS = st.builds(
    lambda address, length: ipaddress.IPv4Network(
        (address, length), strict=False
    ),
    ADDRESSES,
    st.integers(0, 32),
)


def near(network: ipaddress.IPv4Network) -> list[int]:
    """Give the addresses at and around the ends of a network."""
    first = int(network.network_address)
    last = int(network.broadcast_address)
    wanted = {0, ALL - 1}
    for end in (first, last):
        for step in (0, 1, 2, 255, 256, 257, 1 << 16, 1 << 24):
            wanted |= {end - step, end + step}
    return [number for number in wanted if 0 <= number < ALL]


def admits(entries: tuple[str, ...], number: int) -> bool:
    """Tell what glusterfsd does: fnmatch() with each entry."""
    address = str(ipaddress.IPv4Address(number))
    admitted = any(fnmatch.fnmatchcase(address, entry) for entry in entries)
    assert access_lists.matches(address, entries) is admitted
    return admitted


@pytest.mark.parametrize('length', range(33))
@pytest.mark.parametrize('seed', [0, 0x0A000000, 0xC0A80FF7, ALL - 1])
def test_a_network_is_what_it_admits_at_its_ends(
    length: int, seed: int
) -> None:
    network = ipaddress.IPv4Network((seed, length), strict=False)
    entries = access_lists.patterns(network)
    for number in near(network):
        assert admits(entries, number) is (
            ipaddress.IPv4Address(number) in network
        )


@given(NETWORKS, st.lists(ADDRESSES, max_size=20), st.integers(0, ALL - 1))
def test_a_network_is_what_it_admits_anywhere(
    network: ipaddress.IPv4Network, elsewhere: list[int], inside: int
) -> None:
    entries = access_lists.patterns(network)
    within = int(network.network_address) + inside % network.num_addresses
    assert admits(entries, within)
    for number in (*elsewhere, *near(network)):
        assert admits(entries, number) is (
            ipaddress.IPv4Address(number) in network
        )


@pytest.mark.parametrize('length', range(24, 33))
def test_small_networks_address_by_address(length: int) -> None:
    around = ipaddress.IPv4Network('10.1.2.0/23')
    networks = [*around.subnets(new_prefix=length)]
    for network in networks[:: max(1, len(networks) // 15)]:
        entries = access_lists.patterns(network)
        admitted = {str(a) for a in around if admits(entries, int(a))}
        assert admitted == {str(a) for a in network}


@given(NETWORKS)
def test_entries_are_few_plain_and_without_a_prefix(
    network: ipaddress.IPv4Network,
) -> None:
    entries = access_lists.patterns(network)
    assert 1 <= len(entries) <= 128
    assert len(set(entries)) == len(entries)
    for entry in entries:
        assert set(entry) <= set('0123456789.*')
        assert entry.count('*') <= 1
        assert '*' not in entry[:-1]
    assert len(','.join(entries)) <= access_lists.MAX_BYTES


@pytest.mark.parametrize(
    ('network', 'entries'),
    [
        ('0.0.0.0/0', ('*',)),
        ('10.0.0.0/8', ('10.*',)),
        ('10.1.0.0/16', ('10.1.*',)),
        ('10.1.2.0/24', ('10.1.2.*',)),
        ('10.1.2.3/32', ('10.1.2.3',)),
        ('10.1.2.254/31', ('10.1.2.254', '10.1.2.255')),
        ('192.168.252.0/23', ('192.168.252.*', '192.168.253.*')),
    ],
)
def test_examples(network: str, entries: tuple[str, ...]) -> None:
    assert access_lists.patterns(ipaddress.IPv4Network(network)) == entries


def test_one_octet_does_not_match_the_beginning_of_another() -> None:
    assert not access_lists.matches('100.0.0.1', ('10.*',))
    assert not access_lists.matches('10.10.0.1', ('10.1.*',))
    assert not access_lists.matches('10.0.0.11', ('10.0.0.1',))
    assert not access_lists.matches('10.0.0.1', ())
    assert not access_lists.matches('10.0.0.1', (gluster.NO_CLIENT,))
