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
"""Maintenance does not touch what a tenant or an operator still wants."""

import datetime
from typing import Any
import uuid

from manila.common import constants
from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
from manila.share import rpcapi
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from tests.model import files
from tests.model import link
from tests.model import model_backend
from tests.model import test_maintenance
from tests.model import test_share_manager
from tests.model import turns

cloud = test_share_manager.cloud
share_type = test_share_manager.share_type
warden = test_maintenance.warden

IDS = [str(uuid.UUID(int=n)) for n in range(7, 11)]


@pytest.mark.parametrize('cloned', [False, True])
def test_unmanaged_while_the_cluster_is_looked_at(
    cloud: test_share_manager.Cloud,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
    cloned: bool,
) -> None:
    share = cloud.create()
    if cloned:
        share = cloud.create(1, cloud.snapshot(share))
    instance = cloud.instance(share)
    hex_id = cloud.pool.state.volumes[f'manila-{instance}'].hex
    look = cluster_state.read

    def read(*arguments: Any) -> cluster_state.ClusterState:
        seen = look(*arguments)
        cloud.manager.unmanage_share(cloud.context, share)
        return seen

    monkeypatch.setattr(cluster_state, 'read', read)
    # And this pass takes longer than the time of grace.
    monkeypatch.setattr(
        passes.Maintenance, '_heal', lambda *_: test_maintenance.age(1.1)
    )
    warden.run()
    assert f'manila-{instance}' in cloud.pool.state.volumes
    for node in cloud.pool.nodes.values():
        assert any(instance in lv or hex_id in lv for lv in node.lvm.lvs)


def test_unmanaged_snapshot_on_a_disk_that_was_away(
    cloud: test_share_manager.Cloud,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = cloud.snapshot(cloud.create())
    cloud.manager.unmanage_snapshot(cloud.context, snapshot)
    test_maintenance.age(2)
    look = cluster_state.read

    def read(*arguments: Any) -> cluster_state.ClusterState:
        for node in cloud.pool.nodes.values():
            node.lvm.unreadable = True
        seen = look(*arguments)
        for node in cloud.pool.nodes.values():
            node.lvm.unreadable = False
        return seen

    monkeypatch.setattr(cluster_state, 'read', read)
    warden.run()
    assert len(cloud.pool.own_snapshots()) == 1


def test_snapshot_of_a_share_group_that_was_deleted(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden
) -> None:
    """Its row is deleted, and has the status that it had."""
    snapshot = cloud.snapshot(cloud.create())
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    table = models.ShareSnapshotInstance.__table__
    with db_api.get_engine().begin() as connection:
        connection.execute(
            table.update()
            .where(table.c.id == taken)
            .values(
                deleted=taken,
                deleted_at=datetime.datetime(2020, 1, 1),
            )
        )
    warden.run()
    assert len(cloud.pool.own_snapshots()) == 1
    cloud.pool.time.advance(test_maintenance.GRACE)
    warden.run()
    assert not cloud.pool.own_snapshots()


def test_half_unmanaged_share_can_be_deleted(
    cloud: test_share_manager.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = cloud.create()

    def refuse(*_: object) -> None:
        raise errors.NotPossible('glusterd has gone')

    with monkeypatch.context() as patch:
        patch.setattr(volumes.Volumes, 'unmanage', refuse)
        cloud.manager.unmanage_share(cloud.context, share)
    assert cloud.share(share)['status'] == 'unmanage_error'
    cloud.delete(share)
    cloud.check()


@turns.in_turn()
@pytest.mark.parametrize('what', ['share', 'snapshot'])
def test_killed_while_unmanaging(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden, what: str
) -> None:
    """Manila's API does not let it be unmanaged again in that state."""
    share = cloud.create()
    thing = share if what == 'share' else cloud.snapshot(share)

    def unmanage() -> None:
        getattr(db, f'share_{"snapshot_" * (what == "snapshot")}update')(
            cloud.context, thing, {'status': constants.STATUS_UNMANAGING}
        )
        getattr(cloud.manager, f'unmanage_{what}')(cloud.context, thing)

    steps = len(cloud.process.steps)
    cloud.process.fail_at(steps + 6, link.Fault.KILLED_BEFORE)
    with pytest.raises(link.Killed):
        unmanage()
    cloud.start()
    get = {'share': cloud.share}.get(
        what, lambda each: db.share_snapshot_get(cloud.context, each)
    )
    assert get(thing)['status'] == constants.STATUS_UNMANAGE_ERROR
    unmanage()
    with pytest.raises(exception.NotFound):
        get(thing)
    assert cloud.pool.own_volumes()


def test_deletion_that_could_not_be_asked_for(
    cloud: test_share_manager.Cloud,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share = cloud.create()
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    with pytest.raises(exception.ShareBackendException):
        cloud.delete(share)
    cloud.pool.boot()

    def fail(*_: object) -> None:
        raise RuntimeError('no message was delivered')

    with monkeypatch.context() as patch:
        patch.setattr(rpcapi.ShareAPI, 'delete_share_instance', fail)
        warden.run()
    assert cloud.share(share)['status'] == 'error_deleting'
    warden.run()
    warden.run()
    assert not cloud.pool.own_volumes()


def test_another_manila_clones_a_snapshot(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden
) -> None:
    """Its back end has the same name, and its locks are others."""
    other = model_backend.open_backend(cloud.process, backend='model').services
    share, snapshot, *_ = IDS
    other.shares.create(
        share, model_backend.THIN_POOL, model_backend.GIB, other.layout()
    )
    other.snapshots.create(snapshot, share)
    other.clone_sources.activate(f'manila-snap-{snapshot}')
    warden.run()
    assert cloud.pool.state.snapshots[f'manila-snap-{snapshot}'].active


def test_disk_that_is_dead_where_a_share_has_no_brick(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden
) -> None:
    ours = warden.services
    share, snapshot, other, clone = IDS
    ours.shares.create(
        share,
        model_backend.THIN_POOL,
        model_backend.GIB,
        layouts.layout_by_name('single', 3),
    )
    ours.snapshots.create(snapshot, share)
    (brick,) = cloud.pool.state.volumes[f'manila-{share}'].bricks
    dead = next(n for n in cloud.pool.nodes.values() if n.name != brick.node)
    dead.lvm.unreadable = True
    ours.snapshots.create(other, share)
    ours.clones.create(
        clone, [model_backend.THIN_POOL], model_backend.GIB, snapshot, print
    )
    ours.snapshots.delete(snapshot, share)
    ours.snapshots.delete(other, share)
    ours.shares.delete(clone)
    ours.shares.delete(share)
    dead.lvm.unreadable = False
    cloud.check()


def test_brick_of_a_wrong_id_stays_unmounted(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden
) -> None:
    """As its operator was told to have it; the others can be started."""
    share, other = (cloud.instance(cloud.create()) for _ in range(2))
    volume = cloud.pool.state.volumes[f'manila-{share}']
    foreign = cloud.pool.state.volumes[f'manila-{other}'].hex
    brick = next(b for b in volume.bricks if b.node == 'gl2')
    there = cloud.pool.nodes['gl2'].files
    del there.users[brick.path]
    there.set_xattr(brick.path, files.VOLUME_ID, foreign)
    there.detach(brick.path.rpartition('/')[0])
    warden.run()
    assert there.where(brick.path)[0] is None
    first = next(b for b in volume.bricks if b.node == 'gl1')
    del cloud.pool.nodes['gl1'].files.users[first.path]
    for _ in range(4):
        warden.run()
    assert cloud.pool.state.online(volume, first)


def test_share_that_cannot_be_looked_at_is_not_in_the_way(
    cloud: test_share_manager.Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = (cloud.instance(cloud.create()) for _ in range(2))
    heal = healing.Healer._heal

    def fail(self: Any, share_id: str, *rest: Any) -> Any:
        if share_id == bad:
            raise RuntimeError('the coordinator is away')
        return heal(self, share_id, *rest)

    monkeypatch.setattr(healing.Healer, '_heal', fail)
    for share in bad, good:
        volume = cloud.pool.state.volumes[f'manila-{share}']
        cloud.pool.nodes['gl2'].files.users.pop(volume.bricks[1].path)
    states = cloud.manager.driver.ensure_shares(
        cloud.context, [{'id': bad}, {'id': good}]
    )
    assert states[good]['export_locations']
    assert 'export_locations' not in states[bad]
    assert states[bad]['status'] == 'available'
    cloud.pool.time.advance(5)
    volume = cloud.pool.state.volumes[f'manila-{good}']
    assert all(cloud.pool.state.online(volume, b) for b in volume.bricks)


def test_share_that_was_left_to_its_operator_is_not_to_be_deleted(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden
) -> None:
    share = cloud.instance(cloud.create())
    warden.services.shares.unmanage(share)
    volume = cloud.pool.state.volumes[f'manila-{share}']
    assert volume.options[names.OPTION_SHARE] == names.UNMANAGED
    with pytest.raises(errors.Missing):
        warden.services.volumes.get_in_use(share)
