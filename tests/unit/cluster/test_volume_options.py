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
"""Setting options of a volume, and which nodes confirm them."""

import dataclasses

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import xml_output
from tests.unit.cluster import test_cluster
from tests.unit import fakes

INFO = 'volume info v'
AWAY = errors.LinkLost('gl2', ('gluster',), 'EOF')


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(cluster, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def info(value: str) -> str:
    bricks = ''.join(
        f'<brick><name>gl{n}:/b/brick</name><hostUuid>uuid-{n}</hostUuid>'
        f'</brick>'
        for n in (1, 2)
    )
    return fakes.xml(
        '<volInfo><volumes><volume><name>v</name><id>i</id>'
        f'<statusStr>Started</statusStr><bricks>{bricks}</bricks>'
        f'<options><option><name>auth.allow</name><value>{value}</value>'
        '</option></options></volume></volumes></volInfo>'
    )


VOLUME = gluster.Volume(
    name='v',
    id='i',
    status='Started',
    snapshot_count=0,
    replica_count=2,
    bricks=tuple(
        xml_output.Brick(f'gl{n}', '/b/brick', f'uuid-{n}') for n in (1, 2)
    ),
    options={'auth.allow': 'new'},
)
NEW = {'auth.allow': 'new'}


def make(second: fakes.Reply | str) -> cluster.Cluster:
    nodes = [
        fakes.Node(f'gl{n}').gluster('pool list', test_cluster.VIEWS[n])
        for n in (1, 2, 3)
    ]
    nodes[0].gluster(INFO, info('new'))
    nodes[0].gluster('volume set v auth.allow new', fakes.xml())
    nodes[1].gluster(INFO, second)
    return test_cluster.make(nodes)


def test_all_nodes_with_a_brick_confirm() -> None:
    confirmation = volume_options.write(
        make(info('new')), VOLUME, NEW, must_last=False
    )
    assert confirmation.confirmed_by == {'uuid-1', 'uuid-2'}
    confirmation.require_bricks_of(VOLUME)


def test_a_node_that_does_not_answer_has_not_confirmed() -> None:
    confirmation = volume_options.write(
        make(AWAY), VOLUME, NEW, must_last=False
    )
    assert confirmation.confirmed_by == {'uuid-1'}
    with pytest.raises(volume_options.NotConfirmed) as caught:
        confirmation.require_bricks_of(VOLUME)
    assert caught.value.nodes == ('gl2',)
    assert len(caught.value.reasons) == 1


def test_a_node_that_keeps_the_old_options_is_named(
    time: fakes.Clock,
) -> None:
    begun = time.now
    with pytest.raises(volume_options.NotConfirmed) as caught:
        volume_options.write(make(info('old')), VOLUME, NEW, must_last=False)
    assert caught.value.nodes == ('gl2',)
    assert time.now - begun >= test_cluster.SETTLE


@pytest.mark.parametrize('status', ['Created', 'Started'])
def test_lost_volfiles_of_a_volume_without_clients_are_written_again(
    status: str,
) -> None:
    node = (
        fakes.Node('gl1')
        .gluster('pool list', test_cluster.VIEWS[1])
        .gluster(
            'volume set v auth.allow new',
            errors.CommitFailed('gl1', ('volume', 'set'), 'on localhost'),
            fakes.xml(),
        )
        .gluster('volume profile v start', fakes.xml())
        .gluster('volume profile v stop', fakes.xml())
        .gluster(INFO, info('old'), info('new'))
    )
    others = [
        fakes.Node(f'gl{n}')
        .gluster('pool list', test_cluster.VIEWS[n])
        .gluster(INFO, info('new'))
        for n in (2, 3)
    ]
    volume = dataclasses.replace(
        VOLUME, options={'auth.allow': 'old'}, status=status
    )
    volume_options.write(
        test_cluster.make([node, *others]), volume, NEW, must_last=False
    )
    changes = [said for said in node.said() if said.startswith('volume p')]
    assert changes == (
        ['volume profile v start', 'volume profile v stop']
        if status == 'Created'
        else []
    )


@pytest.mark.parametrize(
    ('volume', 'has_options'),
    [(VOLUME, True), (None, False)],
    ids=['exists', 'does not exist'],
)
def test_whether_a_volume_has_options(
    volume: gluster.Volume | None, has_options: bool
) -> None:
    assert volume_options.has_options(volume, NEW) is has_options
    assert not volume_options.has_options(volume, {'auth.allow': 'old'})
