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
"""Locks, between threads and between real processes."""

from collections.abc import Iterator
import contextlib
import pathlib
import subprocess
import sys
import threading

from oslo_config import cfg
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.locking import locks
from tests.unit import fakes

A = 'aaaaaaaa-0000-4000-8000-000000000000'
B = 'bbbbbbbb-0000-4000-8000-000000000000'

#: Takes a lock, says so, and keeps it until its input ends.
_HOLDER = """
from oslo_concurrency import lockutils
import sys
lock = lockutils.external_lock(
    sys.argv[2], 'manila-glusterfs-clone-', sys.argv[1])
lock.acquire()
print('held', flush=True)
sys.stdin.read()
"""

#: Says whether it can have a lock at once.
_TRIER = """
from oslo_concurrency import lockutils
import sys
lock = lockutils.external_lock(
    sys.argv[2], 'manila-glusterfs-clone-', sys.argv[1])
print(lock.acquire(blocking=False))
"""


@pytest.fixture(autouse=True)
def lock_path(tmp_path: pathlib.Path) -> Iterator[str]:
    path = str(tmp_path)
    cfg.CONF.set_override('lock_path', path, group='oslo_concurrency')
    yield path
    cfg.CONF.clear_override('lock_path', group='oslo_concurrency')


@contextlib.contextmanager
def held_by_a_process(
    path: str, name: str
) -> Iterator['subprocess.Popen[str]']:
    with subprocess.Popen(
        [sys.executable, '-c', _HOLDER, path, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def is_free(name: str) -> bool:
    kind, _, of = name.partition('-')
    mutex = locks.Locks(0.01)
    try:
        with mutex.share(of) if kind == 'share' else mutex.snapshot(of):
            return True
    except errors.NotPossible:
        return False


def test_threads_exclude_each_other() -> None:
    mutex = locks.Locks(5)
    inside = 0
    most = 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(20):
            with mutex.share(A):
                inside += 1
                most = max(most, inside)
                inside -= 1

    with fakes.threads([enter] * 8):
        pass
    assert most == 1
    assert inside == 0


def test_so_do_different_back_ends_of_one_process() -> None:
    with locks.Locks(5).share(A):
        taken: list[bool] = []
        with fakes.threads([lambda: taken.append(is_free(f'share-{A}'))]):
            pass
        assert taken == [False]


def test_waiting_ends_when_the_other_has_ended() -> None:
    mutex = locks.Locks(5)
    order: list[str] = []
    held = threading.Event()
    go_on = threading.Event()

    def first() -> None:
        with mutex.share(A):
            held.set()
            go_on.wait(5)
            order.append('first')

    def second() -> None:
        assert held.wait(5)
        go_on.set()
        with mutex.share(A):
            order.append('second')

    with fakes.threads([first, second]):
        pass
    assert order == ['first', 'second']


def test_processes_exclude_each_other(lock_path: str) -> None:
    with held_by_a_process(lock_path, f'share-{A}'):
        assert not is_free(f'share-{A}')
        assert is_free(f'share-{B}')
        assert is_free(f'snapshot-{A}')


def test_a_process_that_is_killed_holds_no_lock(lock_path: str) -> None:
    with held_by_a_process(lock_path, f'share-{A}') as process:
        process.kill()
        process.wait()
        assert is_free(f'share-{A}')


def test_a_process_is_kept_out_by_us(lock_path: str) -> None:
    def tried() -> str:
        command = [sys.executable, '-c', _TRIER, lock_path, f'share-{A}']
        return subprocess.check_output(command, text=True).strip()

    with locks.Locks(5).share(A):
        assert tried() == 'False'
    assert tried() == 'True'


def test_the_lock_is_a_file_below_lock_path(lock_path: str) -> None:
    with locks.Locks(5).snapshot(A):
        (found,) = pathlib.Path(lock_path).iterdir()
        assert found.name == f'manila-glusterfs-clone-snapshot-{A}'


def test_the_time_out_says_which_lock(lock_path: str) -> None:
    with held_by_a_process(lock_path, f'share-{A}'):
        with pytest.raises(cross_host_locks.LockHeld) as caught:
            with locks.Locks(0.01).share(A):
                pass
    assert (caught.value.lock, caught.value.seconds) == (f'share-{A}', 0.01)
    # Waiting in vain leaves nothing locked.
    assert is_free(f'share-{A}')


def test_different_things_do_not_wait_for_each_other() -> None:
    mutex = locks.Locks(0.01)
    with mutex.share(A), mutex.share(B), mutex.snapshot(A):
        assert not is_free(f'share-{B}')


def test_an_error_inside_unlocks() -> None:
    with pytest.raises(ValueError):
        with locks.Locks(5).share(A):
            raise ValueError
    assert is_free(f'share-{A}')


@pytest.mark.parametrize('kind', ['work', 'share', 'snapshot'])
def test_what_is_no_id_is_no_file_name(kind: str, lock_path: str) -> None:
    for instance in ('x' * 300, '../x', ''):
        with pytest.raises(errors.NotPossible):
            with getattr(locks.Locks(5), kind)(instance):
                pass
    assert not list(pathlib.Path(lock_path).iterdir())


def test_a_host_may_have_a_long_name(lock_path: str) -> None:
    mutex = locks.Locks(5)
    names = ['h' * 255 + '@a', 'h' * 255 + '@b']
    with mutex.maintenance(names[0]), mutex.maintenance(names[1]):
        with pytest.raises(errors.Held):
            with mutex.maintenance(names[0]):
                pass
        assert len(list(pathlib.Path(lock_path).iterdir())) == 2


def test_work_goes_on_beside_the_steps_that_it_is_made_of() -> None:
    mutex = locks.Locks(0.01)
    with mutex.work(A), mutex.share(A), mutex.snapshot(A) as lock:
        lock.require()
        with pytest.raises(errors.Held):
            with mutex.work(A):
                pass


def test_a_file_that_cannot_be_had_is_no_lock(lock_path: str) -> None:
    # What is a directory cannot be opened, by root neither.
    name = f'manila-glusterfs-clone-share-{A}'
    (pathlib.Path(lock_path) / name).mkdir()
    with pytest.raises(locks.LockUnusable) as caught:
        with locks.Locks(5).share(A):
            pass
    assert caught.value.lock == f'share-{A}'
    (pathlib.Path(lock_path) / name).rmdir()
    # Nothing stayed locked in memory.
    assert is_free(f'share-{A}')


# -- clones of one snapshot


def test_a_clone_that_waits_is_seen_by_other_processes(
    lock_path: str,
) -> None:
    mutex = locks.Locks(5)
    assert not mutex.is_clone_waiting(A)
    with held_by_a_process(lock_path, f'queue-{A}'):
        assert mutex.is_clone_waiting(A)
        assert not mutex.is_clone_waiting(B)
    with mutex.snapshot_to_clone(A):
        assert not mutex.is_clone_waiting(A)


def test_a_clone_waits_for_all_that_lock_its_snapshot() -> None:
    mutex = locks.Locks(0.01)
    with mutex.snapshot(A):
        with pytest.raises(cross_host_locks.LockHeld):
            with mutex.snapshot_to_clone(A):
                pass
        # It waits no more.
        assert not mutex.is_clone_waiting(A)
    with mutex.snapshot_to_clone(A):
        assert not is_free(f'snapshot-{A}')


def test_names_are_short_enough_for_mysql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """See :mod:`manila_glusterfs_clone.locking.tooz_coordinator`."""
    keys: list[str] = []
    mutex = locks.Locks(5)
    hold = mutex._hold

    def record(name: str, key: str, seconds: float) -> object:
        keys.append(key)
        return hold(name, key, seconds)

    monkeypatch.setattr(mutex, '_hold', record)
    for lock in (mutex.work, mutex.share, mutex.snapshot):
        with lock(A):
            pass
    with mutex.snapshot_to_clone(A), mutex.maintenance('host@backend'):
        pass
    assert len(keys) == 6
    assert max(map(len, keys)) <= 45
