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
"""A clone is made in its snapshot's pool, and its snapshot deactivated."""

import contextlib
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clones

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'
SNAPSHOT = 'bbbbbbbb-0000-4000-8000-000000000000'


@pytest.fixture
def calls() -> Any:
    calls = mock.Mock()
    calls.locks.share.return_value = contextlib.nullcontext(mock.Mock())
    calls.locks.snapshot.return_value = contextlib.nullcontext(mock.Mock())
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


def test_finished_clone_is_brought_online(calls: Any) -> None:
    calls.volumes.is_finished.return_value = True
    volume = make(calls).create(SHARE, ['vg/pool'], 1, SNAPSHOT, print)
    assert volume is calls.volumes.bring_online.return_value
    calls.sources.read_source.assert_not_called()


def test_clone_of_a_snapshot_in_another_pool_is_refused(calls: Any) -> None:
    calls.volumes.is_finished.return_value = False
    calls.nodes.read.return_value = ()
    calls.sources.read_source.return_value.pool = 'vg/a'
    record_pool = mock.Mock()
    with pytest.raises(clones.SnapshotInOtherPool) as caught:
        make(calls).create(SHARE, ['vg/b'], 1, SNAPSHOT, record_pool)
    assert caught.value.args == (SNAPSHOT, 'vg/a', ('vg/b',))
    record_pool.assert_not_called()
    calls.nodes.change.assert_not_called()
    calls.removal.remove.assert_not_called()


def test_pool_of_a_clone_is_recorded_before_the_clone(calls: Any) -> None:
    calls.volumes.is_finished.return_value = False
    calls.nodes.read.return_value = ()
    calls.sources.read_source.return_value.pool = 'vg/a'
    record_pool = mock.Mock(side_effect=errors.NotPossible('no database'))
    with pytest.raises(errors.NotPossible):
        make(calls).create(SHARE, ['vg/b', 'vg/a'], 1, SNAPSHOT, record_pool)
    record_pool.assert_called_once_with('vg/a')
    calls.pools.require_room.assert_not_called()
    calls.nodes.change.assert_not_called()


@pytest.mark.parametrize('fails', [False, True])
def test_snapshot_is_deactivated_after_the_clone(
    calls: Any, fails: bool
) -> None:
    """A failed deactivation is logged, and does not fail the clone."""
    if fails:
        calls.sources.deactivate.side_effect = errors.TimedOut('gl1', (), 1)
    make(calls)._clone(SHARE, SNAPSHOT)
    name = names.snapshot(SNAPSHOT)
    calls.sources.activate.assert_called_once_with(name)
    calls.sources.deactivate.assert_called_once_with(name)
    calls.cleanup.clean_up.assert_not_called()


def test_failed_clone_leaves_the_snapshot_inactive(calls: Any) -> None:
    calls.nodes.change.side_effect = errors.TimedOut('gl1', (), 1)
    with pytest.raises(errors.TimedOut):
        make(calls)._clone(SHARE, SNAPSHOT)
    calls.sources.deactivate.assert_called_once_with(names.snapshot(SNAPSHOT))
