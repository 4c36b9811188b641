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
"""A snapshot is deactivated once, after its last clone."""

import threading

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.operations import snapshot_deactivation
from tests.unit import fakes

ID, OTHER = (f'{n}aaaaaaa-0000-4000-8000-000000000000' for n in 'ab')
HELD = cross_host_locks.LockHeld('snapshot', 1)


class Room:
    """The uses of snapshots, without a thread."""

    def __init__(self) -> None:
        self.deactivated: list[str] = []
        self.failures: list[Exception] = []
        self.uses = snapshot_deactivation.SnapshotUses(self._deactivate)

    def _deactivate(self, snapshot_id: str) -> None:
        self.deactivated.append(snapshot_id)
        if self.failures:
            raise self.failures.pop()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> Room:
    monkeypatch.setattr(snapshot_deactivation, 'time', clock)
    monkeypatch.setattr(
        snapshot_deactivation.SnapshotUses, '_start_thread', lambda uses: None
    )
    return Room()


def test_a_snapshot_is_deactivated_some_seconds_later(
    room: Room, clock: fakes.Clock
) -> None:
    with room.uses.use(ID):
        assert room.uses.is_running(ID)
        assert room.uses.deactivate_due() is None
    assert room.uses.is_used(ID)
    assert not room.uses.is_running(ID)
    assert room.uses.deactivate_due() == snapshot_deactivation.LINGER_SECONDS
    assert room.deactivated == []
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == [ID]
    assert not room.uses.is_used(ID)


def test_the_last_use_counts(room: Room, clock: fakes.Clock) -> None:
    with room.uses.use(ID), room.uses.use(OTHER):
        with room.uses.use(ID):
            pass
        clock.now += 60
        room.uses.deactivate_due()
        assert room.deactivated == []
    clock.now += snapshot_deactivation.LINGER_SECONDS / 2
    with room.uses.use(ID):
        pass
    clock.now += snapshot_deactivation.LINGER_SECONDS / 2
    assert (
        room.uses.deactivate_due() == snapshot_deactivation.LINGER_SECONDS / 2
    )
    assert room.deactivated == [OTHER]


def test_a_use_that_fails_counts(room: Room, clock: fakes.Clock) -> None:
    with pytest.raises(errors.NotPossible), room.uses.use(ID):
        raise errors.NotPossible('no room')
    assert room.uses.is_used(ID)


def test_a_locked_snapshot_is_deactivated_later(
    room: Room, clock: fakes.Clock
) -> None:
    room.failures.append(HELD)
    with room.uses.use(ID):
        pass
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() == snapshot_deactivation.LINGER_SECONDS
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == [ID, ID]


def test_a_failure_is_left_to_maintenance(
    room: Room, clock: fakes.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    room.failures.append(errors.TimedOut('gl1', (), 1))
    with room.uses.use(ID):
        pass
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == [ID]
    assert ID in caplog.text


def test_a_snapshot_that_is_forgotten_stays_active(
    room: Room, clock: fakes.Clock
) -> None:
    with room.uses.use(ID):
        pass
    with room.uses.use(OTHER), room.uses.use(OTHER):
        for snapshot_id in (ID, OTHER):
            room.uses.forget(snapshot_id)
        assert not room.uses.is_used(ID)
        # Maintenance leaves it to the operations that still use it.
        assert room.uses.is_used(OTHER)
    assert not room.uses.is_used(OTHER)
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == []


def test_a_use_that_begins_later_counts(
    room: Room, clock: fakes.Clock
) -> None:
    with room.uses.use(ID):
        room.uses.forget(ID)
        with room.uses.use(ID):
            pass
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == [ID]


def test_nothing_is_deactivated_after_a_stop(
    room: Room, clock: fakes.Clock
) -> None:
    with room.uses.use(OTHER):
        with room.uses.use(ID):
            pass
        room.uses.stop()
        assert not room.uses.is_used(ID)
    clock.now += snapshot_deactivation.LINGER_SECONDS
    assert room.uses.deactivate_due() is None
    assert room.deactivated == []


def test_the_thread_ends_when_nothing_is_left_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshot_deactivation, 'LINGER_SECONDS', 0.05)
    done = threading.Semaphore(0)
    uses = snapshot_deactivation.SnapshotUses(
        lambda snapshot_id: done.release()
    )
    for _ in range(2):
        with uses.use(ID):
            pass
        thread = uses._thread
        assert thread is not None
        assert thread.daemon
        assert done.acquire(timeout=5)
        thread.join(5)
        assert not thread.is_alive()


def test_a_stop_ends_the_thread() -> None:
    uses = snapshot_deactivation.SnapshotUses(lambda snapshot_id: None)
    with uses.use(ID):
        pass
    thread = uses._thread
    assert thread is not None
    uses.stop()
    thread.join(5)
    assert not thread.is_alive()
