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
"""The verbs on shares.

What a caller that is killed leaves behind, step by step:

create
    thin LVs, from their first moment tagged with the share, and later a
    volume of the share's name that admits nobody. Deleting the share finds
    and removes them.
delete
    goes forward only, and may be called again: a volume that may be stopped
    or gone, and LVs that bear the share's tag until they are removed.
extend
    bricks of different sizes; clients see the smallest. Extending again
    grows the rest.
"""

from collections.abc import Sequence

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion
from manila_glusterfs_clone.cluster import leftover_directories
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone import undo

LOG = log.getLogger(__name__)


class Shares:
    """The shares of one back end."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: placement.Placement,
        the_volumes: volumes.Volumes,
        protocol: protocols.Protocol,
        mutex: locks.Locks,
        *,
        brick_root: str,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._volumes = the_volumes
        self._protocol = protocol
        self._locks = mutex
        self._brick_root = brick_root

    def create(
        self, share_id: str, pool: str, size: int, layout: layouts.Layout
    ) -> gluster.Volume:
        """Make a share that nobody may mount yet.

        :param pool: ``vg/thinpool``.
        :param size: bytes.
        """
        with self._locks.share(share_id) as lock:
            if self._volumes.is_finished(share_id):
                LOG.info('Share %s is there already', share_id)
                return self._volumes.bring_online(share_id)
            chosen = self._pools.choose_nodes(pool, layout, size)
            peers.require_all_connected(self._cluster)
            with undo.undo_on_failure(
                lambda: self.remove(share_id),
                f'share {share_id}',
                lock.require,
            ):
                return self._build(share_id, pool, size, layout, chosen)

    def _build(
        self,
        share_id: str,
        pool: str,
        size: int,
        layout: layouts.Layout,
        chosen: tuple[cluster.Member, ...],
    ) -> gluster.Volume:
        name = names.volume(share_id)
        brick_size = layout.brick_size(size)
        paths = self._cluster.everywhere(
            lambda node: bricks.make(
                node, share_id, pool, brick_size, self._brick_root
            ),
            [member.node for member in chosen],
        )
        where = [
            f'{member.host}:{paths[member.node.name]}' for member in chosen
        ]
        self._cluster.change(
            lambda line: line.create_volume(name, layout.create_words, where),
            lambda line: line.volume(name) is not None,
        )
        self._volumes.close(share_id)
        return self._volumes.bring_online(share_id)

    def extend(self, share_id: str, size: int) -> None:
        """Grow a share to ``size`` bytes, on line, on every brick."""
        with self._locks.share(share_id):
            volume = self._volumes.get(share_id)
            places = self._volumes.places(volume)
            brick_size = layouts.of_volume(volume).brick_size(size)
            self._pools.require_room(
                {
                    node: placement.RequiredSpace(
                        place.lv.pool_name,
                        max(0, brick_size - place.lv.size),
                        place.lvs,
                    )
                    for node, place in places.items()
                }
            )
            self._cluster.everywhere(
                lambda node: bricks.grow(node, places[node], brick_size),
                places,
            )
            self._volumes.on_bricks(
                volume,
                lambda node, path: bricks.verify_durable(
                    node, path, volume.hex_id
                ),
            )

    def complete_extension(self, share_id: str) -> None:
        """Grow every brick to the size of the largest one.

        For an extension that failed on some nodes: a file system cannot be
        shrunk again.
        """
        volume = self._volumes.get(share_id)
        places = self._volumes.places(volume)
        largest = max(place.lv.size for place in places.values())
        self.extend(share_id, layouts.of_volume(volume).share_size(largest))

    def size(self, share_id: str) -> int:
        """Return the bytes of the smallest brick: what clients see."""
        volume = self._volumes.get(share_id)
        places = self._volumes.places(volume)
        smallest = min(place.lv.size for place in places.values())
        return layouts.of_volume(volume).share_size(smallest)

    def bring_online(self, share_id: str) -> gluster.Volume:
        """Start a share that was made, and see every brick on line.

        :raises errors.Missing: it was never finished.
        """
        with self._locks.share(share_id):
            return self._volumes.bring_online(share_id)

    def update_access(
        self,
        share_id: str,
        old: Sequence[protocols.Rule],
        new: Sequence[protocols.Rule],
        *,
        revoking: bool,
    ) -> dict[str, errors.NotPossible]:
        """Allow exactly these rules; return why, by id, one cannot hold.

        Nobody new is admitted before those whose rule is revoked are
        disconnected: where that fails, all rules of the change are in error,
        and must not hold. What the access list has and is to keep stays in
        it throughout, whatever Manila calls new: after a restart it calls
        all rules new.

        :param old: rules that held before, and are to hold on.
        :param revoking: whether others held, and are to hold no more.
        """
        name = names.volume(share_id)
        every = [*old, *new]
        with self._locks.share(share_id):
            if revoking:
                kept = [*old, *self._in_force(name, new)]
                refused = self._protocol.apply(name, kept, revoking=True)
                if len(kept) == len(every):
                    return dict(refused)
            return dict(self._protocol.apply(name, every, revoking=False))

    def _in_force(
        self, name: str, rules: Sequence[protocols.Rule]
    ) -> Sequence[protocols.Rule]:
        """Return those of some rules that the access list has already."""
        if not rules:
            return ()
        volume = self._cluster.read(lambda line: line.volume(name))
        return self._protocol.admitted(volume, rules) if volume else ()

    def disown(self, share_id: str) -> None:
        """Leave a share to whoever manages it from now on, as it is.

        Of our marks the bricks keep those by which nodes mount them at boot.

        :raises errors.NotPossible: a node is away, and would keep them all.
        """
        tag = names.share_tag(share_id)

        def disown(node: cluster.Node) -> None:
            lvs = node.lvm.lvs()
            bricks.require_pools_visible(node, lvs)
            if own := [lv.full_name for lv in lvs if tag in lv.tags]:
                node.lvm.remove_tags(own, [tag])

        with self._locks.share(share_id):
            peers.require_all_connected(self._cluster)
            # In this order: while the LVs are marked, it can be deleted.
            self._volumes.disown(share_id)
            self._cluster.everywhere(disown)

    def is_disowned(self, share_id: str) -> bool:
        """Whether a share was left to somebody else, by any node's word."""
        name = names.volume(share_id)
        seen = self._cluster.everywhere(lambda node: node.gluster.volume(name))
        return any(
            volume is not None
            and names.UNMANAGED
            in (
                volume.options.get(names.OPTION_BACKEND),
                volume.options.get(names.OPTION_SHARE),
            )
            for volume in seen.values()
        )

    def delete(self, share_id: str) -> None:
        """Delete a share and all its data; fine if there is nothing."""
        with self._locks.share(share_id):
            self.remove(share_id)

    def remove(self, share_id: str) -> None:
        """Remove whatever there is of a share, made whole or in part.

        The caller holds the share's lock. The order keeps what is left
        recognisable and every node able to boot: LVs are tagged, the volume
        deleted, and only then its LVs removed.

        :raises errors.NotPossible: a node is away, or there are snapshots.
        """
        name = names.volume(share_id)
        tag = names.share_tag(share_id)
        # A node that missed the deletion brings the volume back when it is
        # connected again.
        peers.require_all_connected(self._cluster)
        volume = self._cluster.read(lambda line: line.volume(name))
        pools_of: dict[str, set[str]] | None = None
        if volume is None:
            # It may be being made, at the behest of a process that was
            # killed. Making it holds the lock of its name in glusterd, and
            # stopping it is refused until that has ended.
            self._cluster.change(
                lambda line: line.stop_volume(name), lambda line: False
            )
            volume = self._cluster.read(lambda line: line.volume(name))
        if volume is not None:
            if volume.snapshot_count:
                raise errors.NotPossible(
                    f'volume {name} has {volume.snapshot_count} snapshots '
                    f'that have to be deleted first; "gluster snapshot list '
                    f'{name}" names them'
                )
            pools_of = self._claim(share_id, volume)
            LOG.info('Deleting volume %s', name)
            self._cluster.change(
                lambda line: line.stop_volume(name),
                lambda line: not volumes.is_started(line.volume(name)),
            )
            self._cluster.change(
                lambda line: self._forget(line, name),
                lambda line: line.volume(name) is None,
            )
        target = names.mount_point(self._brick_root, share_id)

        def remove_leftovers(node: cluster.Node, lv_count: int) -> None:
            if not lv_count:
                # Its mount point may exist all the same.
                bricks.remove_mount_point(node, target)
            leftover_directories.remove_of_volume(node, name)

        deletion.finish(
            self._cluster,
            f'volume {name}',
            is_known=lambda line: line.volume(name) is not None,
            # The name of a created brick is used once: an LV of that name is
            # the share's although somebody has removed its tags.
            is_unwanted=lambda node, lv: tag in lv.tags or lv.name == name,
            pools_of=pools_of,
            remove_leftovers=remove_leftovers,
        )

    def _forget(self, line: gluster.Gluster, name: str) -> None:
        peers.await_started(self._cluster)
        line.delete_volume(name)

    def _claim(
        self, share_id: str, volume: gluster.Volume
    ) -> dict[str, set[str]]:
        """Tag the LVs of all bricks, as those that glusterd made.

        Once the volume is deleted, nothing else tells whose they are.

        :return: the thin pools they lie in, by the name of the node.
        :raises errors.NotPossible: there may be one that LVM does not see,
            and that would stay.
        """
        tag = names.share_tag(share_id)
        pools_of: dict[str, set[str]] = {}

        def claim(node: cluster.Node, path: str) -> None:
            lvs = node.lvm.lvs()
            where = names.brick_tags(share_id, path.rpartition('/')[0])
            marked = {lv for lv in lvs if tag in lv.tags}
            holding = {
                lv
                for lv in lvs
                if brick_ownership.is_named_in_path(lv, path)
                or where <= lv.tags
            }
            if not holding:
                bricks.require_pools_visible(node, lvs)
                place = bricks.read_storage(node).find_brick(path)
                holding = {place.lv} if place is not None else set()
            pools_of[node.name] = {
                lv.pool_name for lv in marked | holding if lv.pool
            }
            for lv in holding:
                brick_ownership.set_ownership_tags(node, lv, where)

        self._volumes.on_bricks(volume, claim)
        return pools_of
