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
"""Where a share is mounted from."""

from manila_glusterfs_clone.protocols import export_locations
from manila_glusterfs_clone.tools import gluster


def volume(*hosts: str) -> gluster.Volume:
    return gluster.Volume(
        name='manila-x',
        id='i-d',
        status='Started',
        snapshot_count=0,
        copies=len(hosts),
        bricks=tuple(gluster.Brick(h, '/b', f'uuid-{h}') for h in hosts),
        options={},
    )


def test_one_for_each_node_with_the_others_for_when_it_is_down() -> None:
    assert export_locations.locations(volume('gl2', 'gl1', 'gl3')) == (
        export_locations.ExportLocation(
            'gl2:/manila-x', True, 'backup-volfile-servers=gl1:gl3'
        ),
        export_locations.ExportLocation(
            'gl1:/manila-x', False, 'backup-volfile-servers=gl2:gl3'
        ),
        export_locations.ExportLocation(
            'gl3:/manila-x', False, 'backup-volfile-servers=gl2:gl1'
        ),
    )


def test_a_single_node() -> None:
    assert export_locations.locations(volume('gl1')) == (
        export_locations.ExportLocation('gl1:/manila-x', True, ''),
    )


def test_a_node_with_two_bricks_is_one_location() -> None:
    found = export_locations.locations(volume('gl1', 'gl2', 'gl1'))
    assert [e.path for e in found] == ['gl1:/manila-x', 'gl2:/manila-x']
    assert [e.preferred for e in found] == [True, False]


def test_paths_are_what_manila_tells_apart() -> None:
    found = export_locations.locations(volume('gl1', 'gl2', 'gl3'))
    assert len({e.path for e in found}) == 3
