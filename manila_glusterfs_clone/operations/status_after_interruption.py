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
"""Return the state of a share or snapshot after an interrupted operation.

The results have the format of the driver methods ``get_share_status`` and
``get_snapshot_status``, which Manila can call after a restart of manila-share.
"""

from typing import Any

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.tools import gluster

_AVAILABLE = {'status': 'available'}
_ERROR = {'status': 'error'}
#: Manila's statuses of a share that is being created.
_CREATING = frozenset({'creating', 'creating_from_snapshot'})


class Statuses:
    """Completes interrupted work if possible, and returns the new state."""

    def __init__(self, the_services: services.Services) -> None:
        self._services = the_services

    def share(self, share_id: str, status: str, size: int) -> dict[str, Any]:
        """Complete the creation or extension of a share; return its state.

        :param status: the status of the share in Manila's database. After an
            interrupted extension, this is ``extending``; after a failed one,
            ``extending_error``.
        :param size: the size of the share in Manila's database, in GiB.
        :return: ``status``; for an available share also ``export_locations``;
            after an extension also ``size`` in GiB.
        :raises errors.Error: the state could not be read, or the share could
            not be brought online or extended.
        """
        if status in _CREATING:
            if not self._services.volumes.is_finished(share_id):
                return dict(_ERROR)
            return self._available(
                self._services.clones.complete(share_id, size * placement.GIB)
            )
        try:
            volume = self._services.volumes.get_in_use(share_id)
        except errors.Missing:
            return dict(_ERROR)
        if status == 'extending_error':
            self._services.shares.complete_extension(share_id)
        elif status != 'extending':
            return self._available(volume)
        work = self._services.marks.find(share_id)
        if work is not None and work.size is not None:
            self._services.shares.extend(share_id, work.size * placement.GIB)
        size = self._services.shares.size(share_id) // placement.GIB
        return {**self._available(volume), 'size': size}

    def snapshot(self, snapshot_id: str, share_id: str) -> dict[str, Any]:
        """Complete a snapshot if possible, and return its state.

        :param share_id: the id of the origin.
        :raises errors.Error: the state could not be read.
        """
        is_complete = self._services.snapshots.complete(snapshot_id, share_id)
        return dict(_AVAILABLE if is_complete else _ERROR)

    def _available(self, volume: gluster.Volume) -> dict[str, Any]:
        return {
            **_AVAILABLE,
            'export_locations': self._services.protocol.export_locations(
                volume
            ),
        }
