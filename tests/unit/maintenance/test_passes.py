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
"""The steps of a pass: their order, their conditions and their failures."""

from collections.abc import Callable, Iterable, Iterator
import threading
import types
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone import names
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster
from tests.unit.maintenance import fake_cluster
from tests.unit.maintenance.fake_cluster import A, B, C, HOST, OTHER

SNAPSHOT = 'eeeeeeee-0000-4000-8000-000000000000'
DOWN = errors.Down('gl1', 'no route')
RULES = protocols.Rules()

READS = ['read cluster', 'read shares', 'read snapshots']
#: The steps before anything is removed, if nothing is offline.
BEFORE_REMOVAL = ['audit', 'tags', 'resume']


class Recorder:
    """Records each step, and lets it fail if a test says so."""

    def __init__(self, scene: 'Scene') -> None:
        self._scene = scene

    def did(self, name: str, *args: Any) -> None:
        self._scene.calls.append((name, *args))
        if name in self._scene.troubles:
            raise self._scene.troubles[name]


class Healer(Recorder):
    def forget_errors_except_of(self, share_ids: Iterable[str]) -> None:
        self._scene.offline.append(sorted(share_ids))

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        to_heal = sorted(share_ids)
        self.did('heal', to_heal)
        return {
            share_id: self._scene.healed.get(
                share_id, fake_cluster.volume(share_id)
            )
            for share_id in to_heal
        }


class Audit(Recorder):
    def audit(self, state: Any, rules: Any) -> None:
        self.did('audit', sorted(rules))


class BrickTags(Recorder):
    def correct(self, state: Any, shares: Any) -> None:
        self.did('tags', sorted(shares))


class Orphans(Recorder):
    def deleted_before(self) -> str:
        # A deletion after this moment may not be in the cluster state yet.
        assert 'read cluster' not in self._scene.steps
        return 'then'

    def remove_or_report(
        self,
        state: Any,
        shares: Any,
        snapshots: Any,
        deleted_before: str,
        *,
        is_requested: bool,
    ) -> None:
        assert not is_requested
        self.did('orphans', sorted(shares), sorted(snapshots), deleted_before)


class InterruptedWork(Recorder):
    def resume(
        self,
        shares: Any,
        snapshots: Any,
        *,
        is_starting: bool,
        is_requested: bool,
    ) -> None:
        assert not is_requested
        self.did('resume', is_starting)

    def retry_deletions(self, shares: Any, snapshots: Any) -> None:
        self.did('retry deletions', len(shares), len(snapshots))


class Scene:
    """A back end with three shares, whose parts record what they do."""

    def __init__(self) -> None:
        self.cluster = fake_cluster.Cluster(
            *(fake_cluster.volume(share_id) for share_id in (A, B, C))
        )
        #: The changes of the cluster state.
        self.changes: dict[str, Any] = {}
        self.statuses = dict.fromkeys((A, B, C), 'available')
        #: What is read of shares later, if it differs.
        self.later_statuses: dict[str, str] = {}
        self.healed: dict[str, errors.Error] = {}
        #: By pass: the shares whose logged errors are kept.
        self.offline: list[list[str]] = []
        #: By step: its exception.
        self.troubles: dict[str, Exception] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.clone_cleanup = mock.Mock()
        self.interval = 600.0

    @property
    def steps(self) -> list[str]:
        return [name for name, *_ in self.calls]

    def arguments(self, step: str) -> list[Any]:
        ((_, *arguments),) = (call for call in self.calls if call[0] == step)
        return arguments

    def make(self) -> passes.Maintenance:
        """Make the maintenance, after the scene was prepared."""
        the_services: Any = types.SimpleNamespace(
            cluster=self.cluster,
            locks=self.cluster.locks,
            shares=None,
            snapshots=None,
            clone_cleanup=self.clone_cleanup,
            settings=types.SimpleNamespace(
                backend_mark=fake_cluster.BACKEND,
                reconcile_interval=self.interval,
                orphan_grace=3600,
                orphans=options.REMOVE,
            ),
        )
        return passes.Maintenance(the_services, HOST)

    def run(self, maintenance: passes.Maintenance) -> list[str]:
        """Run a pass; return the names of its steps."""
        self.calls.clear()
        maintenance.run_pass()
        return self.steps

    def read(self, step: str, result: Callable[[], Any]) -> Callable[..., Any]:
        """Return a function that records a read of the cluster or database."""

        def read(*args: Any) -> Any:
            if step != 'read cluster':
                assert args == (HOST,)
            Recorder(self).did(step)
            return result()

        return read

    def rows(self) -> dict[str, manila_db.Row]:
        return {
            share_id: manila_db.Row(share_id, HOST, status, None, share_id)
            for share_id, status in self.statuses.items()
        }

    def rows_by_id(self, ids: Iterable[str]) -> dict[str, manila_db.Row]:
        statuses = {**self.statuses, **self.later_statuses}
        return {
            share_id: manila_db.Row(
                share_id, HOST, statuses[share_id], None, share_id
            )
            for share_id in ids
        }

    def stop_volume(self, share_id: str) -> None:
        stopped = fake_cluster.volume(share_id, status='Stopped')
        self.cluster.volumes[stopped.name] = stopped


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    found = Scene()
    for module, name, part in (
        (healing, 'Healer', Healer),
        (access_audit, 'AccessAudit', Audit),
        (brick_tag_repair, 'BrickTags', BrickTags),
        (orphans, 'Orphans', Orphans),
        (interrupted_work, 'InterruptedWork', InterruptedWork),
    ):
        monkeypatch.setattr(
            module, name, lambda *_, part=part, **__: part(found)
        )
    monkeypatch.setattr(
        cluster_state,
        'read',
        found.read(
            'read cluster', lambda: found.cluster.state(**found.changes)
        ),
    )
    for name, result in (
        ('shares', found.rows),
        ('snapshots', lambda: {SNAPSHOT: None}),
    ):
        monkeypatch.setattr(
            manila_db, name, found.read(f'read {name}', result)
        )
    monkeypatch.setattr(
        manila_db, 'rules', lambda host: dict.fromkeys((A, B), RULES)
    )
    monkeypatch.setattr(
        manila_db, 'shares_with_queued_rules', lambda host: frozenset()
    )
    monkeypatch.setattr(manila_db, 'wrong_rules_statuses', lambda host: {})
    monkeypatch.setattr(manila_db, 'updating_rules', lambda host: [])
    monkeypatch.setattr(manila_db, 'shares_by_id', found.rows_by_id)
    yield found


def without_reads(steps: list[str]) -> list[str]:
    return [step for step in steps if not step.startswith('read')]


# -- a pass


def test_the_steps_of_a_pass(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The cluster is read before the database, lists before healing."""
    steps = scene.run(scene.make())
    assert steps[:3] == READS
    assert without_reads(steps) == [
        *BEFORE_REMOVAL,
        'retry deletions',
        'orphans',
    ]
    assert scene.arguments('audit') == [[A, B]]
    assert scene.arguments('tags') == [[A, B, C]]
    assert scene.arguments('resume') == [False]
    assert scene.arguments('retry deletions') == [3, 1]
    assert scene.arguments('orphans') == [[A, B, C], [SNAPSHOT], 'then']
    scene.clone_cleanup.clean_up_volumes.assert_not_called()
    assert fake_cluster.warnings(caplog) == []


def test_lists_and_tags_are_corrected_before_volumes_are_started(
    scene: Scene,
) -> None:
    scene.stop_volume(A)
    assert without_reads(scene.run(scene.make())) == [
        'audit',
        'tags',
        'heal',
        'resume',
        'retry deletions',
        'orphans',
    ]
    assert scene.arguments('heal') == [[A]]


@pytest.mark.parametrize(
    'status', ['creating', 'extending', 'deleting', 'error', 'unmanaging']
)
def test_shares_that_are_not_in_use_are_not_healed(
    scene: Scene, status: str
) -> None:
    scene.stop_volume(A)
    scene.statuses[A] = status
    maintenance = scene.make()
    for _ in range(2):
        assert 'heal' not in scene.run(maintenance)
    # When it is in use again, this is the first attempt.
    scene.statuses[A] = 'available'
    assert 'heal' in scene.run(maintenance)


def test_a_share_that_is_deleted_meanwhile_is_not_healed(
    scene: Scene,
) -> None:
    scene.stop_volume(A)
    scene.stop_volume(B)
    scene.later_statuses[A] = 'deleting'
    scene.run(scene.make())
    assert scene.arguments('heal') == [[B]]


def test_a_share_that_stays_offline_is_healed_ever_less_often(
    scene: Scene,
) -> None:
    scene.stop_volume(A)
    maintenance = scene.make()
    healed = [
        number for number in range(1, 10) if 'heal' in scene.run(maintenance)
    ]
    assert healed == [1, 2, 4, 8]


def test_a_share_with_another_part_offline_is_healed_at_once(
    scene: Scene,
) -> None:
    scene.cluster.down.add(('gl1', names.volume(A)))
    maintenance = scene.make()
    for _ in range(2):
        scene.run(maintenance)
    scene.cluster.down.add(('gl2', names.volume(A)))
    assert 'heal' in scene.run(maintenance)


@pytest.mark.parametrize(
    'change',
    [
        {'errors_by_node': {'gl3': DOWN}},
        {'peers': (gluster.Peer('uuid-gl3', 'gl3', False),)},
    ],
    ids=['not read', 'disconnected'],
)
def test_nothing_is_removed_while_a_node_is_away(
    scene: Scene, change: dict[str, Any]
) -> None:
    """It may have what the others do not have."""
    scene.changes = change
    with_active_snapshot(scene)
    assert without_reads(scene.run(scene.make())) == BEFORE_REMOVAL
    scene.clone_cleanup.clean_up_volumes.assert_not_called()


def test_the_errors_of_shares_that_are_online_again_are_forgotten(
    scene: Scene,
) -> None:
    """And not those of shares whose next attempt is not due yet."""
    maintenance = scene.make()
    scene.stop_volume(A)
    for _ in range(3):
        scene.run(maintenance)
    scene.cluster.volumes[names.volume(A)] = fake_cluster.volume(A)
    scene.run(maintenance)
    assert scene.offline == [[A], [A], [A], []]


# -- snapshots that interrupted clones left active


def with_active_snapshot(
    scene: Scene, origin: str | None = None, *, is_active: bool = True
) -> None:
    name = names.snapshot(SNAPSHOT)
    scene.changes['snapshots'] = {
        name: gluster.Snapshot(
            name, 'e' * 32, origin or names.volume(A), is_active
        )
    }


def test_snapshots_are_cleaned_up_after_interrupted_clones(
    scene: Scene,
) -> None:
    with_active_snapshot(scene)
    scene.run(scene.make())
    scene.clone_cleanup.clean_up_volumes.assert_called_once_with(
        {names.volume(share_id) for share_id in (A, B, C)}
    )


def test_inactive_snapshots_are_left_alone(scene: Scene) -> None:
    with_active_snapshot(scene, is_active=False)
    scene.run(scene.make())
    scene.clone_cleanup.clean_up_volumes.assert_not_called()


@pytest.mark.parametrize('owner', ['another back end', 'another Manila'])
def test_snapshots_of_another_owner_are_left_alone(
    scene: Scene, owner: str
) -> None:
    marks = {names.OPTION_SHARE: OTHER}
    if owner == 'another Manila':
        # It has a back end of the same name; only the database differs.
        marks[names.OPTION_BACKEND] = fake_cluster.BACKEND
    other = fake_cluster.volume(OTHER, options=marks)
    scene.cluster.volumes[other.name] = other
    with_active_snapshot(scene, other.name)
    scene.run(scene.make())
    scene.clone_cleanup.clean_up_volumes.assert_not_called()


def test_snapshots_of_a_share_that_was_unmanaged_are_left_alone(
    scene: Scene,
) -> None:
    marks = {names.OPTION_BACKEND: names.UNMANAGED}
    unmanaged = fake_cluster.volume(A, options=marks)
    scene.cluster.volumes[unmanaged.name] = unmanaged
    with_active_snapshot(scene)
    scene.run(scene.make())
    scene.clone_cleanup.clean_up_volumes.assert_not_called()


# -- failures


TROUBLES = [DOWN, RuntimeError('a bug')]


@pytest.mark.parametrize('trouble', TROUBLES, ids=repr)
@pytest.mark.parametrize(
    'step', ['audit', 'tags', 'heal', 'resume', 'retry deletions', 'orphans']
)
def test_a_step_that_fails_does_not_hide_the_next(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    step: str,
    trouble: Exception,
) -> None:
    scene.stop_volume(A)
    maintenance = scene.make()
    expected = scene.run(maintenance)
    maintenance = scene.make()
    scene.troubles[step] = trouble
    assert scene.run(maintenance) == expected
    (message,) = fake_cluster.warnings(caplog)
    assert str(trouble) in message
    assert HOST in message
    assert '600 s' in message


def test_a_step_that_fails_is_logged_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = scene.make()
    bugs = [RuntimeError('a bug')] * 2
    counts = []
    for trouble in (DOWN, DOWN, *bugs, None, bugs[0]):
        scene.troubles = {} if trouble is None else {'audit': trouble}
        scene.run(maintenance)
        counts.append(len(fake_cluster.warnings(caplog)))
    assert counts == [1, 0, 1, 0, 0, 1]


def test_a_pass_that_was_not_complete_forgets_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that failed may not have come to what it knew of."""
    maintenance = scene.make()
    counts = []
    for step in ('audit', 'tags', 'audit', 'read cluster', 'audit'):
        scene.troubles = {step: DOWN}
        scene.run(maintenance)
        counts.append(len(fake_cluster.warnings(caplog)))
    assert counts == [1, 1, 0, 1, 0]


def test_a_pass_without_the_database_does_not_make_retries_more_frequent(
    scene: Scene,
) -> None:
    scene.stop_volume(A)
    maintenance = scene.make()
    healed = []
    for number in range(1, 9):
        scene.troubles = {'read shares': DOWN} if number == 5 else {}
        if 'heal' in scene.run(maintenance):
            healed.append(number)
    assert healed == [1, 2, 4, 8]


@pytest.mark.parametrize('step', READS)
@pytest.mark.parametrize('trouble', TROUBLES, ids=repr)
def test_without_the_cluster_or_the_database_nothing_is_done(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    step: str,
    trouble: Exception,
) -> None:
    maintenance = scene.make()
    scene.troubles[step] = trouble
    for _ in range(3):
        assert without_reads(scene.run(maintenance)) == []
    (message,) = fake_cluster.warnings(caplog)
    assert str(trouble) in message
    # And the locks are free again.
    scene.troubles.clear()
    assert scene.run(maintenance)[-1] == 'orphans'


def test_only_one_service_runs_a_pass(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.cluster.locks.held_by_others.add(('maintenance', HOST))
    assert scene.run(scene.make()) == []
    assert fake_cluster.warnings(caplog) == []


def test_the_lock_is_held_for_the_whole_pass(scene: Scene) -> None:
    held: list[Any] = []
    scene.clone_cleanup.clean_up_volumes.side_effect = lambda _: held.extend(
        scene.cluster.locks.held
    )
    with_active_snapshot(scene)
    scene.run(scene.make())
    assert held == [('maintenance', HOST)]


# -- when Manila asks for all shares


def test_shares_are_ensured_with_one_read(scene: Scene) -> None:
    volumes = scene.make().ensure_shares([A, B])
    assert volumes == {
        share_id: fake_cluster.volume(share_id) for share_id in (A, B)
    }
    assert scene.steps.count('read cluster') == 1
    assert without_reads(scene.steps) == ['audit', 'tags']


def test_only_rules_of_the_wanted_shares_are_compared(scene: Scene) -> None:
    scene.make().ensure_shares([B, C])
    assert scene.arguments('audit') == [[B]]


def test_shares_that_are_offline_are_healed(scene: Scene) -> None:
    error = errors.TimedOut('gl1', (), 1)
    for share_id in (A, B, C):
        scene.stop_volume(share_id)
    scene.healed[A] = error
    volumes = scene.make().ensure_shares([A, B])
    assert scene.arguments('heal') == [[A, B]]
    # The volume after healing, and not that of the cluster state.
    assert volumes == {A: error, B: fake_cluster.volume(B)}


def test_shares_are_ensured_although_steps_fail(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.troubles = {'audit': DOWN, 'tags': RuntimeError('a bug')}
    with_active_snapshot(scene)
    scene.clone_cleanup.clean_up_volumes.side_effect = DOWN
    volumes = scene.make().ensure_shares([A, B])
    assert set(volumes) == {A, B}
    assert len(fake_cluster.warnings(caplog)) == 3


def test_the_cluster_that_cannot_be_read_is_an_error(scene: Scene) -> None:
    scene.troubles['read cluster'] = DOWN
    with pytest.raises(errors.Down):
        scene.make().ensure_shares([A])


def test_only_snapshots_of_the_wanted_shares_are_cleaned_up(
    scene: Scene,
) -> None:
    with_active_snapshot(scene)
    maintenance = scene.make()
    maintenance.ensure_shares([B])
    scene.clone_cleanup.clean_up_volumes.assert_not_called()
    maintenance.ensure_shares([A])
    scene.clone_cleanup.clean_up_volumes.assert_called_once_with(
        {names.volume(A)}
    )


def test_shares_are_not_ensured_during_a_pass(scene: Scene) -> None:
    """Both would change the same records."""
    maintenance = scene.make()
    is_running, may_end = threading.Event(), threading.Event()

    def block(_: Any) -> None:
        is_running.set()
        assert may_end.wait(10)

    with_active_snapshot(scene)
    scene.clone_cleanup.clean_up_volumes.side_effect = block
    one = threading.Thread(target=maintenance.run_pass, daemon=True)
    one.start()
    assert is_running.wait(10)
    scene.changes.clear()
    other = threading.Thread(
        target=maintenance.ensure_shares, args=([A],), daemon=True
    )
    other.start()
    other.join(0.05)
    assert other.is_alive()
    assert scene.steps.count('read cluster') == 1
    may_end.set()
    for thread in (one, other):
        thread.join(10)
        assert not thread.is_alive()
    assert scene.steps.count('read cluster') == 2


# -- start and stop


def test_interrupted_work_is_resumed_at_the_start(scene: Scene) -> None:
    scene.interval = 0
    scene.make().start()
    assert without_reads(scene.steps) == ['resume']
    assert scene.arguments('resume') == [True]


def test_a_failure_at_the_start_does_not_prevent_serving(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.interval = 0
    scene.troubles['read shares'] = RuntimeError('no database')
    scene.make().start()
    (message,) = fake_cluster.warnings(caplog, 'ERROR')
    assert HOST in message


@pytest.mark.parametrize('trouble', [None, RuntimeError('no database')])
def test_passes_run_until_maintenance_is_stopped(
    scene: Scene, trouble: Exception | None
) -> None:
    scene.interval = 0.001
    maintenance = scene.make()
    if trouble is not None:
        scene.troubles['resume'] = trouble
    passed = threading.Event()
    scene.clone_cleanup.clean_up_volumes.side_effect = lambda _: passed.set()
    with_active_snapshot(scene)
    before = {*threading.enumerate()}
    maintenance.start()
    maintenance.start()
    threads = {*threading.enumerate()} - before
    assert len(threads) == 1
    assert passed.wait(10)
    maintenance.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    maintenance.stop()


def test_without_an_interval_there_is_no_thread(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.interval = 0
    maintenance = scene.make()
    before = {*threading.enumerate()}
    maintenance.start()
    assert {*threading.enumerate()} == before
    scene.troubles['read cluster'] = DOWN
    maintenance.run_pass()
    (message,) = fake_cluster.warnings(caplog)
    assert '0 s' not in message


def test_the_waiting_rules_are_those_of_this_service(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        manila_db, 'shares_with_waiting_rules', lambda host: {host}
    )
    assert scene.make().shares_with_waiting_rules() == {HOST}
