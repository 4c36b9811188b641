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

from manila import coordination
from oslo_config import cfg
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import locks
from tests.unit import fakes

A = 'aaaaaaaa-0000-4000-8000-000000000000'
B = 'bbbbbbbb-0000-4000-8000-000000000000'

#: Takes a lock, says so, and keeps it until its input ends.
_HOLDER = """
import sys
from oslo_concurrency import lockutils
lock = lockutils.external_lock(
    sys.argv[2], 'manila-glusterfs-clone-', sys.argv[1])
lock.acquire()
print('held', flush=True)
sys.stdin.read()
"""

#: Says whether it can have a lock at once.
_TRIER = """
import sys
from oslo_concurrency import lockutils
lock = lockutils.external_lock(
    sys.argv[2], 'manila-glusterfs-clone-', sys.argv[1])
print(lock.acquire(blocking=False))
"""


@pytest.fixture(autouse=True)
def lock_path(tmp_path: pathlib.Path) -> Iterator[str]:
    path = str(tmp_path)
    cfg.CONF.set_override('lock_path', path, group='oslo_concurrency')
    cfg.CONF.set_override('backend_url', 'file:///x', group='coordination')
    yield path
    cfg.CONF.clear_override('lock_path', group='oslo_concurrency')
    cfg.CONF.clear_override('backend_url', group='coordination')


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
        with pytest.raises(errors.NotPossible, match=f'share-{A} for 0.01 s'):
            with locks.Locks(0.01).share(A):
                pass
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


class Coordinator:
    """A lock of a distributed coordinator."""

    def __init__(self, free: bool) -> None:
        self.free = free
        self.log: list[str] = []

    def lock(self, name: str) -> 'Coordinator':
        self.log.append(name)
        return self

    def acquire(self, blocking: float) -> bool:
        assert blocking >= 1.0
        self.log.append('acquire')
        return self.free

    def release(self) -> None:
        self.log.append('release')


@pytest.mark.parametrize('free', [True, False])
def test_a_distributed_coordinator_is_asked_too(
    monkeypatch: pytest.MonkeyPatch, free: bool
) -> None:
    coordinator = Coordinator(free)
    monkeypatch.setattr(coordination, 'Lock', coordinator.lock)
    cfg.CONF.set_override('backend_url', 'etcd3://x', group='coordination')
    assert is_free(f'share-{A}') is free
    assert coordinator.log == [
        f'manila-glusterfs-clone-share-{A}',
        'acquire',
        *(['release'] if free else []),
    ]
    # Whatever it said, nothing of ours stays locked.
    coordinator.free = True
    assert is_free(f'share-{A}')
