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

from manila_glusterfs_clone import connection
from manila_glusterfs_clone import console
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import lvm
from manila_glusterfs_clone import mounts


class Node:
    """One storage node, its tools, and the thin pools it should have."""

    def __init__(
        self, commands: connection.Commands, pools: Sequence[str] = ()
    ) -> None:
        self.remote = connection.Connection(commands)
        self.pools = tuple(pools)
        self.name = commands.name
        self.console = console.Console(self.remote)
        self.gluster = gluster.Gluster(self.console)
        self.lvm = lvm.Lvm(self.remote)
        self.mounts = mounts.Mounts(self.remote)

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
