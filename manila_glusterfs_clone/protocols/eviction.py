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
"""Verify that clients whose access was revoked are disconnected."""

from collections.abc import Callable, Collection, Sequence
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import own_addresses
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

#: Seconds to wait until bricks have disconnected clients without a rule.
_EVICTION_TIMEOUT = 60.0
#: Seconds to wait until glusterd has connected to every running brick.
_CONNECTION_TIMEOUT = 10.0
#: Seconds within which bricks usually disconnect a client without a rule.
_USUAL_EVICTION_SECONDS = 3.0


@dataclasses.dataclass(eq=False)
class RevocationNotConfirmed(errors.Unsettled):
    """Bricks on some nodes may still use the old access rules."""

    volume: str
    nodes: tuple[str, ...]
    #: Why glusterd on nodes did not answer.
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = f' ({"; ".join(self.reasons)})' if self.reasons else ''
        return (
            f'volume {self.volume}: glusterd on {", ".join(self.nodes)} did '
            f'not confirm the access rules{reasons}, and bricks there may '
            f'still admit clients whose rule was revoked; start glusterd '
            f'there, or repair the network, and revoke the rules again'
        )


@dataclasses.dataclass(eq=False)
class ClientsStillConnected(errors.Unsettled):
    """Clients whose rule was revoked are still connected."""

    volume: str
    clients: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: clients without an access rule are still '
            f'connected after {self.seconds:g} s: {", ".join(self.clients)}; '
            f'unmount the share on these clients, and revoke the rules again'
        )


@dataclasses.dataclass(eq=False)
class ClientsNotReported(errors.Unsettled):
    """glusterd does not report the clients of some bricks."""

    volume: str
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: glusterd does not report the clients of '
            f'the bricks on {", ".join(self.nodes)}; check that glusterd runs '
            f'there, and revoke the rules again'
        )


def verify(
    the_cluster: cluster.Cluster,
    volume: gluster.Volume,
    confirmation: volume_options.Confirmation,
    access_list: str | None,
    addresses: own_addresses.NodeAddresses,
) -> None:
    """Make sure that clients have only the access that rules grant.

    :param confirmation: which nodes confirmed the new rules.
    :param access_list: the addresses of clients that may stay connected. None
        with TLS: bricks do not check addresses then.
    :param addresses: the addresses of the nodes.
    :raises errors.Unsettled: bricks may use the old rules, or clients without
        a rule are still connected.
    """
    require_no_outdated_bricks(the_cluster, volume, confirmation)
    if volume.is_started and access_list is not None:
        entries = access_list.split(',')
        await_eviction(
            the_cluster,
            volume,
            lambda address: access_lists.matches(address, entries),
            confirmation.peers,
            addresses,
        )


def require_no_outdated_bricks(
    the_cluster: cluster.Cluster,
    volume: gluster.Volume,
    confirmation: volume_options.Confirmation,
) -> None:
    """Make sure that no running brick uses the old access rules.

    A node counts as down if it does not answer at its address, and glusterd
    on the writer is not connected to it. A node that refuses the SSH login is
    not down, and may have running bricks.

    :param confirmation: which nodes confirmed the new rules.
    :raises RevocationNotConfirmed: a node with a brick is not down, and has
        not confirmed the new rules.
    """
    unconfirmed_hosts = {
        brick.node_uuid: brick.host
        for brick in volume.bricks
        if brick.node_uuid not in confirmation.confirmed_by
    }
    if not unconfirmed_hosts:
        return
    alive_hosts = {
        host
        for uuid, host in unconfirmed_hosts.items()
        if uuid in confirmation.connected_uuids
    }
    members = the_cluster.members()
    nodes_to_ask = [
        member.node for member in members if member.uuid in unconfirmed_hosts
    ]
    if not unconfirmed_hosts.keys() <= {member.uuid for member in members}:
        # A brick is on a node with an unknown UUID. Ask all configured nodes
        # that have not reported their UUIDs yet: one may have this brick.
        known_nodes = {member.node for member in members}
        nodes_to_ask += [
            node for node in the_cluster.nodes if node not in known_nodes
        ]
    for node in nodes_to_ask:
        # Ask a node even if it was down recently: it may be up again.
        node.commands.reset()
    answers, failures = the_cluster.try_everywhere(
        lambda node: node.file_systems.mounts(), nodes_to_ask
    )
    alive_hosts |= set(answers) | {
        name
        for name, error in failures.items()
        if not isinstance(error, errors.Down)
    }
    if alive_hosts:
        raise RevocationNotConfirmed(
            volume.name, tuple(sorted(alive_hosts)), confirmation.reasons
        )


def await_eviction(
    the_cluster: cluster.Cluster,
    volume: gluster.Volume,
    is_admitted: Callable[[str], bool],
    peers: Sequence[gluster.Peer],
    addresses: own_addresses.NodeAddresses,
) -> None:
    """Wait until bricks have disconnected all clients without a rule.

    A glusterd that has just started reports a brick as offline, and without
    clients, until it has connected to the brick. So wait up to
    ``_CONNECTION_TIMEOUT`` seconds for offline bricks. A brick that is offline
    after this time counts as down. Ignore bricks on disconnected nodes.

    :param is_admitted: return whether a rule admits an address.
    :param peers: all nodes of the trusted storage pool.
    :param addresses: the addresses of the nodes. The daemons on the nodes are
        clients of the bricks, too, and need no rule.
    :raises ClientsStillConnected: clients without a rule are still connected
        after ``_EVICTION_TIMEOUT`` seconds.
    :raises ClientsNotReported: glusterd does not report a brick on a connected
        node.
    """
    connected_uuids = {peer.uuid for peer in peers if peer.is_connected}
    host_by_brick = {
        (brick.node_uuid, brick.path): brick.host
        for brick in volume.bricks
        if brick.node_uuid in connected_uuids
    }
    if not host_by_brick:
        return  # all nodes with bricks are disconnected
    attempts = retry.Attempts(_EVICTION_TIMEOUT, 0.5)
    is_refreshed = False
    while True:
        brick_statuses = _read_bricks(the_cluster, volume, connected_uuids)
        elapsed_seconds = attempts.elapsed_seconds
        denied_clients = addresses.exclude_nodes(
            address
            for brick in brick_statuses
            for address in brick.clients
            if not is_admitted(address)
        )
        # A client that stays connected longer than usual may be a node whose
        # address has changed.
        if denied_clients and (
            not addresses.are_known
            or (
                elapsed_seconds >= _USUAL_EVICTION_SECONDS and not is_refreshed
            )
            or elapsed_seconds >= _EVICTION_TIMEOUT
        ):
            is_refreshed = addresses.refresh(peers)
            denied_clients = addresses.exclude_nodes(denied_clients)
        reported_bricks = {
            (brick.node_uuid, brick.path) for brick in brick_statuses
        }
        if elapsed_seconds < _CONNECTION_TIMEOUT:
            reported_bricks = {
                (brick.node_uuid, brick.path)
                for brick in brick_statuses
                if brick.is_online
            }
        if not denied_clients and host_by_brick.keys() <= reported_bricks:
            return
        if elapsed_seconds >= _EVICTION_TIMEOUT:
            break
        attempts.pause()
    if denied_clients:
        raise ClientsStillConnected(
            volume.name, tuple(sorted(denied_clients)), _EVICTION_TIMEOUT
        )
    silent_hosts = {
        host_by_brick[brick]
        for brick in host_by_brick.keys() - reported_bricks
    }
    raise ClientsNotReported(volume.name, tuple(sorted(silent_hosts)))


def _read_bricks(
    the_cluster: cluster.Cluster,
    volume: gluster.Volume,
    connected_uuids: Collection[str],
) -> tuple[gluster.BrickStatus, ...]:
    """Return the states and clients of the bricks on connected nodes.

    First ask one node for all bricks. This fails if a brick without clients is
    on another node: glusterd can report such a brick only on the node of the
    brick. If the query fails, ask each node for the brick on this node.

    :param connected_uuids: the UUIDs of the connected nodes.
    """
    node_by_uuid = {
        member.uuid: member.node
        for member in the_cluster.members()
        if member.uuid in connected_uuids
    }
    node_bricks = [
        (node_by_uuid[brick.node_uuid], f'{brick.host}:{brick.path}')
        for brick in volume.bricks
        if brick.node_uuid in node_by_uuid
    ]
    try:
        return _brick_status(
            the_cluster, volume.name, '', [node for node, _ in node_bricks]
        )
    except errors.CommitFailed:
        if len(volume.bricks) == 1 or not node_bricks:
            raise
    statuses = [
        _brick_status(the_cluster, volume.name, brick, [node])
        for node, brick in node_bricks
    ]
    return tuple(status for group in statuses for status in group)


def _brick_status(
    the_cluster: cluster.Cluster,
    volume_name: str,
    brick: str,
    candidates: Collection[cluster.Node],
) -> tuple[gluster.BrickStatus, ...]:
    """Return the states and clients of bricks, as one node reports them.

    The command needs the lock of the volume in glusterd. So use
    :meth:`Cluster.change`, which retries until the lock is free.

    :param brick: ``HOST:PATH``; empty for all bricks of the volume.
    :param candidates: the nodes that may run the command.
    """
    statuses: list[gluster.BrickStatus] = []

    def read(gluster: gluster.Gluster) -> None:
        statuses[:] = gluster.brick_status(
            volume_name, brick=brick, with_clients=True
        )

    the_cluster.change(read, lambda _: False, candidates)
    return tuple(statuses)
