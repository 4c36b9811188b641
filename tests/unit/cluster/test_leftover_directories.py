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
"""Removing the directories that glusterd leaves behind."""

from unittest import mock

from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import leftover_directories


def test_the_directories_of_a_volume() -> None:
    node = mock.Mock()
    leftover_directories.remove_of_volume(node, 'v')
    node.file_systems.remove_empty_directories.assert_called_once_with(
        '/run/gluster/vols/v', '/run/gluster/shd/v'
    )


def test_the_directories_of_a_snapshot_before_their_parent() -> None:
    node = mock.Mock()
    node.file_systems.entries.return_value = ('a1', 'b2')
    leftover_directories.remove_of_snapshot(node, 's')
    parent = f'{bricks.SNAPS_ROOT}/s'
    node.file_systems.remove_empty_directories.assert_called_once_with(
        f'{parent}/a1', f'{parent}/b2', parent
    )
