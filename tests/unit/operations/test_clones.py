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
"""A clone is made in its snapshot's pool, from an active snapshot."""

from collections.abc import Iterator
import contextlib
import dataclasses
import threading
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clones
from manila_glusterfs_clone.operations import volume_start
from manila_glusterfs_clone.tools import gluster

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'
SNAPSHOT = 'bbbbbbbb-0000-4000-8000-000000000000'


@pytest.fixture
def calls() -> Any:
    calls = mock.Mock()
    calls.locks.share.return_value = contextlib.nullcontext(mock.Mock())
    calls.locks.snapshot_to_clone.side_effect = contextlib.nullcontext
    calls.cleanup.uses.use.side_effect = contextlib.nullcontext
    calls.volumes.is_finished.return_value = False
    calls.nodes.read.return_value = ()
    snapshot = mock.Mock()
    snapshot.name = names.snapshot(SNAPSHOT)
    calls.sources.find.return_value = snapshot, mock.Mock()
    calls.sources.read_source.return_value.lvs_by_node = {}
    return calls


def make(calls: Any) -> clones.CloneCreator:
    return clones.CloneCreator(
        calls.nodes,
        calls.pools,
        calls.removal,
        calls.volumes,
        calls.sources,
        calls.cleanup,
        calls.locks,
    )


def test_finished_clone_is_completed(calls: Any) -> None:
    """It was marked before its bricks were tagged and grown on all nodes."""
    calls.volumes.is_finished.return_value = True
    finished = calls.volumes.get_finished.return_value
    finished.bricks, finished.replica_count = (), 1
    volume = make(calls).create(SHARE, ['vg/pool'], 1, SNAPSHOT, print)
    assert volume is calls.volumes.bring_online.return_value
    calls.volumes.for_each_brick.assert_called_once()
    calls.sources.find.assert_not_called()


@pytest.mark.parametrize('is_own', [False, True])
def test_clone_of_a_snapshot_in_another_pool_is_refused(
    calls: Any, is_own: bool
) -> None:
    """A snapshot of another back end is not even activated."""
    calls.volumes.is_of_backend.return_value = is_own
    calls.sources.read_source.return_value.pool = 'vg/a'
    record_pool = mock.Mock()
    with pytest.raises(clones.SnapshotInOtherPool) as caught:
        make(calls).create(SHARE, ['vg/b'], 1, SNAPSHOT, record_pool)
    assert caught.value.args == (SNAPSHOT, 'vg/a', ('vg/b',))
    record_pool.assert_not_called()
    calls.nodes.change.assert_not_called()
    calls.removal.remove.assert_not_called()
    if not is_own:
        calls.sources.activate_if_inactive.assert_not_called()


def test_pool_of_a_clone_is_recorded_before_the_clone(calls: Any) -> None:
    calls.sources.read_source.return_value.pool = 'vg/a'
    record_pool = mock.Mock(side_effect=errors.NotPossible('no database'))
    with pytest.raises(errors.NotPossible):
        make(calls).create(SHARE, ['vg/b', 'vg/a'], 1, SNAPSHOT, record_pool)
    record_pool.assert_called_once_with('vg/a')
    calls.nodes.change.assert_not_called()


def test_a_refusal_hides_a_failed_activation(calls: Any) -> None:
    started = threading.Event()

    def read(snapshot: Any, origin: Any) -> Any:
        started.wait(5)
        raise errors.NotPossible('no room')

    def activate(name: str) -> None:
        started.set()
        raise errors.TimedOut('gl1', (), 1)

    calls.sources.read_source.side_effect = read
    calls.sources.activate_if_inactive.side_effect = activate
    with pytest.raises(errors.NotPossible):
        make(calls).create(SHARE, ['vg/a'], 1, SNAPSHOT, print)
    calls.removal.remove.assert_not_called()


def test_failed_clone_is_undone_without_the_lock(calls: Any) -> None:
    """Otherwise the undo would wait forever for the lock."""
    held: list[str] = []

    @contextlib.contextmanager
    def lock(snapshot_id: str) -> Iterator[None]:
        assert not held
        held.append(snapshot_id)
        yield
        held.clear()

    calls.locks.snapshot_to_clone.side_effect = lock
    calls.locks.snapshot.side_effect = lock
    calls.sources.read_source.return_value.pool = 'vg/a'
    calls.nodes.change.side_effect = errors.TimedOut('gl1', (), 1)
    with pytest.raises(errors.TimedOut):
        make(calls).create(SHARE, ['vg/a'], 1, SNAPSHOT, mock.Mock())
    calls.cleanup.clean_up.assert_called_once_with(names.snapshot(SNAPSHOT))
    calls.removal.remove.assert_called_once_with(SHARE)


@pytest.mark.parametrize('fails', [False, True])
def test_bricks_are_adopted_beside_the_start(calls: Any, fails: bool) -> None:
    """Both have ended before the bricks are written to disk, or undone."""
    calls.sources.read_source.return_value.pool = 'vg/a'
    denied = threading.Event()
    adopted: list[bool] = []

    def adopt(volume: Any, action: Any) -> None:
        adopted.append(denied.wait(5))
        if fails:
            raise errors.NotPossible('a broken disk')

    calls.volumes.for_each_brick.side_effect = adopt
    calls.volumes.deny_all.side_effect = lambda share_id: denied.set()
    volume = gluster.Volume(
        **{
            field.name: mock.MagicMock()
            for field in dataclasses.fields(gluster.Volume)
        }
    )
    calls.volumes.get.return_value = volume
    calls.volumes.make_durable.side_effect = lambda _: adopted.append(False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, 'of_volume', mock.Mock())
        patch.setattr(volume_start, 'start', mock.Mock())
        if fails:
            with pytest.raises(errors.NotPossible):
                make(calls).create(SHARE, ['vg/a'], 1, SNAPSHOT, mock.Mock())
        else:
            make(calls).create(SHARE, ['vg/a'], 1, SNAPSHOT, mock.Mock())
    assert adopted == ([True] if fails else [True, False])
