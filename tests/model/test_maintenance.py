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
"""Maintenance, with Manila's own share manager over the model."""

from collections.abc import Callable, Sequence
import dataclasses
import datetime
import logging
import types
from typing import Any
import uuid

from manila.cmd import manage
from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
from manila.share import rpcapi
import pytest

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone.operations import services
from tests.model import link
from tests.model import model_backend
from tests.model import model_node
from tests.model import test_share_manager
from tests.model import turns

cloud = test_share_manager.cloud
share_type = test_share_manager.share_type

ADDRESS = '10.0.0.5'
#: Seconds that an orphan is kept after it was seen first.
GRACE = 3600.0


class Warden:
    """Runs passes of maintenance over the back end, and returns its logs."""

    def __init__(
        self,
        cloud: test_share_manager.Cloud,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._caplog = caplog
        self.cloud = cloud
        self.asked: list[Callable[[], object]] = []
        self._warnings: list[logging.LogRecord] = []
        monkeypatch.setattr(
            rpcapi.ShareAPI,
            'delete_share_instance',
            lambda api, context, share: self.asked.append(
                lambda: cloud.manager.delete_share_instance(
                    context, share['id']
                )
            ),
        )
        monkeypatch.setattr(
            rpcapi.ShareAPI,
            'delete_snapshot',
            lambda api, context, snapshot, host: self.asked.append(
                lambda: cloud.manager.delete_snapshot(context, snapshot['id'])
            ),
        )
        self.renew()

    def renew(self, **changes: object) -> None:
        """Begin as a manila-share does that has just started.

        :param changes: settings to be had otherwise.
        """
        settings: Any = dataclasses.replace(
            self.services.settings,
            **changes,  # type: ignore[arg-type]
        )
        self._maintenance = passes.Maintenance(
            dataclasses.replace(self.services, settings=settings),
            f'host@{self.cloud.backend}',
        )

    @property
    def services(self) -> services.Services:
        found = self.cloud.manager.driver._services
        assert isinstance(found, services.Services)
        return found

    def run(self) -> list[str]:
        """Make a pass; give what is logged above debug and info."""
        self._caplog.clear()
        with self._caplog.at_level(logging.INFO):
            self._maintenance.run_pass()
        asked, self.asked[:] = list(self.asked), []
        self._warnings = [
            record
            for record in self._caplog.records
            if record.levelno >= logging.WARNING
            and record.name.startswith('manila_glusterfs_clone')
        ]
        said = [record.getMessage() for record in self._warnings]
        for each in asked:
            each()
        return said

    def warned_by(self, module: types.ModuleType) -> list[logging.LogRecord]:
        """Return the warnings that a module logged in the last pass."""
        return [r for r in self._warnings if r.name == module.__name__]


@pytest.fixture
def warden(
    cloud: test_share_manager.Cloud,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Warden:
    return Warden(cloud, caplog, monkeypatch)


def force_delete(cloud: test_share_manager.Cloud, share: str) -> str:
    """Delete a share by force; give the id of its instance."""
    instance = cloud.instance(share)
    cloud.manager.delete_share_instance(cloud.context, instance, force=True)
    return instance


def age(hours: float, **columns: str) -> None:
    """Have what was deleted have been deleted so long ago."""
    when = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    with db_api.get_engine().begin() as connection:
        for model in (models.ShareInstance, models.ShareSnapshotInstance):
            table = model.__table__
            connection.execute(
                table.update()
                .where(table.c.deleted != 'False')
                .values(
                    deleted_at=when - datetime.timedelta(hours=hours),
                    **columns if model is models.ShareInstance else {},
                )
            )


def forget_rows() -> None:
    """Purge what was deleted, as ``manila-manage db purge`` does."""
    with db_api.get_engine().begin() as connection:
        for model in (models.ShareSnapshotInstance, models.ShareInstance):
            table = model.__table__
            connection.execute(
                table.delete().where(table.c.deleted != 'False')
            )


def test_where_all_is_well_little_is_asked_and_nothing_said(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    for _ in range(4):
        snapshot = cloud.snapshot(cloud.create())
        clone = cloud.create(1, snapshot)
        cloud.allow(clone, 'ip', ADDRESS)
    cloud.pool.time.run_deferred()
    warden.run()
    before = len(cloud.process.steps)
    assert warden.run() == []
    steps = cloud.process.steps[before:]
    assert not [step for step in steps if not step.is_read]
    # As many as for one share.
    assert len(steps) == 5 + 2 * len(cloud.pool.nodes)


def test_what_was_deleted_by_force_goes_after_the_grace_time(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    """A node was away, so that the driver refused to delete it."""
    kept = cloud.create()
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    clone = cloud.create(2, snapshot)
    cloud.allow(clone, 'ip', ADDRESS)
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    force_delete(cloud, clone)
    instance = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    db.share_snapshot_instance_update(
        cloud.context, instance, {'status': 'deleting'}
    )
    cloud.manager.delete_snapshot(cloud.context, snapshot, force=True)
    gone = force_delete(cloud, origin)
    age(0.9)
    cloud.pool.boot()
    warden.run()
    cloud.pool.time.advance(GRACE)
    warden.run()
    assert f'manila-{gone}' in cloud.pool.state.volumes
    age(1.1)
    warden.run()
    assert len(warden.warned_by(orphans)) == 3
    cloud.check(kept)
    assert warden.run() == []


@pytest.mark.parametrize('how', ['clock is off', 'manila-manage'])
def test_an_orphan_is_kept_for_the_grace_time_after_it_was_seen(
    cloud: test_share_manager.Cloud,
    warden: Warden,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    kept, share = cloud.create(), cloud.create()
    instance = cloud.instance(share)
    if how == 'clock is off':
        cloud.pool.cut('gl2')
        cloud.pool.time.advance(60)
        force_delete(cloud, share)
        cloud.pool.boot()
    else:
        monkeypatch.setattr('sys.argv', ['manila-manage'])
        manage.ShareCommands().delete(share)
    assert warden.run() == []
    age(30)
    for _ in range(5):
        assert warden.run() == []
        cloud.pool.time.advance(GRACE / 6)
    assert f'manila-{instance}' in cloud.pool.state.volumes
    cloud.pool.time.advance(GRACE / 6)
    (said,) = warden.run()
    assert f'manila-{instance}' in said
    cloud.check(kept)
    assert warden.run() == []


@pytest.mark.parametrize('when', ['before the pass', 'in the pass'])
def test_an_orphan_is_kept_where_the_database_is_restored(
    cloud: test_share_manager.Cloud,
    warden: Warden,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    share = cloud.create()
    manage.ShareCommands().delete(share)

    def revive(*ignored: object) -> bool:
        with db_api.get_engine().begin() as connection:
            for model, columns in (
                (models.Share, {}),
                (models.ShareInstance, {'status': 'available'}),
            ):
                connection.execute(
                    model.__table__.update().values(
                        deleted='False', deleted_at=None, **columns
                    )
                )
        return True

    age(2)
    assert warden.run() == []
    cloud.pool.time.advance(GRACE)
    if when == 'in the pass':
        # When all is read but the row of what is to be removed.
        monkeypatch.setattr(backoff.Backoff, 'is_retry_due', revive)
    else:
        revive()
    assert warden.run() == []
    monkeypatch.undo()
    assert warden.run() == []
    cloud.check(share)


def test_orphans_are_only_named_where_that_is_wanted(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    instance = cloud.instance(share)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    cloud.manager.delete_snapshot(cloud.context, snapshot, force=True)
    force_delete(cloud, share)
    cloud.pool.boot()
    warden.renew(orphans='report')
    # To report needs no grace time.
    assert warden.run() == []
    said = warden.run()
    assert len(said) == 2
    for _ in range(3):
        cloud.pool.time.advance(GRACE)
        assert warden.run() == []
    assert f'manila-snap-{taken}' in said[0]
    assert f'manila-{instance}' in said[1]
    assert f'manila-{instance}' in cloud.pool.state.volumes
    assert f'manila-snap-{taken}' in cloud.pool.state.snapshots


def test_with_a_node_away_nothing_is_collected(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share = cloud.create()
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    instance = force_delete(cloud, share)
    age(2)
    warden.run()
    cloud.pool.time.advance(GRACE)
    warden.run()
    assert f'manila-{instance}' in cloud.pool.state.volumes
    cloud.pool.boot()
    # It was not seen before.
    assert warden.run() == []
    cloud.pool.time.advance(GRACE)
    warden.run()
    cloud.check()


def test_half_a_share_that_was_deleted_by_force(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    """Its making was killed before there was a volume."""
    cloud.process.fail_when(link.Fault.KILLED_BEFORE, 'mount')
    with pytest.raises(link.Killed):
        cloud.create()
    cloud.start()
    warden.renew()
    (share,) = db.share_get_all(cloud.context)
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    force_delete(cloud, share['id'])
    cloud.pool.boot()
    age(2)
    warden.run()
    cloud.pool.time.advance(GRACE)
    assert [
        line for line in warden.run() if ': removed from the cluster' in line
    ]
    cloud.check()


def test_what_the_database_does_not_know_is_named_and_kept(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    """It was purged, or a backup was restored that is older."""
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    cloud.manager.delete_snapshot(cloud.context, snapshot, force=True)
    instance = force_delete(cloud, share)
    cloud.pool.boot()
    forget_rows()
    warden.run()
    said = warden.run()
    assert len(said) == 2
    assert said == [
        str(orphans.Orphan('snapshot', taken)),
        str(orphans.Orphan('share', instance)),
    ]
    assert warden.run() == []
    assert f'manila-{instance}' in cloud.pool.state.volumes
    assert f'manila-snap-{taken}' in cloud.pool.state.snapshots


@pytest.mark.parametrize(
    'columns',
    [{'host': 'host@other#gvg/pool'}, {'host': 'elsewhere@model#gvg/pool'}],
)
def test_what_is_of_another_back_end_is_left_to_it(
    cloud: test_share_manager.Cloud, warden: Warden, columns: dict[str, str]
) -> None:
    share = cloud.create()
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    instance = force_delete(cloud, share)
    cloud.pool.boot()
    age(2, **columns)
    assert warden.run() == []
    cloud.pool.time.advance(GRACE)
    assert warden.run() == []
    assert f'manila-{instance}' in cloud.pool.state.volumes


def test_the_volumes_of_another_back_end_are_not_even_named(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    other = model_backend.open_backend(cloud.process, backend='other').services
    share, snapshot = (str(uuid.UUID(int=n)) for n in (7, 8))
    other.shares.create(
        share, model_backend.THIN_POOL, model_backend.GIB, other.layout()
    )
    other.snapshots.create(snapshot, share)
    for _ in range(3):
        assert warden.run() == []
    assert f'manila-{share}' in cloud.pool.state.volumes
    assert f'manila-snap-{snapshot}' in cloud.pool.state.snapshots


def test_what_is_unmanaged_is_kept_and_mounted_at_boot(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share, of = cloud.create(), cloud.create()
    snapshot = cloud.snapshot(of)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    instance = cloud.instance(share)
    cloud.manager.unmanage_share(cloud.context, share)
    cloud.manager.unmanage_snapshot(cloud.context, snapshot)
    with pytest.raises(exception.NotFound):
        cloud.share(share)
    age(10_000)
    for _ in range(3):
        assert warden.run() == []
        cloud.pool.time.advance(GRACE)
    assert f'manila-snap-{taken}' in cloud.pool.state.snapshots
    cloud.pool.cut()
    cloud.pool.boot()
    volume = cloud.pool.state.volumes[f'manila-{instance}']
    assert all(cloud.pool.state.online(volume, b) for b in volume.bricks)
    assert {
        value
        for name, value in volume.options.items()
        if name.startswith('user.')
    } == {'unmanaged'}
    for node in cloud.pool.nodes.values():
        assert not [
            tag
            for lv in node.lvm.lvs.values()
            for tag in lv.tags
            if tag.endswith((instance, taken)) and 'mount' not in tag
        ]


def test_unmanaging_with_a_node_away_is_refused(
    cloud: test_share_manager.Cloud,
) -> None:
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    cloud.manager.unmanage_snapshot(cloud.context, snapshot)
    assert cloud.snapshot_status(snapshot) == 'unmanage_error'
    cloud.manager.unmanage_share(cloud.context, share)
    assert cloud.share(share)['status'] == 'unmanage_error'


def test_deletions_that_failed_go_on_when_all_nodes_are_there(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share, of = cloud.create(), cloud.create()
    snapshot = cloud.snapshot(of)
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    with pytest.raises(exception.ShareBackendException):
        cloud.delete(share)
    with pytest.raises(exception.ShareBackendException):
        cloud.delete_snapshot(snapshot)
    assert cloud.share(share)['status'] == 'error_deleting'
    warden.run()
    assert cloud.share(share)['status'] == 'error_deleting'
    cloud.pool.boot()
    assert len(warden.run()) == 2
    cloud.check(of)
    assert warden.run() == []


def test_a_deletion_that_fails_again_and_again(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    """Somebody has a snapshot of his own of it."""
    share = cloud.create()
    cloud.snapshot(share)
    with pytest.raises(exception.ShareBackendException):
        cloud.delete(share)
    tried = []
    for number in range(1, 17):
        try:
            warden.run()
        except exception.ShareBackendException:
            tried.append(number)
    assert tried == [1, 2, 4, 8, 16]
    assert cloud.share(share)['status'] == 'error_deleting'


def test_bricks_and_volumes_that_are_down_are_started(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share, other = cloud.create(), cloud.create()
    volume = cloud.pool.state.volumes[f'manila-{cloud.instance(share)}']
    cloud.pool.nodes['gl2'].files.users.pop(volume.bricks[1].path)
    (said,) = warden.run()
    assert volume.bricks[1].path in said
    cloud.pool.time.advance(5)
    name = f'manila-{cloud.instance(other)}'
    warden.services.cluster.change(
        lambda line: line.stop_volume(name), lambda line: False
    )
    (said,) = warden.run()
    assert name in said
    cloud.check(share, other)
    assert warden.run() == []


def test_bricks_of_a_node_that_is_away_are_waited_for(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share = cloud.create()
    cloud.pool.cut('gl2')
    cloud.pool.time.advance(60)
    before = len(cloud.process.steps)
    assert warden.run() == []
    assert all(step.is_read for step in cloud.process.steps[before:])
    assert cloud.share(share)['status'] == 'available'


def test_a_snapshot_that_was_left_active_is_put_to_rest(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    share = cloud.create()
    snapshot = cloud.snapshot(share)
    taken = db.share_snapshot_get(cloud.context, snapshot).instance['id']
    found = cloud.pool.state.snapshots[f'manila-snap-{taken}']
    warden.services.clone_sources.activate(found.name)
    assert found.active
    (said,) = warden.run()
    assert found.name in said
    assert not found.active


def test_what_is_being_made_is_no_orphan(
    cloud: test_share_manager.Cloud,
    warden: Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pass after every step of a creation and a clone changes nothing."""
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    rounds = 0
    busy = False
    real = cloud.process.step

    def step(
        node: model_node.ModelNode, argv: Sequence[str], *rest: Any
    ) -> object:
        nonlocal rounds, busy
        answer = real(node, argv, *rest)
        if not busy and not link.Step(node.name, tuple(argv)).is_read:
            busy = True
            assert warden.run() == []
            rounds += 1
            busy = False
        return answer

    monkeypatch.setattr(cloud.process, 'step', step)
    with turns.in_turn():
        made = cloud.create()
        clone = cloud.create(2, snapshot)
    monkeypatch.undo()
    assert rounds > 20
    cloud.check(origin, made, clone)


@pytest.mark.parametrize('what', ['cluster', 'database'])
def test_what_cannot_be_read_is_said_once(
    cloud: test_share_manager.Cloud,
    warden: Warden,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise exception.ManilaException('no database')

    share = cloud.create()
    with monkeypatch.context() as patch:
        if what == 'cluster':
            cloud.pool.cut()
        else:
            patch.setattr(db_api, 'get_engine', fail)
        (said,) = warden.run()
        assert 'host@model' in said
        warden.run()
    if what == 'cluster':
        cloud.pool.boot()
    warden.run()
    assert warden.run() == []
    cloud.check(share)


@turns.in_turn()
def test_a_disk_that_hangs_costs_a_constant(
    cloud: test_share_manager.Cloud, warden: Warden
) -> None:
    """LVM does not answer there, and the bricks have ended themselves."""

    def seconds_of_a_pass(shares: int) -> float:
        for _ in range(shares):
            volume = f'manila-{cloud.instance(cloud.create())}'
            brick = cloud.pool.state.volumes[volume].brick_on('gl2')
            assert brick is not None
            cloud.pool.nodes['gl2'].files.users.pop(brick.path)
        warden.renew()
        cloud.process.fail_when(link.Variant.HANGS_IDLE, 'lvs', 'gl2')
        begin = cloud.pool.time.now
        warden.run()
        cloud.process.fail_no_more()
        return float(cloud.pool.time.now - begin)

    few = seconds_of_a_pass(1)
    assert seconds_of_a_pass(4) <= few + 10
