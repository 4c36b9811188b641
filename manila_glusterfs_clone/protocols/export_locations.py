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

import dataclasses
from typing import Any

from manila_glusterfs_clone.tools import gluster


@dataclasses.dataclass(frozen=True)
class ExportLocation:
    """One address of a share: any node can give a client the volume."""

    path: str
    preferred: bool
    #: Options for ``mount -t glusterfs``; may be empty.
    mount_options: str

    def as_manila(self) -> dict[str, Any]:
        """Give it as drivers give export locations to Manila."""
        metadata: dict[str, Any] = {'preferred': self.preferred}
        if self.mount_options:
            metadata['mount_options'] = self.mount_options
        return {
            'path': self.path,
            'is_admin_only': False,
            'metadata': metadata,
        }


def locations(volume: gluster.Volume) -> tuple[ExportLocation, ...]:
    """Give one location for each node that has a brick, preferred first.

    The node in the location is needed only to fetch what the volume is made
    of; ``backup-volfile-servers`` names those to ask if it is down.
    """
    hosts = list(dict.fromkeys(brick.host for brick in volume.bricks))
    found = []
    for host in hosts:
        others = ':'.join(other for other in hosts if other != host)
        found.append(
            ExportLocation(
                path=f'{host}:/{volume.name}',
                preferred=host == hosts[0],
                mount_options=(
                    f'backup-volfile-servers={others}' if others else ''
                ),
            )
        )
    return tuple(found)


def as_manila(volume: gluster.Volume) -> list[dict[str, Any]]:
    """Return the export locations of a share as drivers give them."""
    return [place.as_manila() for place in locations(volume)]
