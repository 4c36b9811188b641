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
"""The runner as a real process: facts about the node, for checks."""

import os
import pathlib
import sys
import time

import pytest

from tests.unit import runner_process
from tests.unit.runner_process import step

Node = runner_process.Node
Talk = runner_process.Talk

FACTS = step('node_facts')
HEAD = '  sl  local_address rem_address   st tx_queue rx_queue\n'
PEM = (
    '-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n'
    '-----END CERTIFICATE-----'
)


def modules(node: Node) -> pathlib.Path:
    """Return the directory of the kernel's modules."""
    directory = node.root / 'modules' / os.uname().release
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def test_a_node_without_facts(node: Node, talk: Talk) -> None:
    before = time.time()
    facts = talk.value(FACTS)
    assert before <= facts.pop('clock') <= time.time()
    assert 0 <= facts.pop('state_percent') <= 100
    assert facts == {
        'mtab': None,
        'kernel': os.uname().release,
        'has_dm_thin_pool': None,
        'has_xfs': None,
        'glusterd_addresses': None,
        'tls': None,
    }


def test_mtab(node: Node, talk: Talk) -> None:
    mtab = node.root / 'mtab'
    mtab.symlink_to('../proc/self/mounts')
    assert talk.value(FACTS)['mtab'] == '../proc/self/mounts'
    mtab.unlink()
    mtab.write_text('/dev/sda1 / ext4 rw 0 0\n')
    assert talk.value(FACTS)['mtab'] is None


def test_modules_of_the_kernel(node: Node, talk: Talk) -> None:
    directory = modules(node)
    (directory / 'modules.dep').write_text(
        'kernel/drivers/md/dm-thin-pool.ko.xz: kernel/drivers/md/dm-bufio.ko\n'
        'kernel/fs/ext4/ext4.ko: kernel/fs/xfs/xfs.ko\n'
    )
    facts = talk.value(FACTS)
    assert facts['has_dm_thin_pool'] is True
    assert facts['has_xfs'] is False
    (directory / 'modules.builtin').write_text('kernel/fs/xfs/xfs.ko\n')
    assert talk.value(FACTS)['has_xfs'] is True


def test_a_module_that_is_loaded(node: Node, talk: Talk) -> None:
    modules(node)
    (node.root / 'loaded' / 'xfs').mkdir(parents=True)
    assert talk.value(FACTS)['has_xfs'] is True


@pytest.mark.skipif(
    sys.byteorder == 'big',
    reason='the addresses below are those of a little-endian kernel',
)
def test_where_glusterd_listens(node: Node, talk: Talk) -> None:
    tcp, tcp6 = node.proc / 'net' / 'tcp', node.proc / 'net' / 'tcp6'
    tcp.write_text(HEAD)
    assert talk.value(FACTS)['glusterd_addresses'] == []
    tcp.write_text(
        f'{HEAD}   0: 0100007F:5DC7 00000000:0000 0A 0:0\n'
        '   1: 0B00580A:5DC7 0C00580A:C001 01 0:0\n'
        '   2: 0D00580A:0016 00000000:0000 0A 0:0\n'
    )
    assert talk.value(FACTS)['glusterd_addresses'] == ['127.0.0.1']
    rest = '00000000000000000000000000000000:0000 0A 0:0'
    tcp6.write_text(
        f'{HEAD}   0: 00000000000000000000000001000000:5DC7 {rest}\n'
        f'   1: 000000FD000000000000000001000000:5DC7 {rest}\n'
    )
    found = talk.value(FACTS)['glusterd_addresses']
    assert found == ['127.0.0.1', '::1', 'fd00::1']


def test_tls_files(node: Node, talk: Talk) -> None:
    directory = node.root / 'tls'
    directory.mkdir()
    assert talk.value(FACTS)['tls'] is None
    (directory / 'glusterfs.ca').write_text(f'x\n{PEM}\n{PEM}\n')
    expected = {
        'directory': str(directory),
        'has_key': False,
        'certificates': None,
        'authorities': [PEM, PEM],
    }
    assert talk.value(FACTS)['tls'] == expected
    (directory / 'glusterfs.pem').write_text('')
    (directory / 'glusterfs.key').write_text('')
    assert talk.value(FACTS)['tls'] == {
        **expected,
        'has_key': True,
        'certificates': [],
    }


def test_a_private_key_stays_on_the_node(node: Node, talk: Talk) -> None:
    """A file with certificates can contain the key, too."""
    directory = node.root / 'tls'
    directory.mkdir()
    key = PEM.replace('CERTIFICATE', 'PRIVATE KEY').replace('MII', 'KEY')
    cut = PEM.partition('-----END')[0]
    (directory / 'glusterfs.key').write_text(key)
    for text in (f'{key}\n{PEM}\n{key}\n', f'{cut}{key}\n{PEM}\n'):
        (directory / 'glusterfs.pem').write_text(text)
        answer = talk.one(FACTS)
        assert PEM.split()[2] in answer['stdout']
        assert 'KEY' not in answer['stdout']


def test_programs(node: Node, talk: Talk) -> None:
    node.program('lvs', 'echo LVM version: 2.03.16')
    node.program('systemctl', 'echo disabled; exit 1')
    assert 'LVM' in talk.one(step('lvm_version'))['stdout']
    assert talk.one(step('glusterd_unit'))['stdout'] == 'disabled\n'
    assert node.calls() == [
        'lvs --version',
        'systemctl is-enabled glusterd.service',
    ]


def test_the_options_of_the_trusted_storage_pool(talk: Talk) -> None:
    answer = talk.one(step('gluster', words=['volume', 'get', 'all', 'all']))
    assert '<line>volume get all all</line>' in answer['stdout']
