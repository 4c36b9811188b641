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

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import node_addresses
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

#: Seconds within which bricks disconnect the clients of a revoked rule, and
#: within which glusterd has a connection to each brick that is up.
_EVICTION, _CONNECTION = 60.0, 10.0
#: Seconds within which a client that is not admitted usually has gone.
_MOMENT = 3.0


def require_no_stray_bricks(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    told: volume_options.Confirmation,
) -> None:
    """Make sure that no brick goes on under the rules of before.

    A node is down if nothing at its address answers and glusterd has no
    connection to it. One that is there and lets nobody in, say, has bricks
    that run.

    :param told: who knows the rules of now.
    :raises errors.Unsettled: a node with a brick was not seen to know them,
        and is not down.
    """
    suspects = {
        brick.node_uuid: brick.host
        for brick in volume.bricks
        if brick.node_uuid not in told.confirmed_by
    }
    if not suspects:
        return
    alive = {host for uuid, host in suspects.items() if uuid in told.connected}
    members = nodes.members()
    asked = [member.node for member in members if member.uuid in suspects]
    if not suspects.keys() <= {member.uuid for member in members}:
        # One that was away ever since the service started may be any.
        known = {member.node for member in members}
        asked += [node for node in nodes.nodes if node not in known]
    for node in asked:
        # It may be back, with bricks that run by the rules of before.
        node.remote.reset()
    done, failed = nodes.try_everywhere(
        lambda node: node.file_systems.mounts(), asked
    )
    alive |= set(done) | {
        name
        for name, error in failed.items()
        if not isinstance(error, errors.Down)
    }
    if alive:
        reasons = f' ({"; ".join(told.reasons)})' if told.reasons else ''
        raise errors.Unsettled(
            f'volume {volume.name}',
            f'glusterd on {", ".join(sorted(alive))} was not seen to know its '
            f'access rules{reasons}, and bricks there may still admit '
            f'who has no rule any more; start glusterd there, or mend the '
            f'network, and take the rules away again',
        )


def await_eviction(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    admits: Callable[[str], bool],
    peers: Sequence[gluster.Peer],
    known: node_addresses.NodeAddresses,
) -> None:
    """Wait until no client is connected that no rule admits.

    A brick that glusterd has no connection to yet, as after a start, reports
    no clients. It is waited for, and then taken to be down. Bricks on nodes
    that are not connected are not asked for.

    :param admits: whether a rule admits an address.
    :param peers: all nodes of the trusted storage pool.
    :param known: the addresses of the nodes: their own daemons are clients.
    :raises errors.Unsettled: clients stay connected, or a brick that may have
        some did not report them.
    """
    connected = {peer.uuid for peer in peers if peer.connected}
    wanted = {
        (brick.node_uuid, brick.path): brick.host
        for brick in volume.bricks
        if brick.node_uuid in connected
    }
    if not wanted:
        return  # whoever could report a client is down, and its bricks too
    attempts = retry.Attempts(_EVICTION, 0.5)
    refreshed = False
    while True:
        bricks = _bricks(nodes, volume, connected)
        waited = attempts.elapsed
        strangers = known.not_of_nodes(
            address
            for brick in bricks
            for address in brick.clients
            if not admits(address)
        )
        # A client takes a moment to be disconnected; only one that stays may
        # be a node with an address that is new.
        if strangers and (
            not known.are_known
            or (waited >= _MOMENT and not refreshed)
            or waited >= _EVICTION
        ):
            refreshed = known.refresh(peers)
            strangers = known.not_of_nodes(strangers)
        reported = {(brick.node_uuid, brick.path) for brick in bricks}
        if waited < _CONNECTION:
            reported = {
                (brick.node_uuid, brick.path)
                for brick in bricks
                if brick.online
            }
        if not strangers and wanted.keys() <= reported:
            return
        if waited >= _EVICTION:
            break
        attempts.pause()
    if strangers:
        raise errors.Unsettled(
            f'volume {volume.name}',
            f'clients that no rule admits are still connected after '
            f'{_EVICTION:g} s: {", ".join(sorted(strangers))}',
        )
    silent = sorted({wanted[brick] for brick in wanted.keys() - reported})
    raise errors.Unsettled(
        f'volume {volume.name}',
        f'glusterd does not report the clients of the bricks on '
        f'{", ".join(silent)}; see that it runs there, and take the rules '
        f'away again',
    )


def _bricks(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    connected: Collection[str],
) -> tuple[gluster.BrickStatus, ...]:
    """Return the bricks with their clients.

    Only a node with a brick can report it when it has no client. With
    several bricks, one without a client on another node fails the whole
    command, and each node is asked for its own brick.
    """
    holders = {
        member.uuid: member.node
        for member in nodes.members()
        if member.uuid in connected
    }
    local = [
        (holders[brick.node_uuid], f'{brick.host}:{brick.path}')
        for brick in volume.bricks
        if brick.node_uuid in holders
    ]
    try:
        return _ask(nodes, volume.name, '', [node for node, _ in local])
    except errors.CommitFailed:
        if len(volume.bricks) == 1 or not local:
            raise
    found = [_ask(nodes, volume.name, brick, [node]) for node, brick in local]
    return tuple(brick for bricks in found for brick in bricks)


def _ask(
    nodes: cluster.Cluster,
    volume: str,
    brick: str,
    among: Collection[cluster.Node],
) -> tuple[gluster.BrickStatus, ...]:
    """Return bricks with their clients, as one of some nodes reports them.

    This takes the volume's lock in glusterd, and so is asked for as a change
    is: as long as another transaction is in progress.
    """
    found: list[gluster.BrickStatus] = []

    def ask(gluster: gluster.Gluster) -> None:
        found[:] = gluster.brick_status(volume, brick=brick, clients=True)

    nodes.change(ask, lambda _: False, among)
    return tuple(found)
