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
"""What others do to our objects by hand, and what we do to those of others.

Each test has a second back end and a stranger's volume beside its own, and
ends with a look at what is left and who was touched.
"""

from collections.abc import Iterator

import pytest

from tests.model import census
from tests.model import link
from tests.model import pool as pools
from tests.model import service


@pytest.fixture(autouse=True)
def in_turn(pool: pools.Pool) -> Iterator[None]:
    with service.in_time_of(pool), service.in_turn():
        yield


@pytest.fixture
def other(pool: pools.Pool, ids: Iterator[str]) -> service.Service:
    """Another Manila, whose back end has the same name, on the same nodes."""
    found = service.Service(link.Process(pool))
    share, snapshot, clone = (next(ids) for _ in range(3))
    found.create(share)
    found.snapshot(snapshot, share)
    found.clone(clone, snapshot)
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


@pytest.mark.parametrize('snapshot_is_known', [False, True])
@pytest.mark.parametrize('snapshot_is_there', [False, True])
def test_deleting_a_clone_leaves_the_snapshots_of_another_manila(
    manila: service.Service,
    other: service.Service,
    ids: Iterator[str],
    snapshot_is_known: bool,
    snapshot_is_there: bool,
) -> None:
    share, snapshot, clone = (next(ids) for _ in range(3))
    manila.create(share)
    manila.snapshot(snapshot, share)
    manila.clone(clone, snapshot)
    manila.gluster('snapshot', 'activate', f'manila-snap-{snapshot}')
    if not snapshot_is_there:
        manila.delete_snapshot(snapshot)
    since = len(manila.process.steps)
    manila.backend.cloner.delete(
        clone, snapshot if snapshot_is_known else None
    )
    of_others = (*other.shares, *other.snapshots)
    assert not changed(manila.process, since, *of_others)
    active = {s.name for s in manila.pool.state.snapshots.values() if s.active}
    assert active == {f'manila-snap-{each}' for each in other.snapshots}


# -- what an operator does to ours


@pytest.fixture
def restored(
    manila: service.Service, other: service.Service, ids: Iterator[str]
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


def check(manila: service.Service, other: service.Service) -> None:
    """See that all is there of both, and no more."""
    names = [f'manila-snap-{snapshot}' for snapshot in other.snapshots]
    for name in names:
        manila.gluster('snapshot', 'deactivate', name)
    manila.pool.time.advance(5.0)
    found = census.problems(
        manila.pool,
        [*manila.shares.values(), *other.shares.values()],
        {*manila.snapshots, *other.snapshots},
    )
    assert not found, '\n'.join(found)
    for name in names:
        manila.gluster('snapshot', 'activate', name)


def everything_goes_on(
    manila: service.Service,
    other: service.Service,
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
    manila: service.Service,
    other: service.Service,
    restored: tuple[str, str],
    ids: Iterator[str],
    caplog: pytest.LogCaptureFixture,
    is_stopped: bool,
) -> None:
    share, snapshot = restored
    if is_stopped:
        manila.gluster('volume', 'stop', f'manila-{share}')
        manila.pool.time.advance(5.0)
    manila.backend.snapshots.delete(snapshot, share)
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
