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
"""The trusted storage pool: run commands on one node or on all nodes.

Gluster commands run on one node, the *writer*: the first configured node
whose glusterd answers and is connected to most peers. Transactions that start
on different nodes can block each other. To avoid this, all manila-share
services prefer the same node. LVM and mount commands run on all nodes in
parallel.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import functools
import threading
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone.cluster import glusterd_turns
from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone.cluster import parallel
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: After this many ``errors.CommitFailed``, a change is not retried.
_COMMIT_ATTEMPTS = 3
#: The first and the longest pause between two attempts, in seconds. Jitter
#: shortens each pause by up to half.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


Node = nodes.Node
Member = nodes.Member
UnresponsiveNodes = nodes.UnresponsiveNodes
NoReachableMember = nodes.NoReachableMember
NoNodes = nodes.NoNodes
GlusterdHangs = nodes.GlusterdHangs


class Cluster:
    """The nodes of one trusted storage pool, in the configured order.

    :param settle_timeout: how long a change is retried, in seconds.
    """

    def __init__(
        self, nodes: Sequence[Node], *, settle_timeout: float
    ) -> None:
        self.nodes = tuple(nodes)
        self.settle_timeout = settle_timeout
        self._lock = threading.Lock()
        self._turns = glusterd_turns.Turns()
        self._members: dict[str, Member] = {}
        self._unresponsive = UnresponsiveNodes()

    # -- members and the writer

    def members(self) -> tuple[Member, ...]:
        """Return the nodes with their UUIDs, in the configured order.

        Omit a node until glusterd on the node has answered once.
        """
        with self._lock:
            members = dict(self._members)
        if any(
            node.name not in members and not node.commands.is_known_down
            for node in self.nodes
        ):
            discovered = self._discover()
            with self._lock:
                self._members.update(discovered)
                members = dict(self._members)
        return tuple(
            members[node.name] for node in self.nodes if node.name in members
        )

    def refresh_members(self, uuids: Collection[str]) -> tuple[Member, ...]:
        """Read the UUIDs of all nodes again, and return the members.

        :param uuids: the UUIDs of peers. Ignore other UUIDs: a reinstalled
            node has a new UUID, and is no peer until an operator probes it.
        """
        discovered = self._discover()
        with self._lock:
            self._members |= {
                name: member
                for name, member in discovered.items()
                if member.uuid in uuids
            }
        return self.members()

    def _discover(self) -> dict[str, Member]:
        peers_by_node, failures = self.try_everywhere(
            lambda node: node.gluster.peers()
        )
        for name, error in failures.items():
            LOG.warning('Node %s: could not list its peers: %s', name, error)
        hostnames = {
            peer.uuid: peer.hostname
            for peers in peers_by_node.values()
            for peer in peers
            if peer.hostname != 'localhost'
        }
        members = {}
        for node in self.nodes:
            for peer in peers_by_node.get(node.name, ()):
                if peer.hostname == 'localhost':
                    members[node.name] = Member(
                        node, peer.uuid, hostnames.get(peer.uuid, node.name)
                    )
        return members

    def member(self, uuid: str) -> Member:
        """Return the node with this UUID.

        :raises NoReachableMember: no configured node has the UUID, or
            glusterd on that node has not answered since the service started.
        """
        for members in (self.members, lambda: self.refresh_members({uuid})):
            for member in members():
                if member.uuid == uuid:
                    return member
        raise NoReachableMember(uuid)

    def writer(
        self,
        candidates: Collection[Node] = (),
        ask_last: Collection[Node] = (),
    ) -> Node:
        """Return the first node that passes :meth:`require_majority`.

        If a node failed this check recently, ask it after the other nodes. A
        failed command does not change this order.

        :param candidates: choose only among these nodes; among all if empty.
        :param ask_last: choose one of these only if no other node passes.
        :raises errors.Busy: this process runs too many commands on a node.
        :raises errors.SeveralFailed: no node passes the check.
        :raises NoNodes: no nodes are configured.
        """

        def check(node: Node, timeout: float) -> Node:
            self.require_majority(node, timeout)
            return node

        targets = [n for n in self.nodes if not candidates or n in candidates]
        return self._unresponsive.first(targets, check, ask_last)

    def require_majority(
        self, node: Node, timeout: float = gluster.READ_TIMEOUT
    ) -> None:
        """Make sure that glusterd on a node is connected to most peers.

        Without a connection to most peers, glusterd would confirm a change
        that most nodes do not receive. On a node that was detached or
        reinstalled, glusterd would report that no volume exists.

        :raises errors.CutOff: at least half of :meth:`members` are not peers;
            or at least half of three or more peers are disconnected.
        :raises errors.Error: glusterd does not answer.
        """
        self.check_majority(node, node.gluster.peers(timeout))

    def check_majority(
        self, node: Node, peers: Sequence[gluster.Peer]
    ) -> None:
        """Check the peers that glusterd on a node reports.

        :raises errors.CutOff: as :meth:`require_majority`.
        """
        with self._lock:
            known_uuids = {member.uuid for member in self._members.values()}
        nodes.require_majority(node, peers, known_uuids)

    # -- commands

    def read(self, question: Callable[[gluster.Gluster], T]) -> T:
        """Query the writer, or another node if the writer does not answer.

        One request runs the first command and reads the peers, to check them.
        """

        def ask(node: Node, timeout: float) -> tuple[Node, T | errors.Error]:
            client = node.gluster.peers_first(timeout)
            answer: T | errors.Error
            try:
                answer = question(client)
            except errors.Error as error:
                answer = error
            # The answer of a node that is cut off can be outdated.
            self.check_majority(node, client.peers())
            return node, answer

        failure: errors.Error | None = None
        failed_nodes: list[Node] = []
        # Ask even a single node twice: its idle SSH connection may be broken.
        for _ in range(max(2, len(self.nodes))):
            node, answer = self._unresponsive.first(
                self.nodes, ask, failed_nodes
            )
            if not isinstance(answer, errors.Error):
                return answer
            if not isinstance(answer, errors.Unreachable | errors.Unknown):
                raise answer
            failure = answer
            failed_nodes.append(node)
            self._unresponsive.record_timeout(node, answer)
        raise failure or errors.SeveralFailed({})

    def change(
        self,
        action: Callable[[gluster.Gluster], None],
        is_done: Callable[[gluster.Gluster], bool],
        candidates: Collection[Node] = (),
    ) -> None:
        """Run a gluster command, and retry it until its outcome is known.

        Retry it if another transaction has locked glusterd, if no node can run
        it, or if its outcome is unknown. Each attempt waits for its turn.

        :param action: run the command, which must be idempotent.
        :param is_done: return whether the command has taken effect; called
            only after an unknown outcome.
        :param candidates: the nodes that may run the command; all if empty.
        :raises errors.Refused: the command did not take effect.
        :raises errors.SeveralFailed: no node could run the command, or
            glusterd hangs on a node.
        :raises errors.Unknown: the outcome is still unknown after the settle
            timeout, or after ``_COMMIT_ATTEMPTS`` failed commits.
        """
        attempts = retry.Attempts(
            self.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
        )
        unknown_error: errors.Unknown | None = None
        failed_nodes: list[Node] = []
        failed_commit_count = 0
        for _ in attempts:
            failure: errors.Error
            node: Node | None = None
            try:
                node = self.writer(candidates, failed_nodes)
                if unknown_error and is_done(node.gluster):
                    return
                with self._turns.turn():
                    action(node.gluster)
                return
            except errors.Busy as error:
                failure = error
            except errors.AlreadyExists:
                if unknown_error and self.read(is_done):
                    return
                raise
            except (errors.Unreachable, errors.SeveralFailed) as error:
                failure = error
            except errors.CommitFailed as error:
                failure = unknown_error = error
                failed_commit_count += 1
            except errors.Unknown as error:
                failure = unknown_error = error
            if node is not None and not isinstance(
                failure, (errors.Busy, errors.CommitFailed)
            ):
                # The next attempt asks the other nodes first.
                failed_nodes.append(node)
                self._unresponsive.record_timeout(node, failure)
            attempts.record(failure)
            if failed_commit_count == _COMMIT_ATTEMPTS:
                break
            LOG.info('Gluster command: an attempt failed: %s', failure)
        # An earlier attempt may have had an effect, even if the last failed.
        raise self._add_hanging_nodes(unknown_error or attempts.last_failure)

    def _add_hanging_nodes(self, failure: errors.Error) -> errors.Error:
        """Return a failure plus one error per node whose glusterd hangs.

        A glusterd that hangs blocks the transactions of all other nodes.
        """
        _, failures = self.try_everywhere(lambda node: node.gluster.peers())
        hanging = {
            f'glusterd on {name}': GlusterdHangs(name)
            for name, error in failures.items()
            if isinstance(error, errors.TimedOut)
        }
        if not hanging:
            return failure
        return errors.SeveralFailed({'the change': failure, **hanging})

    def try_everywhere(
        self,
        action: Callable[[Node], T],
        nodes: Iterable[Node] | None = None,
    ) -> tuple[dict[str, T], dict[str, Exception]]:
        """Run an action on nodes in parallel, and collect the exceptions.

        :param nodes: the nodes; None for all.
        :return: the results and the exceptions, each by node name.
        """
        return parallel.try_all(
            {
                node.name: functools.partial(action, node)
                for node in (self.nodes if nodes is None else nodes)
            }
        )

    def everywhere(
        self,
        action: Callable[[Node], T],
        nodes: Iterable[Node] | None = None,
    ) -> dict[str, T]:
        """Run an action on nodes in parallel.

        :param nodes: the nodes; None for all.
        :return: the results, by node name.
        :raises errors.SeveralFailed: the action failed on several nodes.
        :raises Exception: the action failed on exactly one node.
        """
        results, failures = self.try_everywhere(action, nodes)
        raise_any(failures)
        return results

    def forget_failures(self) -> None:
        """Forget which nodes were down, so that commands connect to them."""
        for node in self.nodes:
            node.commands.reset()

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def raise_any(failures: Mapping[str, Exception]) -> None:
    """Raise one exception unchanged, and several as SeveralFailed."""
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise errors.SeveralFailed(failures)
