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

from collections.abc import Callable
import time

from oslo_log import log

from manila_glusterfs_clone.access import native
from manila_glusterfs_clone import bricks
from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone import pools
from manila_glusterfs_clone import saga

LOG = log.getLogger(__name__)

#: Seconds within which the bricks of a started volume come on line.
_ONLINE = 120.0


class Shares:
    """The shares of one back end."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        thin_pools: pools.Pools,
        access: native.NativeAccess,
        mutex: locks.Locks,
        *,
        backend: str,
        brick_root: str,
    ) -> None:
        self._cluster = nodes
        self._pools = thin_pools
        self._access = access
        self._locks = mutex
        self._backend = backend
        self._brick_root = brick_root

    def create(
        self, share_id: str, pool: str, size: int, layout: layouts.Layout
    ) -> gluster.Volume:
        """Make a share that nobody may mount yet.

        :param pool: ``vg/thinpool``.
        :param size: bytes.
        """
        with self._locks.share(share_id):
            chosen = self._pools.place(pool, layout, size)
            self._cluster.require_all_connected()
            with saga.undone_by(
                lambda: self.remove(share_id), f'share {share_id}'
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
        paths = self._cluster.everywhere(
            lambda node: bricks.make(
                node, share_id, pool, size, self._brick_root
            ),
            [member.node for member in chosen],
        )
        where = [
            f'{member.host}:{paths[member.node.name]}' for member in chosen
        ]
        self._cluster.change(
            lambda line: line.create_volume(name, layout.words, where),
            lambda line: line.volume(name) is not None,
        )
        self.close(share_id)
        return self.bring_online(share_id)

    def close(self, share_id: str) -> None:
        """Let nobody mount a volume, and mark it as this share's.

        In one transaction, so that there is no moment at which the volume
        is this share's and open to the clients of another.
        """
        name = names.volume(share_id)
        options = {
            **self._access.closed(),
            names.OPTION_SHARE: names.checked_id(share_id),
            names.OPTION_BACKEND: self._backend,
        }
        for option in self._access.inherited(self.volume(share_id)):
            self._drop(name, option)
        self._cluster.change(
            lambda line: line.set_options(name, options),
            lambda line: (
                options.items() <= _options(line.volume(name)).items()
            ),
        )

    def _drop(self, name: str, option: str) -> None:
        LOG.info('Dropping option %s of volume %s', option, name)
        self._cluster.change(
            lambda line: line.reset_option(name, option),
            lambda line: option not in _options(line.volume(name)),
        )

    def volume(self, share_id: str) -> gluster.Volume:
        """Give the volume of a share.

        :raises errors.Missing: there is none.
        """
        name = names.volume(share_id)
        found = self._cluster.read(lambda line: line.volume(name))
        if found is None:
            raise errors.Missing(f'volume {name} does not exist')
        return found

    def finished_volume(self, share_id: str) -> gluster.Volume:
        """Give the volume of a share, if it was ever closed.

        The mark of the share was set together with that. A clone without
        it has the access lists of its origin, and is not to be started.

        :raises errors.Missing: there is none, or it is not marked.
        """
        volume = self.volume(share_id)
        marked = volume.options.get(names.OPTION_SHARE)
        if marked != names.checked_id(share_id):
            raise errors.Missing(
                f'volume {volume.name} was never finished, and may admit the '
                f'clients of its origin; delete the share'
            )
        return volume

    def bring_online(self, share_id: str) -> gluster.Volume:
        """Start a volume, see every brick on line and safely on disk.

        :raises errors.Missing: it was never closed.
        :raises errors.Unsettled: a brick stays down, or is a wrong one.
        """
        name = self.finished_volume(share_id).name
        self._cluster.change(
            lambda line: line.start_volume(name),
            lambda line: _is_started(line.volume(name)),
        )
        self._await_bricks(name)
        volume = self.volume(share_id)
        self.on_bricks(
            volume,
            lambda node, path: bricks.prove(node, path, volume.hex_id),
        )
        return volume

    def on_bricks(
        self,
        volume: gluster.Volume,
        action: Callable[[cluster.Node, str], None],
    ) -> None:
        """Do something with every brick of a volume, side by side."""
        paths = self._paths(volume)
        self._cluster.everywhere(lambda node: action(node, paths[node]), paths)

    def _paths(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Give the path of each brick, by its node."""
        return {
            self._cluster.member(brick.node_uuid).node: brick.path
            for brick in volume.bricks
        }

    def _await_bricks(self, name: str) -> None:
        deadline = time.monotonic() + _ONLINE
        while True:
            try:
                down = [
                    brick.path
                    for brick in self._cluster.read(
                        lambda line: line.bricks(name)
                    )
                    if not brick.online
                ]
                if not down:
                    return
            except errors.Busy:
                down = ['(not known yet)']
            if time.monotonic() >= deadline:
                raise errors.Unsettled(
                    f'volume {name}',
                    f'bricks are not on line {_ONLINE:g} s after it was '
                    f'started: {", ".join(down)}; see the logs below '
                    f'/var/log/glusterfs/bricks on their nodes',
                )
            time.sleep(0.5)

    def extend(self, share_id: str, size: int) -> None:
        """Grow a share to ``size`` bytes, on line, on every brick."""
        with self._locks.share(share_id):
            volume = self.volume(share_id)
            places = self.places(volume)
            self._pools.require_room(
                {
                    node: pools.Need(
                        place.lv.pool_name,
                        max(0, size - place.lv.size),
                        place.lvs,
                    )
                    for node, place in places.items()
                }
            )
            self._cluster.everywhere(
                lambda node: bricks.grow(node, places[node], size), places
            )
            self.on_bricks(
                volume,
                lambda node, path: bricks.prove(node, path, volume.hex_id),
            )

    def places(
        self, volume: gluster.Volume
    ) -> dict[cluster.Node, bricks.Place]:
        """Find the LV and mount of each brick, by its node.

        :raises errors.Unsettled: a brick is not on a mounted LV.
        """
        paths = self._paths(volume)

        def locate(node: cluster.Node) -> bricks.Place:
            place = bricks.inventory(node).place(paths[node])
            if place is None:
                raise errors.Unsettled(
                    f'brick {paths[node]} on node {node.name}',
                    'it is not on a mounted logical volume',
                )
            return place

        found = self._cluster.everywhere(locate, paths)
        return {node: found[node.name] for node in paths}

    def update_access(
        self, share_id: str, rules: list[native.Rule]
    ) -> dict[str, str]:
        """Let exactly these rules hold; give why, by id, if one cannot."""
        with self._locks.share(share_id):
            return dict(self._access.apply(names.volume(share_id), rules))

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
        volume = self._cluster.read(lambda line: line.volume(name))
        if volume is not None:
            if volume.snapshot_count:
                raise errors.NotPossible(
                    f'volume {name} has {volume.snapshot_count} snapshots '
                    f'that have to be deleted first'
                )
            self._cluster.require_all_connected()
            self._claim(share_id, volume)
            LOG.info('Deleting volume %s', name)
            self._cluster.change(
                lambda line: line.stop_volume(name),
                lambda line: not _is_started(line.volume(name)),
            )
            self._cluster.change(
                lambda line: line.delete_volume(name),
                lambda line: line.volume(name) is None,
            )
        target = names.mount_point(self._brick_root, share_id)

        def reclaim(node: cluster.Node) -> None:
            if not bricks.reclaim(node, lambda lv: tag in lv.tags):
                # Its mount point may be there all the same.
                bricks.remove_mount_point(node, target)

        self._cluster.everywhere(reclaim)

    def _claim(self, share_id: str, volume: gluster.Volume) -> None:
        """Tag LVs that glusterd made for a clone and nobody tagged yet.

        Once the volume is deleted, nothing else tells whose they are.
        """
        tag = names.share_tag(share_id)

        def claim(node: cluster.Node, path: str) -> None:
            bare = [
                lv.full_name
                for lv in bricks.of_volume(node.lvm.volumes(), volume.hex_id)
                if tag not in lv.tags
            ]
            if bare:
                where = names.mount_tag(path.rpartition('/')[0])
                node.lvm.add_tags(bare, [tag, where])

        self.on_bricks(volume, claim)


def _options(volume: gluster.Volume | None) -> dict[str, str]:
    return dict(volume.options) if volume is not None else {}


def _is_started(volume: gluster.Volume | None) -> bool:
    return volume is not None and volume.is_started
