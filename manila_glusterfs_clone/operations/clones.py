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
"""The clone: a share from a snapshot, at once, sharing its blocks.

``gluster snapshot clone`` makes a new volume of the thin bricks of an
activated snapshot. What it does not do is done here: the LVs are found and
tagged, grown to the size that was asked for, closed to the clients of the
origin *before* the volume is started, and written to disk before the share
is reported.

Where a caller that is killed leaves things:

* before ``snapshot clone`` has ended: the snapshot may still be active; the
  next start of the service, or the next clone of it, puts it to rest.
* during it: glusterd goes on, and may end with LVs and no volume. Deleting
  the share, or the snapshot, or the next start of the service sees to them
  (:mod:`~manila_glusterfs_clone.operations.clone_sources`).
* after it: a volume of the share's name, closed or not yet started, whose
  LVs may not be tagged; deleting the share removes it all.
"""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


class Cloner:
    """Makes shares from snapshots."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: placement.Placement,
        the_shares: shares.Shares,
        the_volumes: volumes.Volumes,
        the_sources: clone_sources.Sources,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._shares = the_shares
        self._volumes = the_volumes
        self._sources = the_sources
        self._locks = mutex

    def create(
        self, share_id: str, pool: str, size: int, snapshot_id: str
    ) -> gluster.Volume:
        """Make a share from a snapshot; nobody may mount it yet.

        :param pool: the ``vg/thinpool`` that the share is to be in.
        :param size: bytes, at least those of the snapshot.
        :raises errors.NotPossible: the snapshot is not there or lies in
            another pool, or the pool or a node is not fit for it.
        """
        with self._locks.share(share_id) as lock:
            if self._volumes.is_finished(share_id):
                LOG.info('Share %s is there already', share_id)
                return self._volumes.bring_online(share_id)
            source = self._sources.examine(snapshot_id)
            if source.pool != pool:
                raise errors.NotPossible(
                    f'snapshot {snapshot_id} lies in the thin pool '
                    f'{source.pool}, and a share made from it cannot be in '
                    f'{pool}'
                )
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
        """Have the cluster clone the snapshot, active only meanwhile.

        glusterd refuses two clones of one snapshot at once; what comes
        after needs the snapshot no more, and goes on beside the next.
        """
        volume = names.volume(share_id)
        name = names.snapshot(snapshot_id)
        tries = 0

        def clone(line: gluster.Gluster) -> None:
            nonlocal tries
            tries += 1
            line.clone_snapshot(name, volume)

        with self._locks.snapshot(snapshot_id):
            try:
                self._sources.activate(name)
                self._cluster.change(
                    clone,
                    # Not done just because the volume is there: glusterd
                    # notes it before it makes the LVs. The next try is
                    # refused as long as the transaction goes on, and then
                    # because the volume exists.
                    lambda line: False,
                )
            except errors.AlreadyExists:
                LOG.info('Volume %s is there already', volume)
            finally:
                self._put_to_rest(name)
            if tries > 1:
                self._sources.settle(name)

    def _put_to_rest(self, name: str) -> None:
        try:
            self._sources.put_to_rest(name)
        except errors.Error:
            # No reason to fail a clone that is made: a snapshot that is
            # active costs a process and a mount, and the next clone of it,
            # or start of the service, tries again.
            LOG.exception('Snapshot %s stays active', name)

    def _finish(self, share_id: str, size: int) -> gluster.Volume:
        volume = self._volumes.get(share_id)
        brick_size = layouts.of_volume(volume).brick_size(size)

        def adopt(node: cluster.Node, path: str) -> None:
            place = bricks.tag_clone_brick(node, share_id, path)
            if place.lv.size < brick_size:
                bricks.grow(node, place, brick_size)

        self._volumes.on_bricks(volume, adopt)
        self._cluster.change(
            lambda line: line.write_volfiles(volume.name),
            lambda line: False,
        )
        self._volumes.close(share_id)
        return self._volumes.bring_online(share_id)

    def _undo(self, share_id: str, snapshot_id: str) -> None:
        try:
            with self._locks.snapshot(snapshot_id):
                self._sources.settle(names.snapshot(snapshot_id))
        finally:
            self._shares.remove(share_id)

    def delete(self, share_id: str, snapshot_id: str | None = None) -> None:
        """Delete a share that was made from a snapshot, or was to be.

        The snapshots that its LVs come from are settled afterwards, and no
        other: one may be of another Manila, which clones it just now.

        :param snapshot_id: the instance id of the snapshot, where known.
        """
        came_from = self._sources.of_clone(share_id)
        if snapshot_id is not None:
            came_from = {*(came_from or ()), snapshot_id}
        self._shares.delete(share_id)
        if came_from is None:
            self._sources.tidy_own()
        else:
            self._sources.tidy_these(came_from)
