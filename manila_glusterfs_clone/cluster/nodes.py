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
"""A storage node: its command-line tools, and its UUID as a peer."""

from collections.abc import Callable, Collection, Iterable, Sequence, Set
import dataclasses
import threading
import time
from typing import TypeVar

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools import host
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone.tools import lvmconfig

T = TypeVar('T')

#: For this many seconds after a node failed :meth:`Cluster.require_majority`,
#: the driver checks this node after the other nodes.
ASK_LAST_SECONDS = 30.0
#: Timeout of the check, in seconds, after the node failed the previous check,
#: or did not answer a command in time.
TIMEOUT_AFTER_FAILURE = 5.0


@dataclasses.dataclass(eq=False)
class NoReachableMember(errors.NotPossible):
    """No configured node with the requested UUID has answered."""

    uuid: str

    def __str__(self) -> str:
        return (
            f'peer {self.uuid}: no reachable node of glusterfs_clone_nodes '
            f'has this UUID; add the node to glusterfs_clone_nodes, or make '
            f'it reachable over SSH'
        )


@dataclasses.dataclass(eq=False)
class NoNodes(errors.NotPossible):
    """No nodes are configured for the back end."""

    option: str = 'glusterfs_clone_nodes'

    def __str__(self) -> str:
        return f'{self.option}: empty; list the storage nodes'


@dataclasses.dataclass(eq=False)
class GlusterdHangs(errors.Unsettled):
    """glusterd on a node hangs, and blocks changes on all other nodes."""

    node: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: does not answer, and blocks '
            f'changes on all nodes; run "systemctl kill -s KILL glusterd" and '
            f'"systemctl start glusterd" there, and retry'
        )


class Node:
    """A storage node: its command-line tools and configured thin pools."""

    def __init__(
        self,
        commands: circuit_breaker.CommandRunner,
        pool_names: Sequence[str] = (),
    ) -> None:
        self.commands = circuit_breaker.CircuitBreaker(commands)
        self.pool_names = tuple(pool_names)
        self.name = commands.name
        self.gluster = gluster.Gluster(console.Console(self.commands))
        self.host = host.Host(self.commands)
        self.lvm = lvm.Lvm(self.commands)
        self.lvmconfig = lvmconfig.LvmConfig(self.commands)
        self.file_systems = file_systems.FileSystems(self.commands)

    def lvs_and_mounts(
        self, *lv_names: str
    ) -> tuple[tuple[lvm.LogicalVolume, ...], tuple[file_systems.Mount, ...]]:
        """Return LVs, and the mounts of all XFS file systems.

        :param lv_names: the LVs or tags to select; see :func:`lvm.listing`.
        """
        lvs, mounts = self.run(
            lvm.listing(*lv_names), file_systems.LIST_MOUNTS
        )
        return lvm.logical_volumes(lvs), file_systems.mounts(mounts)

    def run(
        self, *the_steps: step_outcomes.Step
    ) -> list[step_outcomes.Result]:
        """Run steps one after the other, in one request.

        Without steps, send no request.

        :raises errors.CommandFailed: a step failed. The steps before this step
            are done, and the steps after this step were not started.
        """
        if not the_steps:
            return []
        try:
            return self.commands.run_all(the_steps)
        except errors.CommandFailed as error:
            specific = file_systems.specific_error(lvm.specific_error(error))
            if specific is error:
                raise
            raise specific from error

    def close(self) -> None:
        self.commands.close()


@dataclasses.dataclass(frozen=True)
class Member:
    """A configured node as a member of the trusted storage pool."""

    node: Node
    uuid: str
    #: The host name of the peer in the trusted storage pool: the ``HOST`` in
    #: ``HOST:PATH``, the name of a brick.
    peer_name: str


def require_majority(
    node: Node, peers: Sequence[gluster.Peer], known_uuids: Set[str]
) -> None:
    """Make sure that glusterd on a node is connected to most peers.

    :param peers: what glusterd on the node reports.
    :param known_uuids: the UUIDs of the nodes that have answered before.
    :raises errors.CutOff: at least half of the known nodes are not peers; or
        at least half of three or more peers are disconnected.
    """
    lost_uuids = known_uuids - {peer.uuid for peer in peers}
    if known_uuids and 2 * len(lost_uuids) >= len(known_uuids):
        raise errors.CutOff(node.name, len(lost_uuids), len(known_uuids))
    disconnected_count = sum(not peer.is_connected for peer in peers)
    if len(peers) > 2 and 2 * disconnected_count >= len(peers):
        raise errors.CutOff(node.name, disconnected_count, len(peers))


class UnresponsiveNodes:
    """The nodes whose glusterd failed a check, or did not answer in time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By node name: the monotonic time until which the driver checks the
        #: node last; 0 if the node keeps its place. All nodes in this mapping
        #: have the shorter timeout.
        self._ask_last_until: dict[str, float] = {}

    def first(
        self,
        nodes: Iterable[Node],
        check: Callable[[Node, float], T],
        ask_last: Collection[Node],
    ) -> T:
        """Return the result of a check on the first node that passes it.

        :param check: is called with a node and a timeout, and raises an error
            if the node does not pass.
        :param ask_last: check these nodes after the others.
        :raises errors.Busy: this process runs too many commands on a node.
        :raises errors.SeveralFailed: no node passes the check.
        :raises NoNodes: there are no nodes.
        """
        failures: dict[str, Exception] = {}
        now = time.monotonic()
        for node in sorted(
            nodes, key=lambda n: (n in ask_last, self.is_asked_last(n, now))
        ):
            try:
                result = check(node, self.timeout(node))
            except errors.Busy:
                raise  # this process runs too many commands on the node
            except errors.Error as error:
                failures[node.name] = error
                self.record_failure(node, time.monotonic())
            else:
                self.record_answer(node)
                return result
        if not failures:
            raise NoNodes()
        raise errors.SeveralFailed(failures)

    def is_asked_last(self, node: Node, now: float) -> bool:
        """Return whether to check a node after the other nodes."""
        with self._lock:
            return self._ask_last_until.get(node.name, now) > now

    def timeout(self, node: Node) -> float:
        """Return the timeout of the next check of a node, in seconds.

        If glusterd hangs, only the first check waits for READ_TIMEOUT.
        """
        with self._lock:
            has_failed = node.name in self._ask_last_until
        return TIMEOUT_AFTER_FAILURE if has_failed else gluster.READ_TIMEOUT

    def record_failure(self, node: Node, now: float) -> None:
        """Record that a node failed a check."""
        with self._lock:
            self._ask_last_until[node.name] = now + ASK_LAST_SECONDS

    def record_timeout(self, node: Node, error: errors.Error) -> None:
        """If a command timed out, shorten the next check of the node."""
        if isinstance(error, errors.TimedOut):
            with self._lock:
                self._ask_last_until.setdefault(node.name, 0.0)

    def record_answer(self, node: Node) -> None:
        """Restore the configured order and full timeout of a node."""
        with self._lock:
            self._ask_last_until.pop(node.name, None)
