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
"""Find and clean up the snapshots of interrupted clones."""

from collections.abc import Collection

from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_cleanup
from manila_glusterfs_clone.operations import services


def _own_volume_names(
    state: cluster_state.ClusterState, share_ids: Collection[str]
) -> set[str]:
    # Skip volumes of another Manila with the same back end name: they have the
    # same mark, but their shares are not in share_ids.
    return state.own_volume_names() & set(map(names.volume, share_ids))


def snapshot_ids(
    state: cluster_state.ClusterState, share_ids: Collection[str]
) -> set[str]:
    """Return the ids of the snapshots to clean up.

    :param share_ids: the ids of all shares of this back end.
    """
    own_volume_names = _own_volume_names(state, share_ids)
    own_snapshots = {
        name: snapshot
        for name, snapshot in state.snapshots.items()
        if snapshot.origin in own_volume_names
    }
    return clone_cleanup.snapshots_to_clean_up(
        own_snapshots, state.lvs_by_node.values()
    )


def clean_up(
    the_services: services.Services,
    state: cluster_state.ClusterState,
    share_ids: Collection[str],
) -> None:
    """Clean up the snapshots of shares after interrupted clones."""
    if snapshot_ids(state, share_ids):
        the_services.clone_cleanup.clean_up_volumes(
            _own_volume_names(state, share_ids)
        )
