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
"""Finish the deletion of a volume or snapshot: reclaim its logical volumes.

glusterd on the writer has already deleted the volume or snapshot. Two steps
follow on all nodes, in this order:

1. Verify that glusterd on every node has deleted the object. A glusterd that
   still has the object can restore it on the other nodes. If a restored clone
   lacks a brick on a node, glusterd 11 does not start on that node.
2. Remove the logical volumes of the bricks, and the directories that glusterd
   left behind.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)

Found = TypeVar('Found')

#: Seconds to wait until reconnecting nodes have received missed changes.
_WAIT_SECONDS = 30.0


@dataclasses.dataclass(eq=False)
class StillKnown(errors.Unsettled):
    """glusterd on a node still has a volume or snapshot that was deleted."""

    #: ``volume NAME`` or ``snapshot NAME``.
    subject: str
    node: str
    #: A logical volume that glusterd failed to remove; None if there is none.
    logical_volume: str | None = None

    def __str__(self) -> str:
        lv_clause = (
            f' and its logical volume {self.logical_volume}; run "fuser -vm '
            f'/dev/{self.logical_volume}" there, and end the processes that '
            f'it lists'
            if self.logical_volume is not None
            else ''
        )
        return (
            f'{self.subject}: deleted, but glusterd on node {self.node} still '
            f'has it{lv_clause}; retry the deletion in a minute; if this '
            f'error occurs again, restart glusterd on node {self.node}, and '
            f'retry'
        )


@dataclasses.dataclass(eq=False)
class MissingOnNodes(errors.Unsettled):
    """glusterd on some nodes lacks a volume or snapshot that others have.

    One of those that have it must be restarted. After its start, it either
    sends the object to the others, or has lost it. glusterd loses it if the
    object is only in its memory: if a node boots while a snapshot is taken,
    its glusterd can receive the snapshot from two peers and list it twice; a
    deletion then leaves the second entry. (Seen on 10.3 and 11.1.) If glusterd
    is restarted on a node that lacks this entry, it receives the entry, and
    then no glusterd can delete it.
    """

    #: ``volume NAME`` or ``snapshot NAME``.
    subject: str
    missing_on: tuple[str, ...]
    known_on: tuple[str, ...]

    @property
    def node_to_restart(self) -> str:
        return self.known_on[0]

    def __str__(self) -> str:
        return (
            f'{self.subject}: not deleted, because glusterd on '
            f'{", ".join(self.known_on)} has it, and glusterd on '
            f'{", ".join(self.missing_on)} does not; retry the deletion in a '
            f'minute; if this error occurs again, restart glusterd on '
            f'{self.node_to_restart}, and retry'
        )


def find_on_all_nodes(
    the_cluster: cluster.Cluster,
    subject: str,
    find_on: Callable[[gluster.Gluster], Found | None],
) -> Found | None:
    """Wait until all nodes have an object that is to be deleted; return it.

    A disconnected node would miss the deletion, and would restore the object
    on its peers when it reconnects. A node that has just reconnected possibly
    lacks the object. Then glusterd refuses the deletion, or the node receives
    the object after its peers have deleted it. (On 11.1 a snapshot was left on
    one node that was reconnecting while the snapshot was deleted.)

    :param subject: the object, ``volume NAME`` or ``snapshot NAME``.
    :param find_on: return the object that glusterd on one node reports, if
        any.
    :return: None if no node has the object.
    :raises peers.PeersDisconnected: a node is disconnected.
    :raises MissingOnNodes: glusterd on some nodes still lacks the object.
    """
    missing_on: list[str] = []
    known_on: list[str] = []
    for _ in retry.Attempts(_WAIT_SECONDS, 1.0, 5.0):
        found_by_node = peers.read_everywhere_with_all_connected(
            the_cluster, find_on
        )
        missing_on = [name for name, it in found_by_node.items() if it is None]
        known_on = [name for name in found_by_node if name not in missing_on]
        if not missing_on or not known_on:
            return next(iter(found_by_node.values()))
    raise MissingOnNodes(
        subject, tuple(sorted(missing_on)), tuple(sorted(known_on))
    )


def finish(
    the_cluster: cluster.Cluster,
    subject: str,
    *,
    is_known: Callable[[gluster.Gluster], bool],
    is_unwanted: Callable[[cluster.Node, lvm.LogicalVolume], bool],
    pool_names_by_node: Mapping[str, Iterable[str]] | None,
    remove_leftovers: Callable[[cluster.Node, int], None],
    find_blocked_lv: Callable[[cluster.Node], str | None] = lambda node: None,
) -> None:
    """Reclaim the logical volumes of an object that the writer has deleted.

    :param subject: the object, ``volume NAME`` or ``snapshot NAME``.
    :param is_known: return whether glusterd on one node still has the object.
    :param is_unwanted: return whether an LV was created for the object.
    :param pool_names_by_node: the thin pools that LVM must list; None for all
        configured pools.
    :param remove_leftovers: remove leftover directories from a node; called
        with the node and the number of unwanted LVs on it.
    :param find_blocked_lv: return an LV of the object that glusterd failed to
        remove from a node; None if there is none.
    :raises StillKnown: glusterd on a node still has the object. The driver has
        removed no LV.
    """

    def require_forgotten(node: cluster.Node) -> None:
        if is_known(node.gluster):
            raise StillKnown(subject, node.name, find_blocked_lv(node))

    the_cluster.everywhere(require_forgotten)
    lv_counts, kept_lv_users = brick_ownership.reclaim(
        the_cluster, is_unwanted, pool_names_by_node
    )
    _warn_of_kept_lvs(subject, kept_lv_users)
    the_cluster.everywhere(
        lambda node: remove_leftovers(node, lv_counts[node.name])
    )


def _warn_of_kept_lvs(
    subject: str, users: Iterable[brick_ownership.LvUser]
) -> None:
    """Log which volumes and snapshots use the LVs of a deleted object.

    :param subject: the deleted object, such as ``snapshot NAME``.
    """
    for user_name in sorted({user.name for user in users}):
        LOG.warning(
            '%s: deleted, but %s uses some of its logical volumes, because an '
            'operator restored a snapshot or changed tags; keeping these '
            'logical volumes with the tags of %s; no action is needed',
            f'{subject[0].upper()}{subject[1:]}',
            user_name,
            user_name,
        )
