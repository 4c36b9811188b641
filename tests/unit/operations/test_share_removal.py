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
"""A share is removed only if no snapshot needs its volume."""

from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.tools import gluster

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'
NAME = names.volume(SHARE)


def test_share_with_snapshots_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = gluster.Volume(NAME, 'i', '', 2, 1, (), {})
    read = mock.Mock(return_value={'gl1': volume, 'gl2': volume})
    monkeypatch.setattr(peers, 'read_everywhere_with_all_connected', read)
    nodes: Any = mock.Mock()
    removal = share_removal.ShareRemoval(nodes, mock.Mock(), brick_root='/b')
    with pytest.raises(share_removal.ShareHasSnapshots) as caught:
        removal.remove(SHARE)
    assert caught.value.args == (NAME, 2)
    read.assert_called_once_with(nodes, mock.ANY)
    nodes.change.assert_not_called()
    nodes.everywhere.assert_not_called()
