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
"""``status`` and ``reconcile`` beside a manila-share, over the model."""

from collections.abc import Callable, Iterator
import datetime
import pathlib
import uuid

from manila import db
from manila.share import rpcapi
from prometheus_client import parser
import pytest

from manila_glusterfs_clone.cmd import metric_families
from manila_glusterfs_clone.cmd import reconcile
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import pass_records
from tests.model import alerts
from tests.model import model_backend
from tests.model import operator_host
from tests.model import test_maintenance
from tests.model.test_share_manager import Cloud
from tests.model.test_share_manager import cloud  # noqa: F401
from tests.model.test_share_manager import share_type  # noqa: F401

CLIENT = '10.0.0.5'


@pytest.fixture
def host(
    cloud: Cloud,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[operator_host.OperatorHost]:
    monkeypatch.setattr(
        rpcapi.ShareAPI,
        'update_access',
        lambda api, context, instance: cloud.manager.update_access(
            cloud.context, instance['id']
        ),
    )
    # The command holds the work lock of the instance while it asks.
    deletions: list[str] = []
    monkeypatch.setattr(
        rpcapi.ShareAPI,
        'delete_share_instance',
        lambda api, context, instance: deletions.append(instance['id']),
    )
    wait = reconcile.Reconcile._wait

    def delete_and_wait(command: reconcile.Reconcile, seconds: float) -> None:
        while deletions:
            cloud.manager.delete_share_instance(
                cloud.context, deletions.pop(), force=False
            )
        wait(command, seconds)

    monkeypatch.setattr(reconcile.Reconcile, '_wait', delete_and_wait)
    yield operator_host.OperatorHost(cloud.pool, tmp_path, capsys)


def volume_of(cloud: Cloud, share: str) -> str:  # noqa: F811
    return f'manila-{cloud.instance(share)}'


# -- status


def test_status_of_a_back_end_that_is_well(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share = cloud.create()
    cloud.snapshot(share)
    outcome = host.run('status', '--json')
    assert outcome.status == 0
    (row,) = outcome.rows
    assert row['Back end'] == 'model'
    assert row['Health'] == 'ok'
    assert row['Nodes'] == '3/3'
    assert (row['Shares'], row['Snapshots']) == (1, 1)
    assert row['Bricks online'] == '3/3'
    assert row['Offline shares'] == 0
    pools = host.run('status', 'pools', '--json').rows
    assert [pool['Node'] for pool in pools] == ['gl1', 'gl2', 'gl3']
    assert {pool['Size'] for pool in pools} == {64 * model_backend.GIB}
    assert {pool['Health'] for pool in pools} == {'ok'}
    (shown,) = host.run('status', 'shares', '--json').rows
    assert shown == {
        'Back end': 'model',
        'Share instance': cloud.instance(share),
        'Status': 'available',
        'Volume': 'started',
        'Bricks': 3,
        'Offline': [],
    }
    bricks = host.run('status', 'bricks', '--json').rows
    assert [brick['Online'] for brick in bricks] == ['yes'] * 3


def test_status_with_a_node_down_and_a_share_offline(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share, other = cloud.create(), cloud.create()
    volume = cloud.pool.state.volumes[volume_of(cloud, share)]
    volume.status = 'Stopped'
    cloud.pool.cut('gl3')
    cloud.pool.time.advance(300)
    outcome = host.run('status', '--json')
    assert outcome.status == 1
    (row,) = outcome.rows
    assert row['Health'] == 'degraded'
    assert row['Nodes'] == '2/3'
    assert row['Offline shares'] == 1
    rows = host.run('status', 'shares', '--json').rows
    parts = {each['Share instance']: each['Offline'] for each in rows}
    assert parts[cloud.instance(share)] == ['its volume is not started']
    assert parts[cloud.instance(other)] == []


def test_status_without_the_cluster(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    """Manila's database still tells what there is."""
    share = cloud.create()
    cloud.pool.cut()
    cloud.pool.time.advance(300)
    outcome = host.run('status', '--json')
    assert outcome.status == 1
    (row,) = outcome.rows
    assert (row['Health'], row['Nodes'], row['Shares']) == (
        'unreachable',
        '0/3',
        1,
    )
    assert outcome.stderr.count('\n') == 1
    (shown,) = host.run('status', 'shares', '--json').rows
    assert shown['Volume'] == 'unknown'
    assert shown['Share instance'] == cloud.instance(share)


def test_status_of_maintenance(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    """What a pass did is seen from another process, in its time."""
    share = cloud.create()
    cloud.allow(share, 'ip', CLIENT)
    (row,) = host.run('status', 'maintenance', '--json').rows
    assert row['What'] == pass_records.START or row['Time'] is None
    volume = cloud.pool.state.volumes[volume_of(cloud, share)]
    volume.options['auth.allow'] = '*'
    began = cloud.pool.time.now
    cloud.manager.driver._backend.maintenance.run_pass()
    rows = host.run('status', 'maintenance', '--json').rows
    assert rows[0]['What'] == 'pass'
    assert rows[0]['Message'].startswith('done: ')
    time = datetime.datetime.fromisoformat(rows[0]['Time'])
    assert abs(time.timestamp() - began) <= 1
    assert len(rows) == 2
    assert volume.name in rows[1]['Message']
    (row,) = host.run('status', '--json').rows
    assert (row['Last maintenance'], row['Outcome']) == (
        rows[0]['Time'],
        'done',
    )
    # A pass without an action keeps the earlier actions.
    cloud.pool.time.advance(600)
    cloud.manager.driver._backend.maintenance.run_pass()
    later = host.run('status', 'maintenance', '--json').rows
    assert later[0]['Time'] > rows[0]['Time']
    assert later[1:] == rows[1:]


def test_a_pass_with_a_node_down_is_recorded_as_incomplete(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    cloud.create()
    cloud.pool.cut('gl3')
    cloud.pool.time.advance(300)
    cloud.manager.driver._backend.maintenance.run_pass()
    (row,) = host.run('status', '--json').rows
    assert row['Outcome'] == 'incomplete'


# -- reconcile


def _stop(cloud: Cloud, share: str) -> None:  # noqa: F811
    cloud.pool.state.volumes[volume_of(cloud, share)].status = 'Stopped'


def _open(cloud: Cloud, share: str) -> None:  # noqa: F811
    volume = cloud.pool.state.volumes[volume_of(cloud, share)]
    volume.options['auth.allow'] = '*'


def _untag(cloud: Cloud, share: str) -> None:  # noqa: F811
    lvs = cloud.pool.nodes['gl2'].lvm.lvs
    lvs[volume_of(cloud, share)].tags.discard('manila.brick')


def _activate(cloud: Cloud, share: str) -> None:  # noqa: F811
    snapshot = cloud.snapshot(share)
    instance = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    node = cloud.pool.nodes['gl1']
    words = ('snapshot', 'activate', f'manila-snap-{instance}')
    assert '<opRet>0' in cloud.pool.glusterd.ask(node, words)


def _interrupt(cloud: Cloud, share: str) -> None:  # noqa: F811
    instance = cloud.instance(share)
    db.share_instance_update(cloud.context, instance, {'status': 'extending'})
    marks = cloud.manager.driver._services.marks
    marks.set(instance, work_marks.Work(work_marks.EXTEND, 3))


def _lose_rule(cloud: Cloud, share: str) -> None:  # noqa: F811
    """Have manila-share stop after it took a request from the queue."""
    cloud.stop()
    cloud.allow(share, 'ip', CLIENT)
    cloud.queue = None


def _keep_syncing(cloud: Cloud, share: str) -> None:  # noqa: F811
    """Have manila-share start while a rule is in error."""
    rule = cloud.allow(share, 'ip', CLIENT)
    instance = cloud.instance(share)
    db.share_instance_access_update(
        cloud.context, rule, instance, {'state': 'error'}
    )
    db.share_instance_update(
        cloud.context, instance, {'access_rules_status': 'error'}
    )
    cloud.stop()
    cloud.start()
    assert cloud.share(share)['access_rules_status'] == 'syncing'


def _lose_deletion(cloud: Cloud, share: str) -> None:  # noqa: F811
    """Have manila-share stop after it took a request from the queue."""
    cloud.stop()
    cloud.delete(share)
    cloud.queue = None


def _orphan(cloud: Cloud, share: str) -> None:  # noqa: F811
    """Delete a share in Manila only, long ago."""
    db.share_instance_delete(cloud.context, cloud.instance(share))
    test_maintenance.age(2)


DAMAGES: dict[str, Callable[[Cloud, str], None]] = {
    differences.OFFLINE: _stop,
    differences.ACCESS: _open,
    differences.TAGS: _untag,
    differences.LEFTOVER: _activate,
    differences.INTERRUPTED: _interrupt,
    differences.QUEUED_REQUEST: _lose_deletion,
    differences.QUEUED_RULES: _lose_rule,
    differences.RULES_STATUS: _keep_syncing,
    differences.ORPHAN: _orphan,
}


def kinds(outcome: operator_host.Outcome) -> set[tuple[str, str]]:
    return {(row['Result'], row['Kind']) for row in outcome.rows}


def test_nothing_to_reconcile(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    """Objects of another Manila and of the operator are no differences."""
    cloud.allow(cloud.create(), 'ip', CLIENT)
    for words in (['reconcile'], ['reconcile', '--apply']):
        outcome = host.run(*words, '--json')
        assert (outcome.status, outcome.rows) == (0, [])
        assert not [s for s in host.process.steps if not s.is_read]


@pytest.mark.parametrize('kind', DAMAGES)
def test_reconcile_finds_and_corrects(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
    kind: str,
) -> None:
    share, other = cloud.create(), cloud.create()
    rule = cloud.allow(other, 'ip', CLIENT)
    instance = cloud.instance(share)
    DAMAGES[kind](cloud, share)
    found = host.run('reconcile', '--json')
    assert found.status == 1
    assert ('found', kind) in kinds(found)
    # Without --apply, nothing changes.
    assert not [s for s in host.process.steps if not s.is_read]
    assert kinds(host.run('reconcile', '--json')) == kinds(found)

    corrected = host.run('reconcile', '--apply', '--json')
    assert corrected.status == 0, corrected
    assert ('corrected', kind) in kinds(corrected)
    assert {result for result, _ in kinds(corrected)} == {'corrected'}
    assert instance in corrected.stderr or kind == differences.LEFTOVER
    assert host.run('reconcile', '--json').rows == []
    # The client of the other share kept its access all the time.
    assert cloud.pool.mounted(volume_of(cloud, other)) == {CLIENT}
    assert cloud.rules(other) == {rule: 'active'}
    # The record of the pass is where that of the service is.
    rows = host.run('status', 'maintenance', '--json').rows
    assert rows[0]['What'] == 'pass'
    if kind == differences.ORPHAN:
        assert f'manila-{instance}' not in cloud.pool.state.volumes
    if kind == differences.QUEUED_RULES:
        assert set(cloud.rules(share).values()) == {'active'}
    if kind == differences.RULES_STATUS:
        assert cloud.share(share)['access_rules_status'] == 'error'


def test_queued_rules_wait_for_manila_share(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command asks manila-share, which may be stopped."""
    share = cloud.create()
    _lose_rule(cloud, share)
    asked: list[str] = []
    monkeypatch.setattr(
        rpcapi.ShareAPI,
        'update_access',
        lambda api, context, instance: asked.append(instance['id']),
    )
    outcome = host.run('reconcile', '--apply', '--json')
    assert outcome.status == 1
    assert kinds(outcome) == {('left', differences.QUEUED_RULES)}
    assert asked == [cloud.instance(share)]


def test_orphans_are_left_if_so_configured(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share = cloud.create()
    volume = volume_of(cloud, share)
    _orphan(cloud, share)
    host.section['glusterfs_clone_orphans'] = 'report'
    outcome = host.run('reconcile', '--apply', '--json')
    assert outcome.status == 1
    assert kinds(outcome) == {('left', differences.ORPHAN)}
    assert 'gluster volume stop' in outcome.rows[0]['Action']
    assert volume in cloud.pool.state.volumes


def test_objects_that_the_database_does_not_know_are_left(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    stranger = str(uuid.uuid4())
    cloud.manager.driver._services.shares.create(
        stranger,
        model_backend.THIN_POOL,
        model_backend.GIB,
        cloud.manager.driver._services.layout(),
    )
    outcome = host.run('reconcile', '--apply', '--json')
    assert outcome.status == 1
    assert kinds(outcome) == {('left', differences.UNKNOWN)}
    assert f'manila-{stranger}' in cloud.pool.state.volumes


def test_reconcile_respects_a_pass_of_the_service(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share = cloud.create()
    _stop(cloud, share)
    with locks.Locks(1).maintenance('host@model'):
        outcome = host.run('reconcile', '--apply', '--json')
    assert outcome.status == 3
    assert outcome.stderr.count('\n') == 1
    assert cloud.pool.state.volumes[volume_of(cloud, share)].status == (
        'Stopped'
    )


def test_reconcile_respects_an_operation_of_the_service(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share = cloud.create()
    _interrupt(cloud, share)
    with locks.Locks(1).work(cloud.instance(share)):
        outcome = host.run('reconcile', '--apply', '--json')
    assert kinds(outcome) == {('left', differences.INTERRUPTED)}
    assert cloud.share(share)['status'] == 'extending'


def test_reconcile_with_a_node_down(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    """What needs all nodes waits, and the rest is corrected."""
    share, lost = cloud.create(), cloud.create()
    volume = volume_of(cloud, lost)
    _orphan(cloud, lost)
    _stop(cloud, share)
    cloud.pool.cut('gl3')
    cloud.pool.time.advance(300)
    outcome = host.run('reconcile', '--apply', '--json')
    assert outcome.status == 1
    assert ('corrected', differences.OFFLINE) in kinds(outcome)
    (left,) = [row for row in outcome.rows if row['Result'] == 'left']
    assert left['Kind'] == differences.ORPHAN
    assert 'waits' in left['Action']
    assert volume in cloud.pool.state.volumes


# -- metrics


def test_metrics_are_written_in_one_step(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    cloud.create()
    output = host.directory / 'manila.prom'
    output.write_text('former')
    outcome = host.run('metrics', f'--output={output}')
    assert (outcome.status, outcome.stdout) == (0, '')
    found = values(output.read_text())
    assert found['up', ''] == 1
    assert found['shares', 'status="available"'] == 1
    assert found['bricks_online', ''] == 3
    assert found['pool_data_used_ratio', 'node="gl1",pool="gvg/pool"'] == 0.01
    assert [path.name for path in host.directory.glob('*.prom*')] == [
        'manila.prom'
    ]
    assert values(host.run('metrics').stdout).keys() == found.keys()


def values(text: str) -> dict[tuple[str, str], float]:
    """Return the values in a textfile, by name and labels."""
    return {
        (
            sample.name.removeprefix(metric_families.PREFIX),
            ','.join(
                f'{label}="{value}"'
                for label, value in sorted(sample.labels.items())
                if label != 'backend'
            ),
        ): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_of_a_cluster_that_does_not_answer(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    cloud.create()
    cloud.pool.cut()
    cloud.pool.time.advance(300)
    outcome = host.run('metrics')
    assert outcome.status == 0
    found = values(outcome.stdout)
    assert found['up', ''] == 0
    assert found['node_up', 'node="gl1"'] == 0
    assert found['shares', 'status="available"'] == 1
    assert ('bricks', '') not in found


def test_metrics_of_maintenance_and_differences(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
) -> None:
    share = cloud.create()
    _stop(cloud, share)
    found = values(host.run('metrics').stdout)
    assert found['differences', 'kind="offline"'] == 1
    assert found['shares_offline', ''] == 1
    began = cloud.pool.time.now
    cloud.manager.driver._backend.maintenance.run_pass()
    found = values(host.run('metrics').stdout)
    assert found['differences', 'kind="offline"'] == 0
    assert found['maintenance_last_pass_failed', ''] == 0
    for name in ('pass', 'action'):
        at = found[f'maintenance_last_{name}_timestamp_seconds', '']
        assert abs(at - began) < 60


def _fill(cloud: Cloud, share: str) -> None:  # noqa: F811
    cloud.pool.nodes['gl2'].lvm.pools['pool'].data_percent = 96.0


def _fill_metadata(cloud: Cloud, share: str) -> None:  # noqa: F811
    cloud.pool.nodes['gl2'].lvm.pools['pool'].metadata_percent = 80.0


def _deactivate_pool(cloud: Cloud, share: str) -> None:  # noqa: F811
    cloud.pool.nodes['gl2'].lvm.pools['pool'].active = False


def _cut(*names: str) -> Callable[[Cloud, str], None]:
    def damage(cloud: Cloud, share: str) -> None:  # noqa: F811
        cloud.pool.cut(*names)
        cloud.pool.time.advance(300)

    return damage


def _fail_to_delete(cloud: Cloud, share: str) -> None:  # noqa: F811
    db.share_instance_update(
        cloud.context, cloud.instance(share), {'status': 'error_deleting'}
    )


def _forget_row(cloud: Cloud, share: str) -> None:  # noqa: F811
    db.share_instance_delete(cloud.context, cloud.instance(share))
    test_maintenance.forget_rows()


def _fail_pass(cloud: Cloud, share: str) -> None:  # noqa: F811
    _cut()(cloud, share)
    cloud.manager.driver._backend.maintenance.run_pass()


def _wait(cloud: Cloud, share: str) -> None:  # noqa: F811
    cloud.pool.time.advance(7200)


ALERTS: dict[str, tuple[Callable[[Cloud, str], None], set[str]]] = {
    'a pool is full': (_fill, {'PoolFull', 'PoolAlmostFull'}),
    'metadata is almost full': (_fill_metadata, {'PoolMetadataAlmostFull'}),
    'a pool is inactive': (_deactivate_pool, {'PoolUnhealthy'}),
    'a node is down': (_cut('gl3'), {'NodeDown', 'PeerDisconnected'}),
    'all nodes are down': (_cut(), {'Unreachable', 'NodeDown'}),
    'a share is offline': (_stop, {'ShareOffline', 'DifferencesStay'}),
    'a deletion failed': (
        _fail_to_delete,
        {'ObjectsInError', 'DifferencesStay'},
    ),
    'an unknown object': (_forget_row, {'UnknownObjects'}),
    'maintenance fails': (
        _fail_pass,
        {'Unreachable', 'NodeDown', 'MaintenanceFails'},
    ),
    'maintenance is late': (_wait, {'MaintenanceLate'}),
}


@pytest.mark.parametrize('condition', ALERTS)
def test_an_alert_fires_under_its_condition(
    host: operator_host.OperatorHost,
    cloud: Cloud,  # noqa: F811
    condition: str,
) -> None:
    share = cloud.create()
    host.section['glusterfs_clone_reconcile_interval'] = '600'
    cloud.manager.driver._backend.maintenance.run_pass()
    assert _firing(host) == set()
    damage, expected = ALERTS[condition]
    damage(cloud, share)
    assert _firing(host) == expected


def test_every_alert_is_tried() -> None:
    tried = {name for _, names in ALERTS.values() for name in names}
    known = {
        rule['alert'].removeprefix('GlusterfsClone') for rule in alerts.rules()
    }
    # The metrics are never old in the moment that they are written.
    assert known - tried == {'MetricsStale'}


def _firing(host: operator_host.OperatorHost) -> set[str]:
    samples = [
        (sample.name, sample.labels, sample.value)
        for family in parser.text_string_to_metric_families(
            host.run('metrics').stdout
        )
        for sample in family.samples
    ]
    return {
        name.removeprefix('GlusterfsClone')
        for name in alerts.firing(samples, host.pool.time.now)
    }
