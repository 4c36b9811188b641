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
"""A snapshot is taken only if glusterd accepts it and deletes no other."""

from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone.operations import snapshot_limits
from manila_glusterfs_clone.tools import gluster


def check(
    count: int, *, limit: int = 2, has_auto_delete: bool = False
) -> None:
    config: Any = mock.Mock(has_auto_delete=has_auto_delete, hard_limit=limit)
    volume = gluster.Volume('v', 'i', 'Started', count, 1, (), {})
    snapshot_limits.require_permitted(volume, config)


def test_snapshot_below_the_limit() -> None:
    check(1)


@pytest.mark.parametrize('count', [2, 3])
def test_snapshot_at_the_limit(count: int) -> None:
    with pytest.raises(snapshot_limits.SnapshotLimitReached) as caught:
        check(count)
    assert caught.value.args == ('v', count, 2)


def test_snapshot_while_glusterd_deletes_old_ones() -> None:
    with pytest.raises(snapshot_limits.AutoDeleteEnabled) as caught:
        check(0, has_auto_delete=True)
    assert caught.value.volume == 'v'
