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
"""The state that glusterd stores: volumes, snapshots, and locks.

One state stands for that of all nodes. Nodes differ only in LVs, mounts and
brick processes, and in the options of volumes if a node missed a change.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import math
import random
import re
import uuid

from tests.model import clock
from tests.model import files
from tests.model import model_node
from tests.model.shared_dict import SharedDict

Options = dict[str, str]

SNAPS = '/run/gluster/snaps'
#: Where glusterd keeps the files of the processes of volumes.
RUN = ('/run/gluster/vols', '/run/gluster/shd')
MAX_SNAPSHOTS = 256
#: Seconds after which glusterd takes a lock away.
LOCK_TIMER = 180.0
#: Seconds between the start of a brick process and its being online, and
#: between the order to stop and its end.
STARTING, STOPPING = 1.0, 2.0

INTERNAL, NO_QUORUM = 30800, 30804
BUSY, BRICK_DOWN, LIMIT = 30802, 30803, 30805
NO_VOLUME, NO_SNAPSHOT, STARTED, STOPPED = 30806, 30807, 30809, 30810
VOLUME_EXISTS, SNAPSHOT_EXISTS = 30811, 30812

#: What it says of a commit that failed, by the kind of transaction.
COMMIT_FAILED = (
    'Commit failed on localhost. Please check log file for details.'
)
NOT_COMMITTED = (
    'Commit failed on localhost. Please check the log file for more details.'
)


class Refusal(Exception):
    """glusterd refuses a command."""

    def __init__(self, errno: int, message: str, more: str = '') -> None:
        super().__init__(message)
        self.errno = errno
        self.message = message
        #: XML that goes with it.
        self.more = more


@dataclasses.dataclass
class Brick:
    """A brick; ``lv`` where glusterd made it, ``origin`` of which path."""

    node: str
    path: str
    lv: str = ''
    origin: str = ''

    @property
    def mount(self) -> str:
        return self.path.rpartition('/')[0]


@dataclasses.dataclass
class Volume:
    """A volume, or the one that glusterd makes for a snapshot."""

    name: str
    id: str
    bricks: list[Brick]
    copies: int
    options: dict[str, str]
    status: str = 'Created'
    is_clone: bool = False
    #: The nodes without the file that describes it to the self-heal daemon;
    #: ``snapshot clone`` does not write it.
    without_daemon_file: set[str] = dataclasses.field(default_factory=set)
    #: When ``volume create`` wrote that file, until a later command stores
    #: the volume and so brings the file to the disks.
    written_at: float = -math.inf
    #: The options as those nodes have them that missed changes.
    behind: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    #: How many they missed, less those that they had part in since.
    missed: dict[str, int] = dataclasses.field(default_factory=dict)
    #: What they were told as they came back, and have not taken over yet.
    news: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def hex(self) -> str:
        return self.id.replace('-', '')

    def brick_on(self, node: str) -> Brick | None:
        for brick in self.bricks:
            if brick.node == node:
                return brick
        return None

    def cut(self, node: str, now: float) -> None:
        """Lose what a node that loses power has not brought to its disk."""
        if self.copies > 1 and now - self.written_at < files.WRITE_BACK:
            self.without_daemon_file.add(node)

    def change(
        self, change: Callable[[Options], Options], absent: Iterable[str]
    ) -> None:
        """Change options, on all nodes but those that are left out."""
        self.written_at = -math.inf
        absent = set(absent)
        for node in absent:
            self.behind.setdefault(node, self.options)
            self.missed[node] = self.missed.get(node, 0) + 1
        self.options = change(self.options)
        for node in self.behind.keys() - absent:
            self.behind[node] = change(self.behind[node])
            self.missed[node] -= 1
        self._compare()

    def tell(self, node: str) -> None:
        """Send a node what it missed; it applies that later."""
        if node in self.behind:
            self.news[node] = self.options

    def take_over(self, node: str) -> None:
        """Make a node apply what it was sent.

        Its own counts if it is as new, by the number of changes.
        """
        news = self.news.pop(node, None)
        if news is not None:
            if self.missed[node] > 0:
                self.behind[node] = news
            self.missed[node] = 0
        self._compare()

    def _compare(self) -> None:
        for node in [*self.behind]:
            if self.behind[node] == self.options and node not in self.news:
                del self.behind[node]
                self.missed.pop(node, None)

    def as_on(self, node: str) -> 'Volume':
        """Return the volume as glusterd on a node has it."""
        options = self.behind.get(node, self.options)
        return dataclasses.replace(self, options=options)


@dataclasses.dataclass
class Snapshot:
    """A snapshot; its volume is named by its id in hex."""

    name: str
    id: str
    origin: str
    volume: Volume
    active: bool = False
    #: The nodes that were away when it was made, until its peers have sent it.
    lacking: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Client:
    """A client that has mounted a volume."""

    address: str
    volume: str
    #: When it is thrown out, if it is to be.
    ends: float | None = None


class GlusterdState:
    """The state that all glusterds of a trusted storage pool share."""

    def __init__(
        self,
        release: str,
        time: clock.Clock,
        members: Iterable[model_node.ModelNode],
    ) -> None:
        self.release = release
        self.time = time
        self.nodes = {node.name: node for node in members}
        self.volumes: dict[str, Volume] = SharedDict()
        self.snapshots: dict[str, Snapshot] = SharedDict()
        #: The nodes that list a snapshot twice, with its name: they received
        #: it from two peers while they booted.
        self.listed_twice: set[tuple[str, str]] = set()
        #: By node: deleted snapshots that its glusterd has in memory only.
        self.remembered: dict[str, dict[str, Snapshot]] = {
            name: SharedDict() for name in self.nodes
        }
        self.clients: list[Client] = []
        #: Volumes of shares that were started before they were closed.
        self.opened_early: list[str] = []
        self.auto_delete = 'disable'
        self.op_version = self.max_op_version = '100000'
        #: Directories that glusterd leaves of snapshots that were restored;
        #: nothing tells their names then.
        self.litter: set[str] = set()
        #: How many snapshots a volume may have: any, and by its name.
        self.snapshot_limit = MAX_SNAPSHOTS
        self.snapshot_limits: dict[str, int] = {}
        #: Entries that are marked on each brick of a volume, by its name.
        self.pending_heals: dict[str, int] = SharedDict()
        #: Seconds that healing takes, and when that of a volume is over.
        self.heal_seconds = 1.0
        self._healed_at: dict[str, float] = {}
        #: Until when each lock is held.
        self.locks: dict[str, float] = SharedDict()
        #: Until when another transaction holds everything.
        self.busy_until = 0.0
        #: How many times there will be a mishap: ``clone`` (a peer's
        #: commit fails), ``snapshot create`` (the same), ``snapshot
        #: delete`` (an LV stays, and success is reported), ``left out`` (a
        #: peer has no part in a change of options, and nobody tells it
        #: later).
        self.mishaps: dict[str, int] = {}
        self._random = random.Random(release)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # -- who is there

    def first(self, node: model_node.ModelNode) -> list[model_node.ModelNode]:
        """Return all nodes in commit order, the one that was asked first."""
        others = [other for other in self.nodes.values() if other is not node]
        return [node, *others]

    def on_nodes(
        self, node: model_node.ModelNode, volume: Volume
    ) -> Iterator[tuple[model_node.ModelNode, int, Brick]]:
        """Yield the bricks with their index, local ones first.

        Those on nodes that are away are passed over.
        """
        for there in self.first(node):
            if not there.serves:
                continue
            for index, brick in enumerate(volume.bricks):
                if brick.node == there.name:
                    yield there, index, brick

    def write_volfiles(self, volume: Volume) -> None:
        """Write and store the files of a volume on each node that is there."""
        volume.without_daemon_file -= {
            node.name for node in self.nodes.values() if node.serves
        }
        volume.written_at = -math.inf

    def failing(self, volume: Volume) -> list[str]:
        """Return the nodes that are there and fail to change the options."""
        return [
            name
            for name in self.nodes
            if name in volume.without_daemon_file and self.nodes[name].serves
        ]

    # -- copies

    def heal(self, name: str) -> None:
        """Heal the marked entries, as the self-heal daemons do."""
        self._healed_at.setdefault(name, self.time.now + self.heal_seconds)

    def pending(self, name: str) -> int:
        """Count the entries that are marked on each brick of a volume."""
        if self._healed_at.get(name, math.inf) <= self.time.now:
            del self._healed_at[name]
            self.pending_heals.pop(name, None)
        return self.pending_heals.get(name, 0)

    # -- locks

    def conflict(self, keys: Iterable[str]) -> bool:
        now = self.time.now
        return self.busy_until > now or any(
            self.locks.get(key, 0.0) > now for key in keys
        )

    def hold(self, keys: Iterable[str], seconds: float = LOCK_TIMER) -> None:
        for key in keys:
            self.locks[key] = self.time.now + seconds

    def hold_all(self, seconds: float) -> None:
        """Make another transaction lock all objects."""
        self.busy_until = self.time.now + seconds

    def release_locks(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.locks.pop(key, None)

    def note_opening(self, volume: Volume) -> None:
        """Note whether a started volume denied all before."""
        owner = volume.options.get('user.manila.share')
        if volume.name != f'manila-{owner}':
            self.opened_early.append(volume.name)

    # -- bricks

    def online(self, volume: Volume, brick: Brick) -> bool:
        """Return whether the process of a brick runs."""
        there = self.nodes[brick.node]
        begun = there.files.begun.get(brick.path, 0.0)
        return (
            there.serves
            and there.files.users.get(brick.path, 0.0) is None
            and self.time.now - begun >= STARTING
        )

    def start_brick(self, volume: Volume, brick: Brick) -> None:
        """Start a process, if the brick exists and has the volume id."""
        there = self.nodes[brick.node]
        if not there.serves or not there.files.exists(brick.path):
            return
        if there.files.where(brick.path)[0] is None:
            return
        mark = there.files.xattr(brick.path, files.VOLUME_ID)
        if mark == volume.hex:
            there.files.make(f'{brick.path}/.glusterfs')
            if there.files.users.get(brick.path, 0.0) is not None:
                there.files.begun[brick.path] = self.time.now
            there.files.users[brick.path] = None

    def stop_brick(self, brick: Brick) -> None:
        there = self.nodes[brick.node]
        if there.files.users.get(brick.path, 0.0) is None:
            there.files.users[brick.path] = self.time.now + STOPPING

    def drop_snap_directories(
        self, there: model_node.ModelNode, volume: Volume
    ) -> None:
        """Remove the remains below the directory of glusterd's mounts."""
        root = f'{SNAPS}/{volume.hex}'
        for path in list(there.files.directories):
            if path == root or path.startswith(f'{root}/'):
                there.files.remove(path)

    # -- clients

    def served(self) -> set[tuple[str, str]]:
        """Return the address and volume of each client that is served.

        A client of several copies needs more than half of them.
        """
        return {
            (client.address, client.volume)
            for client in self.clients
            if client.ends is None and self._serves(client)
        }

    def _serves(self, client: Client) -> bool:
        volume = self.volumes.get(client.volume)
        if volume is None or volume.status != 'Started':
            return False
        serving = sum(
            self.online(volume, brick)
            and admits(volume.as_on(brick.node), client.address)
            for brick in volume.bricks
        )
        return serving > volume.copies // 2

    def writers(self) -> set[tuple[str, str]]:
        """Return the address and volume of each client that can write.

        To whichever brick. A client that is being thrown out can write until
        its time has come.
        """
        return {
            (client.address, client.volume)
            for client in self.clients
            if client.ends is None or client.ends > self.time.now
            if self._can_write(client)
        }

    def _can_write(self, client: Client) -> bool:
        volume = self.volumes.get(client.volume)
        if volume is None or volume.status != 'Started':
            return False
        return any(
            self.online(volume, brick)
            and not is_read_only(volume.as_on(brick.node))
            and (
                client.ends is not None
                or admits(volume.as_on(brick.node), client.address)
            )
            for brick in volume.bricks
        )

    def settle_clients(self) -> None:
        """Disconnect the clients whose time has come."""
        self.clients = [
            client
            for client in self.clients
            if (client.ends is None or client.ends > self.time.now)
            and client.volume in self.volumes
            and self.volumes[client.volume].status == 'Started'
        ]

    # -- by name

    def snapshots_on(self, node: str) -> dict[str, Snapshot]:
        """Return the snapshots that glusterd on a node has, by name."""
        return {
            name: snapshot
            for name, snapshot in self.snapshots.items()
            if node not in snapshot.lacking
        } | self.remembered[node]

    def forget_snapshot(self, name: str) -> None:
        """Delete a snapshot; a second entry of it stays in memory."""
        snapshot = self.snapshots.pop(name)
        for entry in {entry for entry in self.listed_twice if name in entry}:
            self.listed_twice.remove(entry)
            self.remembered[entry[0]][name] = snapshot

    def receive_remembered(self, node: str) -> None:
        """Replace what a glusterd that starts has in memory only."""
        self.listed_twice = {e for e in self.listed_twice if e[0] != node}
        others = [
            kept for name, kept in self.remembered.items() if name != node
        ]
        self.remembered[node] = SharedDict(
            {name: s for kept in others for name, s in kept.items()}
        )

    def volume(self, name: str, errno: int, message: str) -> Volume:
        found = self.volumes.get(name)
        if found is None:
            raise Refusal(errno, message)
        return found

    def mishap(self, name: str) -> bool:
        """Return whether a planned error happens now."""
        left = self.mishaps.get(name, 0)
        self.mishaps[name] = max(0, left - 1)
        return left > 0


def admits(volume: Volume, address: str) -> bool:
    """Return whether a client may mount, by its address.

    A prefix length is misread but for 8, 16 and 24: ``/32`` admits all.
    """
    if volume.options.get('client.ssl') == 'on':
        return False
    for entry in volume.options.get('auth.allow', '*').split(','):
        network, _, prefix = entry.partition('/')
        if prefix in ('8', '16', '24'):
            octets = int(prefix) // 8
            if network.split('.')[:octets] == address.split('.')[:octets]:
                return True
        elif prefix or re.fullmatch(
            entry.replace('.', r'\.').replace('*', '.*'), address
        ):
            return True
    return False


def is_read_only(volume: Volume) -> bool:
    """Return whether bricks refuse what clients write."""
    value = volume.options.get('features.read-only', 'off')
    return value.lower() in ('1', 'on', 'yes', 'true', 'enable')


def inherited(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that a snapshot copies from its volume.

    All of them but the barrier; quota is noted as off where it is not on.
    """
    kept = {k: v for k, v in options.items() if k != 'features.barrier'}
    for name in (
        'features.quota',
        'features.inode-quota',
        'features.quota-deem-statfs',
    ):
        kept.setdefault(name, 'off')
    return kept
