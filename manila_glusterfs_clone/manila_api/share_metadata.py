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
"""The metadata that the driver sets on shares.

Manila shows the metadata of export locations to users of API 2.87 and later.
Other users find the mount options in the share's own metadata, under the key
that Manila's other drivers use.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import services

LOG = log.getLogger(__name__)

MOUNT_OPTIONS = '__mount_options'


def of_locations(locations: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the metadata with the mount options of the preferred location."""
    for location in locations:
        metadata = location.get('metadata', {})
        if metadata.get('preferred') and metadata.get('mount_options'):
            return {MOUNT_OPTIONS: metadata['mount_options']}
    return {}


def of_new_share(
    the_services: services.Services, share: Any
) -> dict[str, dict[str, str]]:
    """Return the values that Manila adds to a share after its creation.

    If the volume cannot be read, return nothing: an error would set the status
    of the new share to error. ``ensure_shares`` sets the metadata at the next
    start.
    """
    instance_id = getattr(share, 'instance', share)['id']
    try:
        volume = the_services.volumes.get(instance_id)
    except errors.Error as error:
        LOG.info(
            'Share %s: its volume could not be read; its metadata is set at '
            'the next start of manila-share: %s',
            instance_id,
            error,
        )
        return {}
    locations = the_services.protocol.export_locations(volume)
    metadata = of_locations(locations)
    return {'metadata': metadata} if metadata else {}
