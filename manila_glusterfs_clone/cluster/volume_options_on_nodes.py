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
"""Ask nodes whether glusterd has received new options of a volume."""

from collections.abc import Callable, Collection, Iterable, Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers of nodes that were asked once for options of a volume."""

    #: The nodes that have the new options.
    updated: tuple[cluster.Member, ...]
    #: The names of connected nodes that lack a new option.
    lagging_nodes: tuple[str, ...]
    #: All nodes of the trusted storage pool.
    peers: tuple[gluster.Peer, ...]
    #: Why glusterd on a node did not answer, by node name.
    failures: Mapping[str, Exception]
    #: The number of all volumes; None if it was not read.
    volume_count: int | None

    @property
    def is_complete(self) -> bool:
        """Return whether no node has to be asked again.

        Ask again if this process ran too many commands on a node, or if an
        answer was incomplete: a glusterd that has just started can omit data.
        """
        return not any(
            isinstance(error, errors.Busy | errors.Garbled)
            for error in self.failures.values()
        )


def ask_nodes(
    the_cluster: cluster.Cluster,
    volume_name: str,
    is_updated: Callable[[gluster.Volume | None], bool],
    node_uuids: Collection[str],
    *,
    counts_volumes: bool,
) -> Answers:
    """Ask connected nodes whether they have received options of a volume.

    :param is_updated: return whether a volume has the options.
    :param node_uuids: the nodes to ask.
    :param counts_volumes: whether to count the volumes, too.
    """

    def is_updated_on(node: cluster.Node) -> bool:
        if is_updated(node.gluster.volume(volume_name)):
            return True
        # A reinstalled node has no peers: raise CutOff.
        the_cluster.require_majority(node)
        return False

    volume_count, all_peers = the_cluster.read(
        # One request reads both.
        lambda gluster: (
            len(gluster.volume_names()) if counts_volumes else None,
            gluster.peers(),
        )
    )
    connected_uuids = uuids_of_connected(all_peers)
    members = {
        member.node.name: member
        for member in the_cluster.members()
        if member.uuid in connected_uuids.intersection(node_uuids)
    }
    answers, failures = the_cluster.try_everywhere(
        is_updated_on, [member.node for member in members.values()]
    )
    if not all(answers.values()):
        # The writer may still report a disconnected peer as connected.
        all_peers = peers.as_most_nodes_see_them(the_cluster, all_peers)
        connected_uuids = uuids_of_connected(all_peers)
    return Answers(
        tuple(members[name] for name in answers if answers[name]),
        tuple(
            name
            for name in answers
            if not answers[name] and members[name].uuid in connected_uuids
        ),
        all_peers,
        failures,
        volume_count,
    )


def uuids_of_connected(all_peers: Iterable[gluster.Peer]) -> frozenset[str]:
    """Return the UUIDs of the connected peers."""
    return frozenset(peer.uuid for peer in all_peers if peer.is_connected)


def log_failures(
    volume_name: str, failures: Mapping[str, Exception], logged_names: set[str]
) -> None:
    """Log once for each node why glusterd on the node did not answer.

    :param failures: the exceptions, by node name.
    :param logged_names: the names of nodes that were logged before. This
        function adds the names that it logs.
    """
    for node_name, error in failures.items():
        if not isinstance(error, errors.Error):
            raise error
        if node_name not in logged_names:
            LOG.warning(
                'Volume %s: its options on node %s could not be read: %s',
                volume_name,
                node_name,
                error,
            )
    logged_names.update(failures)
