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
"""Bricks of shares whose logical volumes are tagged otherwise.

A snapshot that an operator restores by hand makes other LVs the bricks of a
share, and ``lvchange`` changes tags. Nodes mount bricks by their tags at
boot, so the tags have to be those of the share again. The LVs that were its
bricks before are only named: GlusterFS 11 finds the LVs of older snapshots
through them. They are removed with the share.
"""

from collections.abc import Iterator, Mapping

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

#: Seconds to wait for a share that somebody is at work on.
_PATIENCE = 1.0


class BrickTags:
    """Gives the bricks of the shares of one back end their tags."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        mutex: locks.Locks,
        remembered: backoff.Backoff,
    ) -> None:
        self._cluster = nodes
        self._locks = mutex
        self._memory = remembered

    def run(
        self,
        seen: cluster_state.ClusterState,
        shares: Mapping[str, manila_db.Row],
    ) -> None:
        """Correct the tags of bricks; log what fails once.

        :param shares: what Manila has of this back end, by id.
        """
        for share_id, row in shares.items():
            volume = seen.share(share_id)
            if (
                volume is None
                or row.status not in manila_db.IN_USE
                or names.UNMANAGED in volume.options.values()
            ):
                continue
            if self._untagged(seen, share_id, volume) and (
                self._memory.is_due(('tags', share_id))
            ):
                self._adopt(share_id)
            self._name_former(seen, share_id, volume)

    def _untagged(
        self,
        seen: cluster_state.ClusterState,
        share_id: str,
        volume: gluster.Volume,
    ) -> bool:
        """Return whether the tags of a brick may be wrong."""
        for node, path in self._bricks(volume):
            lvs = seen.lvs.get(node.name)
            if lvs is None:
                continue
            wanted = _tags(share_id, path)
            tagged = [
                brick_ownership.ownership_tags(lv) == wanted for lv in lvs
            ]
            named = [brick_ownership.is_named_in_path(lv, path) for lv in lvs]
            if not any(tagged) or any(
                is_named and not is_tagged
                for is_named, is_tagged in zip(named, tagged, strict=True)
            ):
                return True
        return False

    def _adopt(self, share_id: str) -> None:
        name = names.volume(share_id)
        try:
            # Who has the lock may be deleting it.
            with self._locks.share(share_id, timeout=_PATIENCE):
                volume = self._cluster.read(lambda line: line.volume(name))
                if volume is None:
                    return
                paths = dict(self._bricks(volume))
                self._cluster.everywhere(
                    lambda node: brick_ownership.repair_tags(
                        node,
                        share_id,
                        volume,
                        paths[node],
                        lambda: self._cluster.read(
                            brick_ownership.read_known_objects
                        ),
                    ),
                    paths,
                )
        except errors.Held as error:
            LOG.info('Volume %s is being worked on: %s', name, error)
        except errors.Error as error:
            self._memory.warn(
                ('tags', share_id),
                f'Volume {name}: the tags of its bricks could not be checked '
                f'on all nodes; they are checked again later: {error}',
            )

    def _name_former(
        self,
        seen: cluster_state.ClusterState,
        share_id: str,
        volume: gluster.Volume,
    ) -> None:
        tag = names.share_tag(share_id)
        paths = {node.name: path for node, path in self._bricks(volume)}
        former: list[str] = []
        for node, lvs in seen.lvs.items():
            path = paths.get(node)
            former += [
                f'{node}:{lv.full_name}'
                for lv in lvs
                if tag in lv.tags and not _is_brick(lv, share_id, path)
            ]
        if former:
            self._memory.warn(
                ('former', share_id),
                f'Volume {volume.name} does not use {", ".join(former)} any '
                f'more, as a snapshot was restored or a brick was replaced; '
                f'these logical volumes take room until the share is deleted',
            )

    def _bricks(
        self, volume: gluster.Volume
    ) -> Iterator[tuple[cluster.Node, str]]:
        """Go through the bricks on nodes that are known."""
        nodes = {
            member.uuid: member.node for member in self._cluster.members()
        }
        for brick in volume.bricks:
            if brick.node_uuid in nodes:
                yield nodes[brick.node_uuid], brick.path


def _tags(share_id: str, path: str) -> frozenset[str]:
    return names.brick_tags(share_id, path.rpartition('/')[0])


def _is_brick(lv: lvm.LogicalVolume, share_id: str, path: str | None) -> bool:
    return path is not None and (
        brick_ownership.is_named_in_path(lv, path)
        or brick_ownership.ownership_tags(lv) == _tags(share_id, path)
    )
