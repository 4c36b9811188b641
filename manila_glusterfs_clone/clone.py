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
* during it: glusterd may have left LVs and no volume (11.1 does, when a
  node refuses). They are told by their origin, an LV of the snapshot, by a
  name that belongs to no volume and no snapshot, and by having no tag.
  Deleting the share removes them.
* after it: a volume of the share's name, closed or not yet started, whose
  LVs may not be tagged; deleting the share removes it all.
"""

from collections.abc import Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import bricks
from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import locks
from manila_glusterfs_clone import lvm
from manila_glusterfs_clone import names
from manila_glusterfs_clone import pools
from manila_glusterfs_clone import saga
from manila_glusterfs_clone import shares

LOG = log.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """A snapshot as the source of a clone."""

    snapshot: gluster.Snapshot
    #: The thin pool of its LVs, ``vg/thinpool``.
    pool: str
    #: Size of its bricks, in bytes.
    size: int
    #: Those that have a brick of it, and all LVs of each as read then.
    nodes: Mapping[cluster.Node, tuple[lvm.LogicalVolume, ...]]


class Cloner:
    """Makes shares from snapshots."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: pools.Pools,
        the_shares: shares.Shares,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._shares = the_shares
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
        with self._locks.share(share_id):
            source = self._examine(snapshot_id)
            if source.pool != pool:
                raise errors.NotPossible(
                    f'snapshot {snapshot_id} lies in the thin pool '
                    f'{source.pool}, and a share made from it cannot be in '
                    f'{pool}'
                )
            self._pools.require_room(
                {
                    node: pools.Need(pool, max(size, source.size), lvs)
                    for node, lvs in source.nodes.items()
                }
            )
            self._cluster.require_all_connected()
            with saga.undone_by(
                lambda: self._undo(share_id, snapshot_id, source),
                f'share {share_id} from snapshot {snapshot_id}',
            ):
                self._clone(share_id, snapshot_id, source)
                return self._finish(share_id, size)

    def _examine(self, snapshot_id: str) -> Source:
        name = names.snapshot(snapshot_id)
        snapshot = self._cluster.read(lambda line: line.snapshot(name))
        if snapshot is None:
            raise errors.NotPossible(
                f'snapshot {name} does not exist on the cluster'
            )
        seen = self._cluster.everywhere(lambda node: node.lvm.volumes())
        lvs = {
            node: bricks.of_volume(seen[node.name], snapshot.hex_id)
            for node in self._cluster.nodes
        }
        own = [lv for found in lvs.values() for lv in found]
        if not own:
            raise errors.Unsettled(
                f'snapshot {name}', 'no node has a logical volume of it'
            )
        return Source(
            snapshot=snapshot,
            pool=own[0].pool_name,
            size=max(lv.size for lv in own),
            nodes={n: seen[n.name] for n, found in lvs.items() if found},
        )

    def _clone(self, share_id: str, snapshot_id: str, source: Source) -> None:
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
                self._cluster.change(
                    lambda line: line.activate_snapshot(name),
                    lambda line: _is_active(line.snapshot(name)),
                )
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
                self._remove_orphans(source)

    def _put_to_rest(self, name: str) -> None:
        try:
            self._cluster.change(
                lambda line: line.deactivate_snapshot(name),
                lambda line: not _is_active(line.snapshot(name)),
            )
        except errors.Error:
            # No reason to fail a clone that is made: a snapshot that is
            # active costs a process and a mount, and the next clone of it,
            # or start of the service, tries again.
            LOG.exception('Snapshot %s stays active', name)

    def _finish(self, share_id: str, size: int) -> gluster.Volume:
        volume = self._shares.volume(share_id)

        def adopt(node: cluster.Node, path: str) -> None:
            place = bricks.adopt(node, share_id, path)
            if place.lv.size < size:
                bricks.grow(node, place, size)

        self._shares.on_bricks(volume, adopt)
        self._cluster.change(
            lambda line: line.write_volfiles(volume.name),
            lambda line: False,
        )
        self._shares.close(share_id)
        return self._shares.bring_online(share_id)

    def _undo(self, share_id: str, snapshot_id: str, source: Source) -> None:
        try:
            with self._locks.snapshot(snapshot_id):
                self._remove_orphans(source)
        finally:
            self._shares.remove(share_id)

    def sweep(self) -> None:
        """Remove what clones that glusterd gave up have left.

        Manila does not tell which snapshot a share that is deleted came
        from (its ``snapshot_id`` is not the id of the instance that the
        cluster knows); the tag of the LV that a clone was made of does.
        """
        for snapshot_id in sorted(self._snapshots_with_bare_clones()):
            name = names.snapshot(snapshot_id)
            with self._locks.snapshot(snapshot_id):
                if self._cluster.read(lambda line: line.snapshot(name)):
                    self._cluster.require_all_connected()
                    self._remove_orphans(self._examine(snapshot_id))

    def _snapshots_with_bare_clones(self) -> set[str]:
        def look(node: cluster.Node) -> set[str]:
            lvs = node.lvm.volumes()
            owners = {
                (lv.vg, lv.name): lv.tagged(names.TAG_SNAPSHOT) for lv in lvs
            }
            found = {
                owners.get((lv.vg, lv.origin))
                for lv in lvs
                if not lv.tags and bricks.volume_hex_of(lv.name)
            }
            return {owner for owner in found if owner}

        seen = self._cluster.everywhere(look)
        return set[str]().union(*seen.values())

    def _remove_orphans(self, source: Source) -> None:
        orphans = self._orphans(source)
        self._cluster.everywhere(
            lambda node: bricks.reclaim(
                node, lambda lv: lv.full_name in orphans[node.name]
            ),
            [node for node in source.nodes if orphans[node.name]],
        )

    def _orphans(self, source: Source) -> dict[str, frozenset[str]]:
        """Name the LVs of clones that glusterd gave up, by node.

        With the snapshot's lock held no other clone of it is being made.
        """
        known = {
            volume.hex_id
            for volume in self._cluster.read(
                lambda line: line.volumes()
            ).values()
        } | {
            snapshot.hex_id
            for snapshot in self._cluster.read(
                lambda line: line.snapshots()
            ).values()
        }

        def find(node: cluster.Node) -> frozenset[str]:
            orphans = frozenset(
                lv.full_name
                for lv in node.lvm.volumes()
                if not lv.tags
                and bricks.volume_hex_of(lv.origin) == source.snapshot.hex_id
                and bricks.volume_hex_of(lv.name) not in known | {None}
            )
            if orphans:
                LOG.warning(
                    'On node %s a clone that failed left %s',
                    node.name,
                    ', '.join(sorted(orphans)),
                )
            return orphans

        return self._cluster.everywhere(find, source.nodes)


def _is_active(snapshot: gluster.Snapshot | None) -> bool:
    return snapshot is not None and snapshot.is_active
