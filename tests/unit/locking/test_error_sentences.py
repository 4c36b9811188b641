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
"""The sentences of the errors of locks, each with its remedy."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.locking import locks

SENTENCES: dict[errors.Error, str] = {
    cross_host_locks.LockHeld('share-x', 900.0): (
        'lock share-x: still held by another operation after 900 s; retry '
        'when that operation has ended'
    ),
    cross_host_locks.NoCoordinator('share-x', 'refused'): (
        'lock share-x: the coordinator did not answer, so nothing was done: '
        'refused; check that the coordinator in [coordination] backend_url '
        'runs and can be reached from this host, and retry'
    ),
    cross_host_locks.LockLost('share-x'): (
        'lock share-x: lost, because its lease ended, the connection to the '
        'coordinator broke, or an operator removed it; another host may have '
        'worked on the same object'
    ),
    cross_host_locks.LockLost('share-x', 'timed out'): (
        'lock share-x: may be lost, because the coordinator did not answer '
        '(timed out); another host may have worked on the same object'
    ),
    locks.LockUnusable('share-x', 'read-only file system'): (
        'lock share-x: its file cannot be locked, so nothing was done: '
        'read-only file system; check the directory in [oslo_concurrency] '
        'lock_path'
    ),
}


@pytest.mark.parametrize(
    'error', SENTENCES, ids=lambda error: type(error).__name__
)
def test_sentence(error: errors.Error) -> None:
    assert str(error) == SENTENCES[error]
