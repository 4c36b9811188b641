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
"""The commands for operators find what is broken, and its remedies help.

Each test ends with a clean cluster, which the nodes confirm.
"""

from collections.abc import Iterator
import time
import uuid

import pytest

from manila_glusterfs_clone.maintenance import differences
from tests.functional import manila_stand_in
from tests.functional import operator_host
from tests.functional import test_storage_faults as faults
from tests import lab as lab_module


@pytest.fixture(scope='module')
def opened(
    conf: str, tmp_path_factory: pytest.TempPathFactory
) -> operator_host.OperatorHost:
    return operator_host.OperatorHost(conf, tmp_path_factory.mktemp('host'))


@pytest.fixture
def host(
    opened: operator_host.OperatorHost,
    manila: manila_stand_in.ManilaStandIn,
) -> Iterator[operator_host.OperatorHost]:
    yield opened
    opened.database.clear()


def serious(outcome: operator_host.Outcome) -> list[tuple[str, str, str]]:
    """Return level, node and kind of what is more than advice."""
    return [
        (row['Level'], row['Node'], row['Kind'])
        for row in outcome.rows
        if row['Level'] != 'advice'
    ]


def require_clean(host: operator_host.OperatorHost) -> None:
    """Check that no command finds anything."""
    check = host.list('check')
    assert (check.status, serious(check)) == (0, []), check.stdout
    status = host.list('status')
    assert (status.status, status.rows[0]['Health']) == (0, 'ok')
    reconcile = host.list('reconcile')
    assert (reconcile.status, reconcile.rows) == (0, [])


def results(outcome: operator_host.Outcome) -> list[tuple[str, str, str]]:
    return [
        (row['Result'], row['Kind'], row['Object']) for row in outcome.rows
    ]


def test_a_good_cluster(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    host: operator_host.OperatorHost,
) -> None:
    share = host.create(manila)
    host.allow(manila, share, lab.client('c1').address)
    require_clean(host)
    (row,) = host.list('status').rows
    count = len(lab.nodes)
    assert row['Nodes'] == f'{count}/{count}'
    assert (row['Shares'], row['Offline shares']) == (1, 0)
    bricks = host.list('status', 'bricks').rows
    assert {brick['Online'] for brick in bricks} == {'yes'}
    pools = host.list('status', 'pools').rows
    assert {pool['Node'] for pool in pools} == {n.address for n in lab.nodes}
    assert {pool['Health'] for pool in pools} == {'ok'}
    found = host.metrics()
    assert found['up', ''] == 1
    assert found['shares', 'available'] == 1
    assert found['bricks_online', ''] == found['bricks', ''] == len(bricks)
    assert found['peers_connected', ''] == count
    for node in lab.nodes:
        labels = f'{node.address},{manila_stand_in.POOL}'
        assert found['node_up', node.address] == 1
        assert found['pool_healthy', labels] == 1
        assert 0 < found['pool_data_used_ratio', labels] < 1


def test_glusterd_is_stopped_on_a_node(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    host: operator_host.OperatorHost,
) -> None:
    host.create(manila)
    node = lab.node('gl2')
    count = len(lab.nodes)
    node.stop_glusterd()
    try:
        check = host.list('check')
        assert check.status == 1
        assert ('fault', node.address, 'glusterd') in serious(check)
        (message,) = {
            row['Message']
            for row in check.rows
            if (row['Node'], row['Kind']) == (node.address, 'glusterd')
        }
        assert 'start' in message
        status = host.list('status')
        assert status.status == 1
        assert status.rows[0]['Health'] == 'degraded'
        assert status.rows[0]['Nodes'] == f'{count - 1}/{count}'
        assert host.metrics()['peers_connected', ''] == count - 1
        # What needs all nodes waits, and nothing fails.
        assert host.list('reconcile', '--apply', '--pause=1').status in (0, 1)
    finally:
        node.start_glusterd()
        lab.wait_connected(120)
    host.list('reconcile', '--apply', '--pause=1')
    require_clean(host)


def test_a_brick_is_offline(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    host: operator_host.OperatorHost,
) -> None:
    share, other = host.create(manila), host.create(manila)
    node = lab.node('gl2')
    faults.kill_brick(node, share)
    deadline = time.monotonic() + 30
    while not (offline := _offline_bricks(host)):
        assert time.monotonic() < deadline, 'glusterd does not notice'
        time.sleep(1)
    assert offline == {(share.id, node.name)}
    (row,) = host.list('status').rows
    assert (row['Health'], row['Offline shares']) == ('degraded', 1)
    shown = {
        row['Share instance']: row['Offline']
        for row in host.list('status', 'shares').rows
    }
    assert shown[other.id] == []
    (part,) = shown[share.id]
    assert part.startswith(f'{node.name}:')
    count = len(host.list('status', 'bricks').rows)
    found = host.metrics()
    assert found['bricks_online', ''] == count - 1
    assert found['differences', differences.OFFLINE] == 1

    difference = differences.OFFLINE, f'share {share.id}'
    reconcile = host.list('reconcile')
    assert reconcile.status == 1
    assert results(reconcile) == [('found', *difference)]
    assert 'a pass' in reconcile.rows[0]['Action']
    reconcile = host.list('reconcile', '--apply', '--pause=1')
    assert (reconcile.status, results(reconcile)) == (
        0,
        [('corrected', *difference)],
    )
    faults.online(lab, share, count // 2)
    found = host.metrics()
    assert found['bricks_online', ''] == count
    assert found['differences', differences.OFFLINE] == 0
    last, *actions = host.list('status', 'maintenance').rows
    assert last['What'] == 'pass'
    assert any(share.id in action['Message'] for action in actions)
    require_clean(host)


def _offline_bricks(
    host: operator_host.OperatorHost,
) -> set[tuple[str, str]]:
    return {
        (row['Share instance'], row['Node'])
        for row in host.list('status', 'bricks').rows
        if row['Online'] == 'no'
    }


def test_a_deleted_share_left_its_logical_volumes(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    host: operator_host.OperatorHost,
) -> None:
    share, kept = host.create(manila), host.create(manila)
    node = lab.node('gl1')
    node.gluster(f'volume stop {share.volume} force')
    node.gluster(f'volume delete {share.volume}')
    manila.shares.pop(share.id)
    host.database.delete_share(share.id)
    difference = differences.ORPHAN, f'share {share.id}'
    reconcile = host.list('reconcile')
    assert (reconcile.status, results(reconcile)) == (
        1,
        [('found', *difference)],
    )
    assert host.metrics()['differences', differences.ORPHAN] == 1
    assert all(_lvs(each, share.id) for each in lab.nodes)
    reconcile = host.list('reconcile', '--apply', '--pause=1')
    assert (reconcile.status, results(reconcile)) == (
        0,
        [('corrected', *difference)],
    )
    assert not any(_lvs(each, share.id) for each in lab.nodes)
    assert all(_lvs(each, kept.id) for each in lab.nodes)
    assert host.metrics()['differences', differences.ORPHAN] == 0
    require_clean(host)


def test_a_logical_volume_that_no_database_knows(
    lab: lab_module.Lab,
    host: operator_host.OperatorHost,
) -> None:
    """The command removes nothing that can be of another Manila."""
    node, stranger = lab.node('gl2'), str(uuid.uuid4())
    tag = f'manila.share={stranger}'
    node.succeed(
        f'lvcreate -q -y -V 1G -T {manila_stand_in.POOL} -n stranger '
        f'--addtag {tag}'
    )
    reconcile = host.list('reconcile', '--apply', '--pause=1')
    assert reconcile.status == 1
    assert results(reconcile) == [
        ('left', differences.UNKNOWN, f'share {stranger}')
    ]
    assert f'lvremove @{tag}' in reconcile.rows[0]['Action']
    assert host.metrics()['differences', differences.UNKNOWN] == 1
    assert _lvs(node, stranger)
    node.succeed(f'lvremove -q -y @{tag}')
    require_clean(host)


@pytest.mark.parametrize('words', ['force', 'auth.allow'])
def test_a_volume_was_reset(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    host: operator_host.OperatorHost,
    words: str,
) -> None:
    share = host.create(manila)
    client, stranger = lab.client('c1'), lab.client('c2')
    host.allow(manila, share, client.address)
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    lab.node('gl1').gluster(f'volume reset {share.volume} {words}')
    assert stranger.can_mount(share.host, share.volume)
    difference = differences.ACCESS, f'share {share.id}'
    reconcile = host.list('reconcile')
    assert reconcile.status == 1
    assert ('found', *difference) in results(reconcile)
    assert host.metrics()['differences', differences.ACCESS] == 1
    reconcile = host.list('reconcile', '--apply', '--pause=1')
    assert reconcile.status == 0
    assert ('corrected', *difference) in results(reconcile)
    assert not stranger.can_mount(share.host, share.volume)
    client.succeed('ls /mnt/share && touch /mnt/share/still')
    assert host.metrics()['differences', differences.ACCESS] == 0
    require_clean(host)


def _lvs(node: lab_module.StorageNode, share_id: str) -> str:
    return node.succeed(
        f'lvs --noheadings -o lv_name @manila.share={share_id}'
    ).strip()
