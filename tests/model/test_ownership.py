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
"""Others change our objects by hand; we never change theirs.

Each test has a second back end and a foreign volume next to its own. It ends
with a check of what is left and of which clients were disturbed.
"""

from collections.abc import Iterator

import pytest

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from tests.model import invariants
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import turns


@pytest.fixture(autouse=True)
def in_turn(pool: model_cluster.ModelCluster) -> Iterator[None]:
    with model_backend.in_time_of(pool), turns.in_turn():
        yield


@pytest.fixture
def other(
    pool: model_cluster.ModelCluster, ids: Iterator[str]
) -> model_backend.ModelBackend:
    """Another Manila, whose back end has the same name, on the same nodes."""
    found = model_backend.ModelBackend(link.Process(pool))
    share, snapshot, clone = (next(ids) for _ in range(3))
    found.create(share)
    found.snapshot(snapshot, share)
    found.clone(clone, snapshot)
    pool.time.run_deferred()
    # As while it is cloned.
    found.gluster('snapshot', 'activate', f'manila-snap-{snapshot}')
    return found


def changed(process: link.Process, since: int, *ids: str) -> list[str]:
    """Return the commands that name one of these and change something."""
    verbs = {'activate', 'deactivate', 'delete', 'stop', 'start', 'set'}
    tools = {'lvremove', 'lvchange', 'umount', 'mount', 'rmdir'}
    return [
        ' '.join(step.argv)
        for step in process.steps[since:]
        if any(each in ' '.join(step.argv) for each in ids)
        and (verbs & {*step.argv} or step.argv[0] in tools)
    ]


# -- what is of others


@pytest.mark.parametrize('snapshot_is_there', [False, True])
def test_deleting_a_clone_leaves_the_snapshots_of_another_manila(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
    snapshot_is_there: bool,
) -> None:
    share, snapshot, clone = (next(ids) for _ in range(3))
    manila.create(share)
    manila.snapshot(snapshot, share)
    manila.clone(clone, snapshot)
    manila.pool.time.run_deferred()
    manila.gluster('snapshot', 'activate', f'manila-snap-{snapshot}')
    if not snapshot_is_there:
        manila.delete_snapshot(snapshot)
    since = len(manila.process.steps)
    manila.services.shares.delete(clone, is_clone=True)
    of_others = (*other.shares, *other.snapshots)
    assert not changed(manila.process, since, *of_others)
    pool = manila.pool
    active = {
        name
        for name in pool.own_snapshots()
        if pool.state.snapshots[name].active
    }
    assert active == {f'manila-snap-{each}' for each in other.snapshots}


# -- what an operator does to ours


@pytest.fixture
def restored(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
) -> tuple[str, str]:
    """A share into which a snapshot was restored, and that snapshot."""
    share, earlier, snapshot = (next(ids) for _ in range(3))
    manila.create(share)
    manila.write(share, 'earlier')
    manila.snapshot(earlier, share)
    manila.write(share, 'in the snapshot')
    manila.snapshot(snapshot, share)
    manila.write(share, 'after the snapshot')
    manila.restore(snapshot)
    assert manila.pool.read(f'manila-{share}') == 'in the snapshot'
    return share, snapshot


def check(
    manila: model_backend.ModelBackend, other: model_backend.ModelBackend
) -> None:
    """See that all is there of both, and no more."""
    names = [f'manila-snap-{snapshot}' for snapshot in other.snapshots]
    for name in names:
        manila.gluster('snapshot', 'deactivate', name)
    manila.pool.time.run_deferred()
    manila.pool.time.advance(5.0)
    found = invariants.problems(
        manila.pool,
        [*manila.shares.values(), *other.shares.values()],
        {*manila.snapshots, *other.snapshots},
    )
    assert not found, '\n'.join(found)
    for name in names:
        manila.gluster('snapshot', 'activate', name)


def everything_goes_on(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    share: str,
    ids: Iterator[str],
) -> None:
    """See that a share lives on like any other, and goes without a trace."""
    pool, name = manila.pool, f'manila-{share}'
    data = manila.shares[share].data
    pool.cut()
    pool.boot()
    assert all(node.glusterd_up for node in pool.nodes.values())
    manila.heal()
    assert pool.read(name) == data
    snapshot, clone = next(ids), next(ids)
    manila.snapshot(snapshot, share)
    manila.clone(clone, snapshot, manila.shares[share].size + 1)
    manila.extend(share, manila.shares[share].size + 1)
    check(manila, other)
    for each in [*manila.snapshots]:
        manila.delete_snapshot(each)
    manila.delete(share)
    pool.cut()
    pool.boot()
    assert all(node.glusterd_up for node in pool.nodes.values())
    manila.heal()
    manila.delete(clone)
    check(manila, other)


@pytest.mark.parametrize('is_stopped', [False, True])
def test_deleting_a_restored_snapshot_keeps_the_share(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    restored: tuple[str, str],
    ids: Iterator[str],
    caplog: pytest.LogCaptureFixture,
    is_stopped: bool,
) -> None:
    share, snapshot = restored
    if is_stopped:
        manila.gluster('volume', 'stop', f'manila-{share}')
        manila.pool.time.advance(5.0)
    manila.services.snapshots.delete(snapshot, share)
    assert [
        record.levelname
        for record in caplog.records
        if f'manila-snap-{snapshot}' in record.getMessage()
    ] == ['WARNING']
    if is_stopped:
        manila.gluster('volume', 'start', f'manila-{share}')
    manila.pool.time.advance(5.0)
    assert manila.pool.read(f'manila-{share}') == 'in the snapshot'
    everything_goes_on(manila, other, share, ids)


class Care:
    """The part of maintenance that corrects tags, and what it logs."""

    def __init__(
        self,
        manila: model_backend.ModelBackend,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self._manila = manila
        self._caplog = caplog
        self._backoff = backoff.Backoff()
        self._adoption = brick_tag_repair.BrickTags(
            manila.services.cluster, manila.services.locks, self._backoff
        )

    def run(self) -> int:
        """Make a pass; return how many warnings there were."""
        self._caplog.clear()
        backend = self._manila.services
        self._backoff.begin_pass()
        self._adoption.correct(
            cluster_state.read(backend.cluster, backend.settings.backend_mark),
            {
                share: manila_db.Row(share, 'host', 'available', None, share)
                for share in self._manila.shares
            },
        )
        self._backoff.end_pass()
        return sum(r.levelname == 'WARNING' for r in self._caplog.records)


@pytest.fixture
def care(
    manila: model_backend.ModelBackend, caplog: pytest.LogCaptureFixture
) -> Care:
    return Care(manila, caplog)


def test_maintenance_adopts_restored_bricks(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    restored: tuple[str, str],
    ids: Iterator[str],
    care: Care,
) -> None:
    share, snapshot = restored
    since = len(manila.process.steps)
    # One a brick, and one of all that were its bricks before.
    assert care.run() == 4
    assert not changed(manila.process, since, *other.shares, *other.snapshots)
    assert care.run() == 0
    manila.services.snapshots.delete(snapshot, share)
    everything_goes_on(manila, other, share, ids)


def test_a_restored_snapshot_that_was_unmanaged(
    manila: model_backend.ModelBackend, ids: Iterator[str], care: Care
) -> None:
    """Its LVs are bricks now: they count, and lose the tag."""
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    manila.services.snapshots.unmanage(snapshot)
    before = manila.services.capacities()[model_backend.THIN_POOL]
    manila.restore(snapshot)
    assert care.run() == 4
    lvs = [
        lv
        for node in manila.pool.nodes.values()
        for lv in node.lvm.lvs.values()
        if f'manila.share={share}' in lv.tags
    ]
    assert len(lvs) == 6
    assert not any('manila.unmanaged' in lv.tags for lv in lvs)
    assert care.run() == 0
    after = manila.services.capacities()[model_backend.THIN_POOL]
    growth = after.provisioned_bytes - before.provisioned_bytes
    assert growth == model_backend.GIB
    manila.delete(share)


@pytest.mark.parametrize('is_adopted', [False, True])
def test_a_restored_share_is_deleted_to_the_last_lv(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    restored: tuple[str, str],
    care: Care,
    is_adopted: bool,
) -> None:
    """Also where Manila has not deleted the restored snapshot before."""
    share, snapshot = restored
    if is_adopted:
        care.run()
    for each in [*manila.snapshots]:
        manila.delete_snapshot(each)
    manila.delete(share)
    manila.services.snapshots.delete(snapshot, share)
    check(manila, other)


def test_a_restored_brick_that_is_down_is_healed(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    restored: tuple[str, str],
    ids: Iterator[str],
) -> None:
    share, snapshot = restored
    node = manila.pool.nodes['gl2']
    brick = manila.pool.state.volumes[f'manila-{share}'].brick_on('gl2')
    assert brick is not None
    node.files.users.pop(brick.path)
    node.files.detach(brick.mount)
    manila.heal()
    manila.pool.time.advance(5.0)
    assert manila.pool.read(f'manila-{share}') == 'in the snapshot'
    manila.services.snapshots.delete(snapshot, share)
    everything_goes_on(manila, other, share, ids)


def lvchange(
    manila: model_backend.ModelBackend, node: str, lv: str, *tags: str
) -> None:
    """Have an operator change tags of an LV."""
    argv = ['lvchange', *tags, f'gvg/{lv}']
    assert not manila.pool.nodes[node].execute(argv).status


@pytest.mark.parametrize('is_stopped', [False, True])
@pytest.mark.parametrize('keeps_own', [False, True])
@pytest.mark.parametrize('kind', ['share', 'snapshot'])
def test_a_brick_with_the_tag_of_something_else_stays(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
    care: Care,
    kind: str,
    keeps_own: bool,
    is_stopped: bool,
) -> None:
    share, deleted, snapshot = (next(ids) for _ in range(3))
    manila.create(share)
    manila.create(deleted)
    manila.snapshot(snapshot, deleted)
    manila.write(share, 'precious')
    tags = [f'--addtag=manila.{kind}={deleted}']
    if kind == 'snapshot':
        tags = [f'--addtag=manila.snapshot={snapshot}']
    if not keeps_own:
        tags += [
            '--deltag=manila.brick',
            f'--deltag=manila.share={share}',
            f'--deltag=manila.mount=/srv/manila-glusterfs-clone/manila-{share}',
        ]
    lvchange(manila, 'gl3', f'manila-{share}', *tags)
    if is_stopped:
        manila.gluster('volume', 'stop', f'manila-{share}')
        manila.pool.time.advance(5.0)
        manila.pool.nodes['gl3'].files.detach(
            f'/srv/manila-glusterfs-clone/manila-{share}'
        )
    manila.delete_snapshot(snapshot)
    manila.delete(deleted)
    manila.heal()
    manila.pool.time.advance(5.0)
    assert manila.pool.read(f'manila-{share}') == 'precious'
    check(manila, other)
    assert care.run() == 0


def test_a_snapshot_with_the_tag_of_another_stays(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
) -> None:
    share, snapshot, deleted, clone = (next(ids) for _ in range(4))
    manila.create(share)
    manila.write(share, 'precious')
    manila.snapshot(snapshot, share)
    manila.snapshot(deleted, share)
    taken = manila.pool.state.snapshots[f'manila-snap-{snapshot}']
    for brick in taken.volume.bricks:
        lvchange(
            manila,
            brick.node,
            brick.lv,
            f'--deltag=manila.snapshot={snapshot}',
            f'--addtag=manila.snapshot={deleted}',
        )
    manila.delete_snapshot(deleted)
    manila.clone(clone, snapshot)
    manila.pool.time.advance(5.0)
    assert manila.pool.read(f'manila-{clone}') == 'precious'
    check(manila, other)


def test_tags_that_were_removed_come_back(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
    care: Care,
) -> None:
    origin, snapshot, clone = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.clone(clone, snapshot)
    for share in (origin, clone):
        brick = manila.pool.state.volumes[f'manila-{share}'].brick_on('gl1')
        assert brick is not None
        lvchange(
            manila,
            'gl1',
            brick.lv or f'manila-{share}',
            '--deltag=manila.brick',
            f'--deltag=manila.share={share}',
            f'--deltag=manila.mount={brick.mount}',
        )
    assert care.run() == 2
    check(manila, other)
    assert care.run() == 0


def test_what_is_mounted_in_place_of_a_brick_is_not_adopted(
    manila: model_backend.ModelBackend,
    other: model_backend.ModelBackend,
    ids: Iterator[str],
    care: Care,
) -> None:
    share, stranger = next(ids), next(ids)
    manila.create(share)
    manila.create(stranger)
    node = manila.pool.nodes['gl2']
    target = f'/srv/manila-glusterfs-clone/manila-{share}'
    node.files.users.pop(f'{target}/brick')
    node.files.detach(target)
    tags = {*node.lvm.lvs[f'manila-{share}'].tags}
    node.lvm.lvs[f'manila-{share}'].tags.clear()
    node.lvm.snapshot(f'manila-{stranger}', 'copy')
    node.files.attach('/dev/gvg/copy', target)
    assert care.run() == 0
    assert not node.lvm.lvs['copy'].tags
    node.files.detach(target)
    assert care.run() == 1
    assert node.lvm.lvs[f'manila-{share}'].tags == tags


# -- what glusterd leaves


@pytest.mark.parametrize('layout', ['single', 'replica-3'])
def test_nothing_is_left_on_nodes_without_a_brick(
    release: str, ids: Iterator[str], layout: str
) -> None:
    pool = model_cluster.ModelCluster(4, release)
    with model_backend.in_time_of(pool):
        manila = model_backend.ModelBackend(link.Process(pool), layout=layout)
        share, cloned, snapshot, clone = (next(ids) for _ in range(4))
        manila.create(share)
        manila.snapshot(snapshot, share)
        manila.snapshot(cloned, share)
        manila.clone(clone, cloned)
        manila.check()
        without = [
            node
            for node in pool.nodes.values()
            if not pool.state.volumes[f'manila-{share}'].brick_on(node.name)
        ]
        assert without
        manila.delete_snapshot(snapshot)
        manila.delete_snapshot(cloned)
        manila.delete(share)
        manila.delete(clone)
        manila.check()
        for node in without:
            assert not any(
                'manila-' in path for path in node.files.directories
            )
