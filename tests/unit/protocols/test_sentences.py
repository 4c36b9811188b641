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
"""The sentences of the errors that the protocols raise."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.protocols import native

SENTENCES = [
    (
        protocols.AccessTypeNotSupported('user', 'ip'),
        'access type "user": not supported by this back end; use "ip"',
    ),
    (
        access_levels.AccessLevelNotSupported('r'),
        'access level "r": not supported; use "rw" or "ro"',
    ),
    (
        access_levels.AccessLevelsDiffer('ro', 'rw'),
        'access level "ro": other rules of the share have the level "rw", and '
        'GlusterFS cannot grant both levels on one volume; use the level '
        '"rw", or delete all rules of the share and add this rule again',
    ),
    (
        native.VolumeNotFound('v'),
        'volume v: does not exist; check "gluster volume list", and delete '
        'the share if the volume was removed',
    ),
    (
        access_lists.AddressNotValid('10.0.0', 'too short'),
        "access rule for '10.0.0': not an address or network: too short; "
        'correct the address',
    ),
    (
        access_lists.AddressNotIPv4('fd00::/8'),
        'access rule for fd00::/8: GlusterFS cannot match IPv6 addresses; use '
        'an IPv4 address or network',
    ),
    (
        access_lists.CommonNameNotValid('a,b'),
        "common name 'a,b': has characters that a GlusterFS access list "
        'cannot contain; use a certificate with another common name',
    ),
    (
        access_lists.CommonNameOfNode('gl1'),
        "common name 'gl1': belongs to a storage node; use the common name of "
        'a client',
    ),
    (
        access_lists.AccessListFull(4000),
        'access list: no room for all rules of the share in 4000 bytes; '
        'delete rules, or merge them into networks',
    ),
    (
        eviction.RevocationNotConfirmed('v', ('gl1', 'gl2'), ('no route',)),
        'volume v: glusterd on gl1, gl2 did not confirm the access rules (no '
        'route), and bricks there may still admit clients whose rule was '
        'revoked; start glusterd there, or repair the network, and revoke the '
        'rules again',
    ),
    (
        eviction.ClientsStillConnected('v', ('10.0.0.1', '10.0.0.2'), 60.0),
        'volume v: clients without an access rule are still connected after '
        '60 s: 10.0.0.1, 10.0.0.2; unmount the share on these clients, and '
        'revoke the rules again',
    ),
    (
        eviction.ClientsNotReported('v', ('gl1',)),
        'volume v: glusterd does not report the clients of the bricks on gl1; '
        'check that glusterd runs there, and revoke the rules again',
    ),
]


@pytest.mark.parametrize(
    ('error', 'sentence'), SENTENCES, ids=lambda part: type(part).__name__
)
def test_sentence(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence
