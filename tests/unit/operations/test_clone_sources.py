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
"""A snapshot is active on all nodes or on none, whatever failed."""

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone import retry
from tests.unit.cluster import test_cluster
from tests.unit import fakes

NAME = 'manila-snap-x'
ASK, ACTIVATE = f'snapshot info {NAME}', f'snapshot activate {NAME}'
DEACTIVATE = f'snapshot deactivate {NAME}'
OK = fakes.xml()


def failed(message: str, errno: int = 30800) -> str:
    return fakes.xml(ret=-1, errno=errno, message=message)


GAVE_UP = failed('Commit failed on gl2. Please check log file for details.')
#: As GlusterFS 11.1 says where only a peer has it inactive already.
DIFFERS = failed(
    f'Pre Validation failed on gl2. Snapshot {NAME} is already deactivated.',
    22,
)


def info(status: str) -> str:
    return fakes.xml(
        f'<snapInfo><snapshots><snapshot><name>{NAME}</name><snapVolume>'
        f'<name>5eed</name><status>{status}</status></snapVolume></snapshot>'
        f'</snapshots></snapInfo>'
    )


ON, OFF = info('Started'), info('Stopped')


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(nodes, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def make() -> tuple[clone_sources.CloneSources, fakes.Node, fakes.Node]:
    nodes = [
        fakes.Node(f'gl{n}').gluster('pool list', test_cluster.peers(n, 3 - n))
        for n in (1, 2)
    ]
    whole = cluster.Cluster(
        [cluster.Node(node) for node in nodes], settle_timeout=30
    )
    return (
        clone_sources.CloneSources(whole),
        nodes[0],
        nodes[1],
    )


def commands(node: fakes.Node) -> list[str]:
    return [command for command in node.said() if command.split()[1] != 'list']


def test_activating_fails_where_one_node_cannot() -> None:
    """The writer reports it as active, but gl2 does not have it active."""
    room, first, _ = make()
    first.gluster(ACTIVATE, GAVE_UP).gluster(ASK, ON)
    first.gluster(f'{ACTIVATE} force', GAVE_UP)
    with pytest.raises(errors.CommitFailed) as caught:
        room.activate(NAME)
    assert 'gl2' in caught.value.message


def test_activating_with_force_after_a_failed_commit() -> None:
    room, first, _ = make()
    first.gluster(ACTIVATE, GAVE_UP).gluster(f'{ACTIVATE} force', OK)
    room.activate(NAME)
    assert commands(first) == [ACTIVATE, f'{ACTIVATE} force']


@pytest.mark.parametrize('is_deactivated', [False, True])
def test_a_snapshot_is_not_left_active_on_some_nodes(
    is_deactivated: bool,
) -> None:
    """The next clone would take it for active, and glusterd refuses that."""
    room, first, second = make()
    first.gluster(ASK, OFF, ON).gluster(ACTIVATE, GAVE_UP)
    first.gluster(f'{ACTIVATE} force', GAVE_UP)
    first.gluster(DEACTIVATE, OK if is_deactivated else GAVE_UP)
    second.gluster(ASK, OFF)
    with pytest.raises(errors.CommitFailed):
        room.activate_if_inactive(NAME)
    assert DEACTIVATE in commands(first)


def test_deactivating() -> None:
    room, first, second = make()
    first.gluster(DEACTIVATE, OK).gluster(ASK, OFF)
    second.gluster(ASK, OFF)
    room.deactivate(NAME)
    assert commands(first) == [DEACTIVATE, ASK]


def test_deactivating_a_snapshot_that_is_active_on_some_nodes() -> None:
    room, first, second = make()
    first.gluster(DEACTIVATE, DIFFERS, OK).gluster(ASK, ON, OFF)
    first.gluster(f'{ACTIVATE} force', OK)
    second.gluster(ASK, OFF)
    room.deactivate(NAME)
    assert commands(first) == [
        DEACTIVATE,
        ASK,
        f'{ACTIVATE} force',
        DEACTIVATE,
        ASK,
    ]


def test_snapshot_that_stays_active_names_its_nodes() -> None:
    room, first, second = make()
    first.gluster(DEACTIVATE, DIFFERS).gluster(ASK, ON)
    first.gluster(f'{ACTIVATE} force', OK)
    second.gluster(ASK, OFF)
    with pytest.raises(clone_sources.SnapshotStillActive) as caught:
        room.deactivate(NAME)
    assert caught.value.snapshot == NAME
    assert caught.value.active_node_names == ('gl1',)
