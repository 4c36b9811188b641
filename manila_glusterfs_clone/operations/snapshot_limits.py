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
"""Verify that glusterd can take a snapshot without deleting older ones."""

import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster


@dataclasses.dataclass(eq=False)
class AutoDeleteEnabled(errors.NotPossible):
    """glusterd is configured to delete the oldest snapshots by itself."""

    volume: str

    def __str__(self) -> str:
        return (
            f'the snapshot option auto-delete of the cluster is enabled, so '
            f'glusterd would delete the oldest snapshots of volume '
            f'{self.volume} by itself; run "gluster snapshot config '
            f'auto-delete disable"'
        )


@dataclasses.dataclass(eq=False)
class SnapshotLimitReached(errors.NotPossible):
    """A volume has as many snapshots as glusterd allows."""

    volume: str
    count: int
    limit: int

    def __str__(self) -> str:
        return (
            f'volume {self.volume} has {self.count} snapshots, and glusterd '
            f'allows {self.limit}; delete some, or raise the limit, to '
            f'{gluster.MAX_SNAPSHOTS} at most: "gluster snapshot config '
            f'{self.volume} snap-max-hard-limit NUMBER" for the volume, and '
            f'without its name for the cluster'
        )


def require_permitted(nodes: cluster.Cluster, volume: gluster.Volume) -> None:
    """Verify that glusterd can take a snapshot and would delete none for it.

    :raises AutoDeleteEnabled: glusterd would delete older snapshots.
    :raises SnapshotLimitReached: the volume has as many snapshots as glusterd
        allows.
    """
    config = nodes.read(lambda gluster: gluster.snapshot_config(volume.name))
    if config.auto_delete:
        raise AutoDeleteEnabled(volume.name)
    if volume.snapshot_count >= config.hard_limit:
        raise SnapshotLimitReached(
            volume.name, volume.snapshot_count, config.hard_limit
        )
