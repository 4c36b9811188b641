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
"""Options of a volume, on every node.

A node that comes back can know other ones than its peers, in two ways:

* glusterd leaves a peer out of a transaction that begins while it is let in
  again, and does not tell it later (10.3, by its logs and its brick).
* What a peer missed is told it as it is let in, but taken over only when its
  bricks were started again, up to 17 s later where there were 21 volumes. What
  is set meanwhile seems to be known there, and is overwritten then if the peer
  had missed more changes than it had part in since (11.1;
  ``glusterd_import_friend_volumes_synctask``).

It counts as connected, and its brick goes by the options of before. So each
node is asked, and one that was just started is asked again.
"""

from collections.abc import Collection, Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds between two tries, at first and at most; jitter halves them.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
#: Seconds for which a node may be about to be told by its peers.
_TELLING = 3.0


@dataclasses.dataclass(frozen=True)
class Told:
    """Who knows of options that were set, in the end."""

    #: UUIDs of those that said so.
    known: frozenset[str]
    #: All nodes of the trusted storage pool.
    peers: tuple[gluster.Peer, ...]
    #: Why nodes could not be asked, by their names.
    failed: Mapping[str, Exception]

    @property
    def connected(self) -> frozenset[str]:
        """UUIDs of the nodes that glusterd is connected to."""
        return frozenset(peer.uuid for peer in self.peers if peer.connected)

    def require(self, volume: gluster.Volume) -> None:
        """Make sure that every node with a brick knows of them.

        :raises errors.Unsettled: one was not seen to.
        """
        missed = {
            brick.host
            for brick in volume.bricks
            if brick.node_uuid not in self.known
        }
        if missed:
            raise errors.Unsettled(
                f'volume {volume.name}',
                f'options of it were set, and glusterd on '
                f'{", ".join(sorted(missed))} was not seen to know them'
                f'{self.reasons()}; see that it runs there, and try again',
            )

    def reasons(self) -> str:
        """Say why nodes could not be asked, in brackets."""
        said = '; '.join(map(str, self.failed.values()))
        return f' ({said})' if said else ''


def hold(volume: gluster.Volume | None, options: Mapping[str, str]) -> bool:
    """Whether a volume has these options, with these values."""
    return (
        volume is not None and options.items() <= dict(volume.options).items()
    )


def write(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    options: Mapping[str, str],
    *,
    lasting: bool,
    on: Collection[str] = (),
) -> Told:
    """Set options of a volume, and see that the nodes know of it.

    What a node lacks is set again, until the time for settling has passed.
    Those that are not connected are told by their peers once they are.

    :param volume: as the writer just told of it.
    :param lasting: whether a node is asked again when it has started to its
        end: what it has just taken over it may lose.
    :param on: UUIDs of nodes; of those with a brick if none are given.
    :raises errors.Unsettled: a node still knows nothing of it.
    """
    name = volume.name
    asked = set(on) or {brick.node_uuid for brick in volume.bricks}

    def is_written(line: gluster.Gluster) -> bool:
        return hold(line.volume(name), options)

    def put(line: gluster.Gluster) -> None:
        line.set_options(name, options)

    def is_known(node: cluster.Node) -> bool:
        if is_written(node.gluster):
            return True
        # One that was installed anew knows nothing of any volume.
        nodes.require_majority(node)
        return False

    if not hold(volume, options):
        nodes.change(put, is_written)
    attempts = retry.Attempts(
        nodes.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
    )
    again = _TELLING
    refusal = ''
    told: dict[str, Exception] = {}
    while True:
        all_peers = nodes.read(lambda line: line.peers())
        connected = {peer.uuid for peer in all_peers if peer.connected}
        members = {
            member.node.name: member
            for member in nodes.members()
            if member.uuid in asked & connected
        }
        done, failed = nodes.try_everywhere(
            is_known, [member.node for member in members.values()]
        )
        for node, error in failed.items():
            if not isinstance(error, errors.Error):
                raise error
            if node not in told:
                LOG.warning(
                    'Node %s does not tell of volume %s: %s', node, name, error
                )
        told |= failed
        behind = ', '.join(node for node in done if not done[node])
        elapsed, late = attempts.elapsed, attempts.is_over
        left = {}
        if lasting and not behind:
            left = peers.starting(nodes, [members[node].node for node in done])
        # One that was just started may tell its volumes in part.
        settled = late or not any(
            isinstance(error, errors.Busy | errors.Garbled)
            for error in failed.values()
        )
        if settled and not behind and (late or not left):
            return Told(
                frozenset(
                    members[node].uuid for node in done if node not in left
                ),
                all_peers,
                failed,
            )
        if late:
            raise errors.Unsettled(
                f'volume {name}',
                f'options of it were set, and glusterd on {behind} still '
                f'knows nothing of that{refusal}; restart glusterd there, and '
                f'try again',
            )
        if left:
            LOG.info('Asking %s again when it has started', ', '.join(left))
            attempts.pause(min(max(left.values()), attempts.seconds_left))
            continue
        attempts.pause()
        if behind and elapsed >= again:
            LOG.info('Setting options of %s again, for %s', name, behind)
            again = elapsed + _TELLING
            try:
                put(nodes.writer().gluster)
            except errors.Error as error:
                # As long as it takes over what it missed, it refuses.
                refusal = f' ({error})'
