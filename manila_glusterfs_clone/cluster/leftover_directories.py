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
"""Remove the directories that glusterd leaves behind after a deletion.

Observed on GlusterFS 10.3 and 11.1: for each volume, glusterd creates a
directory for the files of its processes and another one for the self-heal
daemon, on all nodes, and leaves both when the volume is deleted. For a
snapshot it creates one on all nodes, and leaves it on nodes without a brick,
and on all nodes after ``snapshot restore`` or after an attempt that failed
(11.1). The directories are below ``/run``, and so are gone after a boot.
"""

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks

#: Where glusterd stores the files of running processes.
_RUN = '/run/gluster'


def remove_of_volume(node: cluster.Node, name: str) -> None:
    """Remove the directories that glusterd left of a deleted volume."""
    node.file_systems.remove_empty_directories(
        f'{_RUN}/vols/{name}', f'{_RUN}/shd/{name}'
    )


def remove_of_snapshot(node: cluster.Node, name: str) -> None:
    """Remove the directories that glusterd left of a deleted snapshot.

    Each attempt to take the snapshot created one, named after an own id.
    """
    directory = f'{bricks.SNAPS_ROOT}/{name}'
    attempts = node.file_systems.entries(directory)
    node.file_systems.remove_empty_directories(
        *(f'{directory}/{attempt}' for attempt in attempts), directory
    )
