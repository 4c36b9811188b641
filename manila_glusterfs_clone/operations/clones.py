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
bricks of the new volume are thin snapshots of the snapshot's bricks. A new
clone has the access lists of its origin. So this module denies all clients,
and then starts the volume. Meanwhile it tags the LVs on the nodes, and grows
them to the requested size. At the end it writes all bricks to disk. The
snapshot is deactivated some seconds later (:mod:`.snapshot_deactivation`).

If manila-share is killed, the result depends on the current step:

* Before glusterd creates the clone: the snapshot can stay active. The next
  start of manila-share, the next maintenance pass or a later clone of the
  snapshot deactivates it.
* While glusterd creates the clone: glusterd continues, and can leave LVs
  without a volume. The next maintenance pass removes these LVs, and so does
  the deletion of the share or snapshot (:mod:`.clone_cleanup`).
* After glusterd has created the clone: the volume may have the access lists of
  its origin, and the LVs may have no tags. Deleting the share removes the
  volume and the LVs.
* After the volume denies all clients: :meth:`CloneCreator.complete` tags and
  grows the LVs, and starts the volume.
"""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
from typing import ClassVar

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import parallel
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import volume_start
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
            f'but this back end uses only {", ".join(self.pool_names)}; add '
            f'the pool to glusterfs_clone_pools, or if the pool belongs to '
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
                return self._complete(share_id, size)
            snapshot, origin = self._sources.find(snapshot_id)

            def check() -> clone_sources.Source:
                source = self._sources.read_source(snapshot, origin)
                if source.pool not in pool_names:
                    raise SnapshotInOtherPool(
                        snapshot_id, source.pool, tuple(pool_names)
                    )
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
                return source

            with (
                contextlib.ExitStack() as use,
                contextlib.ExitStack() as snapshot_lock,
            ):
                source = self._activate(
                    use, snapshot_lock, snapshot, origin, check
                )
                record_pool(source.pool)
                with undo.undo_on_failure(
                    lambda: self._undo(share_id, snapshot_id, snapshot_lock),
                    f'share {share_id} from snapshot {snapshot_id}',
                    lock.require,
                ):
                    self._clone(share_id, snapshot_id)
                    # The next clone of the snapshot can begin.
                    snapshot_lock.close()
                    return self._finish(share_id, size)

    def complete(self, share_id: str, size: int) -> gluster.Volume:
        """Complete an interrupted creation of a share with a finished volume.

        :param size: the size of the share, in bytes.
        :raises errors.Missing: the volume does not exist or lacks the mark.
        """
        with self._locks.share(share_id):
            return self._complete(share_id, size)

    def _complete(self, share_id: str, size: int) -> gluster.Volume:
        volume = self._volumes.get_finished(share_id)
        self._adopt(share_id, volume, size, is_repeated=True)
        return self._volumes.bring_online(share_id)

    def _activate(
        self,
        use: contextlib.ExitStack,
        snapshot_lock: contextlib.ExitStack,
        snapshot: gluster.Snapshot,
        origin: gluster.Volume | None,
        check: Callable[[], clone_sources.Source],
    ) -> clone_sources.Source:
        """Lock and activate a snapshot, and check it in parallel.

        If the snapshot belongs to another back end, first wait for the check:
        it probably fails, and then the snapshot must not be changed.

        :param use: its exit ends the use of the snapshot. Some seconds later,
            this process deactivates the snapshot.
        :param snapshot_lock: its exit releases the lock of the snapshot.
            glusterd refuses two clones of one snapshot at the same time.
        :param check: returns the source, or raises why it cannot be cloned.
        """
        snapshot_id = names.snapshot_id_from_name(snapshot.name) or ''
        with parallel.beside(
            f'Snapshot {snapshot.name}: check before a clone', check
        ) as checked:
            if not self._volumes.is_of_backend(origin):
                checked.result()
            try:
                snapshot_lock.enter_context(
                    self._locks.snapshot_to_clone(snapshot_id)
                )
                if checked.done():
                    checked.result()
                # Register the use under the lock: if the snapshot is unmanaged
                # later, this process does not deactivate it.
                use.enter_context(self._clone_cleanup.uses.use(snapshot_id))
                self._sources.activate_if_inactive(snapshot.name)
            finally:
                # If both fail, raise the error of the check: it says more.
                source = checked.result()
        return source

    def _clone(self, share_id: str, snapshot_id: str) -> None:
        """Clone an active snapshot; the caller holds its lock."""
        volume_name = names.volume(share_id)
        snapshot_name = names.snapshot(snapshot_id)
        attempt_count = 0

        def clone_snapshot(gluster: gluster.Gluster) -> None:
            nonlocal attempt_count
            attempt_count += 1
            gluster.clone_snapshot(snapshot_name, volume_name)

        try:
            self._cluster.change(
                clone_snapshot,
                # After an unknown outcome, retry even if the volume exists:
                # glusterd records the volume before it creates the LVs. While
                # the first attempt runs, glusterd answers Busy. After the
                # first attempt has succeeded, glusterd answers AlreadyExists.
                lambda gluster: False,
            )
        except errors.AlreadyExists:
            LOG.info(
                'Volume %s: an earlier attempt created it; continuing',
                volume_name,
            )
        if attempt_count > 1:
            self._clone_cleanup.clean_up(snapshot_name)

    def _finish(self, share_id: str, size: int) -> gluster.Volume:
        """Adopt the bricks on the nodes, and meanwhile start the volume."""
        volume = self._volumes.get(share_id)
        with parallel.beside(
            f'Volume {volume.name}: tagging and growing its logical volumes',
            lambda: self._adopt(share_id, volume, size),
        ) as adopted:
            self._cluster.change(
                lambda gluster: gluster.write_volfiles(volume.name),
                lambda gluster: False,
            )
            self._volumes.deny_all(share_id)
            volume_start.start(self._cluster, volume)
        adopted.result()
        self._volumes.make_durable(volume)
        return dataclasses.replace(volume, status='Started')

    def _adopt(
        self,
        share_id: str,
        volume: gluster.Volume,
        size: int,
        *,
        is_repeated: bool = False,
    ) -> None:
        brick_size = layouts.of_volume(volume).brick_size(size)
        self._volumes.for_each_brick(
            volume,
            lambda node, path: bricks.adopt(
                node, share_id, path, brick_size, is_repeated=is_repeated
            ),
        )

    def _undo(
        self,
        share_id: str,
        snapshot_id: str,
        snapshot_lock: contextlib.ExitStack,
    ) -> None:
        snapshot_lock.close()
        try:
            with self._locks.snapshot(snapshot_id):
                self._clone_cleanup.clean_up(names.snapshot(snapshot_id))
        finally:
            self._share_removal.remove(share_id)
