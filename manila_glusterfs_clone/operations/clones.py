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
"""Create a share from a snapshot without copying data.

``gluster snapshot clone`` creates a volume from an activated snapshot. The
bricks of the new volume are thin snapshots of the snapshot's bricks. This
module then tags the LVs, grows them to the requested size, denies all clients,
starts the volume, and writes all bricks to disk. A new clone has the access
lists of its origin, so the module denies all clients before it starts the
volume.

If manila-share is killed, the result depends on the current step:

* Before glusterd creates the clone: the snapshot can stay active. The next
  maintenance pass or clone of the snapshot deactivates it.
* While glusterd creates the clone: glusterd continues, and can leave LVs
  without a volume. The next maintenance pass removes these LVs, and so does
  the deletion of the share or snapshot (:mod:`.clone_cleanup`).
* After glusterd has created the clone: the volume may have the access lists of
  its origin, and the LVs may have no tags. Deleting the share removes the
  volume and the LVs.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import ClassVar

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class SnapshotInOtherPool(errors.NotPossible):
    """The back end does not have the thin pool of a snapshot."""

    scheduler_filter: ClassVar[str] = 'CreateFromSnapshotFilter'

    snapshot_id: str
    snapshot_pool: str
    #: The pools of the back end.
    pool_names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot_id}: in thin pool {self.snapshot_pool}, '
            f'which is none of the pools {", ".join(self.pool_names)} of this '
            f'back end; add it to glusterfs_clone_pools, or if it belongs to '
            f'another back end, enable CreateFromSnapshotFilter in '
            f'scheduler_default_filters'
        )


class CloneCreator:
    """Creates shares from snapshots."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        the_placement: placement.Placement,
        removal: share_removal.ShareRemoval,
        the_volumes: volumes.Volumes,
        sources: clone_sources.CloneSources,
        cleanup: clone_cleanup.CloneCleanup,
        the_locks: locks.Locks,
    ) -> None:
        self._cluster = the_cluster
        self._placement = the_placement
        self._share_removal = removal
        self._volumes = the_volumes
        self._sources = sources
        self._clone_cleanup = cleanup
        self._locks = the_locks

    def create(
        self,
        share_id: str,
        pool_names: Sequence[str],
        size: int,
        snapshot_id: str,
        record_pool: Callable[[str], None],
    ) -> gluster.Volume:
        """Create a share from a snapshot, and return its volume.

        The volume is online. A new volume denies all clients; an existing
        volume keeps its access list.

        A clone shares blocks with its snapshot, so both are in one thin pool.

        :param pool_names: the pools of the back end, ``vg/thinpool``.
        :param size: the size of the share, in bytes; at least the size of the
            snapshot.
        :param record_pool: is called with the pool of the snapshot before
            anything is created.
        :raises errors.NotPossible: the snapshot does not exist or is in
            another pool, the pool lacks space, or a node is disconnected.
        """
        with self._locks.share(share_id) as lock:
            if self._volumes.is_finished(share_id):
                LOG.info('Share %s: already created; starting it', share_id)
                return self._volumes.bring_online(share_id)
            peers.require_all_connected(self._cluster)
            source = self._sources.read_source(snapshot_id)
            if source.pool not in pool_names:
                raise SnapshotInOtherPool(
                    snapshot_id, source.pool, tuple(pool_names)
                )
            record_pool(source.pool)
            self._placement.require_room(
                {
                    node: placement.RequiredSpace(
                        source.pool,
                        max(source.layout.brick_size(size), source.size),
                        lvs,
                    )
                    for node, lvs in source.lvs_by_node.items()
                }
            )
            with undo.undo_on_failure(
                lambda: self._undo(share_id, snapshot_id),
                f'share {share_id} from snapshot {snapshot_id}',
                lock.require,
            ):
                self._clone(share_id, snapshot_id)
                return self._finish(share_id, size)

    def _clone(self, share_id: str, snapshot_id: str) -> None:
        """Activate a snapshot, clone it, and deactivate it.

        Hold the snapshot's lock: glusterd refuses two clones of one snapshot
        at the same time.
        """
        volume_name = names.volume(share_id)
        snapshot_name = names.snapshot(snapshot_id)
        attempt_count = 0

        def clone_snapshot(gluster: gluster.Gluster) -> None:
            nonlocal attempt_count
            attempt_count += 1
            gluster.clone_snapshot(snapshot_name, volume_name)

        with self._locks.snapshot(snapshot_id):
            try:
                self._sources.activate(snapshot_name)
                self._cluster.change(
                    clone_snapshot,
                    # After an unknown outcome, retry even if the volume
                    # exists: glusterd records it before it creates the LVs.
                    # glusterd answers Busy while the first attempt runs, and
                    # AlreadyExists after that attempt has created the volume.
                    lambda gluster: False,
                )
            except errors.AlreadyExists:
                LOG.info(
                    'Volume %s: an earlier attempt created it; continuing',
                    volume_name,
                )
            finally:
                self._deactivate(snapshot_name)
            if attempt_count > 1:
                self._clone_cleanup.clean_up(snapshot_name)

    def _deactivate(self, snapshot_name: str) -> None:
        try:
            self._sources.deactivate(snapshot_name)
        except errors.Error as error:
            # Do not fail: the clone does not need the snapshot any more. But
            # warn: clients of the origin can mount an active snapshot, and
            # each of its bricks uses a process and a mount.
            LOG.warning(
                'Snapshot %s: could not be deactivated after a clone; the '
                'next maintenance pass or clone of the snapshot retries: %s',
                snapshot_name,
                error,
            )
            LOG.debug(
                'Snapshot %s: deactivation failed',
                snapshot_name,
                exc_info=True,
            )

    def _finish(self, share_id: str, size: int) -> gluster.Volume:
        volume = self._volumes.get(share_id)
        brick_size = layouts.of_volume(volume).brick_size(size)

        self._volumes.for_each_brick(
            volume,
            lambda node, path: bricks.adopt(node, share_id, path, brick_size),
        )
        self._cluster.change(
            lambda gluster: gluster.write_volfiles(volume.name),
            lambda gluster: False,
        )
        self._volumes.deny_all(share_id)
        return self._volumes.bring_online(share_id)

    def _undo(self, share_id: str, snapshot_id: str) -> None:
        try:
            with self._locks.snapshot(snapshot_id):
                self._clone_cleanup.clean_up(names.snapshot(snapshot_id))
        finally:
            self._share_removal.remove(share_id)
