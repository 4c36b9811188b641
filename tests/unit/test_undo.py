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
"""Undo on failure."""

import logging

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone import undo

LOST = errors.LinkLost('gl1', ('x',), 'EOF')


def _held() -> None:
    """The lock under which it was begun is held."""


def test_success_is_not_undone() -> None:
    undone: list[str] = []
    with undo.undo_on_failure(lambda: undone.append('x'), 'share x', _held):
        pass
    assert not undone


@pytest.mark.parametrize(
    'error', [LOST, ValueError(), KeyboardInterrupt(), SystemExit(1)]
)
def test_a_failure_is_undone_and_raised(
    error: BaseException,
) -> None:
    undone: list[str] = []
    with pytest.raises(type(error)) as caught:
        with undo.undo_on_failure(
            lambda: undone.append('x'), 'share x', _held
        ):
            raise error
    assert caught.value is error
    assert undone == ['x']


def test_the_error_of_the_undo_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def take_back() -> None:
        raise errors.NotPossible('a node is away')

    with caplog.at_level(logging.WARNING):
        with pytest.raises(errors.LinkLost):
            with undo.undo_on_failure(take_back, 'share x', _held):
                raise LOST
    (record,) = [r for r in caplog.records if r.exc_info]
    assert record.args == ('share x',)
    assert record.exc_info is not None
    logged = record.exc_info[1]
    assert isinstance(logged, errors.NotPossible)
    assert logged.__context__ is LOST


def test_an_interrupted_undo_is_raised() -> None:
    def take_back() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with undo.undo_on_failure(take_back, 'share x', _held):
            raise LOST


def test_nested_undo_runs_the_inner_first() -> None:
    undone: list[str] = []
    with pytest.raises(errors.LinkLost):
        with (
            undo.undo_on_failure(lambda: undone.append('volume'), 'a', _held),
            undo.undo_on_failure(lambda: undone.append('lv'), 'b', _held),
        ):
            raise LOST
    assert undone == ['lv', 'volume']


def test_nothing_is_undone_after_the_lock_was_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    undone: list[str] = []

    def lost() -> None:
        raise cross_host_locks.LockLost('share-x', '')

    with pytest.raises(errors.LinkLost):
        with undo.undo_on_failure(lambda: undone.append('x'), 'share x', lost):
            raise LOST
    assert not undone
    (record,) = [r for r in caplog.records if r.exc_info]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], cross_host_locks.LockLost)
