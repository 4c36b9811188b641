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
"""Locks between hosts, each of them a process, on real coordinators."""

from collections.abc import Callable
import logging
import os
import signal
import threading
import time

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.locking import tooz_coordinator
from tests.coordination.lock_host import Host, ID
from tests.coordination.servers import Etcd, LEASE, Server
from tests.unit import fakes

Hosts = Callable[[str], Host]

OTHER = 'bbbbbbbb-0000-4000-8000-000000000000'


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


@pytest.mark.parametrize('timeout', [0, 1.3])
def test_a_held_lock_is_waited_for_as_long_as_was_asked(
    host: Hosts, here: None, timeout: float
) -> None:
    # A lock in memcached lasts two seconds without a heartbeat: a host that
    # starts on a busy machine takes longer.
    one, two = host('one'), host('two')
    assert not one.take()
    mutex = locks.Locks(60)

    def enter() -> None:
        with pytest.raises(errors.Held):
            with mutex.share(ID, timeout=timeout):
                pass

    mutex_of_other = mutex.share(OTHER)
    with mutex_of_other:
        assert timeout <= seconds_of(enter) < timeout + 1
    # Waiting in vain leaves nothing locked.
    assert not one.release()
    with mutex.share(ID, timeout=0):
        assert two.take() == 'LockHeld'


def test_a_lock_is_had_as_soon_as_it_is_free(host: Hosts, here: None) -> None:
    one = host('one')
    assert not one.take()
    entered: list[float] = []

    def enter() -> None:
        with locks.Locks(30).share(ID):
            entered.append(time.monotonic())

    with fakes.threads([enter]):
        time.sleep(0.5)
        assert not entered
        released = time.monotonic()
        assert not one.release()
    assert entered[0] - released < 1.5


def test_of_a_host_one_thread_waits_for_the_coordinator(
    host: Hosts, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = host('one')
    assert not one.take()
    asking = most = 0
    guard = threading.Lock()
    take = tooz_coordinator.acquire

    def counted(key: str) -> tooz_coordinator.AcquiredLock | None:
        nonlocal asking, most
        with guard:
            asking += 1
            most = max(most, asking)
        try:
            return take(key)
        finally:
            with guard:
                asking -= 1

    monkeypatch.setattr(tooz_coordinator, 'acquire', counted)
    mutex = locks.Locks(1)

    def enter() -> None:
        with pytest.raises(errors.Held):
            with mutex.share(ID):
                pass

    begun = time.monotonic()
    with fakes.threads([enter] * 16):
        # Those who want something else do not wait with them.
        with mutex.share(OTHER, timeout=0.5):
            pass
    assert most <= 2
    assert time.monotonic() - begun < 3


def test_a_slow_holder_keeps_its_lock(host: Hosts) -> None:
    """Leases are renewed in the process that works, after the fork.

    They are also after Manila has stopped its coordinator, which it does
    before the operations under way have ended.
    """
    one, two = host('one'), host('two')
    assert not one.take()
    for _ in range(2):
        end = time.monotonic() + 1.5 * LEASE
        while time.monotonic() < end:
            assert two.take() == 'LockHeld'
            time.sleep(0.2)
        assert not one.require()
        assert not one.stop_coordinator()
    assert not one.release()
    assert not two.take()


def test_a_killed_holder_has_its_lock_until_the_lease_ends(
    server: Server, host: Hosts
) -> None:
    one, two = host('one'), host('two')
    assert not one.take()
    os.kill(one.pid, signal.SIGKILL)
    took = seconds_of(lambda: two.take(timeout=30))
    assert two.take(OTHER) == ''
    if server.leases:
        assert LEASE / 3 < took < 2 * LEASE + 2
    else:
        assert took < 1


@pytest.mark.parametrize('retaken', [False, True])
def test_a_broken_lock_is_noticed(
    server: Server,
    host: Hosts,
    here: None,
    caplog: pytest.LogCaptureFixture,
    retaken: bool,
) -> None:
    two = host('two')
    with locks.Locks(1).share(ID) as lock:
        lock.require()
        server.break_lock(ID)
        if retaken:
            assert not two.take(timeout=1)
        with pytest.raises(cross_host_locks.LockLost):
            lock.require()
        caplog.clear()
    (record,) = [
        each
        for each in caplog.records
        if each.name == cross_host_locks.__name__
    ]
    assert record.levelno == logging.WARNING
    assert record.args is not None
    assert f'share-{ID}' in record.args
    # What is another's by now was not released.
    assert host('three').take() == ('LockHeld' if retaken else '')


def test_a_holder_that_is_stopped_notices_that_it_lost_its_lock(
    server: Server, host: Hosts
) -> None:
    one, two = host('one'), host('two')
    assert not one.take()
    os.kill(one.pid, signal.SIGSTOP)
    try:
        took = two.take(timeout=2 * LEASE + 2)
    finally:
        os.kill(one.pid, signal.SIGCONT)
    # A connection lives on while its process is stopped.
    assert took == ('' if server.leases else 'LockHeld')
    assert one.require() == ('LockLost' if server.leases else '')


def test_a_coordinator_that_is_down_costs_one_wait(
    server: Server, here: None
) -> None:
    mutex = locks.Locks(60)
    with mutex.share(ID) as lock:
        server.kill()
        with pytest.raises(cross_host_locks.LockLost):
            lock.require()

    def enter(timeout: float) -> None:
        with pytest.raises(cross_host_locks.NoCoordinator):
            with mutex.share(OTHER, timeout=timeout):
                pass

    def many() -> None:
        for _ in range(100):
            enter(1)

    try:
        assert seconds_of(lambda: enter(0)) < tooz_coordinator.CALL_TIMEOUT + 1
        assert seconds_of(many) < tooz_coordinator.CALL_TIMEOUT + 3
    finally:
        server.start()
    # What the dead one knew of locks is gone, or ends with its lease.
    with mutex.share(OTHER, timeout=30), mutex.share(ID):
        pass


def test_an_outage_of_seconds_is_waited_for(
    server: Server, here: None
) -> None:
    mutex = locks.Locks(60)
    server.kill()
    entered: list[str] = []

    def enter(instance: str) -> None:
        with mutex.share(instance):
            entered.append(instance)

    with fakes.threads([lambda: enter(ID), lambda: enter(OTHER)]):
        time.sleep(1)
        server.start()
        deadline = time.monotonic() + 60
        while len(entered) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert sorted(entered) == [ID, OTHER]


def test_a_coordinator_that_hangs_is_not_waited_for(
    server: Server,
    host: Hosts,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tooz_coordinator, 'CALL_TIMEOUT', 1.0)
    mutex = locks.Locks(60)
    with mutex.share(OTHER):
        pass
    server.signal(signal.SIGSTOP)
    try:

        def enter() -> None:
            with pytest.raises(cross_host_locks.NoCoordinator):
                with mutex.share(ID, timeout=0):
                    pass

        assert seconds_of(enter) < 2
    finally:
        server.signal(signal.SIGCONT)
    # Taken when nobody waited for it any more, it is given back.
    assert not host('two').take(timeout=LEASE + 5)


@pytest.mark.parametrize('server', ['etcd'], indirect=True)
def test_names_fit_mysql(server: Etcd, here: None) -> None:
    """It has 64 characters for one; MariaDB has more."""
    mutex = locks.Locks(5)
    with (
        mutex.work(ID),
        mutex.share(ID),
        mutex.snapshot(ID),
        mutex.maintenance('h' * 255 + '@backend'),
    ):
        names = server.locks()
    assert len(names) == 4
    assert f'manila-gfs-clone-share-{ID}' in names
    assert max(map(len, names)) <= 64
