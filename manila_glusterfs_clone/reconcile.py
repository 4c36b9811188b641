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
"""What is there against what should be: bringing shares back on line."""

from collections.abc import Iterable

from oslo_log import log

from manila_glusterfs_clone import bricks
from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import locks
from manila_glusterfs_clone import names
from manila_glusterfs_clone import shares

LOG = log.getLogger(__name__)


class Reconciler:
    """Brings what should be on line, on line."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        the_shares: shares.Shares,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._shares = the_shares
        self._locks = mutex

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares on line: mount bricks, start volumes and bricks.

        Snapshots of theirs that a clone which was killed left active are
        put to rest.

        Never raises on account of the cluster.

        :return: for every share its volume, or what is wrong with it.
        """
        wanted = list(share_ids)
        self._remount({names.share_tag(share_id) for share_id in wanted})
        healed: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in wanted:
            try:
                healed[share_id] = self._heal(share_id)
            except errors.Error as error:
                LOG.error('Share %s is not on line: %s', share_id, error)
                healed[share_id] = error
        self._put_to_rest({names.volume(share_id) for share_id in wanted})
        return healed

    def _put_to_rest(self, volumes: set[str]) -> None:
        try:
            snapshots = self._cluster.read(lambda line: line.snapshots())
        except errors.Error as error:
            LOG.error('The snapshots cannot be looked at: %s', error)
            return
        for name, snapshot in snapshots.items():
            snapshot_id = names.snapshot_of_name(name)
            if (
                snapshot_id is None
                or snapshot.origin not in volumes
                or not snapshot.is_active
            ):
                continue
            LOG.warning('Deactivating snapshot %s, as no clone uses it', name)
            try:
                # A clone that does use it has the lock.
                with self._locks.snapshot(snapshot_id):
                    self._deactivate(name)
            except errors.Error as error:
                LOG.error('Snapshot %s stays active: %s', name, error)

    def _deactivate(self, name: str) -> None:
        def is_done(line: gluster.Gluster) -> bool:
            snapshot = line.snapshot(name)
            return snapshot is None or not snapshot.is_active

        self._cluster.change(
            lambda line: line.deactivate_snapshot(name), is_done
        )

    def _remount(self, tags: set[str]) -> None:
        def remount(node: cluster.Node) -> None:
            bricks.remount(
                node,
                [
                    lv
                    for lv in node.lvm.volumes(f'@{names.TAG_BRICK}')
                    if lv.tags & tags
                ],
            )

        _, failed = self._cluster.try_everywhere(remount)
        for node, error in failed.items():
            LOG.error('Bricks on node %s stay as they are: %s', node, error)

    def _heal(self, share_id: str) -> gluster.Volume:
        """Have started what is down; it is not waited for.

        A share whose node or disk is gone goes on with its other copies,
        and must not keep the next one waiting.
        """
        volume = self._shares.finished_volume(share_id)
        name = volume.name
        if not volume.is_started:
            LOG.warning('Starting volume %s, as it is not', name)
            self._cluster.change(
                lambda line: line.start_volume(name), lambda line: False
            )
            return volume
        down = [
            brick.path
            for brick in self._cluster.read(lambda line: line.bricks(name))
            if not brick.online
        ]
        if down:
            LOG.warning(
                'Starting bricks of volume %s that are down: %s',
                name,
                ', '.join(down),
            )
            self._cluster.change(
                lambda line: line.start_volume(name, force=True),
                lambda line: False,
            )
        return volume
