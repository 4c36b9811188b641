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
"""The metadata of shares."""

import types
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import share_metadata


def location(*, preferred: bool, options: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {'preferred': preferred}
    if options is not None:
        metadata['mount_options'] = options
    return {'path': 'h:/v', 'metadata': metadata}


@pytest.mark.parametrize(
    ('locations', 'expected'),
    [
        ([], {}),
        ([location(preferred=True, options=None)], {}),
        (
            [
                location(preferred=False, options='b=1'),
                location(preferred=True, options='b=2'),
            ],
            {'__mount_options': 'b=2'},
        ),
    ],
)
def test_options_of_the_preferred_location(
    locations: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    assert share_metadata.of_locations(locations) == expected


@pytest.mark.parametrize(
    'share',
    [{'id': 'i'}, types.SimpleNamespace(instance={'id': 'i'})],
    ids=['dictionary', 'model'],
)
def test_new_share(share: Any) -> None:
    the_services: Any = mock.Mock()
    the_services.protocol.export_locations.return_value = [
        location(preferred=True, options='b=2')
    ]
    assert share_metadata.of_new_share(the_services, share) == {
        'metadata': {'__mount_options': 'b=2'}
    }
    the_services.volumes.get.assert_called_once_with('i')
    the_services.protocol.export_locations.return_value = []
    assert share_metadata.of_new_share(the_services, share) == {}


def test_volume_that_cannot_be_read_fails_no_creation() -> None:
    the_services: Any = mock.Mock()
    the_services.volumes.get.side_effect = errors.TimedOut('gl1', ('x',), 1)
    assert share_metadata.of_new_share(the_services, {'id': 'i'}) == {}
