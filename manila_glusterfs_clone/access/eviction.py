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
"""That nobody goes on who has no access rule any more."""

from collections.abc import Callable, Collection
import time

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import volume_options

#: Seconds within which bricks disconnect the clients of a revoked rule, and
#: within which glusterd has a connection to each brick that is up.
_EVICTION, _CONNECTION = 60.0, 10.0


def require_no_stray_bricks(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    told: volume_options.Told,
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
        if brick.node_uuid not in told.known
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
        node.remote.forget()
    done, failed = nodes.try_everywhere(lambda node: node.mounts.all(), asked)
    alive |= set(done) | {
        name
        for name, error in failed.items()
        if not isinstance(error, errors.Down)
    }
    if alive:
        raise errors.Unsettled(
            f'volume {volume.name}',
            f'glusterd on {", ".join(sorted(alive))} was not seen to know its '
            f'access rules{told.reasons()}, and bricks there may still admit '
            f'who has no rule any more; start glusterd there, or mend the '
            f'network, and take the rules away again',
        )


def await_eviction(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    admits: Callable[[str], bool],
    connected: Collection[str],
) -> None:
    """Wait until no client is connected that no rule admits.

    A brick that glusterd has no connection to yet, as after a start, tells of
    no clients. It is waited for, and then taken to be down.

    :param admits: whether a rule admits an address.
    :param connected: UUIDs of nodes whose bricks have to be told of.
    :raises errors.Unsettled: clients stay connected, or a brick that may have
        some is not told of.
    """
    wanted = {
        (brick.node_uuid, brick.path): brick.host
        for brick in volume.bricks
        if brick.node_uuid in connected
    }
    begun = time.monotonic()
    while True:
        seen = _bricks(nodes, volume.name)
        strangers = {
            address
            for brick in seen
            for address in brick.clients
            if not admits(address)
        }
        if strangers:
            # The nodes' own daemons are always connected.
            strangers -= _server_addresses(nodes)
        told = {(brick.node_uuid, brick.path) for brick in seen}
        up = {(brick.node_uuid, brick.path) for brick in seen if brick.online}
        waited = time.monotonic() - begun
        told = up if waited < _CONNECTION else told
        if not strangers and wanted.keys() <= told:
            return
        if waited >= _EVICTION:
            break
        time.sleep(0.5)
    if strangers:
        raise errors.Unsettled(
            f'volume {volume.name}',
            f'clients that no rule admits are still connected after '
            f'{_EVICTION:g} s: {", ".join(sorted(strangers))}',
        )
    untold = sorted({wanted[brick] for brick in wanted.keys() - told})
    if untold:
        raise errors.Unsettled(
            f'volume {volume.name}',
            f'glusterd does not tell who is connected to the bricks on '
            f'{", ".join(untold)}; see that it runs there, and take the rules '
            f'away again',
        )


def _bricks(
    nodes: cluster.Cluster, name: str
) -> tuple[gluster.BrickStatus, ...]:
    """Give the bricks with their clients.

    It takes the volume's lock in glusterd, and so is asked for as a change
    is: as long as another transaction is in progress.
    """
    found: list[gluster.BrickStatus] = []

    def ask(line: gluster.Gluster) -> None:
        found[:] = line.bricks(name, clients=True)

    nodes.change(ask, lambda line: False)
    return tuple(found)


def _server_addresses(nodes: cluster.Cluster) -> frozenset[str]:
    found, _ = nodes.try_everywhere(lambda node: node.addresses())
    return frozenset().union(*found.values())
