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

from collections.abc import Sequence
import dataclasses
import threading

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools import lvm

#: Seconds for which a node is asked last when the writer is chosen, after its
#: glusterd failed the check of the writer.
ASK_LAST_SECONDS = 30.0
#: Timeout of the check of the writer, in seconds, if glusterd on the node has
#: failed this check before, or did not answer a command in time.
TIMEOUT_AFTER_FAILURE = 5.0


@dataclasses.dataclass(eq=False)
class NoReachableMember(errors.NotPossible):
    """No reachable configured node has the requested UUID as a peer."""

    uuid: str

    def __str__(self) -> str:
        return (
            f'peer {self.uuid}: no reachable node of glusterfs_clone_nodes '
            f'has this UUID; add the node to glusterfs_clone_nodes, or make '
            f'it reachable over SSH'
        )


@dataclasses.dataclass(eq=False)
class NoNodes(errors.NotPossible):
    """The back end has no nodes."""

    option: str = 'glusterfs_clone_nodes'

    def __str__(self) -> str:
        return f'{self.option}: empty; list the storage nodes'


@dataclasses.dataclass(eq=False)
class GlusterdHangs(errors.Unsettled):
    """glusterd on a node hangs, and blocks changes on all other nodes."""

    node: str

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: no answer, which blocks changes '
            f'on all nodes; run "systemctl kill -s KILL glusterd" and '
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
        self.console = console.Console(self.commands)
        self.gluster = gluster.Gluster(self.console)
        self.lvm = lvm.Lvm(self.commands)
        self.file_systems = file_systems.FileSystems(self.commands)

    def close(self) -> None:
        self.console.close()
        self.commands.close()


@dataclasses.dataclass(frozen=True)
class Member:
    """A configured node as a member of the trusted storage pool."""

    node: Node
    uuid: str
    #: The host name of the peer in the trusted storage pool. Names of bricks
    #: begin with it: ``HOST:PATH``.
    peer_name: str


class UnresponsiveNodes:
    """The nodes whose glusterd failed, for the next choice of the writer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By node name: the monotonic time until which the node is asked
        #: last. 0 if only the timeout of the node is shortened.
        self._ask_last_until: dict[str, float] = {}

    def is_asked_last(self, node: Node, now: float) -> bool:
        """Return whether to ask a node last when the writer is chosen."""
        with self._lock:
            return self._ask_last_until.get(node.name, now) > now

    def timeout(self, node: Node) -> float:
        """Return the timeout for the check of a node as writer, in seconds.

        If glusterd hangs, only the first check waits for the full timeout.
        """
        with self._lock:
            has_failed = node.name in self._ask_last_until
        return TIMEOUT_AFTER_FAILURE if has_failed else gluster.READ_TIMEOUT

    def record_failure(self, node: Node, now: float) -> None:
        """Ask a node last for ``ASK_LAST_SECONDS`` seconds."""
        with self._lock:
            self._ask_last_until[node.name] = now + ASK_LAST_SECONDS

    def record_timeout(self, node: Node, error: errors.Error) -> None:
        """Shorten the next timeout of a node if the error is a timeout."""
        if isinstance(error, errors.TimedOut):
            with self._lock:
                self._ask_last_until.setdefault(node.name, 0.0)

    def record_answer(self, node: Node) -> None:
        """Restore the configured order and full timeout of a node."""
        with self._lock:
            self._ask_last_until.pop(node.name, None)
