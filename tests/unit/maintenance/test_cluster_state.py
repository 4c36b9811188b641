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
"""The state of the whole cluster."""

from typing import Any

from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster

ID = 'aaaaaaaa-0000-4000-8000-000000000000'
NAME = names.volume(ID)


def volume(**changes: Any) -> gluster.Volume:
    usual: dict[str, Any] = {
        'name': NAME,
        'id': 'i',
        'status': 'Started',
        'snapshot_count': 0,
        'replica_count': 1,
        'bricks': (gluster.Brick('gl1', '/b', 'u1'),),
        'options': {names.OPTION_BACKEND: 'gold'},
    }
    return gluster.Volume(**{**usual, **changes})


def state(**changes: Any) -> cluster_state.ClusterState:
    usual: dict[str, Any] = {
        'backend_mark': 'gold',
        'peers': (),
        'volumes': {NAME: volume()},
        'snapshots': {},
        'brick_statuses': (),
        'lvs_by_node': {},
        'errors_by_node': {},
        'volumes_by_node': {},
    }
    return cluster_state.ClusterState(**{**usual, **changes})


def test_a_node_that_was_not_read_makes_it_incomplete() -> None:
    assert state().is_complete
    assert not state(errors_by_node={'gl1': OSError()}).is_complete


def test_offline_parts() -> None:
    assert state().offline_parts(ID) == frozenset()
    assert state(volumes={}).offline_parts(ID)
    stopped = {NAME: volume(status='Stopped')}
    assert state(volumes=stopped).offline_parts(ID)


def test_only_marked_volumes_belong_to_the_back_end() -> None:
    assert state().own_volume_names() == {NAME}
    assert state().marked_share_ids() == {ID}
    other = {NAME: volume(options={names.OPTION_BACKEND: 'silver'})}
    assert state(volumes=other).own_volume_names() == set()
    assert state(volumes=other).marked_share_ids() == set()


def test_views_of_a_share() -> None:
    views = {'gl1': {NAME: volume()}, 'gl2': {}}
    assert state(volumes_by_node=views).views_of(ID) == (volume(),)
