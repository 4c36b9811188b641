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
"""The facts about a node that only the command check needs."""

import json
from typing import Any

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone.tools import node_facts
from tests.model import node_facts as model_facts
from tests.unit import fakes

FACTS = ('node_facts',)
LVM = ('lvs', '--version')
UNIT = ('systemctl', 'is-enabled', verbs.GLUSTERD_UNIT)
TLS = {
    'directory': '/etc/ssl',
    'has_key': True,
    'certificates': ['a', 'b'],
    'authorities': None,
}


def node(**changes: Any) -> fakes.Node:
    facts = {'clock': 5.5, **model_facts.USUAL, **changes}
    return fakes.Node().answer(FACTS, fakes.Answer(json.dumps(facts)))


def read(**changes: Any) -> node_facts.Facts:
    return node_facts.read(node(**changes), ('lvs', 'systemctl'))


def test_all_facts() -> None:
    fake = node()
    fake.answer(LVM, fakes.Answer('  LVM version:     2.03.16(2) (2022)\n'))
    fake.answer(UNIT, fakes.Answer('disabled\n', '', 1))
    facts = node_facts.read(fake, ())
    assert fake.request_count == 1
    assert facts.clock == 5.5
    assert facts.lvm == (2, 3, 16)
    assert facts.glusterd_unit == 'disabled'
    assert facts.mtab == '../proc/self/mounts'
    assert facts.kernel == '6.1.0'
    assert facts.state_percent == 12
    assert facts.is_listening
    assert facts.has_thin_pools and facts.has_xfs
    assert not facts.has_tls_key
    assert not facts.tls_certificate.exists


def test_facts_that_are_unknown() -> None:
    facts = read(
        mtab=None,
        has_dm_thin_pool=None,
        has_xfs=None,
        glusterd_addresses=None,
        state_percent=None,
    )
    assert facts.lvm == ()
    assert facts.glusterd_unit == ''
    assert facts.mtab == ''
    assert facts.has_thin_pools is None
    assert facts.has_xfs is None
    assert facts.is_listening is None
    assert facts.state_percent is None


@pytest.mark.parametrize(
    ('addresses', 'is_listening'),
    [
        ([], False),
        (['127.0.0.1'], False),
        (['127.0.0.2', '::1', '::ffff:127.0.0.1'], False),
        (['0.0.0.0'], True),
        (['::'], True),
        (['127.0.0.1', '10.88.0.10'], True),
    ],
)
def test_where_glusterd_listens(
    addresses: list[str], is_listening: bool
) -> None:
    facts = read(glusterd_addresses=addresses)
    assert facts.is_listening is is_listening


def test_tls_files() -> None:
    facts = read(tls=TLS)
    assert facts.tls_directory == '/etc/ssl'
    assert facts.has_tls_key
    assert facts.tls_certificate == node_facts.TlsFile(
        '/etc/ssl/glusterfs.pem', True, ('a', 'b')
    )
    assert facts.tls_authority == node_facts.TlsFile(
        '/etc/ssl/glusterfs.ca', False, ()
    )


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{}',
        json.dumps({'clock': 'soon', **model_facts.USUAL}),
        json.dumps(
            {'clock': 1, **model_facts.USUAL, 'glusterd_addresses': ['x']}
        ),
        json.dumps({'clock': 1, **model_facts.USUAL, 'tls': 'x'}),
    ],
)
def test_an_unreadable_answer(text: str) -> None:
    fake = fakes.Node().answer(FACTS, fakes.Answer(text))
    with pytest.raises(errors.Garbled):
        node_facts.read(fake, ('lvs', 'systemctl'))
