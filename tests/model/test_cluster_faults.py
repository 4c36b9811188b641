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
"""Nodes that boot or are down, full pools, and errors of gluster.

Each test ends with a check of the model: nothing is left over, nothing is
missing, every share is complete.
"""

from collections.abc import Iterator

import pytest

from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import glusterd_start
from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.ssh import circuit_breaker
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import scene as scenes


@pytest.fixture(autouse=True)
def nothing_left(manila: model_backend.ModelBackend) -> Iterator[None]:
    yield
    manila.check()


@pytest.mark.parametrize('how', ['cut', 'shut_down'])
def test_reboot_of_all_nodes(
    manila: model_backend.ModelBackend, ids: Iterator[str], how: str
) -> None:
    origin, snapshot, share, other = (next(ids) for _ in range(4))
    manila.create(origin)
    manila.create(other)
    manila.write(origin, 'kept')
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot, 2)
    getattr(manila.pool, how)()
    manila.pool.boot()
    manila.check()
    manila.heal()
    again = next(ids)
    manila.clone(again, snapshot)


def test_reboot_without_the_boot_unit(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Bricks of created shares are down then, and are healed."""
    share = next(ids)
    manila.create(share)
    for node in manila.pool.nodes.values():
        node.boot_unit = False
    manila.pool.cut()
    manila.pool.boot()
    assert manila.problems()
    manila.heal()


def test_origin_gone_and_reboot(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """glusterd 11 starts because the bricks are mounted before it."""
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot)
    manila.delete_snapshot(snapshot)
    manila.delete(origin)
    manila.pool.cut()
    manila.pool.boot()
    manila.check()


def test_origin_gone_and_reboot_without_the_boot_unit() -> None:
    """The model knows why the unit is needed."""
    pool = model_cluster.ModelCluster(3, '11.1')
    with model_backend.in_time_of(pool):
        manila = model_backend.ModelBackend(link.Process(pool))
        origin, snapshot, share = (
            f'00000000-0000-4000-8000-00000000000{n}' for n in range(3)
        )
        manila.create(origin)
        manila.snapshot(snapshot, origin)
        manila.clone(share, snapshot)
        manila.delete_snapshot(snapshot)
        manila.delete(origin)
        for node in pool.nodes.values():
            node.boot_unit = False
        pool.cut()
        pool.boot()
        assert not any(node.glusterd_up for node in pool.nodes.values())


def test_one_node_down(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """What needs all nodes is refused; shares stay served; then it works."""
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.pool.cut('gl2')
    manila.pool.time.advance(60)
    with pytest.raises(errors.Error):
        manila.clone(share, snapshot)
    with pytest.raises(errors.Error):
        manila.delete_snapshot(snapshot)
    with pytest.raises(errors.Error):
        manila.delete(origin)
    manila.pool.boot()
    manila.clone(share, snapshot)


@pytest.mark.parametrize('release', ['10.3', '11.1'])
def test_operations_right_after_a_node_came_back(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them fails because the node did not answer before."""
    scene = scenes.Scene(release)
    # The node comes back as soon as the driver has noticed that it was down.
    monkeypatch.setattr(circuit_breaker, 'RETRY_SECONDS', 600.0)
    for operation in scenes.OPERATIONS:
        for name in ('gl1', 'gl2'):
            manila = scene.again()
            with model_backend.in_time_of(manila.pool):
                manila.services.cluster.members()
                manila.pool.cut(name)
                manila.services.cluster.try_everywhere(
                    lambda node: node.lvm.lvs()
                )
                down = [
                    node.name
                    for node in manila.services.cluster.nodes
                    if node.commands.is_known_down
                ]
                assert down == [name]
                manila.pool.boot()
                operation.act(manila)
                manila.check()


@pytest.mark.parametrize('node', ['gl1', 'gl2'])
@pytest.mark.parametrize('comes', [True, False])
def test_deletion_while_a_node_lacks_the_snapshot(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    node: str,
    comes: bool,
) -> None:
    """The node was away when the snapshot was taken, and has reconnected."""
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    pool = manila.pool
    pool.state.snapshots[f'manila-snap-{snapshot}'].lacking.add(node)
    if not comes:
        begun = pool.time.now
        with pytest.raises(errors.Unsettled):
            manila.delete_snapshot(snapshot)
        assert pool.time.now - begun < 60
        manila.check()
    pool.nodes[node].takes_over_at = pool.time.now + 12
    manila.delete_snapshot(snapshot)
    manila.check()


@pytest.mark.parametrize('node', ['gl1', 'gl2'])
def test_deletion_of_a_snapshot_that_a_node_lists_twice(
    manila: model_backend.ModelBackend, ids: Iterator[str], node: str
) -> None:
    """The node received it from two peers while it booted."""
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    pool = manila.pool
    pool.state.listed_twice.add((node, f'manila-snap-{snapshot}'))
    with pytest.raises(deletion_on_nodes.StillKnown) as still_known:
        manila.delete_snapshot(snapshot)
    assert still_known.value.node == node
    with pytest.raises(deletion_on_nodes.MissingOnNodes) as missing:
        manila.delete_snapshot(snapshot)
    # A restart of the others would spread it.
    assert missing.value.node_to_restart == node
    pool.glusterd.kill(pool.nodes[node])
    pool.time.advance(60)
    manila.delete_snapshot(snapshot)
    manila.check()


def test_writer_down(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Rules are changed through the next node."""
    share = next(ids)
    manila.create(share)
    manila.pool.cut('gl1')
    manila.pool.time.advance(30)
    manila.allow(share, '10.0.0.9')
    manila.pool.boot()
    manila.check()
    # glusterd that does not know yet that it is gone waits for it.
    manila.pool.cut('gl1')
    with pytest.raises(errors.Unknown):
        manila.allow(share, '10.0.0.8')
    manila.pool.boot()
    manila.pool.time.advance(180)
    manila.allow(share, '10.0.0.8')


def test_size_and_pool_of_a_clone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    with pytest.raises(errors.NotPossible):
        manila.services.clones.create(
            share, ['gvg/other'], model_backend.GIB, snapshot, print
        )
    for pool in manila.pool.thin_pools():
        pool.metadata_percent = 90.0
    for verb in (
        lambda: manila.clone(share, snapshot),
        lambda: manila.snapshot(next(ids), origin),
        lambda: manila.create(share),
        lambda: manila.extend(origin, 2),
    ):
        with pytest.raises(errors.NotPossible):
            verb()


def test_pool_full_on_one_node(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    manila.pool.thin_pools()[2].data_percent = 96.0
    with pytest.raises(errors.NotPossible):
        manila.create(next(ids))


@pytest.mark.parametrize('times', [1, 99])
def test_a_clone_that_a_peer_gives_up(
    manila: model_backend.ModelBackend, ids: Iterator[str], times: int
) -> None:
    """11.1 leaves LVs behind each time."""
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.pool.state.mishaps['clone'] = times
    try:
        manila.clone(share, snapshot)
    except errors.Error:
        assert share not in manila.shares
    manila.pool.state.mishaps.clear()
    manila.check()
    manila.clone(next(ids), snapshot)


@pytest.mark.parametrize('times', [1, 99])
def test_a_snapshot_that_glusterd_gives_up(
    manila: model_backend.ModelBackend, ids: Iterator[str], times: int
) -> None:
    """Each attempt leaves a directory on every node."""
    origin, snapshot = next(ids), next(ids)
    manila.create(origin)
    manila.pool.state.mishaps['snapshot create'] = times
    if times == 1:
        manila.snapshot(snapshot, origin)
        manila.delete_snapshot(snapshot)
    else:
        with pytest.raises(errors.CommitFailed):
            manila.snapshot(snapshot, origin)
    manila.check()


def test_a_snapshot_whose_lv_stays(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """glusterd may report success and leave an LV behind."""
    origin, snapshot = next(ids), next(ids)
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.pool.state.mishaps['snapshot delete'] = 1
    manila.delete_snapshot(snapshot)


def test_a_snapshot_soon_after_writes_has_the_copies_healed(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin = next(ids)
    manila.create(origin)
    manila.write(origin, 'new')
    begun, steps = manila.pool.time.now, len(manila.process.steps)
    manila.snapshot(next(ids), origin)
    assert manila.pool.time.now - begun < 10
    heals = [
        step.argv[4:]
        for step in manila.process.steps[steps:]
        if step.argv[1:3] == ('volume', 'heal')
    ]
    assert len(heals) <= 4
    assert heals.count(()) == 1
    # Nothing is healed where nothing has to be.
    steps = len(manila.process.steps)
    manila.snapshot(next(ids), origin)
    assert (
        sum(
            step.argv[1:3] == ('volume', 'heal')
            for step in manila.process.steps[steps:]
        )
        == 1
    )
    manila.check()


def test_no_snapshot_while_a_brick_is_down(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin = next(ids)
    manila.create(origin)
    manila.write(origin, 'new')
    volume = manila.pool.state.volumes[f'manila-{origin}']
    manila.pool.state.stop_brick(volume.bricks[1])
    begun = manila.pool.time.now
    taken = next(ids)
    with pytest.raises(replica_heal.CopiesDiffer) as caught:
        manila.snapshot(taken, origin)
    assert manila.pool.time.now - begun < 25
    (silent,) = caught.value.bricks
    assert silent.startswith(f'{volume.bricks[1].node}:')
    assert f'manila-snap-{taken}' not in manila.pool.state.snapshots
    manila.heal()
    manila.pool.time.advance(10)
    manila.snapshot(next(ids), origin)


def test_no_snapshot_where_healing_takes_too_long(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin = next(ids)
    manila.create(origin)
    manila.write(origin, 'new')
    manila.pool.state.heal_seconds = 3600
    begun = manila.pool.time.now
    with pytest.raises(replica_heal.CopiesDiffer) as caught:
        manila.snapshot(next(ids), origin)
    assert 50 < manila.pool.time.now - begun < 75
    assert caught.value.entry_count == 9
    assert caught.value.bricks == ()


def test_half_made_clone_is_not_started(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Its caller was killed before it was closed; it is its origin's still.

    An administrator who sets the share available again does not open it.
    """
    origin, snapshot, half = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.allow(origin, '10.0.0.5')
    manila.snapshot(snapshot, origin)
    manila.process.fail_when(link.Fault.KILLED_BEFORE, 'set', f'manila-{half}')
    with pytest.raises(link.Killed):
        manila.clone(half, snapshot)

    again = model_backend.open_backend(link.Process(manila.pool)).services
    healed = healing.Healer(again).heal([origin, half])
    assert isinstance(healed[half], errors.Missing)
    assert not manila.pool.mount('10.0.0.5', f'manila-{half}')
    assert manila.pool.mount('10.0.0.5', f'manila-{origin}')
    again.shares.delete(half)


@pytest.mark.parametrize('believed', [False, True])
def test_a_node_that_takes_over_late_what_it_missed(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    believed: bool,
) -> None:
    """It seems to know what is set meanwhile, and loses it.

    :param believed: whether it is, which would leave its brick open.
    """
    share = next(ids)
    manila.create(share)
    manila.allow(share, '10.0.0.5')
    manila.pool.kill_glusterd('gl3')
    manila.allow(share, '10.0.0.5', '10.0.0.6')
    manila.allow(share, '10.0.0.5', '10.0.0.6', '10.0.0.7')
    manila.pool.time.advance(60.0)
    with monkeypatch.context() as patch:
        if believed:
            patch.setattr(
                glusterd_start, 'seconds_until_started', lambda *nodes: {}
            )
        manila.allow(share)
    manila.pool.time.advance(60.0)
    manila.pool.glusterd.settle()
    volume = manila.pool.state.volumes[f'manila-{share}']
    assert ('10.0.0.7' in str(volume.behind)) is believed
    manila.allow(share)
    assert not volume.behind
