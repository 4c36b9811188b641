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
"""The state of a share whose operation was interrupted."""

from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.operations import status_after_interruption
from manila_glusterfs_clone.operations import volumes

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'


@pytest.fixture
def services() -> Any:
    services = mock.Mock()
    services.protocol.export_locations.return_value = ['location']
    services.marks.find.return_value = None
    services.shares.size.return_value = 3 * placement.GIB
    return services


AVAILABLE = {'status': 'available', 'export_locations': ['location']}


@pytest.mark.parametrize('status', ['creating', 'creating_from_snapshot'])
def test_unfinished_creation(services: Any, status: str) -> None:
    services.volumes.is_finished.return_value = False
    state = status_after_interruption.Statuses(services).share(
        SHARE, status, 2
    )
    assert state == {'status': 'error'}
    services.clones.complete.assert_not_called()


@pytest.mark.parametrize('status', ['creating', 'creating_from_snapshot'])
def test_finished_creation(services: Any, status: str) -> None:
    assert (
        status_after_interruption.Statuses(services).share(SHARE, status, 2)
        == AVAILABLE
    )
    services.clones.complete.assert_called_once_with(SHARE, 2 * placement.GIB)


def test_missing_volume(services: Any) -> None:
    services.volumes.get_in_use.side_effect = volumes.VolumeNotFound('v')
    state = status_after_interruption.Statuses(services).share(
        SHARE, 'available', 2
    )
    assert state == {'status': 'error'}


def test_interrupted_extension_is_completed(services: Any) -> None:
    services.marks.find.return_value = mock.Mock(size=5)
    state = status_after_interruption.Statuses(services).share(
        SHARE, 'extending', 2
    )
    assert state == {**AVAILABLE, 'size': 3}
    services.shares.extend.assert_called_once_with(SHARE, 5 * placement.GIB)


@pytest.mark.parametrize('is_complete', [False, True])
def test_snapshot(services: Any, is_complete: bool) -> None:
    services.snapshots.complete.return_value = is_complete
    state = status_after_interruption.Statuses(services).snapshot(
        'snapshot', SHARE
    )
    assert state == {'status': 'available' if is_complete else 'error'}
