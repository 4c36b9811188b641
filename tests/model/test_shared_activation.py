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
"""Clones share one activation, and the snapshot is deactivated later.

Actions that the driver runs in parallel can end in any order. The other tests
run the action of ``parallel.beside`` before its body. Some tests here run this
action after the body.
"""

from collections.abc import Callable, Iterator
import concurrent.futures
import contextlib
import threading

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import snapshot_deactivation
from manila_glusterfs_clone.operations import status_after_interruption
from tests.fault_table import table
from tests.model import fault_injection
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import neighbours
from tests.model import scene as scenes
from tests.model import turns

CLONE = next(
    each for each in scenes.OPERATIONS if each.name == 'clone and grow'
)


def counts(
    pool: model_cluster.ModelCluster, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, int]]:
    """Count the snapshot commands that glusterd gets."""
    asked: list[str] = []
    ask = pool.glusterd.ask

    def record(node: object, words: list[str], **how: object) -> str:
        if words[0] == 'snapshot':
            asked.append(words[1])
        return ask(node, words, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(pool.glusterd, 'ask', record)
    verbs = ('activate', 'clone', 'deactivate')
    return lambda: {verb: asked.count(verb) for verb in verbs}


def snapshot_of_a_share(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> str:
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    return snapshot


def another(
    manila: model_backend.ModelBackend, **changes: object
) -> model_backend.ModelBackend:
    """Return another process that has the same shares."""
    new = model_backend.ModelBackend(link.Process(manila.pool), **changes)
    new.shares, new.snapshots = manila.shares, manila.snapshots
    return new


def is_active(manila: model_backend.ModelBackend, snapshot: str) -> bool:
    name = f'manila-snap-{snapshot}'
    return manila.pool.state.snapshots[name].active


@pytest.mark.parametrize('process_count', [1, 3])
def test_eight_clones_need_one_activation(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    process_count: int,
) -> None:
    """In one process or in several."""
    snapshot = snapshot_of_a_share(manila, ids)
    processes = [manila, *(another(manila) for _ in range(process_count - 1))]
    count = counts(manila.pool, monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for done in [
            threads.submit(
                processes[n % process_count].clone, next(ids), snapshot, 2
            )
            for n in range(8)
        ]:
            done.result()
    assert count() == {'activate': 1, 'clone': 8, 'deactivate': 0}
    manila.check()
    assert count() == {'activate': 1, 'clone': 8, 'deactivate': 1}


def test_a_clone_that_follows_needs_no_activation(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = snapshot_of_a_share(manila, ids)
    count = counts(manila.pool, monkeypatch)
    for _ in range(3):
        manila.clone(next(ids), snapshot)
        manila.pool.time.advance(snapshot_deactivation.LINGER_SECONDS - 1)
        manila.services.clone_cleanup.uses.deactivate_due()
    manila.check()
    assert count() == {'activate': 1, 'clone': 3, 'deactivate': 1}


def test_a_waiting_clone_of_another_process_keeps_the_snapshot_active(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Do not deactivate it while the other process clones it, or waits."""
    snapshot = snapshot_of_a_share(manila, ids)
    manila.clone(next(ids), snapshot)
    other = another(manila)
    uses = manila.services.clone_cleanup.uses
    manila.pool.time.advance(snapshot_deactivation.LINGER_SECONDS)
    with other.services.locks.snapshot_to_clone(snapshot):
        # Locks wait in real time.
        assert uses.deactivate_due() == snapshot_deactivation.LINGER_SECONDS
    assert is_active(manila, snapshot)
    manila.pool.time.advance(snapshot_deactivation.LINGER_SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(
            manila.services.locks, 'is_clone_waiting', lambda snapshot_id: True
        )
        assert uses.deactivate_due() is None
    assert is_active(manila, snapshot)
    other.clone(next(ids), snapshot)
    manila.check()


def test_a_clone_that_waits_is_reported(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    snapshot = next(ids)
    locks = manila.services.locks
    has_lock = threading.Event()

    def wait() -> None:
        with locks.snapshot_to_clone(snapshot):
            has_lock.set()

    assert not locks.is_clone_waiting(snapshot)
    with locks.snapshot(snapshot):
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not locks.is_clone_waiting(snapshot):
            pass
    assert has_lock.wait(60)
    waiter.join()
    assert not locks.is_clone_waiting(snapshot)


def test_a_snapshot_is_deleted_right_after_its_clone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    snapshot = snapshot_of_a_share(manila, ids)
    manila.clone(next(ids), snapshot)
    assert is_active(manila, snapshot)
    manila.delete_snapshot(snapshot)
    manila.check()


def unmanage(manila: model_backend.ModelBackend, snapshot: str) -> None:
    manila.services.snapshots.unmanage(snapshot)
    assert not is_active(manila, snapshot)


def activate_by_hand(
    manila: model_backend.ModelBackend, snapshot: str
) -> None:
    manila.services.cluster.change(
        lambda gluster: gluster.activate_snapshot(names.snapshot(snapshot)),
        lambda gluster: False,
    )


def test_a_snapshot_is_unmanaged_right_after_its_clone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    snapshot = snapshot_of_a_share(manila, ids)
    manila.clone(next(ids), snapshot)
    unmanage(manila, snapshot)
    activate_by_hand(manila, snapshot)
    manila.pool.time.run_deferred()
    assert is_active(manila, snapshot)


def test_a_snapshot_is_unmanaged_while_its_clone_is_finished(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clone does not need the snapshot then, and not its lock."""
    snapshot = snapshot_of_a_share(manila, ids)
    deny_all = manila.services.volumes.deny_all

    def unmanage_first(share: str) -> None:
        unmanage(manila, snapshot)
        activate_by_hand(manila, snapshot)
        deny_all(share)

    monkeypatch.setattr(manila.services.volumes, 'deny_all', unmanage_first)
    manila.clone(next(ids), snapshot)
    manila.pool.time.run_deferred()
    assert is_active(manila, snapshot)


def test_a_snapshot_is_unmanaged_before_a_clone_that_waits(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clone activates the snapshot; no other operation deactivates it."""
    snapshot = snapshot_of_a_share(manila, ids)
    manila.clone(next(ids), snapshot)
    lock = manila.services.locks.snapshot_to_clone

    def unmanage_first(
        snapshot_id: str,
    ) -> contextlib.AbstractContextManager[object]:
        unmanage(manila, snapshot)
        return lock(snapshot_id)

    monkeypatch.setattr(
        manila.services.locks, 'snapshot_to_clone', unmanage_first
    )
    manila.clone(next(ids), snapshot)
    assert is_active(manila, snapshot)
    manila.pool.time.run_deferred()
    assert not is_active(manila, snapshot)


@pytest.mark.parametrize(
    'snapshot', [neighbours.ACTIVE, neighbours.INACTIVE], ids=['on', 'off']
)
def test_a_refused_clone_does_not_change_a_snapshot_of_another_back_end(
    manila: model_backend.ModelBackend, ids: Iterator[str], snapshot: str
) -> None:
    """Nor does what the driver does after its answer."""
    with pytest.raises(errors.NotPossible):
        manila.services.clones.create(
            next(ids), ['gvg/other'], model_backend.GIB, snapshot, print
        )
    manila.pool.time.run_deferred()
    assert not list(manila.pool.others.problems(manila.pool))
    manila.check()


def test_the_deletion_of_a_clone_does_not_wait_for_its_snapshot(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    snapshot, share = snapshot_of_a_share(manila, ids), next(ids)
    manila.clone(share, snapshot)
    manila.services.shares.delete(share, is_clone=True)
    del manila.shares[share]
    assert is_active(manila, snapshot)
    manila.check()


def test_a_service_that_stops_leaves_the_snapshot_to_maintenance(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    snapshot = snapshot_of_a_share(manila, ids)
    manila.clone(next(ids), snapshot)
    manila.services.close()
    manila.pool.time.run_deferred()
    assert is_active(manila, snapshot)
    new = another(manila)
    new.heal()
    assert not is_active(manila, snapshot)
    new.check()


def test_a_refused_clone_leaves_the_snapshot_inactive(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """The check can end after the activation."""
    snapshot = snapshot_of_a_share(manila, ids)
    for pool in manila.pool.thin_pools():
        pool.data_percent = 99.0
    with turns.in_turn(late=True), pytest.raises(errors.NotPossible):
        manila.clone(next(ids), snapshot)
    assert is_active(manila, snapshot)
    manila.pool.time.run_deferred()
    assert not is_active(manila, snapshot)


# -- parallel actions


@pytest.fixture(scope='module')
def late(quiet: None) -> scenes.Scene:
    return scenes.Scene('11.1', late=True)


@pytest.mark.parametrize(
    'fault', fault_injection.Fault, ids=lambda f: str(f.name)
)
def test_a_fault_in_another_order(
    late: scenes.Scene, fault: fault_injection.Fault
) -> None:
    broken = [
        f'{step}: {detail}'
        for index, step in enumerate(late.steps(CLONE))
        if not fault_injection.why_not(fault, step)
        for outcome, detail, disturbed in [late.attempt(CLONE, index, fault)]
        if outcome == table.BROKEN or disturbed
    ]
    assert not broken, '\n\n'.join(broken)


@pytest.mark.parametrize('is_late', [False, True])
def test_an_interrupted_clone_is_whole_or_in_error(
    late: scenes.Scene, is_late: bool
) -> None:
    """The next start of manila-share completes the clone, or refuses it."""
    scene = late if is_late else scenes.Scene('11.1')
    found = set()
    for index, step in enumerate(scene.steps(CLONE)):
        if step.is_read:
            continue
        manila = scene.again((index, fault_injection.Fault.KILLED_AFTER))
        pool = manila.pool
        with model_backend.in_time_of(pool), turns.in_turn(late=is_late):
            with contextlib.suppress(link.Killed):
                CLONE.act(manila)
            pool.time.run_deferred()
            assert manila.process.dead
            manila = scenes.restart(manila, pool)
            manila.heal()
            if scenes.NEW in manila.shares:
                del manila.shares[scenes.NEW]
            state = status_after_interruption.Statuses(manila.services).share(
                scenes.NEW, 'creating', 2
            )
            found.add(state['status'])
            if state['status'] == 'available':
                manila.adopt(scenes.NEW, scenes.SNAPSHOT, 2)
                assert pool.size(f'manila-{scenes.NEW}') == (
                    2 * model_backend.GIB
                )
            else:
                manila.delete(scenes.NEW)
            manila.check()
    assert found == {'available', 'error'}
