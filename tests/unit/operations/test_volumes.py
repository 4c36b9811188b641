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
"""Which volume belongs to a share, and when it denies all clients."""

from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from tests.unit.cluster import test_cluster
from tests.unit import fakes

ID = 'aaaaaaaa-0000-4000-8000-000000000000'
OTHER = 'bbbbbbbb-0000-4000-8000-000000000000'
NAME = names.volume(ID)
INFO = f'volume info {NAME}'


def info(mark: str | None) -> str:
    option = (
        ''
        if mark is None
        else f'<option><name>user.manila.share</name><value>{mark}</value>'
        f'</option>'
    )
    return fakes.xml(
        f'<volInfo><volumes><volume><name>{NAME}</name><id>i</id>'
        '<bricks><brick><name>gl1:/b/brick</name></brick></bricks>'
        f'<statusStr>Created</statusStr><options>{option}</options>'
        f'</volume></volumes></volInfo>'
    )


def make(answer: str) -> tuple[volumes.Volumes, fakes.Node]:
    node = fakes.Node().gluster('pool list', test_cluster.peers(1))
    node.gluster(INFO, answer)
    whole = cluster.Cluster([cluster.Node(node)], settle_timeout=30)
    room = volumes.Volumes(whole, mock.Mock(), backend_mark='gold')
    return room, node


def test_volume_with_the_mark_of_the_share_is_finished() -> None:
    room, _ = make(info(ID))
    assert room.get_finished(ID).name == NAME


@pytest.mark.parametrize('mark', [None, '', OTHER])
def test_volume_without_its_mark_is_unfinished_and_never_started(
    mark: str | None,
) -> None:
    room, node = make(info(mark))
    assert room.get(ID).name == NAME
    with pytest.raises(errors.Missing):
        room.get_finished(ID)
    with pytest.raises(errors.Missing):
        room.bring_online(ID)
    assert not room.is_finished(ID)
    assert not [command for command in node.said() if 'start' in command]


@pytest.mark.parametrize('mark', [ID, None, '', 'mine'])
def test_volume_in_use_needs_no_mark(
    mark: str | None,
) -> None:
    """Resetting a volume removes the mark, and anybody can overwrite it."""
    room, _ = make(info(mark))
    assert room.get_in_use(ID).name == NAME


@pytest.mark.parametrize(
    ('mark', 'kind'),
    [
        (OTHER, volumes.VolumeOfOtherShare),
        (names.UNMANAGED, volumes.VolumeUnmanaged),
    ],
)
def test_volume_with_the_mark_of_another_owner_is_not_in_use(
    mark: str, kind: type[errors.Error]
) -> None:
    room, _ = make(info(mark))
    with pytest.raises(errors.Error) as caught:
        room.get_in_use(ID)
    assert type(caught.value) is kind
    # Only this base class sets the share to the status error.
    assert isinstance(caught.value, errors.Missing)


def test_volume_that_does_not_exist() -> None:
    room, _ = make(fakes.xml(ret=-1, errno=30806, message='does not exist'))
    for get in (room.get, room.get_finished, room.get_in_use):
        with pytest.raises(volumes.VolumeNotFound) as caught:
            get(ID)
        assert caught.value.volume == NAME


def test_denying_all_fails_if_a_node_with_a_brick_does_not_confirm() -> None:
    """A brick of a clone would still admit the clients of its origin."""
    marks = ('user.manila.share', 'user.manila.backend')
    rows = ''.join(
        f'<option><name>{name}</name><value>{value}</value></option>'
        for name, value in zip(marks, (ID, 'gold'), strict=True)
    )
    bricks = ''.join(
        f'<brick><name>gl{n}:/b/brick</name><hostUuid>uuid-{n}</hostUuid>'
        f'</brick>'
        for n in (1, 2)
    )
    answer = fakes.xml(
        f'<volInfo><volumes><volume><name>{NAME}</name><id>i</id>'
        f'<statusStr>Created</statusStr><options>{rows}</options>'
        f'<bricks>{bricks}</bricks></volume></volumes></volInfo>'
    )
    nodes = [fakes.Node(f'gl{n}') for n in (1, 2, 3)]
    for n, node in enumerate(nodes, 1):
        node.grown().gluster('pool list', test_cluster.VIEWS[n])
    nodes[0].gluster(INFO, answer)
    lost = errors.LinkLost('gl2', ('gluster',), 'EOF')
    away = errors.Down('gl3', 'no route')
    nodes[1].gluster(INFO, answer, lost)
    nodes[2].gluster(INFO, away)
    whole = cluster.Cluster(
        [cluster.Node(node) for node in nodes], settle_timeout=30
    )
    access = mock.Mock(**{'deny_all_options.return_value': {}})
    access.options_not_inherited.return_value = ()
    room = volumes.Volumes(whole, access, backend_mark='gold')
    room.deny_all(ID)
    with pytest.raises(volume_options.NotConfirmed) as caught:
        room.deny_all(ID)
    assert caught.value.nodes == ('gl2',)
    assert len(caught.value.reasons) == 1
    # And one that is not connected may take over what was before.
    nodes[0]._script[(*fakes.CONSOLE, 'pool', 'list')] = [
        fakes.Answer(test_cluster.peers(1, 2, 3, away=(2,)))
    ]
    with pytest.raises(volume_options.NotConfirmed) as caught:
        room.deny_all(ID)
    assert caught.value.nodes == ('gl2',)
