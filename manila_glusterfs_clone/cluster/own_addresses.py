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
"""Distinguish the IP addresses of nodes from those of clients.

The GlusterFS daemons on the nodes connect to the bricks like clients, so they
appear in the list of a volume's clients. A daemon can connect from any address
of its node. If the node resolves its own name to a loopback address, the
daemon connects from that address. For example, Debian's installer writes
"127.0.1.1 NAME" to /etc/hosts.

The nodes and their addresses can change. So call
:meth:`NodeAddresses.refresh` when an address is unknown. If a node does not
answer, :class:`NodeAddresses` keeps the addresses that the node last reported.
"""

from collections.abc import Iterable, Sequence
import ipaddress

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


class NodeAddresses:
    """The IP addresses of the nodes of one trusted storage pool."""

    def __init__(self, the_cluster: cluster.Cluster) -> None:
        self._cluster = the_cluster
        #: By node name; by UUID for a peer that is not a configured node.
        self._known_addresses: dict[str, frozenset[str]] = {}

    @property
    def are_known(self) -> bool:
        """Return whether the addresses were read at least once."""
        return bool(self._known_addresses)

    def exclude_nodes(self, addresses: Iterable[str]) -> frozenset[str]:
        """Return addresses except loopback addresses and those of nodes."""
        return frozenset(
            address for address in addresses if not _is_loopback(address)
        ).difference(*self._known_addresses.values())

    def refresh(self, peers: Sequence[gluster.Peer]) -> bool:
        """Read the addresses of all connected nodes.

        :param peers: all nodes of the trusted storage pool.
        :return: whether all nodes that are configured and connected answered.
        """
        connected_uuids = {peer.uuid for peer in peers if peer.is_connected}
        members = self._cluster.members()
        if not {peer.uuid for peer in peers} <= {m.uuid for m in members}:
            # A node has joined the trusted storage pool, or has a new UUID.
            members = self._cluster.refresh_members(
                {peer.uuid for peer in peers}
            )
        node_by_uuid = {member.uuid: member.node for member in members}
        reachable_nodes = [
            node
            for uuid, node in node_by_uuid.items()
            if uuid in connected_uuids
        ]
        addresses, failures = self._cluster.try_everywhere(
            lambda node: node.host.addresses(), reachable_nodes
        )
        self._known_addresses |= addresses
        for name, error in failures.items():
            LOG.info('Node %s: could not list its addresses: %s', name, error)
        for peer in peers:
            if peer.uuid not in node_by_uuid and peer.hostname != 'localhost':
                self._known_addresses[peer.uuid] = self._resolve(
                    {peer.hostname, *peer.names}, reachable_nodes
                )
        return not failures

    def _resolve(
        self, peer_names: Iterable[str], nodes: Sequence[cluster.Node]
    ) -> frozenset[str]:
        """Return the addresses of a peer that is not a configured node.

        :param peer_names: the host names or addresses of the peer.
        :param nodes: ask these nodes in turn until one resolves the name.
        """
        addresses = set()
        for name in peer_names:
            if _is_address(name):
                addresses.add(name)
                continue
            for node in nodes:
                try:
                    resolved = node.host.resolve(name)
                except errors.Error as error:
                    LOG.info(
                        'Node %s: could not resolve the peer name %s: %s',
                        node.name,
                        name,
                        error,
                    )
                    continue
                addresses |= resolved
                break
        return frozenset(addresses)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
