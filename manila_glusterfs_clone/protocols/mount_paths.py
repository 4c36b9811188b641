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
"""The paths and options with which native GlusterFS clients mount a volume."""

from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster


def of_volume(
    volume: gluster.Volume,
) -> tuple[protocols.ExportLocation, ...]:
    """Return one location for each node with a brick.

    A client fetches the volfile, which lists the bricks, from the node in the
    path. If this node is down, the client tries the nodes in
    ``backup-volfile-servers``.
    """
    hosts = list(dict.fromkeys(brick.host for brick in volume.bricks))
    locations = []
    for host in hosts:
        backups = ':'.join(other for other in hosts if other != host)
        locations.append(
            protocols.ExportLocation(
                path=f'{host}:/{volume.name}',
                preferred=host == hosts[0],
                mount_options=(
                    f'backup-volfile-servers={backups}' if backups else ''
                ),
            )
        )
    return tuple(locations)
