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
"""Start a volume, and wait until all its bricks are online."""

import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

#: Seconds to wait until the bricks of a started volume are online.
_ONLINE_TIMEOUT = 120.0


@dataclasses.dataclass(eq=False)
class BricksOffline(errors.Unsettled):
    """Bricks were not online in time after the start of their volume."""

    volume: str
    bricks: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: bricks are offline {self.seconds:g} s '
            f'after its start: {", ".join(self.bricks)}; check glusterd and '
            f'/var/log/glusterfs/bricks on the nodes of these bricks'
        )


def start(the_cluster: cluster.Cluster, volume: gluster.Volume) -> None:
    """Start a volume, and wait for its bricks.

    :raises BricksOffline: bricks are still offline after the time limit.
    """
    name = volume.name
    the_cluster.change(
        lambda gluster: gluster.start_volume(name),
        lambda gluster: is_started(gluster.volume(name)),
    )
    all_bricks = {(brick.node_uuid, brick.path) for brick in volume.bricks}
    online_bricks: set[tuple[str, str]] = set()
    for _ in retry.Attempts(_ONLINE_TIMEOUT, 0.5):
        try:
            # glusterd omits bricks of nodes whose glusterd is down.
            online_bricks = {
                (brick.node_uuid, brick.path)
                for brick in the_cluster.read(
                    lambda gluster: gluster.brick_status(name)
                )
                if brick.is_online
            }
            if all_bricks <= online_bricks:
                return
        except errors.Busy:
            online_bricks = set()
    offline_names = sorted(
        f'{brick.host}:{brick.path}'
        for brick in volume.bricks
        if (brick.node_uuid, brick.path) not in online_bricks
    )
    raise BricksOffline(name, tuple(offline_names), _ONLINE_TIMEOUT)


def is_started(volume: gluster.Volume | None) -> bool:
    """Return whether a volume exists and is started."""
    return volume is not None and volume.is_started
