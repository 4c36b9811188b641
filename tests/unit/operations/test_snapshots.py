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
"""A snapshot is removed only after its pending transactions have ended."""

from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone import retry
from tests.unit.cluster import test_bricks
from tests.unit.cluster import test_cluster
from tests.unit import fakes

SNAPSHOT = 'aaaaaaaa-0000-4000-8000-000000000000'
SHARE = 'bbbbbbbb-0000-4000-8000-000000000000'
VOLUME = names.volume(SHARE)

ASK = f'snapshot info {names.snapshot(SNAPSHOT)}'
INFO = f'volume info {VOLUME}'
STATUS = f'volume status {VOLUME}'

MISSING = fakes.xml(ret=-1, errno=30806, message='does not exist')
BUSY = fakes.xml(ret=-1, errno=30802, message='Another transaction is')
SETTLE = 30.0
TAKEN = fakes.xml(
    f'<snapInfo><snapshots><snapshot><name>{names.snapshot(SNAPSHOT)}</name><snapVolume>'
    f'<name>5eed</name><status>Stopped</status><originVolume>'
    f'<name>{VOLUME}</name></originVolume></snapVolume></snapshot>'
    f'</snapshots></snapInfo>'
)

RMDIR = (
    'remove_directories',
    '/run/gluster/snaps/5eed/brick1',
    '/run/gluster/snaps/5eed',
)
#: What glusterd leaves on each node.
LITTER = ('remove_directories',)
_ABOVE = f'/run/gluster/snaps/{names.snapshot(SNAPSHOT)}'


def info(status: str) -> str:
    return fakes.xml(
        f'<volInfo><volumes><volume><name>{VOLUME}</name><id>i</id>'
        '<bricks><brick><name>gl1:/b/brick</name>'
        '<hostUuid>uuid-1</hostUuid></brick></bricks>'
        f'<statusStr>{status}</statusStr></volume></volumes></volInfo>'
    )


@pytest.fixture
def node() -> fakes.Node:
    return (
        fakes.Node()
        .gluster('pool list', test_cluster.peers(1))
        .answer(test_bricks.LVS, fakes.Answer('{"report": [{"lv": []}]}'))
        .answer(test_bricks.MOUNTS, fakes.Answer('[]'))
        .answer(('list_directory', _ABOVE), fakes.Answer('["5eed", "a11e"]'))
        .answer(
            (*LITTER, f'{_ABOVE}/5eed', f'{_ABOVE}/a11e', _ABOVE, 'keep_full'),
            fakes.Answer(),
        )
    )


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(nodes, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def remove(node: fakes.Node) -> None:
    whole = cluster.Cluster([cluster.Node(node)], settle_timeout=SETTLE)
    room = snapshots.Snapshots(
        whole, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock()
    )
    room.remove(SNAPSHOT, SHARE)


def commands(node: fakes.Node) -> list[str]:
    return [command for command in node.said() if command != 'pool list']


def test_removal_waits_until_a_pending_snapshot_is_taken(
    node: fakes.Node, time: fakes.Clock
) -> None:
    node.gluster(ASK, MISSING)
    node.gluster(INFO, info('Started'))
    node.gluster(STATUS, BUSY, BUSY, fakes.xml())
    remove(node)
    assert commands(node) == [ASK, INFO, STATUS, STATUS, STATUS, ASK, ASK]
    assert len(time.slept) == 2


def test_snapshot_that_was_taken_meanwhile_is_deleted(
    node: fakes.Node,
) -> None:
    name = names.snapshot(SNAPSHOT)
    node.gluster(ASK, MISSING, TAKEN, MISSING)
    node.gluster(INFO, info('Started'))
    node.gluster(STATUS, fakes.xml())
    node.gluster(f'snapshot delete {name}', fakes.xml())
    node.answer(RMDIR, fakes.Answer())
    remove(node)
    assert f'snapshot delete {name}' in commands(node)


def test_transaction_that_does_not_end_fails_the_removal(
    node: fakes.Node,
) -> None:
    node.gluster(ASK, MISSING)
    node.gluster(INFO, info('Started'))
    node.gluster(STATUS, BUSY)
    with pytest.raises(errors.Busy):
        remove(node)
    assert not node.ran


@pytest.mark.parametrize('answer', [info('Stopped'), MISSING])
def test_stopped_volume_has_no_pending_snapshot(
    node: fakes.Node, answer: str
) -> None:
    node.gluster(ASK, MISSING)
    node.gluster(INFO, answer)
    remove(node)
    assert commands(node) == [ASK, INFO, ASK, ASK]


def test_lvs_are_kept_while_a_node_still_has_the_snapshot(
    node: fakes.Node,
) -> None:
    """The node missed the deletion, and restores the snapshot on its peers."""
    name = names.snapshot(SNAPSHOT)
    node.gluster(ASK, MISSING, TAKEN, TAKEN)
    node.gluster(INFO, info('Started'))
    node.gluster(STATUS, fakes.xml())
    node.gluster(f'snapshot delete {name}', fakes.xml())
    node.answer(RMDIR, fakes.Answer())
    with pytest.raises(deletion_on_nodes.StillKnown) as caught:
        remove(node)
    assert caught.value.node == 'gl1'
    assert not [argv for argv in node.ran if argv[0] == 'lvremove']
