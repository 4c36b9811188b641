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
"""Storage that fails: the driver refuses the request or heals the brick.

Each test ends with a check of the model: nothing is left over, nothing is
missing, every share is complete.
"""

from collections.abc import Iterator

import pytest

from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.operations import snapshot_limits
from tests.model import files
from tests.model import glusterd_state
from tests.model import model_backend


@pytest.fixture(autouse=True)
def nothing_left(manila: model_backend.ModelBackend) -> Iterator[None]:
    yield
    manila.check()


def brick_of(
    manila: model_backend.ModelBackend, share: str
) -> glusterd_state.Brick:
    """Give the brick of a share on gl2."""
    bricks = manila.pool.state.volumes[f'manila-{share}'].bricks
    return next(brick for brick in bricks if brick.node == 'gl2')


def end(manila: model_backend.ModelBackend, share: str) -> files.Files:
    """End a brick process; give the files of its node."""
    there = manila.pool.nodes['gl2'].files
    del there.users[brick_of(manila, share).path]
    return there


def test_a_file_system_that_has_shut_itself_down(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot)
    there = manila.pool.nodes['gl2'].files
    for each in (origin, share):
        there.shut_down(brick_of(manila, each).path)
    assert manila.problems()
    manila.heal()


@pytest.mark.parametrize('bears', [None, '5' * 32])
def test_a_brick_without_the_id_of_its_volume(
    manila: model_backend.ModelBackend, ids: Iterator[str], bears: str | None
) -> None:
    share = next(ids)
    manila.create(share)
    there, path = end(manila, share), brick_of(manila, share).path
    lv, rest = there.where(path)
    assert lv is not None and lv.live is not None
    del lv.live.directories[rest][files.VOLUME_ID]
    if bears:
        there.set_xattr(path, files.VOLUME_ID, bears)
    manila.heal()


def test_a_brick_with_the_id_of_another_volume(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """It may hold the data of that; the other copies go on."""
    share, other = next(ids), next(ids)
    manila.create(share)
    manila.create(other)
    there, path = end(manila, share), brick_of(manila, share).path
    foreign = manila.pool.state.volumes[f'manila-{other}'].hex
    own = manila.pool.state.volumes[f'manila-{share}'].hex
    there.set_xattr(path, files.VOLUME_ID, foreign)
    manila.heal()
    assert there.xattr(path, files.VOLUME_ID) == foreign
    assert manila.problems()
    there.set_xattr(path, files.VOLUME_ID, own)
    manila.heal()


def test_a_stopped_volume_whose_brick_is_not_mounted(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.create(share)
    volume = manila.pool.state.volumes[f'manila-{share}']
    volume.status = 'Stopped'
    for brick in volume.bricks:
        there = manila.pool.nodes[brick.node].files
        del there.users[brick.path]
        there.detach(brick.path.rpartition('/')[0])
    manila.heal()


def test_nothing_is_deleted_that_lvm_does_not_see(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """It would be taken for deleted, and come back with the disk."""
    share, origin, snapshot = (next(ids) for _ in range(3))
    manila.create(share)
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    manila.pool.nodes['gl2'].lvm.unreadable = True
    for verb in (
        lambda: manila.delete(share),
        lambda: manila.delete_snapshot(snapshot),
        lambda: manila.snapshot(next(ids), origin),
        lambda: manila.clone(next(ids), snapshot),
        lambda: manila.extend(origin, 2),
    ):
        with pytest.raises(bricks.PoolsNotVisible) as caught:
            verb()
        assert caught.value.node == 'gl2'
    manila.heal()
    manila.pool.nodes['gl2'].lvm.unreadable = False


def test_one_that_was_being_deleted_when_the_disk_failed(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Its volume is gone already, and its LV is not."""
    share = next(ids)
    manila.create(share)
    name = f'manila-{share}'
    del manila.shares[share]
    for brick in manila.pool.state.volumes.pop(name).bricks:
        del manila.pool.nodes[brick.node].files.users[brick.path]
    manila.pool.nodes['gl2'].lvm.unreadable = True
    with pytest.raises(bricks.PoolsNotVisible) as caught:
        manila.services.shares.delete(share)
    assert caught.value.node == 'gl2'
    manila.pool.nodes['gl2'].lvm.unreadable = False
    manila.services.shares.delete(share)


@pytest.mark.parametrize('whose', ['volume', 'cluster'])
def test_as_many_snapshots_as_there_may_be(
    manila: model_backend.ModelBackend, ids: Iterator[str], whose: str
) -> None:
    origin, first, second = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(first, origin)
    state = manila.pool.state
    if whose == 'volume':
        state.snapshot_limits[f'manila-{origin}'] = 1
    else:
        state.snapshot_limit = 1
    steps = len(manila.process.steps)
    with pytest.raises(snapshot_limits.SnapshotLimitReached) as caught:
        manila.snapshot(second, origin)
    assert (caught.value.snapshot_count, caught.value.limit) == (1, 1)
    # Before anything was waited for.
    assert len(manila.process.steps) - steps < 7
    manila.delete_snapshot(first)
    manila.snapshot(second, origin)


def test_snapshots_that_the_cluster_would_delete(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin = next(ids)
    manila.create(origin)
    manila.pool.state.auto_delete = 'enable'
    with pytest.raises(snapshot_limits.AutoDeleteEnabled):
        manila.snapshot(next(ids), origin)
    manila.pool.state.auto_delete = 'disable'
