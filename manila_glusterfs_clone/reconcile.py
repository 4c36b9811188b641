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
from manila_glusterfs_clone import sources
from manila_glusterfs_clone import volumes

LOG = log.getLogger(__name__)

#: Seconds to wait for a share that somebody is at work on.
_PATIENCE = 1.0


class Reconciler:
    """Brings what should be on line, on line."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        the_volumes: volumes.Volumes,
        the_sources: sources.Sources,
        mutex: locks.Locks,
    ) -> None:
        self._cluster = nodes
        self._volumes = the_volumes
        self._sources = the_sources
        self._locks = mutex

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares on line: mount bricks, start volumes and bricks.

        What clones that were killed have left of their snapshots is put in
        order. Never raises on account of the cluster.

        :return: for every share its volume, or what is wrong with it.
        """
        wanted = list(share_ids)
        unmounted = self._unmounted()
        healed: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in wanted:
            try:
                # Who has the lock may be deleting it.
                with self._locks.share(share_id, timeout=_PATIENCE):
                    if names.share_tag(share_id) in unmounted:
                        self._remount(share_id)
                    healed[share_id] = self._heal(share_id)
            except errors.Error as error:
                LOG.error('Share %s is not on line: %s', share_id, error)
                healed[share_id] = error
        self._sources.tidy({names.volume(share_id) for share_id in wanted})
        return healed

    def _unmounted(self) -> set[str]:
        """Give the tags of all LVs that should be mounted and are not."""
        seen, failed = self._cluster.try_everywhere(
            lambda node: {
                tag for lv in bricks.unmounted(node) for tag in lv.tags
            }
        )
        for node, error in failed.items():
            LOG.error('Bricks on node %s stay as they are: %s', node, error)
        return set[str]().union(*seen.values())

    def _remount(self, share_id: str) -> None:
        tag = names.share_tag(share_id)

        def remount(node: cluster.Node) -> None:
            for lv in bricks.unmounted(node):
                if tag in lv.tags:
                    bricks.remount(node, lv)

        _, failed = self._cluster.try_everywhere(remount)
        for node, error in failed.items():
            LOG.error('Bricks on node %s stay as they are: %s', node, error)

    def _heal(self, share_id: str) -> gluster.Volume:
        """Have started what is down; it is not waited for.

        A share whose node or disk is gone goes on with its other copies,
        and must not keep the next one waiting.
        """
        volume = self._volumes.finished(share_id)
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
