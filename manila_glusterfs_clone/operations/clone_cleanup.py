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
"""Deactivate snapshots, and tag or remove LVs, after interrupted clones.

A clone is interrupted if manila-share is killed, or if a glusterd fails, while
glusterd creates the clone. An interrupted clone can leave:

* an active snapshot. Clients that could mount the origin when the snapshot was
  taken can mount this snapshot;
* LVs of the new volume without tags. Nodes do not mount such LVs at boot.
  Without these mounts, glusterd 11 does not start if the origin was deleted;
* LVs that belong to no volume. GlusterFS 11.1 leaves such LVs if a node
  refuses the clone.

The driver finds these LVs by the snapshot that they were cloned from. So it
cleans up before it deletes the snapshot. After manila-share was killed,
glusterd may still be creating the clone. Until the clone is created, glusterd
refuses to deactivate the snapshot, so the driver retries the deactivation.
"""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
import contextlib

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import snapshot_deactivation
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Seconds to wait for the lock of a snapshot. A running clone holds this lock.
_LOCK_TIMEOUT = 1.0


class CloneCleanup:
    """Cleans up the snapshots of one back end after interrupted clones.

    :param backend_mark: the value of :data:`names.OPTION_BACKEND` for this
        back end.
    """

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        sources: clone_sources.CloneSources,
        the_locks: locks.Locks,
        *,
        backend_mark: str,
    ) -> None:
        self._cluster = the_cluster
        self._sources = sources
        self._locks = the_locks
        self._backend_mark = backend_mark
        #: The snapshots that this process clones, or will deactivate.
        self.uses = snapshot_deactivation.SnapshotUses(
            self._clean_up_after_use
        )

    def clean_up(self, name: str) -> None:
        """Deactivate a snapshot, and clean up the untagged LVs of its clones.

        Tag the LVs that a volume uses, and remove the others. The caller holds
        the snapshot's lock.
        """
        snapshot = self._cluster.read(lambda gluster: gluster.snapshot(name))
        if snapshot is not None:
            self.deactivate(snapshot)
            self.clean_up_lvs(
                snapshot,
                self._cluster.everywhere(lambda node: node.lvm.lvs()),
            )

    def deactivate(self, snapshot: gluster.Snapshot) -> None:
        """Deactivate a snapshot that is active on some node.

        First wait until glusterd has ended a running clone of the snapshot.
        """
        name = snapshot.name
        if snapshot.is_active or self._sources.active_node_names(name):
            snapshot_id = names.snapshot_id_from_name(name)
            if snapshot_id is None or not self.uses.is_used(snapshot_id):
                LOG.warning(
                    'Snapshot %s: active, although this service does not '
                    'clone it; deactivating it. An interrupted clone left it '
                    'active, an operator activated it, or another service '
                    'cloned it in the last seconds',
                    name,
                )
            self._sources.deactivate(name)

    def clean_up_lvs(
        self,
        snapshot: gluster.Snapshot,
        lvs_by_node: Mapping[str, Sequence[lvm.LogicalVolume]],
    ) -> None:
        """Clean up the untagged LVs of the clones of an inactive snapshot.

        :param lvs_by_node: the LVs of each node, read after
            :meth:`deactivate`, by the name of the node.
        """
        untagged_lv_names = {
            node_name: {
                lv.full_name
                for lv in lvs
                if _is_untagged_clone(lv)
                and bricks.hex_id_in_name(lv.origin) == snapshot.hex_id
            }
            for node_name, lvs in lvs_by_node.items()
        }
        if not any(untagged_lv_names.values()):
            return
        brick_ownership.reclaim(
            self._cluster,
            lambda node, lv: lv.full_name in untagged_lv_names[node.name],
            nodes=[
                node
                for node in self._cluster.nodes
                if untagged_lv_names.get(node.name)
            ],
        )

    def _clean_up_after_use(self, snapshot_id: str) -> None:
        """Clean up a snapshot after this process has cloned it.

        Do nothing if another clone of the snapshot runs or waits in any
        process: that process cleans up. Do nothing if the snapshot was
        unmanaged while this method waited for the lock.
        """
        with self._locks.snapshot(snapshot_id, timeout=_LOCK_TIMEOUT):
            if (
                self.uses.is_used(snapshot_id)
                and not self.uses.is_running(snapshot_id)
                and not self._locks.is_clone_waiting(snapshot_id)
            ):
                self.clean_up(names.snapshot(snapshot_id))

    def clean_up_own(self) -> None:
        """Clean up the snapshots of all volumes with this back end's mark.

        Skip snapshots that another operation has locked; log failures.
        """
        with _errors_logged():
            volumes = self._cluster.read(lambda gluster: gluster.volumes())
            self.clean_up_volumes(
                {
                    name
                    for name, volume in volumes.items()
                    if volume.options.get(names.OPTION_BACKEND)
                    == self._backend_mark
                }
            )

    def clean_up_volumes(self, origins: Collection[str]) -> None:
        """Clean up the snapshots of volumes.

        Skip snapshots that another operation has locked, and snapshots that
        this process clones or will soon deactivate; log failures.

        :param origins: the names of the volumes.
        """
        with _errors_logged():
            self._clean_up_all(
                lambda snapshot_id, snapshot: snapshot.origin in origins
            )

    def clean_up_snapshots(self, snapshot_ids: Collection[str]) -> None:
        """Clean up snapshots.

        Skip snapshots that another operation has locked, and snapshots that
        this process clones or will soon deactivate; log failures.
        """
        with _errors_logged():
            self._clean_up_all(
                lambda snapshot_id, snapshot: snapshot_id in snapshot_ids
            )

    def _clean_up_all(
        self, is_chosen: Callable[[str, gluster.Snapshot], bool]
    ) -> None:
        snapshots = {
            name: snapshot
            for name, snapshot in self._cluster.read(
                lambda gluster: gluster.snapshots()
            ).items()
            if (snapshot_id := names.snapshot_id_from_name(name))
            and is_chosen(snapshot_id, snapshot)
            and not self.uses.is_used(snapshot_id)
        }
        if not snapshots:
            return
        lvs_by_node, _ = self._cluster.try_everywhere(
            lambda node: node.lvm.lvs()
        )
        for snapshot_id in sorted(
            snapshots_to_clean_up(snapshots, lvs_by_node.values())
        ):
            self._try_clean_up(snapshot_id)

    def _try_clean_up(self, snapshot_id: str) -> None:
        try:
            # A clone or deletion that holds the lock does this cleanup.
            with self._locks.snapshot(snapshot_id, timeout=_LOCK_TIMEOUT):
                peers.require_all_connected(self._cluster)
                self.clean_up(names.snapshot(snapshot_id))
        except errors.Held as error:
            LOG.info(
                'Snapshot %s: locked by another operation; skipping its '
                'cleanup: %s',
                snapshot_id,
                error,
            )
        except errors.Error as error:
            LOG.warning(
                'Snapshot %s: cleanup after an interrupted clone failed; the '
                'next maintenance pass retries: %s',
                snapshot_id,
                error,
            )


@contextlib.contextmanager
def _errors_logged() -> Iterator[None]:
    try:
        yield
    except errors.Error as error:
        LOG.error(
            'Cleanup of snapshots after interrupted clones: could not read '
            'volumes or snapshots; the next maintenance pass retries: %s',
            error,
        )


def snapshots_to_clean_up(
    snapshots: Mapping[str, gluster.Snapshot],
    node_lvs: Iterable[Sequence[lvm.LogicalVolume]],
) -> set[str]:
    """Return the ids of snapshots that are active or have untagged clones.

    Omit unmanaged snapshots.

    :param snapshots: by name.
    :param node_lvs: the LVs of each node.
    """
    all_lvs = [lv for lvs in node_lvs for lv in lvs]
    unmanaged_hex_ids = {
        bricks.hex_id_in_name(lv.name)
        for lv in all_lvs
        if names.TAG_UNMANAGED in lv.tags
    }
    cloned_hex_ids = {
        bricks.hex_id_in_name(lv.origin)
        for lv in all_lvs
        if _is_untagged_clone(lv)
    }
    return {
        snapshot_id
        for name, snapshot in snapshots.items()
        if (snapshot_id := names.snapshot_id_from_name(name))
        and snapshot.hex_id not in unmanaged_hex_ids
        and (snapshot.is_active or snapshot.hex_id in cloned_hex_ids)
    }


def _is_untagged_clone(lv: lvm.LogicalVolume) -> bool:
    """Return whether an LV has no tags, and belongs to a clone."""
    return not lv.tags and bool(
        bricks.hex_id_in_name(lv.name) and bricks.hex_id_in_name(lv.origin)
    )
