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
"""A model of a trusted storage pool: nodes, glusterds, clients, time.

The model has state: the result of a command depends on the commands before it,
not on the calls that a test expects.
"""

from collections.abc import Iterable
import errno
import threading

from tests.model import clock
from tests.model import foreign_objects
from tests.model import glusterd
from tests.model import glusterd_state
from tests.model import lvm
from tests.model import model_node
from tests.model import observer


class ModelCluster:
    """A trusted storage pool of nodes ``gl1``, ``gl2``, …"""

    def __init__(self, count: int = 3, release: str = '11.1') -> None:
        self.release = release
        self.time = clock.Clock()
        members = [
            model_node.ModelNode(
                number,
                f'00000000-0000-4000-8000-{number:012d}',
                release,
                self.time,
            )
            for number in range(1, count + 1)
        ]
        self.nodes = {node.name: node for node in members}
        self.state = glusterd_state.GlusterdState(release, self.time, members)
        self.glusterd = glusterd.Glusterd(self.state, self.time)
        #: Held by what is done on a node, but not by gluster's waits.
        self.guard = threading.RLock()
        #: What none of those under test owns.
        self.others = foreign_objects.ForeignObjects()
        #: Records whom the driver disturbs.
        self.observer = self._observer()

    def __getstate__(self) -> dict[str, object]:
        unkept = ('guard', 'observer')
        return {k: v for k, v in vars(self).items() if k not in unkept}

    def __setstate__(self, kept: dict[str, object]) -> None:
        vars(self).update(kept)
        self.guard = threading.RLock()
        self.observer = self._observer()

    def _observer(self) -> observer.Observer:
        made = observer.Observer(self.state)
        made.entitled['others'] = lambda volume, address: self.others.has(
            'volume', volume
        )
        return made

    # -- what is not of others

    def own_volumes(self) -> set[str]:
        """Return the names of the volumes without a foreign owner."""
        volumes = self.state.volumes
        return {n for n in volumes if not self.others.has('volume', n)}

    def own_snapshots(self) -> set[str]:
        """Return the names of the snapshots without a foreign owner."""
        snapshots = self.state.snapshots
        return {n for n in snapshots if not self.others.has('snapshot', n)}

    # -- power

    def cut(self, *names: str) -> None:
        """Cut the power of nodes, all of them if none is named."""
        for name in names or self.nodes:
            self.nodes[name].cut()
            for volume in self.state.volumes.values():
                volume.cut(name, self.time.now)

    def shut_down(self, *names: str) -> None:
        """Shut nodes down in good order."""
        for name in names or self.nodes:
            self.nodes[name].shut_down()

    def boot(self, *names: str) -> None:
        """Boot the nodes that are off; wait until all are up."""
        for name in names or self.nodes:
            node = self.nodes[name]
            if not node.up:
                node.power_on()
                if node.boot_unit:
                    self._mount_restored(node)
                self.glusterd.start(node)
        self.time.advance(30.0)

    def _mount_restored(self, node: model_node.ModelNode) -> None:
        """Mount restored snapshots, as the boot script does."""
        for volume in self.state.volumes.values():
            brick = volume.brick_on(node.name)
            lv = node.lvm.lvs.get(brick.lv) if brick else None
            if (
                brick is not None
                and lv is not None
                and 'manila.brick' not in lv.tags
                and any(tag.startswith('manila.snapshot=') for tag in lv.tags)
                and not node.files.is_mount_point(brick.mount)
            ):
                node.files.make(brick.mount)
                node.files.attach(node.lvm.device(lv.name), brick.mount)

    def kill_glusterd(self, name: str | None = None) -> None:
        """Kill glusterd on a node, by default on the writer."""
        writer = next((n for n in self.nodes.values() if n.serves), None)
        node = self.nodes[name] if name else writer
        if node is not None:
            self.glusterd.kill(node)

    def stop_glusterd(self, name: str, seconds: float) -> None:
        """Stop glusterd on a node for a while (SIGSTOP)."""
        self.nodes[name].stopped_until = self.time.now + seconds

    # -- clients

    def mount(self, address: str, volume: str) -> bool:
        """Mount a volume from an address; return whether it is admitted."""
        found = self.state.volumes[volume]
        if found.status != 'Started' or not all(
            glusterd_state.admits(found.as_on(brick.node), address)
            for brick in found.bricks
        ):
            return False
        client = glusterd_state.Client(address, volume)
        # One that is being thrown out makes another connection.
        if client not in self.state.clients:
            self.state.clients.append(client)
        return True

    def mounted(self, volume: str) -> set[str]:
        """Return the addresses of the clients of a volume."""
        self.glusterd.settle()
        return {
            client.address
            for client in self.state.clients
            if client.volume == volume
        }

    def write(self, volume: str, data: str) -> None:
        """Have a client write into a volume.

        :raises OSError: EROFS; the volume is read-only.
        """
        found = self.state.volumes[volume]
        if any(
            glusterd_state.is_read_only(found.as_on(brick.node))
            for brick in found.bricks
        ):
            raise OSError(errno.EROFS, 'Read-only file system')
        for node, brick in self._bricks(volume):
            node.files.write(brick.path, data)
        if self.state.volumes[volume].copies > 1:
            # A client that ends right after it has written leaves marks.
            self.state.pending_heals[volume] = 3

    def read(self, volume: str) -> str:
        """Return the content of a volume as a client reads it."""
        found = {
            node.files.read(brick.path) for node, brick in self._bricks(volume)
        }
        assert len(found) == 1, f'the copies of {volume} differ: {found}'
        return found.pop()

    def size(self, volume: str) -> int:
        """Return the size that clients see: that of the smallest brick."""
        sizes = []
        for node, brick in self._bricks(volume):
            lv, _ = node.files.where(brick.path)
            assert lv is not None and lv.live is not None
            sizes.append(lv.live.size)
        return min(sizes)

    def _bricks(
        self, volume: str
    ) -> Iterable[tuple[model_node.ModelNode, glusterd_state.Brick]]:
        found = self.state.volumes[volume]
        assert found.status == 'Started', f'{volume} is {found.status}'
        for brick in found.bricks:
            assert self.state.online(found, brick), f'{brick} is down'
            yield self.nodes[brick.node], brick

    # -- pools

    def thin_pools(self, name: str = 'pool') -> list[lvm.ThinPool]:
        """Return one thin pool on all nodes."""
        return [node.lvm.pools[name] for node in self.nodes.values()]
