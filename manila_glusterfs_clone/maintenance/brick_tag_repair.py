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
"""Correct the LVM tags of the bricks of shares.

At boot, nodes mount bricks by the tags of their logical volumes. Tags can be
wrong after an operator ran ``lvchange`` or restored a snapshot by hand. After
a restore, the bricks of the share are on other logical volumes.

A logical volume that a share no longer uses is a *former brick* of the share.
This module logs a former brick and does not change it, because GlusterFS 11
needs it to find the logical volumes of older snapshots. The deletion of the
share removes the former bricks.
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

#: Seconds to wait for the lock of a share.
_LOCK_TIMEOUT = 1.0


class BrickTags:
    """Corrects the tags of the bricks of one back end."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        the_locks: locks.Locks,
        the_backoff: backoff.Backoff,
    ) -> None:
        self._cluster = the_cluster
        self._locks = the_locks
        self._backoff = the_backoff

    def correct(
        self,
        state: cluster_state.ClusterState,
        shares: Mapping[str, manila_db.Row],
    ) -> None:
        """Correct the tags of bricks; log each failure once.

        :param shares: the rows of all shares of this back end, by share id.
        """
        for share_id, volume in _volumes(state, shares):
            if self._is_tag_wrong(state, share_id, volume) and (
                self._backoff.is_retry_due(('tags', share_id))
            ):
                self._repair_tags(share_id)
            self._report_former_bricks(state, share_id, volume)

    def find(
        self,
        state: cluster_state.ClusterState,
        shares: Mapping[str, manila_db.Row],
    ) -> Iterator[str]:
        """Yield the ids of the shares whose tags :meth:`correct` checks."""
        for share_id, volume in _volumes(state, shares):
            if self._is_tag_wrong(state, share_id, volume):
                yield share_id

    def _is_tag_wrong(
        self,
        state: cluster_state.ClusterState,
        share_id: str,
        volume: gluster.Volume,
    ) -> bool:
        """Return whether any brick of a volume may have wrong tags."""
        for node, path in self._node_brick_paths(volume):
            lvs = state.lvs_by_node.get(node.name)
            if lvs is None:
                continue
            wanted_tags = _wanted_tags(share_id, path)
            tag_matches = [
                brick_ownership.ownership_tags(lv) == wanted_tags for lv in lvs
            ]
            name_matches = [
                brick_ownership.is_named_in_path(lv, path) for lv in lvs
            ]
            if not any(tag_matches) or any(
                is_named and not is_tagged
                for is_named, is_tagged in zip(
                    name_matches, tag_matches, strict=True
                )
            ):
                return True
        return False

    def _repair_tags(self, share_id: str) -> None:
        volume_name = names.volume(share_id)
        try:
            # Lock, because another operation may be deleting the share.
            with self._locks.share(share_id, timeout=_LOCK_TIMEOUT):
                volume = self._cluster.read(
                    lambda client: client.volume(volume_name)
                )
                if volume is None:
                    return
                paths = dict(self._node_brick_paths(volume))
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
            LOG.info(
                'Volume %s: in use by another operation; not checking the '
                'tags of its bricks now: %s',
                volume_name,
                error,
            )
        except errors.Error as error:
            self._backoff.warn_once(
                ('tags', share_id),
                f'Volume {volume_name}: checking or correcting the tags of '
                f'its bricks failed; a later maintenance pass or the next '
                f'start of manila-share retries: {error}',
            )

    def _report_former_bricks(
        self,
        state: cluster_state.ClusterState,
        share_id: str,
        volume: gluster.Volume,
    ) -> None:
        tag = names.share_tag(share_id)
        path_by_node = {
            node.name: path for node, path in self._node_brick_paths(volume)
        }
        former_lvs: list[str] = []
        for node_name, lvs in state.lvs_by_node.items():
            path = path_by_node.get(node_name)
            former_lvs += [
                f'{node_name}:{lv.full_name}'
                for lv in lvs
                if tag in lv.tags and not _is_brick(lv, share_id, path)
            ]
        if former_lvs:
            self._backoff.warn_once(
                ('former', share_id),
                f'Volume {volume.name}: no longer uses the logical volumes '
                f'{", ".join(former_lvs)}, because a snapshot was restored or '
                f'a brick was replaced; these logical volumes take up space '
                f'until the share is deleted',
            )

    def _node_brick_paths(
        self, volume: gluster.Volume
    ) -> Iterator[tuple[cluster.Node, str]]:
        """Yield the node and the path of each brick on a configured node."""
        node_by_uuid = {
            member.uuid: member.node for member in self._cluster.members()
        }
        for brick in volume.bricks:
            if brick.node_uuid in node_by_uuid:
                yield node_by_uuid[brick.node_uuid], brick.path


def _volumes(
    state: cluster_state.ClusterState, shares: Mapping[str, manila_db.Row]
) -> Iterator[tuple[str, gluster.Volume]]:
    """Yield the shares in use that are managed, with their volumes."""
    for share_id, row in shares.items():
        volume = state.volume(share_id)
        if (
            volume is not None
            and row.status in manila_db.IN_USE
            and names.UNMANAGED not in volume.options.values()
        ):
            yield share_id, volume


def _wanted_tags(share_id: str, path: str) -> frozenset[str]:
    return names.brick_tags(share_id, path.rpartition('/')[0])


def _is_brick(lv: lvm.LogicalVolume, share_id: str, path: str | None) -> bool:
    return path is not None and (
        brick_ownership.is_named_in_path(lv, path)
        or brick_ownership.ownership_tags(lv) == _wanted_tags(share_id, path)
    )
