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
"""Tag the LVs that glusterd created for a snapshot."""

from collections.abc import Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

LOG = log.getLogger(__name__)


@dataclasses.dataclass(eq=False)
class SnapshotIncomplete(errors.Unsettled):
    """A snapshot has more or fewer LVs than its volume has bricks."""

    snapshot: str
    brick_count: int
    #: The name of each node, and the number of LVs on it.
    lv_counts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        total = sum(count for _, count in self.lv_counts)
        by_node = ', '.join(f'{node}: {n}' for node, n in self.lv_counts)
        return (
            f'snapshot {self.snapshot}: has {total} logical volumes for the '
            f'{self.brick_count} bricks of its volume ({by_node}); delete the '
            f'snapshot and take another one'
        )


@dataclasses.dataclass(frozen=True)
class TaggedLvs:
    """The LVs of all nodes, as they were before a snapshot was tagged."""

    #: All LVs, by the name of the node.
    lvs_by_node: Mapping[str, tuple[lvm.LogicalVolume, ...]]
    #: The thin pools of the LVs of the snapshot, by the name of the node.
    pool_names_by_node: dict[str, set[str]]


def tag(
    the_cluster: cluster.Cluster,
    snapshot: gluster.Snapshot,
    origin: gluster.Volume | None,
) -> None:
    """Tag the LVs of a new snapshot.

    :raises errors.NotPossible: LVM on a node lists no LV of the snapshot, and
        a thin pool is missing there.
    :raises SnapshotIncomplete: the numbers of LVs and bricks differ.
    """
    tagged = _tag(the_cluster, snapshot, origin)
    _require_complete(snapshot, origin, tagged)


def tag_to_delete(
    the_cluster: cluster.Cluster,
    snapshot: gluster.Snapshot,
    origin: gluster.Volume | None,
) -> TaggedLvs:
    """Tag the LVs of an inactive snapshot, and remove its mount points.

    GlusterFS 11.1 leaves these directories when it deletes a snapshot that was
    active. Call this before glusterd deletes the snapshot: the paths contain
    glusterd's id of the snapshot.

    :raises errors.NotPossible: as :func:`tag`.
    """
    removal = brick_removal.snapshot_mount_point_removal(
        snapshot.hex_id, len(origin.bricks) if origin is not None else 0
    )
    tagged = _tag(the_cluster, snapshot, origin, removal)
    try:
        _require_complete(snapshot, origin, tagged)
    except errors.Unsettled as error:
        LOG.info(
            'Snapshot %s: incomplete; deleting it anyway: %s',
            snapshot.name,
            error,
        )
    return tagged


def _tag(
    the_cluster: cluster.Cluster,
    snapshot: gluster.Snapshot,
    origin: gluster.Volume | None,
    *more: step_outcomes.Step,
) -> TaggedLvs:
    """Tag the LVs, and run more steps in the same request."""
    snapshot_id = names.snapshot_id_from_name(snapshot.name) or ''
    snapshot_tag = names.snapshot_tag(snapshot_id)
    nodes_with_bricks = bricks.nodes_with_bricks(the_cluster, origin)

    def tag_on(node: cluster.Node) -> tuple[lvm.LogicalVolume, ...]:
        lvs = node.lvm.lvs()
        own_lvs = bricks.lvs_named_after(lvs, snapshot.hex_id)
        if not own_lvs and node in nodes_with_bricks:
            bricks.require_pools_visible(node, lvs)
        untagged = [
            lv.full_name for lv in own_lvs if snapshot_tag not in lv.tags
        ]
        first = [lvm.tagging(untagged, [snapshot_tag])] if untagged else []
        node.run(*first, *more)
        return lvs

    lvs_by_node = the_cluster.everywhere(tag_on)
    return TaggedLvs(
        lvs_by_node,
        {
            name: {
                lv.pool_name
                for lv in bricks.lvs_named_after(lvs, snapshot.hex_id)
                if lv.pool
            }
            for name, lvs in lvs_by_node.items()
        },
    )


def _require_complete(
    snapshot: gluster.Snapshot,
    origin: gluster.Volume | None,
    tagged: TaggedLvs,
) -> None:
    lv_counts = {
        name: len(bricks.lvs_named_after(lvs, snapshot.hex_id))
        for name, lvs in tagged.lvs_by_node.items()
    }
    if origin and sum(lv_counts.values()) != len(origin.bricks):
        raise SnapshotIncomplete(
            snapshot.name, len(origin.bricks), tuple(lv_counts.items())
        )
