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
"""Values for Manila's database."""

from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import updates
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

VOLUME = gluster.Volume('manila-x', 'i', 'Started', 0, 1, (), {})


def locations(volume: gluster.Volume) -> list[dict[str, Any]]:
    return [{'path': volume.name}]


def test_a_share_that_is_online_has_locations() -> None:
    assert updates.of_share(VOLUME, locations, reapply_rules=True) == {
        'status': 'available',
        'reapply_access_rules': True,
        'export_locations': [{'path': 'manila-x'}],
    }


def test_mount_options_are_metadata_of_the_share() -> None:
    location = {'metadata': {'preferred': True, 'mount_options': 'a=b'}}
    values = updates.of_share(VOLUME, lambda _: [location], reapply_rules=True)
    assert values['metadata'] == {'__mount_options': 'a=b'}


def test_only_a_share_without_a_volume_is_set_to_error() -> None:
    for state, status in (
        (errors.Missing('no volume'), 'error'),
        (errors.NotPossible('a node is down'), 'available'),
        (None, 'available'),
    ):
        values = updates.of_share(state, locations, reapply_rules=False)
        assert values == {'status': status, 'reapply_access_rules': False}


def test_states_of_rules() -> None:
    rules = [protocols.Rule(key, 'ip', '10.0.0.1', 'rw') for key in 'ab']
    assert updates.of_rules(rules, {'b'}) == {
        'a': {'state': 'active'},
        'b': {'state': 'error'},
    }
