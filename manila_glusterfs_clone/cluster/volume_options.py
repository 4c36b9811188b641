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
from manila_glusterfs_clone.cluster import glusterd_start
from manila_glusterfs_clone.cluster import volfiles
from manila_glusterfs_clone.cluster import volume_options_on_nodes
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
        return volume_options_on_nodes.uuids_of_connected(self.peers)

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
    writing = _Writing(
        the_cluster,
        volume,
        options,
        node_uuids or {brick.node_uuid for brick in volume.bricks},
        must_last=must_last,
    )
    if not has_options(volume, options):
        writing.set_options()
    return writing.confirm()


class _Writing:
    """One call of :func:`write`."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        volume: gluster.Volume,
        options: Mapping[str, str],
        asked_uuids: Collection[str],
        *,
        must_last: bool,
    ) -> None:
        self._cluster = the_cluster
        self._volume_name = volume.name
        self._options = options
        self._asked_uuids = frozenset(asked_uuids)
        self._must_last = must_last
        #: Whether nodes can have lost the volfiles: true for a new volume
        #: until the driver has written the volfiles again.
        self._may_have_lost_volfiles = volume.status == 'Created'
        #: Why the options could not be set again; None if they could.
        self._write_failure: errors.Error | None = None
        #: The names of the nodes whose failure was logged.
        self._logged_names: set[str] = set()

    def set_options(self) -> None:
        """Set the options for the first time."""
        try:
            self._cluster.change(self._set, self._is_set)
        except errors.CommitFailed:
            if not self._may_have_lost_volfiles:
                raise
            self._write_lost_volfiles()
            self._cluster.change(self._set, self._is_set)

    def confirm(self) -> Confirmation:
        """Ask nodes for the options until all connected nodes have them.

        :raises NotConfirmed: after the settle timeout, a node still lacks an
            option.
        """
        attempts = retry.Attempts(
            self._cluster.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
        )
        if self._must_last:
            self._ask_failed_nodes_again()
        next_write_at = _PROPAGATION_SECONDS
        while True:
            answers = self._ask()
            elapsed_seconds = attempts.elapsed_seconds
            is_late = attempts.is_over
            if answers.lagging_nodes:
                if is_late:
                    raise self._not_confirmed(answers)
                attempts.pause()
                if elapsed_seconds >= next_write_at:
                    next_write_at = elapsed_seconds + _PROPAGATION_SECONDS
                    self._set_again(answers.lagging_nodes)
                continue
            start_seconds_by_node = self._seconds_until_started(answers)
            if is_late or (answers.is_complete and not start_seconds_by_node):
                return _confirmation(answers, start_seconds_by_node)
            if start_seconds_by_node:
                self._log_starts(start_seconds_by_node)
                seconds = max(start_seconds_by_node.values())
                attempts.pause(min(seconds, attempts.seconds_left))
            else:
                attempts.pause()

    def _ask_failed_nodes_again(self) -> None:
        """Connect to the asked nodes, even if they were down recently."""
        for member in self._cluster.members():
            if member.uuid in self._asked_uuids:
                member.node.commands.reset()

    def _ask(self) -> volume_options_on_nodes.Answers:
        answers = volume_options_on_nodes.ask_nodes(
            self._cluster,
            self._volume_name,
            lambda volume: has_options(volume, self._options),
            self._asked_uuids,
            counts_volumes=self._must_last,
        )
        volume_options_on_nodes.log_failures(
            self._volume_name, answers.failures, self._logged_names
        )
        return answers

    def _seconds_until_started(
        self, answers: volume_options_on_nodes.Answers
    ) -> dict[str, float]:
        """Return the seconds until the start of glusterd is complete.

        :return: by node name, without nodes that have completed their start;
            empty unless ``must_last``.
        """
        if not self._must_last:
            return {}
        return glusterd_start.seconds_until_started(
            self._cluster,
            [member.node for member in answers.updated],
            answers.volume_count,
        )

    def _log_starts(self, node_names: Iterable[str]) -> None:
        LOG.info(
            'Volume %s: options are set, but glusterd on %s has just started '
            'and can lose them; reading the options again after the start',
            self._volume_name,
            ', '.join(node_names),
        )

    def _set_again(self, lagging_nodes: Collection[str]) -> None:
        LOG.info(
            'Volume %s: glusterd on %s does not report the new options; '
            'setting the options again',
            self._volume_name,
            ', '.join(lagging_nodes),
        )
        try:
            self._set(self._cluster.writer().gluster)
        except errors.Error as error:
            # glusterd refuses while a node is applying earlier changes.
            self._write_failure = error
            if self._may_have_lost_volfiles and isinstance(
                error, errors.CommitFailed
            ):
                self._write_lost_volfiles()

    def _not_confirmed(
        self, answers: volume_options_on_nodes.Answers
    ) -> NotConfirmed:
        failure = self._write_failure
        reasons = (str(failure),) if failure else ()
        return NotConfirmed(self._volume_name, answers.lagging_nodes, reasons)

    def _write_lost_volfiles(self) -> None:
        self._may_have_lost_volfiles = False
        volfiles.write_lost(self._cluster, self._volume_name)

    def _is_set(self, gluster: gluster.Gluster) -> bool:
        return has_options(gluster.volume(self._volume_name), self._options)

    def _set(self, gluster: gluster.Gluster) -> None:
        gluster.set_options(self._volume_name, self._options)


def _confirmation(
    answers: volume_options_on_nodes.Answers,
    start_seconds_by_node: Mapping[str, float],
) -> Confirmation:
    """Return the nodes that have the options and completed their start."""
    return Confirmation(
        frozenset(
            member.uuid
            for member in answers.updated
            if member.node.name not in start_seconds_by_node
        ),
        answers.peers,
        answers.failures,
    )
