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
"""Locks between hosts, with a coordinator in memory."""

import pytest

from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.locking import tooz_coordinator


class Lock:
    """A lock of a coordinator."""

    def __init__(self) -> None:
        self.is_held = True
        self.releases = 0

    def release(self) -> None:
        self.releases += 1


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Lock:
    made = Lock()
    acquired = tooz_coordinator.AcquiredLock(
        lambda: made.is_held, made.release
    )
    monkeypatch.setattr(tooz_coordinator, 'acquire', lambda key: acquired)
    return made


def test_a_lock_that_is_held_is_checked_and_released(
    lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    held = cross_host_locks.HostLocks().acquire('share-x', 'share-x', 0)
    held.require()
    held.release()
    assert lock.releases == 1
    assert not caplog.records


def test_a_lost_lock_is_an_error_and_a_warning(
    lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    held = cross_host_locks.HostLocks().acquire('share-x', 'share-x', 0)
    lock.is_held = False
    with pytest.raises(cross_host_locks.LockLost) as caught:
        held.require()
    assert (caught.value.lock, caught.value.failure) == ('share-x', '')
    held.release()
    (record,) = caplog.records
    assert record.levelname == 'WARNING'
    assert record.args is not None
    assert 'share-x' in record.args


def test_a_lock_of_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tooz_coordinator, 'acquire', lambda key: None)
    with pytest.raises(cross_host_locks.LockHeld) as caught:
        cross_host_locks.HostLocks().acquire('share-x', 'share-x', 0)
    assert (caught.value.lock, caught.value.seconds) == ('share-x', 0)


def test_a_coordinator_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(key: str) -> None:
        raise ConnectionError('refused')

    monkeypatch.setattr(tooz_coordinator, 'acquire', fail)
    with pytest.raises(cross_host_locks.NoCoordinator) as caught:
        cross_host_locks.HostLocks().acquire('share-x', 'share-x', 0)
    assert caught.value.lock == 'share-x'
    assert 'refused' in caught.value.failure
