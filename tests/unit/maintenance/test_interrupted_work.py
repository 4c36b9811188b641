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
"""What becomes of each status that a killed service left behind."""

from collections.abc import Iterator
import types
from typing import Any

from manila import db
from manila import quota
import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster
from tests.unit import fakes
from tests.unit.maintenance import fake_cluster
from tests.unit.maintenance.fake_cluster import A, B, HOST
from tests.unit.maintenance import manila_database
from tests.unit.maintenance.manila_database import Asked
from tests.unit.maintenance.manila_database import Database
from tests.unit.protocols import test_protocols

SNAPSHOT = 'eeeeeeee-0000-4000-8000-000000000000'
GIB = placement.GIB
MARKS = {
    'creating': work_marks.CREATE,
    'extending': work_marks.EXTEND,
    'extending_error': work_marks.EXTEND,
    'deleting': work_marks.DELETE,
    'deferred_deleting': work_marks.DELETE,
    'unmanage_starting': work_marks.UNMANAGE,
}
#: The sizes of a share, in GiB: in Manila, and after its extension.
OLD, NEW = 1, 3


class PrivateStorage:
    """Manila's private storage of a driver, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, str]] = {}

    def update(self, instance_id: str, values: dict[str, str]) -> None:
        self.values.setdefault(instance_id, {}).update(values)

    def get(self, instance_id: str) -> dict[str, str]:
        return dict(self.values.get(instance_id, {}))

    def delete(self, instance_id: str, keys: list[str]) -> None:
        for key in keys:
            self.values.get(instance_id, {}).pop(key, None)


class Storage:
    """The volumes and snapshots on the cluster, behind their services."""

    def __init__(self) -> None:
        #: By share: the size of its volume, in GiB.
        self.sizes: dict[str, int] = {}
        #: The shares whose volume has the mark of its creation.
        self.finished: set[str] = set()
        self.snapshots: set[str] = set()
        #: By share or snapshot: raised by each access.
        self.troubles: dict[str, Exception] = {}
        #: What was changed.
        self.calls: list[tuple[Any, ...]] = []

    def _check(self, instance_id: str) -> None:
        if instance_id in self.troubles:
            raise self.troubles[instance_id]

    def is_finished(self, share_id: str) -> bool:
        self._check(share_id)
        return share_id in self.finished

    def get_in_use(self, share_id: str) -> gluster.Volume:
        self._check(share_id)
        if share_id not in self.sizes:
            raise volumes.VolumeNotFound(share_id)
        return fake_cluster.volume(share_id)

    def complete_creation(self, share_id: str, size: int) -> gluster.Volume:
        self.calls.append(('online', share_id))
        return fake_cluster.volume(share_id)

    def extend(self, share_id: str, size: int) -> None:
        self.calls.append(('extend', share_id, size // GIB))
        self.sizes[share_id] = size // GIB

    def complete_extension(self, share_id: str) -> None:
        self.calls.append(('complete', share_id))

    def size(self, share_id: str) -> int:
        return self.sizes[share_id] * GIB

    def complete(self, snapshot_id: str, share_id: str) -> bool:
        self._check(snapshot_id)
        assert share_id == A
        return snapshot_id in self.snapshots


class Scene:
    """A share and its snapshot in Manila's database, and a service."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.storage = Storage()
        self.locks = fake_cluster.Locks()
        mutex: Any = self.locks
        self.marks = work_marks.WorkMarks(PrivateStorage(), mutex)
        whole: Any = fake_cluster.Cluster()
        the_services: Any = types.SimpleNamespace(
            locks=self.locks,
            marks=self.marks,
            volumes=self.storage,
            shares=self.storage,
            clones=types.SimpleNamespace(
                complete=self.storage.complete_creation
            ),
            snapshots=self.storage,
            protocol=test_protocols.Dummy(whole),
        )
        self._backoff = backoff.Backoff()
        self._room = interrupted_work.InterruptedWork(
            the_services, self._backoff, service_host=HOST
        )

    def run(
        self,
        passes: int = 1,
        *,
        starting: bool = False,
        requested: bool = False,
    ) -> None:
        for _ in range(passes):
            self._backoff.begin_pass()
            self._room.resume(
                *self._rows(), is_starting=starting, is_requested=requested
            )
            self._backoff.end_pass()

    def retry_deletions(self) -> None:
        self._backoff.begin_pass()
        self._room.retry_deletions(*self._rows())
        self._backoff.end_pass()

    def _rows(self) -> tuple[Any, Any]:
        return (
            manila_db.shares(HOST).values(),
            manila_db.snapshots(HOST).values(),
        )

    def share(
        self,
        status: str,
        *,
        mark: str | None = None,
        share_id: str = A,
        size: int | None = None,
    ) -> str:
        """Create a share in a status, with a mark if its service had begun.

        :param size: the size of its volume; None if there is no volume.
        """
        share = self.database.share(share_id, status=status, size=OLD)
        if mark is not None:
            target = NEW if mark == work_marks.EXTEND else None
            self.marks.set(share_id, work_marks.Work(mark, target))
        if size is not None:
            self.storage.sizes[share_id] = size
            self.storage.finished.add(share_id)
        return share

    def snapshot(self, status: str, *, mark: str | None = None) -> None:
        share = self.share('available', size=OLD)
        self.database.snapshot(SNAPSHOT, share, A, status=status)
        if mark is not None:
            self.marks.set(SNAPSHOT, work_marks.Work(mark))

    def status(self, share_id: str = A) -> str:
        return str(self.database.read_share(share_id)['status'])

    def snapshot_status(self) -> str:
        return str(self.database.read_snapshot(SNAPSHOT)['status'])


@pytest.fixture
def scene(database: Database, asked: Asked) -> Iterator[Scene]:
    yield Scene(database)


# -- when work counts as interrupted


@pytest.mark.parametrize('status', sorted(MARKS))
def test_marked_work_is_resumed_when_the_service_starts(
    scene: Scene, status: str
) -> None:
    scene.share(status, mark=MARKS[status], size=OLD)
    scene.run(starting=True)
    if status != 'deleting':
        assert scene.status() != status
        assert scene.marks.find(A) is None


@pytest.mark.parametrize('status', sorted(MARKS))
def test_marked_work_is_resumed_in_the_second_pass(
    scene: Scene, asked: Asked, status: str
) -> None:
    """In the first, Manila may be about to write the status."""
    scene.share(status, mark=MARKS[status], size=OLD)
    scene.run()
    assert (scene.status(), asked) == (status, [])
    scene.run()
    assert scene.status() != status or asked


@pytest.mark.parametrize('status', sorted({*MARKS} - {'extending_error'}))
@pytest.mark.parametrize('mark', [None, 'other'])
def test_a_request_that_waits_in_the_queue_is_left_alone(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    asked: Asked,
    status: str,
    mark: str | None,
) -> None:
    """Also with the mark of an earlier operation."""
    if mark is not None:
        others = {*MARKS.values()} - {MARKS[status]}
        mark = min(others - {work_marks.EXTEND})
    scene.share(status, mark=mark)
    scene.run(starting=True)
    assert fake_cluster.warnings(caplog) == []
    scene.run(5)
    assert (scene.status(), asked) == (status, [])
    assert scene.storage.calls == []
    # It may have been lost; an operator need not wait for the driver.
    (message,) = fake_cluster.warnings(caplog)
    assert A in message
    assert HOST in message
    assert f'openstack share instance set --status error {A}' in message


@pytest.mark.parametrize(
    'status', ['deleting', 'creating', 'deferred_deleting', 'extending']
)
def test_a_request_that_an_operator_sees_waiting(
    scene: Scene, asked: Asked, status: str
) -> None:
    """Only a request to delete can be repeated while it is in the queue."""
    scene.share(status, size=OLD if status == 'extending' else None)
    scene.run(requested=True)
    assert asked == []
    scene.run(requested=True)
    assert len(asked) == (status == 'deleting')
    assert scene.status() == status


@pytest.mark.parametrize('status', sorted({*MARKS} - {'extending_error'}))
def test_a_request_that_no_service_begins_counts_as_lost(
    scene: Scene,
    asked: Asked,
    clock: fakes.Clock,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    """A service that is stopped can lose it before the driver marks it."""
    monkeypatch.setattr(backoff, 'time', clock)
    seconds = 300 if status == 'deleting' else 3600
    scene.share(status, size=OLD if status == 'extending' else None)
    for _ in range(seconds // 60):
        scene.run()
        assert (scene.status(), asked) == (status, [])
        clock.sleep(60)
    scene.run()
    if status in ('deleting', 'deferred_deleting'):
        # Also a deferred deletion: Manila has not reduced the quota for it.
        assert (scene.status(), len(asked)) == ('deleting', 1)
        if status == 'deferred_deleting':
            return
        # It is repeated ever more rarely.
        scene.run(6)
        assert len(asked) == 3
    else:
        ends = {
            'creating': 'error',
            'extending': 'available',
            'unmanage_starting': 'unmanage_error',
        }
        assert (scene.status(), asked) == (ends[status], [])


def test_the_command_for_a_snapshot_is_another(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.snapshot('deleting')
    scene.run(3)
    (message,) = fake_cluster.warnings(caplog)
    command = 'openstack share snapshot instance set --status error'
    assert f'{command} {SNAPSHOT}' in message


@pytest.mark.parametrize('status', sorted(MARKS))
def test_work_of_another_service_is_left_to_it(
    scene: Scene, caplog: pytest.LogCaptureFixture, asked: Asked, status: str
) -> None:
    scene.share(status, mark=MARKS[status], size=NEW)
    scene.locks.held_by_others.add(('work', A))
    scene.run(starting=True)
    scene.run(3)
    assert (scene.status(), asked) == (status, [])
    assert scene.storage.calls == []
    assert fake_cluster.warnings(caplog) == []


@pytest.mark.parametrize(
    'status', ['available', 'error', 'error_deleting', 'manage_starting']
)
def test_other_statuses_are_left_alone(scene: Scene, status: str) -> None:
    scene.share(status, mark=work_marks.CREATE, size=OLD)
    scene.run(starting=True)
    scene.run(3)
    assert scene.status() == status
    assert scene.storage.calls == []


@pytest.mark.parametrize('event', ['ended', 'deleted'])
def test_work_that_ended_after_the_rows_were_read_is_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    scene.share('extending', mark=work_marks.EXTEND, size=OLD)

    def end() -> None:
        if event == 'ended':
            scene.database.set_status(A, 'available')
        else:
            scene.database.delete_share(A)

    scene.locks.on_acquired = end
    scene.run(starting=True)
    assert scene.storage.calls == []
    assert fake_cluster.warnings(caplog) == []
    if event == 'ended':
        assert scene.status() == 'available'


def test_manila_resumes_interrupted_work_itself_if_it_can(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = types.SimpleNamespace(startup_reconciliation_enabled=True)
    monkeypatch.setattr(interrupted_work, 'CONF', conf)
    scene.share('creating', mark=work_marks.CREATE, size=OLD)
    scene.run(starting=True)
    assert scene.status() == 'creating'


# -- creating


def test_a_complete_share_becomes_available(scene: Scene) -> None:
    scene.share('creating', mark=work_marks.CREATE, size=OLD)
    scene.run(starting=True)
    row = scene.database.read_share(A)
    assert row['status'] == 'available'
    assert row['progress'] == '100%'
    assert row['launched_at'] is not None
    locations = db.export_location_get_all_by_share_id(
        scene.database.context, row['share_id']
    )
    assert [each['path'] for each in locations] == [f'any:/manila-{A}']
    assert scene.storage.calls == [('online', A)]
    assert scene.marks.find(A) is None


def test_an_incomplete_share_is_set_to_error(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.share('creating', mark=work_marks.CREATE)
    scene.run(starting=True)
    row = scene.database.read_share(A)
    assert row['status'] == 'error'
    assert row['progress'] != '100%'
    assert row['launched_at'] is None
    assert scene.storage.calls == []
    assert scene.marks.find(A) is None
    (message,) = fake_cluster.warnings(caplog)
    assert A in message


@pytest.mark.parametrize('is_complete', [True, False])
def test_a_snapshot_that_was_being_created(
    scene: Scene, is_complete: bool
) -> None:
    scene.snapshot('creating', mark=work_marks.CREATE)
    if is_complete:
        scene.storage.snapshots.add(SNAPSHOT)
    scene.run(starting=True)
    row = scene.database.read_snapshot(SNAPSHOT)
    expected = ('available', '100%') if is_complete else ('error', None)
    assert (row['status'], row['progress'] or None) == expected
    assert scene.marks.find(SNAPSHOT) is None


def test_complete_work_without_a_mark_is_recorded_in_the_second_pass(
    scene: Scene,
) -> None:
    """The service was killed between removing the mark and the status."""
    scene.share('creating', size=OLD)
    scene.run(starting=True)
    assert scene.status() == 'creating'
    scene.run()
    assert scene.status() == 'available'


def test_work_that_is_complete_only_now_is_looked_at_once_more(
    scene: Scene,
) -> None:
    """Another service may have just completed it."""
    scene.share('creating')
    scene.run(3)
    scene.storage.sizes[A] = OLD
    scene.storage.finished.add(A)
    scene.run()
    assert scene.status() == 'creating'
    scene.run()
    assert scene.status() == 'available'


# -- extending


def test_an_extension_is_completed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[Any, ...]] = []
    real = quota.QUOTAS.usage_reset

    def count(context: Any, resources: list[str]) -> None:
        counted.append((context.project_id, context.user_id, resources))
        real(context, resources)

    monkeypatch.setattr(quota.QUOTAS, 'usage_reset', count)
    scene.share('extending', mark=work_marks.EXTEND, size=OLD)
    scene.run(starting=True)
    row = scene.database.read_share(A)
    assert (row['status'], row['size']) == ('available', NEW)
    assert scene.storage.calls == [('extend', A, NEW)]
    # A creation begins a life, and an extension does not.
    assert row['launched_at'] is None
    assert scene.marks.find(A) is None
    # The reservation of the quota expired with the killed service.
    assert counted == [(manila_database.PROJECT, 'a-user', ['gigabytes'])]


@pytest.mark.parametrize('size', [OLD, NEW])
def test_an_extension_without_a_mark_counts_if_the_volume_has_grown(
    scene: Scene, size: int
) -> None:
    scene.share('extending', size=size)
    scene.run(2)
    row = scene.database.read_share(A)
    expected = ('available', NEW) if size == NEW else ('extending', OLD)
    assert (row['status'], row['size']) == expected


def test_an_extension_of_a_missing_volume_is_set_to_error(
    scene: Scene,
) -> None:
    scene.share('extending', mark=work_marks.EXTEND)
    scene.run(starting=True)
    row = scene.database.read_share(A)
    assert (row['status'], row['size']) == ('error', OLD)
    assert scene.marks.find(A) is None


@pytest.mark.parametrize('starting', [True, False])
@pytest.mark.parametrize('size', [OLD, 2])
def test_a_failed_extension_is_ended_at_once_with_the_actual_size(
    scene: Scene, starting: bool, size: int
) -> None:
    scene.share('extending_error', size=size)
    scene.run(starting=starting)
    row = scene.database.read_share(A)
    assert (row['status'], row['size']) == ('available', size)
    assert scene.storage.calls == [('complete', A)]


# -- deleting


def test_a_deletion_is_asked_for_again(scene: Scene, asked: Asked) -> None:
    scene.share('deleting', mark=work_marks.DELETE)
    scene.run(starting=True)
    assert scene.status() == 'deleting'
    ((name, instance),) = asked
    assert (name, instance['id']) == ('delete_share_instance', A)
    # The deletion removes its mark itself.
    assert scene.marks.find(A) is not None
    # The request is sent with the lock held, and waits for it in the queue.
    assert scene.locks.held == []


def test_the_deletion_of_a_snapshot_is_asked_for_again(
    scene: Scene, asked: Asked
) -> None:
    scene.snapshot('deleting', mark=work_marks.DELETE)
    scene.run(starting=True)
    row = scene.database.read_snapshot(SNAPSHOT)
    assert asked == [('delete_snapshot', {'id': row['snapshot_id']}, HOST)]


def test_a_snapshot_of_a_share_group_is_not_deleted(
    scene: Scene, asked: Asked
) -> None:
    scene.snapshot('deleting', mark=work_marks.DELETE)
    db.share_snapshot_instance_update(
        scene.database.context, SNAPSHOT, {'snapshot_id': None}
    )
    scene.run(starting=True)
    assert asked == []
    assert scene.snapshot_status() == 'deleting'


def test_a_request_that_was_picked_up_late_is_seen_idle_once_more(
    scene: Scene, asked: Asked
) -> None:
    """While it waited in the queue, it was idle for another reason."""
    scene.share('deleting')
    scene.run(2)
    scene.marks.set(A, work_marks.Work(work_marks.DELETE))
    scene.run()
    assert asked == []
    scene.run()
    assert len(asked) == 1


# -- unmanaging


def test_an_interrupted_unmanaging_can_be_repeated(scene: Scene) -> None:
    scene.share('unmanage_starting', mark=work_marks.UNMANAGE, size=OLD)
    scene.run(starting=True)
    assert scene.status() == 'unmanage_error'
    assert scene.marks.find(A) is None
    assert scene.storage.calls == []


# -- deferred deletion


def test_manila_repeats_an_interrupted_deferred_deletion(
    scene: Scene, asked: Asked
) -> None:
    """A request to delete it would reduce the usage of the quota twice."""
    scene.share('deferred_deleting', mark=work_marks.DELETE)
    scene.run(starting=True)
    assert scene.status() == 'error_deferred_deleting'
    assert scene.marks.find(A) is None
    assert asked == []


# -- failures


@pytest.mark.parametrize(
    'trouble', [errors.TimedOut('gl1', (), 1), RuntimeError('a bug')]
)
def test_one_that_fails_does_not_hide_the_next(
    scene: Scene, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    for share_id in (A, B):
        scene.share(
            'extending', mark=work_marks.EXTEND, share_id=share_id, size=OLD
        )
    scene.storage.troubles[A] = trouble
    scene.run(starting=True)
    scene.run(4)
    assert scene.status(B) == 'available'
    # Its status and its mark stay until it succeeds.
    assert scene.status() == 'extending'
    assert scene.marks.find(A) == work_marks.Work(work_marks.EXTEND, NEW)
    messages = [line for line in fake_cluster.warnings(caplog) if A in line]
    assert len(messages) == 1
    assert str(trouble) in messages[0]
    scene.storage.troubles.clear()
    scene.run()
    assert scene.status() == 'available'


# -- deletions that failed


def test_failed_deletions_are_retried_snapshots_first(
    scene: Scene, asked: Asked
) -> None:
    scene.snapshot('error_deleting')
    scene.database.set_status(A, 'error_deleting')
    scene.retry_deletions()
    assert [name for name, *_ in asked] == [
        'delete_snapshot',
        'delete_share_instance',
    ]
    assert scene.status() == 'deleting'
    assert scene.snapshot_status() == 'deleting'


def test_failed_deletions_are_retried_at_growing_intervals(
    scene: Scene, asked: Asked
) -> None:
    scene.share('error_deleting')
    counts = []
    for _ in range(9):
        scene.retry_deletions()
        counts.append(len(asked))
        scene.database.set_status(A, 'error_deleting')
    assert counts == [1, 2, 2, 3, 3, 3, 3, 4, 4]


@pytest.mark.parametrize('status', ['deleting', 'available', 'error'])
def test_only_failed_deletions_are_retried(
    scene: Scene, asked: Asked, status: str
) -> None:
    scene.share(status, mark=work_marks.DELETE)
    scene.retry_deletions()
    assert (asked, scene.status()) == ([], status)


def test_a_deletion_that_another_service_retries_is_left_to_it(
    scene: Scene, asked: Asked
) -> None:
    scene.share('error_deleting')
    scene.locks.held_by_others.add(('work', A))
    scene.retry_deletions()
    assert (asked, scene.status()) == ([], 'error_deleting')


def test_a_status_that_an_administrator_has_reset_is_kept(
    scene: Scene, asked: Asked
) -> None:
    scene.share('error_deleting')
    scene.locks.on_acquired = lambda: scene.database.set_status(A, 'available')
    scene.retry_deletions()
    assert (asked, scene.status()) == ([], 'available')


@pytest.mark.parametrize('status', ['error_deleting', 'deleting'])
def test_a_request_that_could_not_be_sent_changes_no_status(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    monkeypatch.setattr(
        manila_database.ShareAPI, 'trouble', OSError('no message bus')
    )
    scene.share(status, mark=work_marks.DELETE)
    scene.run(starting=True)
    scene.retry_deletions()
    assert scene.status() == status
    (message,) = fake_cluster.warnings(caplog, 'ERROR')
    assert A in message
