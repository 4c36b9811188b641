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
"""One storage node with its tools, and as a member of the cluster."""

from collections.abc import Sequence
import dataclasses
import threading

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools import lvm

#: Seconds for which a node that failed as the writer is passed over.
SKIP_TIME = 30.0
#: Seconds that glusterd has to answer where it did not, the last time.
SHORT_TIMEOUT = 5.0


class Node:
    """One storage node, its tools, and the thin pools it should have."""

    def __init__(
        self,
        commands: circuit_breaker.CommandRunner,
        pools: Sequence[str] = (),
    ) -> None:
        self.remote = circuit_breaker.CircuitBreaker(commands)
        self.pools = tuple(pools)
        self.name = commands.name
        self.console = console.Console(self.remote)
        self.gluster = gluster.Gluster(self.console)
        self.lvm = lvm.Lvm(self.remote)
        self.file_systems = file_systems.FileSystems(self.remote)

    def close(self) -> None:
        self.console.close()
        self.remote.close()


@dataclasses.dataclass(frozen=True)
class Member:
    """A configured node as a member of the trusted storage pool."""

    node: Node
    uuid: str
    #: The name that the pool knows it by, and so that bricks are made with.
    host: str


class UnresponsiveNodes:
    """Which glusterds did not answer, and how long they are waited for now."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        #: Until when each is passed over, by the name of the node.
        self._until: dict[str, float] = {}

    def is_skipped(self, node: Node, now: float) -> bool:
        """Return whether a node is passed over as the writer."""
        with self._guard:
            return self._until.get(node.name, now) > now

    def timeout(self, node: Node) -> float:
        """Return how long its glusterd is waited for: a hang costs once."""
        with self._guard:
            late = node.name in self._until
        return SHORT_TIMEOUT if late else gluster.READ_TIMEOUT

    def mark_failed(self, node: Node, now: float) -> None:
        """Pass a node over for a while."""
        with self._guard:
            self._until[node.name] = now + SKIP_TIME

    def mark_slow(self, node: Node, error: errors.Error) -> None:
        """Give a node little time the next time, if it was late now."""
        if isinstance(error, errors.TimedOut):
            with self._guard:
                self._until.setdefault(node.name, 0.0)

    def mark_responsive(self, node: Node) -> None:
        """Note that glusterd on a node answers."""
        with self._guard:
            self._until.pop(node.name, None)
