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
"""Which IP addresses are those of the storage nodes.

The bricks of a volume list the daemons of the nodes among their clients. They
connect from any address that a node has, and from a loopback address where a
node finds its own name at one ("127.0.1.1 NAME" in /etc/hosts, as Debian's
installer writes it).

Addresses change, and so does who belongs to the trusted storage pool. So they
are asked for anew when an address is not known; of a node that does not
answer the last known ones count.
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

    def __init__(self, nodes: cluster.Cluster) -> None:
        self._cluster = nodes
        #: By the name of the node, or the UUID of a peer without SSH access.
        self._known: dict[str, frozenset[str]] = {}

    @property
    def are_known(self) -> bool:
        """Whether they were ever asked for."""
        return bool(self._known)

    def not_of_nodes(self, clients: Iterable[str]) -> frozenset[str]:
        """Return those of some addresses that no node is known to have."""
        return frozenset(
            address for address in clients if not _is_loopback(address)
        ).difference(*self._known.values())

    def refresh(self, peers: Sequence[gluster.Peer]) -> bool:
        """Ask for the addresses of all nodes that can be asked.

        :param peers: the trusted storage pool, as glusterd has it now.
        :return: whether all of them answered.
        """
        connected = {peer.uuid for peer in peers if peer.connected}
        members = self._cluster.members()
        if not {peer.uuid for peer in peers} <= {m.uuid for m in members}:
            # A node has joined, or has another UUID.
            members = self._cluster.refresh_members(
                {peer.uuid for peer in peers}
            )
        placed = {member.uuid: member.node for member in members}
        reachable = [
            node for uuid, node in placed.items() if uuid in connected
        ]
        found, failed = self._cluster.try_everywhere(_addresses_of, reachable)
        self._known |= found
        for name, error in failed.items():
            LOG.info('Node %s: could not list its addresses: %s', name, error)
        for peer in peers:
            if peer.uuid not in placed and peer.hostname != 'localhost':
                self._known[peer.uuid] = self._resolved(
                    {peer.hostname, *peer.names}, reachable
                )
        return not failed

    def _resolved(
        self, names: Iterable[str], nodes: Sequence[cluster.Node]
    ) -> frozenset[str]:
        """Return the addresses of a peer that is not configured."""
        found = set()
        for name in names:
            if _is_address(name):
                found.add(name)
                continue
            for node in nodes:
                try:
                    result = node.remote.run(
                        ['getent', 'ahosts', name],
                        timeout=20.0,
                        accept=(0, 2),
                        as_root=False,
                    )
                except errors.Error as error:
                    LOG.info('Could not resolve %s: %s', name, error)
                    continue
                words = result.stdout.split()
                found.update(filter(_is_address, words))
                break
        return frozenset(found)


def _addresses_of(node: cluster.Node) -> frozenset[str]:
    """Return the IP addresses that a node has, without loopback.

    :raises errors.Garbled: the answer is cut off, perhaps within an address.
    """
    result = node.remote.run(['hostname', '--all-ip-addresses'])
    if not result.stdout.endswith('\n'):
        raise errors.Garbled(node.name, result.argv, result.stdout)
    return frozenset(result.stdout.split())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
