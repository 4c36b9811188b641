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
"""Write the volfiles (configuration) of a volume again."""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)


def write_lost(the_cluster: cluster.Cluster, volume_name: str) -> None:
    """Try to write the volfiles of a new volume again after a failed commit.

    A node that loses power right after the creation of a volume can lose the
    volfiles of the volume. Then each commit fails on this node (11.1).
    """
    LOG.warning(
        'Volume %s: a node failed to apply options, possibly because it lost '
        'the volfiles of the volume; writing them again',
        volume_name,
    )
    try:
        the_cluster.change(
            lambda gluster: gluster.write_volfiles(volume_name),
            lambda gluster: False,
        )
    except errors.Error as error:
        LOG.warning(
            'Volume %s: the volfiles could not be written: %s',
            volume_name,
            error,
        )
