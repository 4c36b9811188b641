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
"""Check the peers of the trusted storage pool."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

T = TypeVar('T')


@dataclasses.dataclass(eq=False)
class PeersDisconnected(errors.NotPossible):
    """glusterd on the writer has no connection to some of its peers."""

    hosts: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'peers {", ".join(self.hosts)}: disconnected; start glusterd '
            f'there, or repair the network, and retry when "gluster peer '
            f'status" reports all peers as connected'
        )


def require_all_connected(the_cluster: cluster.Cluster) -> None:
    """Make sure that all peers are connected: most changes need all nodes.

    :raises PeersDisconnected: glusterd on the writer has no connection to some
        peers.
    """
    read_with_all_connected(the_cluster, lambda gluster: None)


def read_with_all_connected(
    the_cluster: cluster.Cluster, question: Callable[[gluster.Gluster], T]
) -> T:
    """Query the writer, and make sure that all peers are connected.

    :raises PeersDisconnected: as :func:`require_all_connected`.
    """
    answer, all_peers = the_cluster.read(
        # One request reads both.
        lambda gluster: (question(gluster), gluster.peers())
    )
    require_connected(the_cluster, all_peers)
    return answer


def require_connected(
    the_cluster: cluster.Cluster, all_peers: Iterable[gluster.Peer]
) -> None:
    """Make sure that all peers are connected.

    :param all_peers: the peers, as the writer has just reported them.
    :raises PeersDisconnected: as :func:`require_all_connected`.
    """
    disconnected_hosts = [
        peer.hostname for peer in all_peers if not peer.is_connected
    ]
    if disconnected_hosts:
        raise PeersDisconnected(tuple(sorted(disconnected_hosts)))
    # All peers are connected, so no node is down.
    the_cluster.forget_failures()


def read_everywhere_with_all_connected(
    the_cluster: cluster.Cluster, question: Callable[[gluster.Gluster], T]
) -> dict[str, T]:
    """Query all nodes in parallel, and make sure that all peers are connected.

    :return: the answers, by node name.
    :raises PeersDisconnected: as :func:`require_all_connected`.
    :raises errors.Error: a node did not answer the question.
    """

    def ask(node: cluster.Node) -> tuple[T, bool]:
        client = node.gluster.peers_first(gluster.READ_TIMEOUT)
        answer = question(client)
        # This sends no request: the first command has read the peers, too.
        all_peers = client.peers()
        # The answer of a node that is cut off can be outdated.
        the_cluster.check_majority(node, all_peers)
        return answer, all(peer.is_connected for peer in all_peers)

    if any(node.commands.is_known_down for node in the_cluster.nodes):
        # Do not wait for a node that its peers report as disconnected.
        require_all_connected(the_cluster)
    answers, failures = the_cluster.try_everywhere(ask)
    if failures or not all(sees_all for _, sees_all in answers.values()):
        # Some nodes do not report all peers as connected: ask the writer.
        require_all_connected(the_cluster)
        cluster.raise_any(failures)
    return {name: answer for name, (answer, _) in answers.items()}


def as_most_nodes_see_them(
    the_cluster: cluster.Cluster, peers: Iterable[gluster.Peer]
) -> tuple[gluster.Peer, ...]:
    """Return peers, as disconnected if most nodes report them as disconnected.

    A node that is cut off from its peers can report them as connected for
    minutes (11.1), while the peers already report the node as disconnected.

    A peer counts as disconnected if all other nodes that answer report this,
    and these nodes are at least half of the trusted storage pool.

    :param peers: the peers that one node reports.
    """
    peers = tuple(peers)
    views, _ = the_cluster.try_everywhere(lambda node: node.gluster.peers())
    is_connected_by_uuid: dict[str, list[bool]] = collections.defaultdict(list)
    for view in views.values():
        for peer in view:
            if peer.hostname != 'localhost':
                is_connected_by_uuid[peer.uuid].append(peer.is_connected)
    return tuple(
        dataclasses.replace(peer, is_connected=False)
        if 2 * len(states := is_connected_by_uuid[peer.uuid]) >= len(peers)
        and not any(states)
        else peer
        for peer in peers
    )


def compare_views(
    node_names: Sequence[str],
    peers_by_node: Mapping[str, Sequence[gluster.Peer]],
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Compare the configured nodes with the peers that glusterd reports.

    :param node_names: the names of all configured nodes.
    :param peers_by_node: the peers that glusterd on a node reports, by the
        name of the node; only nodes that answered.
    :return: the mistakes in the configuration, and the faults of peers.
    """
    mistakes: list[findings.Finding] = []
    faults: list[findings.Finding] = []
    own_uuids = {
        name: peer.uuid
        for name, peers in peers_by_node.items()
        for peer in peers
        if peer.hostname == 'localhost'
    }
    uuid_sets = {
        name: frozenset(peer.uuid for peer in peers)
        for name, peers in peers_by_node.items()
    }
    # Use the set of peers that most nodes report. Of two equally frequent
    # sets, use the larger one.
    set_counts = collections.Counter(uuid_sets.values())
    common_uuids = max(
        set_counts, key=lambda uuids: (set_counts[uuids], len(uuids))
    )
    other_peers = {
        peer.uuid: peer
        for name, peers in peers_by_node.items()
        if uuid_sets[name] == common_uuids
        for peer in peers
        if peer.hostname != 'localhost'
    }
    # The peers except the configured nodes that answered.
    absent_peers = {
        uuid: other_peers[uuid]
        for uuid in other_peers.keys() - {*own_uuids.values()}
    }
    names_outside_pool = [
        name
        for name in peers_by_node
        if own_uuids.get(name) not in common_uuids
    ]
    disconnected_peers = [
        peer for peer in absent_peers.values() if not peer.is_connected
    ]
    for name in names_outside_pool:
        finding = findings.Finding(
            f'node {name}',
            'not a peer',
            f'not in the trusted storage pool of '
            f'{", ".join(n for n in peers_by_node if n != name)}; run '
            f'"gluster peer probe {name}" on one of these nodes, or, if node '
            f'{name} was reinstalled, restore its '
            f'/var/lib/glusterd/glusterd.info',
            name,
        )
        # A reinstalled node has a new UUID, and its old UUID is a disconnected
        # peer. If there are fewer disconnected peers than nodes outside the
        # trusted storage pool, the operator never probed one of these nodes:
        # this is a mistake in the configuration.
        (
            faults
            if len(names_outside_pool) <= len(disconnected_peers)
            else mistakes
        ).append(finding)
    for name in peers_by_node:
        if name not in names_outside_pool and uuid_sets[name] != common_uuids:
            faults.append(
                findings.Finding(
                    f'node {name}',
                    'other peers',
                    'glusterd on this node has different peers than on most '
                    'nodes; compare "gluster peer status" on all nodes, and '
                    'probe or detach the peers that differ',
                    name,
                )
            )
    for uuid in {
        u for u in own_uuids.values() if [*own_uuids.values()].count(u) > 1
    }:
        names_of_one_node = [
            name for name in own_uuids if own_uuids[name] == uuid
        ]
        mistakes.append(
            findings.Finding(
                'glusterfs_clone_nodes',
                'same node',
                f'{", ".join(names_of_one_node)} are the same node; list each '
                f'node once',
            )
        )
    silent_names = {*node_names} - peers_by_node.keys()
    unconfigured_hosts = sorted(
        peer.hostname
        for peer in absent_peers.values()
        if peer.is_connected and peer.hostname not in silent_names
    )
    # A node that did not answer can be a peer under another host name. So
    # ignore as many unknown peers as there are such nodes.
    absent_hosts = {peer.hostname for peer in absent_peers.values()}
    if len(unconfigured_hosts) > len(silent_names - absent_hosts):
        mistakes.append(
            findings.Finding(
                'glusterfs_clone_nodes',
                'unknown peers',
                f'connected peers of the trusted storage pool are missing; '
                f'add {", ".join(unconfigured_hosts)}',
            )
        )
    if ipv6_hosts := sorted(
        {
            p.hostname
            for ps in peers_by_node.values()
            for p in ps
            if ':' in p.hostname
        }
    ):
        mistakes.append(
            findings.Finding(
                'trusted storage pool',
                'ipv6',
                f'peers have IPv6 addresses, which the driver does not '
                f'support: {", ".join(ipv6_hosts)}; probe these peers by host '
                f'names or IPv4 addresses',
            )
        )
    return mistakes, faults
