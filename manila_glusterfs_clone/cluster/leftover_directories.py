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

Observed on GlusterFS 10.3 and 11.1: glusterd creates two directories for each
volume on all nodes, one for the files of processes and one for the self-heal
daemon. glusterd keeps both directories when it deletes the volume.

glusterd creates one directory for each snapshot on all nodes. When glusterd
deletes the snapshot, it keeps the directory on nodes without a brick of the
snapshot. It keeps the directory on all nodes after a ``snapshot restore``, and
after a failed ``snapshot create`` (11.1).

All these directories are below ``/run``, so a reboot removes them.
"""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: Where glusterd stores the files of running processes.
_RUN_DIRECTORY = '/run/gluster'


def remove_of_volume(node: cluster.Node, name: str) -> None:
    """Remove the directories of a deleted volume, if they are empty."""
    node.file_systems.remove_empty_directories(
        f'{_RUN_DIRECTORY}/vols/{name}', f'{_RUN_DIRECTORY}/shd/{name}'
    )


def remove_of_snapshot(node: cluster.Node, name: str) -> None:
    """Remove the directories of a deleted snapshot, if they are empty.

    Each attempt to take the snapshot created one subdirectory.
    """
    directory = f'{bricks.SNAPS_ROOT}/{name}'
    try:
        subdirectories = node.file_systems.entries(directory)
    except errors.CommandFailed as error:
        LOG.info(
            'Snapshot %s: deleted, but its directories on node %s could not '
            'be listed; the next reboot removes them: %s',
            name,
            node.name,
            error,
        )
        return
    node.file_systems.remove_empty_directories(
        *(f'{directory}/{subdirectory}' for subdirectory in subdirectories),
        directory,
    )
