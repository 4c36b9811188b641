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
"""The nodes of one trusted storage pool, and who does what.

Reads and writes of gluster go through one node, the *writer*: the first of
the configured nodes that is well, so that every manila-share takes the same
one and no two originators block each other's transactions. LVM and mounts
are asked of each node, side by side.
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

#: How often glusterd may begin something and give up.
_COMMITS = 3
#: Seconds between two tries, at first and at most; jitter halves them.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


Node = nodes.Node
Member = nodes.Member
UnresponsiveNodes = nodes.UnresponsiveNodes


class Cluster:
    """The nodes of one trusted storage pool, in the configured order.

    :param settle_timeout: seconds to go on after a command whose outcome is
        not known, or that is refused because another one is under way.
    """

    def __init__(
        self, nodes: Sequence[Node], *, settle_timeout: float
    ) -> None:
        self.nodes = tuple(nodes)
        self.settle_timeout = settle_timeout
        self._guard = threading.Lock()
        self._members: dict[str, Member] = {}
        self._unresponsive = UnresponsiveNodes()

    # -- who is who

    def members(self) -> tuple[Member, ...]:
        """Give the nodes that could be placed in the pool, in order.

        A node that cannot be reached and was never seen is left out.
        """
        with self._guard:
            known = dict(self._members)
        if any(
            node.name not in known and not node.remote.is_known_down
            for node in self.nodes
        ):
            found = self._discover()
            with self._guard:
                self._members.update(found)
                known = dict(self._members)
        return tuple(
            known[node.name] for node in self.nodes if node.name in known
        )

    def refresh_members(self, uuids: Collection[str]) -> tuple[Member, ...]:
        """Ask the nodes for their UUIDs anew, and return the members.

        :param uuids: those of the trusted storage pool; a node that was
            installed anew has another one until it is in the pool.
        """
        found = self._discover()
        with self._guard:
            self._members |= {
                name: member
                for name, member in found.items()
                if member.uuid in uuids
            }
        return self.members()

    def _discover(self) -> dict[str, Member]:
        views, failed = self.try_everywhere(lambda node: node.gluster.peers())
        for name, error in failed.items():
            LOG.warning('Node %s: could not list its peers: %s', name, error)
        hosts = {
            peer.uuid: peer.hostname
            for peers in views.values()
            for peer in peers
            if peer.hostname != 'localhost'
        }
        found = {}
        for node in self.nodes:
            for peer in views.get(node.name, ()):
                if peer.hostname == 'localhost':
                    found[node.name] = Member(
                        node, peer.uuid, hosts.get(peer.uuid, node.name)
                    )
        return found

    def member(self, uuid: str) -> Member:
        """Give the node with this UUID in the trusted storage pool.

        :raises errors.NotPossible: no configured node has it, or the one
            that has could not be reached since the service started.
        """
        for members in (self.members, lambda: self.refresh_members({uuid})):
            for member in members():
                if member.uuid == uuid:
                    return member
        raise errors.NotPossible(
            f'no configured node that can be reached has the UUID {uuid} in '
            f'the trusted storage pool; check glusterfs_clone_nodes and the '
            f'nodes'
        )

    def writer(
        self, among: Collection[Node] = (), avoid: Collection[Node] = ()
    ) -> Node:
        """Return the first node whose glusterd answers.

        This alone decides who is passed over. A glusterd that answers is the
        writer also after a command of its own has failed, or took too long.

        :param among: these nodes only, in the configured order.
        :param avoid: nodes to take only if no other one answers.
        :raises errors.SeveralFailed: none does.
        """
        failures: dict[str, Exception] = {}
        chosen = [n for n in self.nodes if not among or n in among]
        # One that rests is asked last instead of never.
        now = time.monotonic()
        for node in sorted(
            chosen,
            key=lambda n: (n in avoid, self._unresponsive.is_skipped(n, now)),
        ):
            try:
                self.require_majority(node, self._unresponsive.timeout(node))
            except errors.Busy:
                raise  # it is well, and we are asking too much at once
            except errors.Error as error:
                failures[node.name] = error
                self._unresponsive.mark_failed(node, time.monotonic())
            else:
                self._unresponsive.mark_responsive(node)
                return node
        if not failures:
            raise errors.NotPossible('no nodes are configured')
        raise errors.SeveralFailed(failures)

    def require_majority(
        self, node: Node, timeout: float = gluster.READ_TIMEOUT
    ) -> None:
        """Make sure that glusterd runs on a node and sees most of its peers.

        One that is cut off from most would take a change for done that most
        of the cluster knows nothing of. One that was detached, or installed
        anew, would take all volumes for gone.

        :raises errors.Unreachable: it does not, or is cut off.
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

    # -- what is done

    def read(self, question: Callable[[gluster.Gluster], T]) -> T:
        """Ask glusterd on the writer, or on the next one if it fails."""
        failure: errors.Error | None = None
        failed: list[Node] = []
        # Twice at least: a link that was idle for long may be lost.
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
        """Change gluster's state, and know that it is changed.

        While another transaction is in progress, and after an outcome that
        is not known, the action is tried again until it succeeds, is
        refused, or is found done: a transaction that still goes on holds
        the lock that the next try asks for.

        :param action: a write that may be carried out twice.
        :param is_done: whether the state is as the action would have it;
            asked only after an outcome that is not known.
        :param among: the nodes that may carry it out; any if none is given.
        :raises errors.Refused: it was not done.
        :raises errors.Unknown: the time for settling has passed, or glusterd
            gives up each time.
        """
        attempts = retry.Attempts(
            self.settle_timeout, _PAUSE, _LONGEST_PAUSE, jitter=True
        )
        doubt: errors.Unknown | None = None
        failed: list[Node] = []
        gave_up = 0
        for _ in attempts:
            failure: errors.Error
            node: Node | None = None
            try:
                node = self.writer(among, failed)
                if doubt and is_done(node.gluster):
                    return
                action(node.gluster)
                return
            except errors.Busy as error:
                failure = error
            except errors.AlreadyExists:
                if doubt and self.read(is_done):
                    return
                raise
            except (errors.Unreachable, errors.SeveralFailed) as error:
                failure = error
            except errors.CommitFailed as error:
                failure = doubt = error
                gave_up += 1
            except errors.Unknown as error:
                failure = doubt = error
            if node is not None and not isinstance(
                failure, (errors.Busy, errors.CommitFailed)
            ):
                # The next try goes elsewhere.
                failed.append(node)
                self._unresponsive.mark_slow(node, failure)
            attempts.record(failure)
            if gave_up == _COMMITS:
                break
            LOG.info('A change failed and may be tried again: %s', failure)
        # A refusal of a later attempt does not tell what the first one did.
        raise self._with_silent(doubt or attempts.last_failure)

    def _with_silent(self, failure: errors.Error) -> errors.Error:
        """Name those that the cluster may have been waiting for, if any."""
        _, failed = self.try_everywhere(lambda node: node.gluster.peers())
        silent = {
            f'glusterd on {name}': errors.Unsettled(
                f'glusterd on node {name}',
                'it answers nothing, and all others wait for it; kill it '
                '(systemctl kill -s KILL glusterd), restart glusterd there, '
                'and try again',
            )
            for name, error in failed.items()
            if isinstance(error, errors.TimedOut)
        }
        if not silent:
            return failure
        return errors.SeveralFailed({'the change': failure, **silent})

    def try_everywhere(
        self,
        action: Callable[[Node], T],
        nodes: Iterable[Node] | None = None,
    ) -> tuple[dict[str, T], dict[str, Exception]]:
        """Do something on all nodes, or those given, side by side.

        :return: what came back, and what failed, by the node's name.
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
        """Do something on all nodes, or those given, side by side.

        :raises errors.SeveralFailed: it failed on some; on a single one,
            what was raised there.
        """
        done, failed = self.try_everywhere(action, nodes)
        raise_any(failed)
        return done

    def forget_failures(self) -> None:
        """Ask every node again, also one that did not answer before."""
        for node in self.nodes:
            node.remote.reset()

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def raise_any(failed: Mapping[str, Exception]) -> None:
    """Raise what failed on the nodes, if anything did."""
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        raise errors.SeveralFailed(failed)
