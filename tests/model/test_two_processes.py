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
"""One process meets the work that another one does or has left.

Each test ends with a check of the model: nothing is left over, nothing is
missing, every share is complete.
"""

from collections.abc import Callable, Iterator, Sequence
import threading
from typing import Any

import pytest

from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.tools import gluster
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import model_node
from tests.model import turns


@pytest.fixture(autouse=True)
def in_turn(pool: model_cluster.ModelCluster) -> Iterator[None]:
    with model_backend.in_time_of(pool), turns.in_turn():
        yield


def another(manila: model_backend.ModelBackend) -> model_backend.ModelBackend:
    """Give another process, which knows what Manila does."""
    new = model_backend.ModelBackend(link.Process(manila.pool))
    new.shares = manila.shares
    new.snapshots = manila.snapshots
    return new


def dies_at(
    manila: model_backend.ModelBackend, words: Callable[[Any], bool]
) -> None:
    """Have a process killed when it has said something to glusterd."""
    told = manila.pool.glusterd.ask

    def ask(node: Any, line: Any, **how: Any) -> str:
        answer = told(node, line, **how)
        if words(line):
            manila.pool.glusterd.ask = told  # type: ignore[method-assign]
            manila.process.dead = True
        return answer

    manila.pool.glusterd.ask = ask  # type: ignore[method-assign,assignment]


# -- who comes second


def test_a_share_that_is_there_is_not_undone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.create(share)
    manila.write(share, 'precious')
    manila.allow(share, '10.0.0.5')
    again = another(manila).services.shares.create(
        share,
        model_backend.THIN_POOL,
        model_backend.GIB,
        manila.services.layout(),
    )
    assert again.name == f'manila-{share}'
    manila.check()


def test_a_snapshot_that_is_there_is_not_undone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share, snapshot, clone = (next(ids) for _ in range(3))
    manila.create(share)
    manila.write(share, 'precious')
    manila.snapshot(snapshot, share)
    another(manila).services.snapshots.create(snapshot, share)
    manila.clone(clone, snapshot)
    manila.check()


def test_a_clone_that_is_there_is_not_undone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot)
    manila.write(share, 'precious')
    manila.allow(share, '10.0.0.5')
    second = another(manila)
    second.process.fail_when(link.Fault.REFUSED, 'profile')
    second.services.clones.create(
        share, [model_backend.THIN_POOL], model_backend.GIB, snapshot, print
    )
    manila.check()


# -- glusterd goes on for one that was killed


@pytest.mark.parametrize('later', [0.0, 21.0, 41.0, 61.0])
def test_a_clone_that_is_under_way_is_deleted(
    manila: model_backend.ModelBackend, ids: Iterator[str], later: float
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    node, name = manila.pool.nodes['gl1'], f'manila-snap-{snapshot}'
    ask = manila.pool.glusterd.ask
    ask(node, ['snapshot', 'activate', name])
    ask(node, ['snapshot', 'clone', f'manila-{share}', name], phases=1)
    manila.pool.time.advance(later)
    manila.services.shares.delete(share, is_clone=True)
    manila.pool.time.advance(300.0)
    manila.pool.glusterd.settle()
    manila.check()


def test_a_volume_that_is_being_made_is_deleted(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.process.fail_when(link.Variant.SLOW, 'create')
    dies_at(manila, lambda line: line[1] == 'create')
    with pytest.raises(link.Killed):
        manila.create(share)
    second = another(manila)
    second.services.shares.delete(share)
    manila.pool.time.advance(300.0)
    manila.pool.glusterd.settle()
    second.check()


# -- what clones leave of their snapshot


def test_snapshot_and_origin_of_a_half_made_clone_are_deleted(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Its bricks are mounted at boot, or glusterd 11 would not start."""
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.process.fail_when(
        link.Fault.KILLED_BEFORE, 'lvchange', f'--addtag=manila.share={share}'
    )
    with pytest.raises(link.Killed):
        manila.clone(share, snapshot)
    second = another(manila)
    second.delete_snapshot(snapshot)
    second.delete(origin)
    manila.pool.cut()
    manila.pool.boot()
    assert all(node.glusterd_up for node in manila.pool.nodes.values())
    second.services.shares.delete(share, is_clone=True)
    second.check()


@pytest.mark.parametrize('heals', [False, True])
def test_orphans_do_not_outlive_their_snapshot(
    manila: model_backend.ModelBackend, ids: Iterator[str], heals: bool
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.pool.state.mishaps['clone'] = 1
    dies_at(manila, lambda line: line[1] == 'clone')
    with pytest.raises(link.Killed):
        manila.clone(share, snapshot)
    manila.pool.time.advance(300.0)
    second = another(manila)
    if heals:
        second.heal_all()
    second.delete_snapshot(snapshot)
    second.services.shares.delete(share, is_clone=True)
    second.check()


def test_who_clones_is_not_waited_for(
    pool: model_cluster.ModelCluster, ids: Iterator[str]
) -> None:
    manila = model_backend.ModelBackend(link.Process(pool), lock_timeout=2)
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot)
    pool.glusterd.ask(
        pool.nodes['gl1'],
        ['snapshot', 'activate', f'manila-snap-{snapshot}'],
    )
    held, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with manila.services.clone_cleanup._locks.snapshot(snapshot):
            held.set()
            enough.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        manila.services.shares.delete(share, is_clone=True)
        assert f'manila-{share}' not in pool.state.volumes
    finally:
        enough.set()
        holder.join()
    del manila.shares[share]
    manila.heal_all()
    manila.check()


# -- a start of the service in the middle of something


@pytest.mark.parametrize(
    'word', ['stop', 'umount', 'remove_directories', 'lvremove']
)
def test_what_is_being_deleted_is_not_healed(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    word: str,
) -> None:
    share = next(ids)
    manila.create(share)
    starting = another(manila)
    original = manila.process.step
    heals = 0

    def step(
        node: model_node.ModelNode, argv: Sequence[str], *more: Any
    ) -> Any:
        nonlocal heals
        answer = original(node, argv, *more)
        if node.name == 'gl1' and word in argv:
            starting.healer.heal([share])
            heals += 1
        return answer

    monkeypatch.setattr(manila.process, 'step', step)
    manila.delete(share)
    assert heals
    manila.check()


# -- a first node that is none any more


def test_a_node_that_was_installed_anew_is_not_believed(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    manila.allow(share, '10.0.0.5')
    name = f'manila-{share}'
    assert manila.pool.mount('10.0.0.5', name)
    new: Any = manila.services.cluster.nodes[0].gluster
    new.peers = lambda *_timeout: (
        gluster.Peer(
            '11111111-0000-4000-8000-000000000001', 'localhost', True
        ),
    )
    new.peers_first = lambda _timeout: new
    new.volume = new.snapshot = lambda _name: None
    new.volumes = new.volumes_in_one_call = new.snapshots = dict
    # Bricks that were started before may run there, by the rules of before.
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        manila.allow(share)
    assert caught.value.nodes == ('gl1',)
    manila.pool.time.advance(5.0)
    assert not manila.pool.mounted(name)
    healed = manila.healer.heal([share])
    assert isinstance(healed[share], gluster.Volume)


def test_what_a_node_still_has_is_not_reclaimed(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """It missed the deletion, and brings the volume back."""
    share = next(ids)
    manila.create(share)
    volume = manila.pool.state.volumes[f'manila-{share}']
    late: Any = manila.services.cluster.nodes[2].gluster
    late.volume = lambda _name: volume
    with pytest.raises(deletion_on_nodes.StillKnown) as caught:
        manila.services.shares.delete(share)
    assert caught.value.node == 'gl3'
    # Nor elsewhere: the others have it from there.
    for node in manila.pool.nodes.values():
        assert f'manila-{share}' in node.lvm.lvs
    del late.volume
    manila.delete(share)
    manila.check()


@pytest.mark.parametrize('cloned', [False, True])
def test_a_brick_that_was_never_started_is_not_reported(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    cloned: bool,
) -> None:
    """glusterd dies where the brick is, and the others start without it."""
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    close = volumes.Volumes.deny_all

    def close_then_die(room: volumes.Volumes, share_id: str) -> gluster.Volume:
        volume = close(room, share_id)
        manila.pool.glusterd.kill(manila.pool.nodes['gl2'])
        return volume

    with monkeypatch.context() as patch:
        patch.setattr(volumes.Volumes, 'deny_all', close_then_die)
        if cloned:
            manila.clone(share, snapshot)
        else:
            manila.create(share)
    volume = manila.pool.state.volumes[f'manila-{share}']
    assert all(manila.pool.state.online(volume, b) for b in volume.bricks)
    manila.check()
