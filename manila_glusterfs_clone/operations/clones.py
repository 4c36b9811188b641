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
"""Create a share from a snapshot at once, as a clone that shares its blocks.

``gluster snapshot clone`` makes a new volume of the thin bricks of an
activated snapshot. The rest is done here: find and tag the LVs, grow them to
the requested size, deny all clients *before* the volume is started (it has
the access lists of its origin), and write all bricks to disk before the share
is reported as available.

A process that is killed during a creation leaves behind:

* before ``snapshot clone`` has ended: the snapshot, possibly active. The next
  start of the service or the next clone of the snapshot deactivates it.
* during it: glusterd continues, and may end with LVs and no volume. Deleting
  the share or the snapshot, or the next start of the service, removes them
  (:mod:`~manila_glusterfs_clone.operations.clone_cleanup`).
* after it: a volume of the share's name, which may admit its origin's
  clients if it is started, and whose LVs may not be tagged. Deleting the
  share removes everything.
"""

import dataclasses

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
    """A clone cannot be in another thin pool than its snapshot."""

    snapshot_id: str
    snapshot_pool: str
    pool: str

    def __str__(self) -> str:
        return (
            f'snapshot {self.snapshot_id} is in the thin pool '
            f'{self.snapshot_pool}, so a share made from it cannot be in '
            f'{self.pool}'
        )


class Clones:
    """Creates shares from snapshots."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: placement.Placement,
        removal: share_removal.ShareRemoval,
        the_volumes: volumes.Volumes,
        sources: clone_sources.CloneSources,
        cleanup: clone_cleanup.CloneCleanup,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._removal = removal
        self._volumes = the_volumes
        self._sources = sources
        self._cleanup = cleanup
        self._locks = mutex

    def create(
        self, share_id: str, pool: str, size: int, snapshot_id: str
    ) -> gluster.Volume:
        """Create a share from a snapshot; it denies all clients.

        :param pool: the ``vg/thinpool`` that Manila chose for the share.
        :param size: bytes, at least those of the snapshot.
        :raises errors.NotPossible: the snapshot does not exist or is in
            another pool, or the pool or a node cannot take the share.
        """
        with self._locks.share(share_id) as lock:
            if self._volumes.is_finished(share_id):
                LOG.info('Share %s: exists already', share_id)
                return self._volumes.bring_online(share_id)
            source = self._sources.examine(snapshot_id)
            if source.pool != pool:
                raise SnapshotInOtherPool(snapshot_id, source.pool, pool)
            self._pools.require_room(
                {
                    node: placement.RequiredSpace(
                        pool,
                        max(source.layout.brick_size(size), source.size),
                        lvs,
                    )
                    for node, lvs in source.nodes.items()
                }
            )
            peers.require_all_connected(self._cluster)
            with undo.undo_on_failure(
                lambda: self._undo(share_id, snapshot_id),
                f'share {share_id} from snapshot {snapshot_id}',
                lock.require,
            ):
                self._clone(share_id, snapshot_id)
                return self._finish(share_id, size)

    def _clone(self, share_id: str, snapshot_id: str) -> None:
        """Clone the snapshot, which is active only meanwhile.

        glusterd refuses two clones of one snapshot at once. Later steps do
        not need the snapshot, and run while the next clone is made.
        """
        volume = names.volume(share_id)
        snapshot = names.snapshot(snapshot_id)
        attempts = 0

        def clone(gluster: gluster.Gluster) -> None:
            nonlocal attempts
            attempts += 1
            gluster.clone_snapshot(snapshot, volume)

        with self._locks.snapshot(snapshot_id):
            try:
                self._sources.activate(snapshot)
                self._cluster.change(
                    clone,
                    # The existence of the volume does not prove success:
                    # glusterd records it before it makes the LVs. The next
                    # attempt is refused while the transaction goes on, and
                    # afterwards because the volume exists.
                    lambda gluster: False,
                )
            except errors.AlreadyExists:
                LOG.info('Volume %s: exists already', volume)
            finally:
                self._deactivate(snapshot)
            if attempts > 1:
                self._cleanup.clean_up(snapshot)

    def _deactivate(self, snapshot: str) -> None:
        try:
            self._sources.deactivate(snapshot)
        except errors.Error as error:
            # The clone is made and does not fail for this: an active snapshot
            # costs a process and a mount per brick.
            LOG.warning(
                'Snapshot %s: could not be deactivated after it was cloned; '
                'the next clone of it or the next maintenance pass tries '
                'again: %s',
                snapshot,
                error,
            )
            LOG.debug('Snapshot %s: deactivation', snapshot, exc_info=True)

    def _finish(self, share_id: str, size: int) -> gluster.Volume:
        volume = self._volumes.get(share_id)
        brick_size = layouts.of_volume(volume).brick_size(size)

        def tag_and_grow(node: cluster.Node, path: str) -> None:
            brick = bricks.tag_clone_brick(node, share_id, path)
            if brick.lv.size < brick_size:
                bricks.grow(node, brick, brick_size)

        self._volumes.for_each_brick(volume, tag_and_grow)
        self._cluster.change(
            lambda gluster: gluster.write_volfiles(volume.name),
            lambda gluster: False,
        )
        self._volumes.deny_all(share_id)
        return self._volumes.bring_online(share_id)

    def _undo(self, share_id: str, snapshot_id: str) -> None:
        try:
            with self._locks.snapshot(snapshot_id):
                self._cleanup.clean_up(names.snapshot(snapshot_id))
        finally:
            self._removal.remove(share_id)
