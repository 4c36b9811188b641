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

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster


@dataclasses.dataclass(eq=False)
class AutoDeleteEnabled(errors.NotPossible):
    """glusterd is configured to delete old snapshots automatically."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: glusterd could delete its oldest '
            f'snapshots, because auto-delete is enabled; run "gluster '
            f'snapshot config auto-delete disable"'
        )


@dataclasses.dataclass(eq=False)
class SnapshotLimitReached(errors.NotPossible):
    """A volume has as many snapshots as glusterd allows."""

    volume: str
    snapshot_count: int
    limit: int

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: has {self.snapshot_count} snapshots, and '
            f'glusterd allows {self.limit}; delete snapshots, or raise the '
            f'limits to at most {gluster.MAX_SNAPSHOTS}: "gluster snapshot '
            f'config {self.volume} snap-max-hard-limit NUMBER" for the '
            f'volume, "gluster snapshot config snap-max-hard-limit NUMBER" '
            f'for the cluster'
        )


def require_permitted(
    volume: gluster.Volume, config: gluster.SnapshotConfig
) -> None:
    """Verify that glusterd can take a snapshot without deleting older ones.

    :param config: the snapshot options of the volume.
    :raises AutoDeleteEnabled: glusterd could delete older snapshots.
    :raises SnapshotLimitReached: the volume has as many snapshots as allowed.
    """
    if config.has_auto_delete:
        raise AutoDeleteEnabled(volume.name)
    if volume.snapshot_count >= config.hard_limit:
        raise SnapshotLimitReached(
            volume.name, volume.snapshot_count, config.hard_limit
        )
