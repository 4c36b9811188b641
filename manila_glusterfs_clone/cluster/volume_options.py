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
"""Set options of a volume, and verify that nodes have received them.

A node that rejoins its peers can have old options, for two reasons:

* If a transaction begins during the handshake with a peer, glusterd omits this
  peer from the transaction. glusterd does not send the change to the peer
  later (10.3, observed in the logs and the brick of the peer).
* A rejoining peer receives missed changes at the handshake, but applies them
  only after it has restarted its bricks: up to 17 s later with 21 volumes.
  An option that is set in this period can be lost on the peer: the peer first
  reports the new value, and then replaces it with the value from the
  handshake. This happens if the peer missed more changes before the handshake
  than it received afterwards (11.1, in
  ``glusterd_import_friend_volumes_synctask``).

In both cases glusterd reports the peer as connected, although the brick of the
peer uses old options. So :func:`write` asks nodes for their options. With
``must_last``, :func:`write` waits until each glusterd has completed its start,
and asks again.
"""

from collections.abc import Collection, Iterable, Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import volfiles
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: The first and the longest pause between two attempts, in seconds. Jitter
#: shortens each pause by up to half.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
#: While a node lacks a new option, it is *lagging*. After this many seconds,
#: :func:`write` sets the options again.
_PROPAGATION_SECONDS = 3.0


@dataclasses.dataclass(eq=False)
class NotConfirmed(errors.Unsettled):
    """Options of a volume were set, but nodes did not confirm them."""

    volume: str
    nodes: tuple[str, ...]
    #: Why glusterd on nodes did not answer, or refused to set the options.
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = f' ({"; ".join(self.reasons)})' if self.reasons else ''
        return (
            f'volume {self.volume}: options were set, but glusterd on '
            f'{", ".join(self.nodes)} did not confirm them{reasons}; start '
            f'glusterd there, or restart it if it runs, and retry'
        )


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """The nodes that confirmed options, and the state of all nodes."""

    #: UUIDs of the nodes whose glusterd reports the new options.
    confirmed_by: frozenset[str]
    #: All nodes of the trusted storage pool.
    peers: tuple[gluster.Peer, ...]
    #: Why glusterd on a node did not answer, by node name.
    failures: Mapping[str, Exception]

    @property
    def connected_uuids(self) -> frozenset[str]:
        """Return the UUIDs of the nodes that the writer is connected to."""
        return _connected_uuids(self.peers)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why glusterd on nodes did not answer, as sentences."""
        return tuple(map(str, self.failures.values()))

    def require_bricks_of(self, volume: gluster.Volume) -> None:
        """Raise NotConfirmed if a node with a brick did not confirm."""
        hosts = {
            brick.host
            for brick in volume.bricks
            if brick.node_uuid not in self.confirmed_by
        }
        if hosts:
            raise NotConfirmed(volume.name, tuple(sorted(hosts)), self.reasons)


@dataclasses.dataclass(frozen=True)
class _Answers:
    """What nodes answered when they were asked for their options once."""

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
        """Return false if nodes should be asked again.

        This process ran too many commands on a node, or an answer was
        incomplete: a glusterd that has just started can omit data.
        """
        return not any(
            isinstance(error, errors.Busy | errors.Garbled)
            for error in self.failures.values()
        )


def has_options(
    volume: gluster.Volume | None, options: Mapping[str, str]
) -> bool:
    """Return whether a volume exists and has options with these values."""
    return (
        volume is not None and options.items() <= dict(volume.options).items()
    )


def write(
    the_cluster: cluster.Cluster,
    volume: gluster.Volume,
    options: Mapping[str, str],
    *,
    must_last: bool,
    node_uuids: Collection[str] = (),
) -> Confirmation:
    """Set options of a volume, and ask nodes whether they have the options.

    If a node lacks an option, set the options again until the settle timeout
    has passed. Do not wait for nodes that the writer, or all other nodes,
    report as disconnected: they receive the options when they rejoin.

    :param volume: the volume, read from the writer immediately before.
    :param must_last: if true, wait until glusterd on each asked node has
        completed its start, and ask again. During its start, glusterd can lose
        new options.
    :param node_uuids: the nodes to ask; if empty, ask all nodes with a brick.
    :raises NotConfirmed: after the settle timeout, a node still lacks an
        option.
    """
    volume_name = volume.name
    asked_uuids = set(node_uuids) or {
        brick.node_uuid for brick in volume.bricks
    }

    def is_written(gluster: gluster.Gluster) -> bool:
        return has_options(gluster.volume(volume_name), options)

    def set_options(gluster: gluster.Gluster) -> None:
        gluster.set_options(volume_name, options)

    may_have_lost_volfiles = volume.status == 'Created'
    if not has_options(volume, options):
        try:
            the_cluster.change(set_options, is_written)
        except errors.CommitFailed:
            if not may_have_lost_volfiles:
                raise
            may_have_lost_volfiles = False
            volfiles.write_lost(the_cluster, volume_name)
            the_cluster.change(set_options, is_written)
    attempts = retry.Attempts(
        the_cluster.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
    )
    if must_last:
        # Each node has to answer. So ask it even if it was down recently.
        for member in the_cluster.members():
            if member.uuid in asked_uuids:
                member.node.commands.reset()
    next_write_at = _PROPAGATION_SECONDS
    write_failure: errors.Error | None = None
    logged_names: set[str] = set()
    while True:
        answers = _ask_nodes(
            the_cluster, volume_name, options, asked_uuids, must_last
        )
        _log_failures(volume_name, answers.failures, logged_names)
        lagging_nodes = answers.lagging_nodes
        elapsed_seconds, is_late = attempts.elapsed_seconds, attempts.is_over
        start_seconds_by_node: Mapping[str, float] = {}
        if must_last and not lagging_nodes:
            start_seconds_by_node = peers.seconds_until_started(
                the_cluster,
                [member.node for member in answers.updated],
                answers.volume_count,
            )
        if not lagging_nodes and (
            is_late or (answers.is_complete and not start_seconds_by_node)
        ):
            return Confirmation(
                frozenset(
                    member.uuid
                    for member in answers.updated
                    if member.node.name not in start_seconds_by_node
                ),
                answers.peers,
                answers.failures,
            )
        if is_late:
            reasons = (str(write_failure),) if write_failure else ()
            raise NotConfirmed(volume_name, lagging_nodes, reasons)
        if start_seconds_by_node:
            LOG.info(
                'Volume %s: options are set, but glusterd on %s has just '
                'started and can lose them; reading the options again after '
                'the start',
                volume_name,
                ', '.join(start_seconds_by_node),
            )
            seconds = max(start_seconds_by_node.values())
            attempts.pause(min(seconds, attempts.seconds_left))
            continue
        attempts.pause()
        if lagging_nodes and elapsed_seconds >= next_write_at:
            LOG.info(
                'Volume %s: glusterd on %s does not report the new options; '
                'setting the options again',
                volume_name,
                ', '.join(lagging_nodes),
            )
            next_write_at = elapsed_seconds + _PROPAGATION_SECONDS
            try:
                set_options(the_cluster.writer().gluster)
            except errors.Error as error:
                # glusterd refuses while a node is applying earlier changes.
                write_failure = error
                if may_have_lost_volfiles and isinstance(
                    error, errors.CommitFailed
                ):
                    may_have_lost_volfiles = False
                    volfiles.write_lost(the_cluster, volume_name)


def _ask_nodes(
    the_cluster: cluster.Cluster,
    volume_name: str,
    options: Mapping[str, str],
    asked_uuids: Collection[str],
    counts_volumes: bool,
) -> _Answers:
    """Ask connected nodes whether glusterd has options of a volume.

    :param counts_volumes: whether to count the volumes, too.
    """

    def is_updated(node: cluster.Node) -> bool:
        if has_options(node.gluster.volume(volume_name), options):
            return True
        # Raise CutOff if the node was reinstalled: it then has no peers.
        the_cluster.require_majority(node)
        return False

    volume_count, all_peers = the_cluster.read(
        # Both are in one request.
        lambda gluster: (
            len(gluster.volume_names()) if counts_volumes else None,
            gluster.peers(),
        )
    )
    connected_uuids = _connected_uuids(all_peers)
    members = {
        member.node.name: member
        for member in the_cluster.members()
        if member.uuid in connected_uuids.intersection(asked_uuids)
    }
    answers, failures = the_cluster.try_everywhere(
        is_updated, [member.node for member in members.values()]
    )
    if not all(answers.values()):
        # The writer may have lost its peers without noticing it yet.
        all_peers = peers.as_most_nodes_see_them(the_cluster, all_peers)
        connected_uuids = _connected_uuids(all_peers)
    return _Answers(
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


def _connected_uuids(all_peers: Iterable[gluster.Peer]) -> frozenset[str]:
    return frozenset(peer.uuid for peer in all_peers if peer.is_connected)


def _log_failures(
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
