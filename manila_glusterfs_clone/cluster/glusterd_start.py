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
"""Wait until glusterd has completed its start on the nodes."""

from collections.abc import Iterable
import time

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: Upper limit for the time that glusterd needs to start, in seconds: a fixed
#: part, and a part for each volume. On a slow machine, 7 s were not enough
#: with 2 volumes, and 17 s were not enough with 21 volumes.
_START_SECONDS, _START_SECONDS_PER_VOLUME = 15.0, 0.5


def _glusterd_age(node: cluster.Node) -> float | None:
    """Return how long glusterd has been running on a node, in seconds.

    If the outcome is unknown, ask a second time.

    :return: None if glusterd is not running.
    :raises errors.Unknown: the second outcome is unknown, too.
    """
    try:
        return node.host.glusterd_age()
    except errors.Unknown:
        return node.host.glusterd_age()


def seconds_until_started(
    the_cluster: cluster.Cluster,
    nodes: Iterable[cluster.Node] | None = None,
    volume_count: int | None = None,
) -> dict[str, float]:
    """Return the seconds until the start of glusterd is complete, by node.

    Omit a node if glusterd has completed its start or is not running, or if
    the query failed. If the outcome of the query is unknown, assume that
    glusterd has just started.

    :param nodes: the nodes to ask; None for all.
    :param volume_count: the number of all volumes; None to read it.
    """
    if volume_count is None:
        volume_count = len(
            the_cluster.read(lambda gluster: gluster.volume_names())
        )
    start_seconds = _START_SECONDS + _START_SECONDS_PER_VOLUME * volume_count
    ages, failures = the_cluster.try_everywhere(_glusterd_age, nodes)
    for node_name, error in failures.items():
        if not isinstance(error, errors.Error):
            raise error
        LOG.warning(
            'Node %s: could not read how long glusterd has been running: %s',
            node_name,
            error,
        )
        if errors.is_unknown(error):
            # glusterd may have just started on the node.
            ages[node_name] = 0
    return {
        node: start_seconds - age
        for node, age in ages.items()
        if age is not None and age < start_seconds
    }


def await_started(the_cluster: cluster.Cluster) -> None:
    """Wait until glusterd has been running long enough on every node.

    When glusterd starts, it visits all volumes to start their self-heal
    daemons. Transactions can run during that time. If a transaction deletes
    the volume that glusterd visits next, glusterd crashes or loops on that
    volume forever. A glusterd that loops does not answer, but its peers report
    it as connected, and all transactions wait for it. This was observed on
    11.1, when a volume was deleted within four seconds of a start.
    ``glusterd_shdsvc_restart`` of 10.3 has the same fault.
    """
    start_seconds_by_node = seconds_until_started(the_cluster)
    if start_seconds_by_node:
        seconds = max(start_seconds_by_node.values())
        LOG.info(
            'glusterd on %s: just started; waiting %.0f s before deleting a '
            'volume',
            ', '.join(start_seconds_by_node),
            seconds,
        )
        time.sleep(seconds)
