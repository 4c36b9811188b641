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
from manila_glusterfs_clone.cluster import nodes
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
    monkeypatch.setattr(nodes, 'time', clock)
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


def make_with_isolated_writer() -> cluster.Cluster:
    """Make a cluster whose first node has lost its peers unnoticed."""
    first, *others = (fakes.Node(f'gl{n}') for n in (1, 2, 3))
    first.gluster('pool list', test_cluster.VIEWS[1])
    first.gluster(INFO, info('old'))
    first.gluster('volume set v auth.allow new', fakes.xml())
    for n, other in enumerate(others, 2):
        other.gluster('pool list', test_cluster.peers(n, 1, 5 - n, away=(1,)))
        other.gluster(INFO, info('new'))
    return test_cluster.make([first, *others])


def test_a_writer_without_peers_is_not_waited_for(time: fakes.Clock) -> None:
    begun = time.now
    confirmation = volume_options.write(
        make_with_isolated_writer(), VOLUME, NEW, must_last=False
    )
    assert time.now - begun < 1.0
    assert confirmation.confirmed_by == {'uuid-2'}
    assert confirmation.connected_uuids == {'uuid-2', 'uuid-3'}
    with pytest.raises(volume_options.NotConfirmed) as caught:
        confirmation.require_bricks_of(VOLUME)
    assert caught.value.nodes == ('gl1',)


FAILED = errors.CommitFailed('gl1', ('volume',), 'on localhost')
#: So many commits fail before a change is given up.
FAILURES = [FAILED] * 3


def make_with_lost_volfiles(
    *, are_restored: bool = True
) -> tuple[fakes.Node, cluster.Cluster]:
    """Make a cluster whose first node applies options at the fourth attempt.

    Its first attempt to end profiling fails, too.

    :param are_restored: if false, the first node never applies the options.
    """
    first, *others = (
        fakes.Node(f'gl{n}').gluster('pool list', test_cluster.VIEWS[n])
        for n in (1, 2, 3)
    )
    if are_restored:
        first.gluster(INFO, *[info('old')] * 3, info('new'))
        first.gluster('volume set v auth.allow new', *FAILURES, fakes.xml())
    else:
        first.gluster(INFO, info('old'))
        first.gluster('volume set v auth.allow new', FAILED)
    first.gluster('volume profile v start', fakes.xml())
    first.gluster('volume profile v stop', FAILED, fakes.xml())
    for node in others:
        node.gluster(INFO, info('new'))
    return first, test_cluster.make([first, *others])


def test_lost_volfiles_of_a_new_volume_are_written_again() -> None:
    node, the_cluster = make_with_lost_volfiles()
    volume = dataclasses.replace(
        VOLUME, options={'auth.allow': 'old'}, status='Created'
    )
    volume_options.write(the_cluster, volume, NEW, must_last=False)
    profiles = [said for said in node.said() if 'profile' in said]
    assert profiles[-1] == 'volume profile v stop'
    assert profiles.count('volume profile v stop') == 2


def test_volfiles_are_written_again_once() -> None:
    node, the_cluster = make_with_lost_volfiles(are_restored=False)
    volume = dataclasses.replace(
        VOLUME, options={'auth.allow': 'old'}, status='Created'
    )
    with pytest.raises(errors.CommitFailed):
        volume_options.write(the_cluster, volume, NEW, must_last=False)
    # Each time a change is given up, after three failed commits.
    sets = node.said().count('volume set v auth.allow new')
    assert sets == 2 * len(FAILURES)


@pytest.mark.parametrize('status', ['Started', 'Stopped'])
def test_a_volume_that_was_started_is_not_profiled(status: str) -> None:
    node, the_cluster = make_with_lost_volfiles()
    volume = dataclasses.replace(
        VOLUME, options={'auth.allow': 'old'}, status=status
    )
    with pytest.raises(errors.CommitFailed):
        volume_options.write(the_cluster, volume, NEW, must_last=False)
    assert not any('profile' in said for said in node.said())


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
