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
"""The trusted storage pool: run commands on one node or on all of them.

Gluster commands go through one node, the *writer*: the first configured node
whose glusterd answers. So every manila-share uses the same one, and no two
originators block each other's transactions. Commands of LVM and for mounts
run on all nodes side by side.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import concurrent.futures
import threading
import time
from typing import TypeVar

from oslo_log import log

from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: How often glusterd may fail after it has begun, before a change fails.
_COMMIT_ATTEMPTS = 3
#: Seconds between two attempts, at first and at most; jitter halves them.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


Node = nodes.Node
Member = nodes.Member
UnresponsiveNodes = nodes.UnresponsiveNodes
UnknownMember = nodes.UnknownMember
NoNodes = nodes.NoNodes
GlusterdHangs = nodes.GlusterdHangs


class Cluster:
    """The nodes of one trusted storage pool, in the configured order.

    :param settle_timeout: seconds to retry a command whose outcome is
        unknown, or that glusterd refuses during another transaction.
    """

    def __init__(
        self, nodes: Sequence[Node], *, settle_timeout: float
    ) -> None:
        self.nodes = tuple(nodes)
        self.settle_timeout = settle_timeout
        self._guard = threading.Lock()
        self._members: dict[str, Member] = {}
        self._unresponsive = UnresponsiveNodes()

    # -- members and the writer

    def members(self) -> tuple[Member, ...]:
        """Return the nodes whose UUID is known, in the configured order.

        A node that could not be reached since the service started is left
        out.
        """
        with self._guard:
            known = dict(self._members)
        if any(
            node.name not in known and not node.remote.is_known_down
            for node in self.nodes
        ):
            discovered = self._discover()
            with self._guard:
                self._members.update(discovered)
                known = dict(self._members)
        return tuple(
            known[node.name] for node in self.nodes if node.name in known
        )

    def refresh_members(self, uuids: Collection[str]) -> tuple[Member, ...]:
        """Read the UUIDs of all nodes again, and return the members.

        :param uuids: of the trusted storage pool. A node that was reinstalled
            has a UUID that is not in the pool until it is probed.
        """
        discovered = self._discover()
        with self._guard:
            self._members |= {
                name: member
                for name, member in discovered.items()
                if member.uuid in uuids
            }
        return self.members()

    def _discover(self) -> dict[str, Member]:
        views, failures = self.try_everywhere(
            lambda node: node.gluster.peers()
        )
        for name, error in failures.items():
            LOG.warning('Could not list peers on node %s: %s', name, error)
        hosts = {
            peer.uuid: peer.hostname
            for peers in views.values()
            for peer in peers
            if peer.hostname != 'localhost'
        }
        members = {}
        for node in self.nodes:
            for peer in views.get(node.name, ()):
                if peer.hostname == 'localhost':
                    members[node.name] = Member(
                        node, peer.uuid, hosts.get(peer.uuid, node.name)
                    )
        return members

    def member(self, uuid: str) -> Member:
        """Return the node with a UUID in the trusted storage pool.

        :raises UnknownMember: no configured node has that UUID, or it could
            not be reached since the service started.
        """
        for members in (self.members, lambda: self.refresh_members({uuid})):
            for member in members():
                if member.uuid == uuid:
                    return member
        raise UnknownMember(uuid)

    def writer(
        self, among: Collection[Node] = (), avoid: Collection[Node] = ()
    ) -> Node:
        """Return the first node whose glusterd answers.

        Only this question decides which nodes are skipped. A glusterd that
        answers stays the writer after one of its commands failed or was late.

        :param among: choose only among these nodes; among all if empty.
        :param avoid: choose these nodes only if no other one answers.
        :raises errors.SeveralFailed: no glusterd answers.
        :raises NoNodes: no nodes are configured.
        """
        failures: dict[str, Exception] = {}
        chosen = [n for n in self.nodes if not among or n in among]
        # Skipped nodes are asked last instead of never.
        now = time.monotonic()
        for node in sorted(
            chosen,
            key=lambda n: (n in avoid, self._unresponsive.is_skipped(n, now)),
        ):
            try:
                self.require_majority(node, self._unresponsive.timeout(node))
            except errors.Busy:
                raise  # glusterd works, but this service has too many requests
            except errors.Error as error:
                failures[node.name] = error
                self._unresponsive.mark_failed(node, time.monotonic())
            else:
                self._unresponsive.mark_responsive(node)
                return node
        if not failures:
            raise NoNodes()
        raise errors.SeveralFailed(failures)

    def require_majority(
        self, node: Node, timeout: float = gluster.READ_TIMEOUT
    ) -> None:
        """Make sure that glusterd on a node is connected to most peers.

        A glusterd that is cut off would confirm a change that most of the
        cluster does not know. A glusterd that was detached or reinstalled
        would report that no volume exists.

        :raises errors.CutOff: glusterd has lost half of the peers or more.
        :raises errors.Unreachable: the node does not answer.
        """
        with self._guard:
            known = {member.uuid for member in self._members.values()}
        peers = node.gluster.peers(timeout)
        lost = known - {peer.uuid for peer in peers}
        if known and 2 * len(lost) >= len(known):
            raise errors.CutOff(node.name, len(lost), len(known))
        connected = sum(peer.connected for peer in peers)
        if len(peers) > 2 and 2 * connected <= len(peers):
            raise errors.CutOff(node.name, len(peers) - connected, len(peers))

    # -- commands

    def read(self, question: Callable[[gluster.Gluster], T]) -> T:
        """Ask the glusterd of the writer, or of the next node if it fails."""
        failure: errors.Error | None = None
        failed: list[Node] = []
        # At least twice: a connection that was idle for long may be lost.
        for _ in range(max(2, len(self.nodes))):
            node = self.writer(avoid=failed)
            try:
                return question(node.gluster)
            except (errors.Unreachable, errors.Unknown) as error:
                failure = error
                failed.append(node)
                self._unresponsive.mark_slow(node, error)
        raise failure or errors.SeveralFailed({})

    def change(
        self,
        action: Callable[[gluster.Gluster], None],
        is_done: Callable[[gluster.Gluster], bool],
        among: Collection[Node] = (),
    ) -> None:
        """Run a gluster command until its outcome is known.

        The command is retried during another transaction, and after an
        unknown outcome, until it succeeds, is refused, or turns out to be
        done. A transaction that is still running holds the lock that the
        next attempt needs.

        :param action: an idempotent command.
        :param is_done: return whether the command has taken effect; called
            only after an unknown outcome.
        :param among: the nodes that may run the command; any if empty.
        :raises errors.Refused: the command did not take effect.
        :raises errors.Unknown: the settle timeout has passed, or glusterd
            failed several times after it had begun.
        """
        attempts = retry.Attempts(
            self.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
        )
        unknown: errors.Unknown | None = None
        failed: list[Node] = []
        failed_commits = 0
        for _ in attempts:
            failure: errors.Error
            node: Node | None = None
            try:
                node = self.writer(among, failed)
                if unknown and is_done(node.gluster):
                    return
                action(node.gluster)
                return
            except errors.Busy as error:
                failure = error
            except errors.AlreadyExists:
                if unknown and self.read(is_done):
                    return
                raise
            except (errors.Unreachable, errors.SeveralFailed) as error:
                failure = error
            except errors.CommitFailed as error:
                failure = unknown = error
                failed_commits += 1
            except errors.Unknown as error:
                failure = unknown = error
            if node is not None and not isinstance(
                failure, (errors.Busy, errors.CommitFailed)
            ):
                # The next attempt uses another node.
                failed.append(node)
                self._unresponsive.mark_slow(node, failure)
            attempts.record(failure)
            if failed_commits == _COMMIT_ATTEMPTS:
                break
            LOG.info('A gluster command failed; retrying it: %s', failure)
        # A later refusal does not prove that the first attempt did nothing.
        raise self._with_hanging_nodes(unknown or attempts.last_failure)

    def _with_hanging_nodes(self, failure: errors.Error) -> errors.Error:
        """Return a failure together with the nodes whose glusterd hangs.

        The transactions of all other nodes wait for such a glusterd.
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
        """Run an action on nodes side by side, and collect the failures.

        :param nodes: the nodes; None for all.
        :return: the results, and the exceptions, both by node name.
        """
        chosen = tuple(self.nodes if nodes is None else nodes)
        done: dict[str, T] = {}
        failed: dict[str, Exception] = {}
        if not chosen:
            return done, failed
        with concurrent.futures.ThreadPoolExecutor(len(chosen)) as threads:
            futures = {
                node.name: threads.submit(action, node) for node in chosen
            }
            for name, future in futures.items():
                try:
                    done[name] = future.result()
                except Exception as error:
                    failed[name] = error
        return done, failed

    def everywhere(
        self,
        action: Callable[[Node], T],
        nodes: Iterable[Node] | None = None,
    ) -> dict[str, T]:
        """Run an action on nodes side by side.

        :param nodes: the nodes; None for all.
        :return: the results, by node name.
        :raises errors.SeveralFailed: it failed on several nodes. If it failed
            on one node only, the exception of that node is raised.
        """
        done, failed = self.try_everywhere(action, nodes)
        raise_any(failed)
        return done

    def forget_failures(self) -> None:
        """Forget which nodes did not answer, so that all are asked again."""
        for node in self.nodes:
            node.remote.reset()

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def raise_any(failed: Mapping[str, Exception]) -> None:
    """Raise the failures of nodes, if there are any."""
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        raise errors.SeveralFailed(failed)
