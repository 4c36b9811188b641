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
"""A cluster and its locks in memory, at the seams that maintenance uses.

The nodes have logical volumes and mounts, and glusterd has volumes. A change
is recorded in :attr:`Cluster.changes`, and is refused unless the lock of the
share is held.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
from typing import Any, TypeVar

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.locking import cross_host_locks
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import file_systems
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm
from tests.unit.cluster import test_bricks
from tests.unit.protocols import test_protocols

BACKEND = 'gold'
HOST = 'host@gold'
A = 'aaaaaaaa-0000-4000-8000-000000000000'
B = 'bbbbbbbb-0000-4000-8000-000000000000'
C = 'cccccccc-0000-4000-8000-000000000000'
OTHER = 'dddddddd-0000-4000-8000-000000000000'
NODES = ('gl1', 'gl2', 'gl3')

T = TypeVar('T')


def uuid_of(node: str) -> str:
    return f'uuid-{node}'


def path_of(share_id: str) -> str:
    return names.brick_path(names.mount_point('/srv', share_id))


def volume(share_id: str, **changes: Any) -> gluster.Volume:
    """Return the volume of a share, with one brick on each node."""
    usual = gluster.Volume(
        name=names.volume(share_id),
        id=share_id,
        status='Started',
        snapshot_count=0,
        replica_count=1,
        bricks=tuple(
            gluster.Brick(node, path_of(share_id), uuid_of(node))
            for node in NODES
        ),
        options={
            names.OPTION_SHARE: share_id,
            names.OPTION_BACKEND: BACKEND,
        },
    )
    return dataclasses.replace(usual, **changes)


def lv(name: str, *tags: str, **columns: str) -> lvm.LogicalVolume:
    row = {**test_bricks.lv(name, tags=','.join(tags)), **columns}
    (parsed,) = test_bricks.lvs_of(row)
    return parsed


def brick_lv(share_id: str) -> lvm.LogicalVolume:
    """Return the LV of a brick of a share, with all its tags."""
    mount = names.mount_point('/srv', share_id)
    return lv(names.volume(share_id), *names.brick_tags(share_id, mount))


class Locks:
    """Locks that others hold if a test says so; waiting times are short."""

    def __init__(self) -> None:
        #: The kind and the id of each lock that another operation holds.
        self.held_by_others: set[tuple[str, str]] = set()
        self.held: list[tuple[str, str]] = []
        #: Called when a lock was acquired.
        self.on_acquired: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def _hold(
        self, kind: str, key: str, timeout: float | None
    ) -> Iterator[None]:
        assert timeout is not None and timeout <= 1
        if (kind, key) in self.held_by_others:
            raise cross_host_locks.LockHeld(f'{kind}-{key}', timeout)
        assert (kind, key) not in self.held
        self.held.append((kind, key))
        try:
            self.on_acquired()
            yield
        finally:
            self.held.remove((kind, key))

    def share(
        self, share_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return self._hold('share', share_id, timeout)

    def work(
        self, instance_id: str, *, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return self._hold('work', instance_id, timeout)

    def maintenance(
        self, host: str
    ) -> contextlib.AbstractContextManager[None]:
        return self._hold('maintenance', host, 0)


class Gluster:
    """glusterd on one node: it has the volumes of the whole cluster."""

    def __init__(self, whole: 'Cluster', node: str) -> None:
        self._cluster = whole
        self._node = node

    def volume(self, name: str) -> gluster.Volume | None:
        view = self._cluster.views.get((self._node, name))
        return view or self._cluster.volumes.get(name)

    def volumes(self) -> dict[str, gluster.Volume]:
        return dict(self._cluster.volumes)

    def snapshots(self) -> dict[str, gluster.Snapshot]:
        return {}

    def volumes_and_snapshots(
        self,
    ) -> tuple[dict[str, gluster.Volume], dict[str, gluster.Snapshot]]:
        return self.volumes(), self.snapshots()

    def brick_status(self, name: str) -> tuple[gluster.BrickStatus, ...]:
        if trouble := self._cluster.status_errors.get(name):
            raise trouble
        return tuple(
            gluster.BrickStatus(
                brick.node_uuid,
                brick.path,
                (brick.host, name) not in self._cluster.down,
                frozenset(),
            )
            for brick in self._cluster.volumes[name].bricks
            if brick.host not in self._cluster.disconnected
        )

    def start_volume(self, name: str, *, force: bool = False) -> None:
        words = (name, 'force') if force else (name,)
        self._cluster.record(name, 'start', *words)
        found = self._cluster.volumes[name]
        self._cluster.volumes[name] = dataclasses.replace(
            found, status='Started'
        )

    def set_options(self, name: str, options: Mapping[str, str]) -> None:
        self._cluster.record(name, 'set', name)
        found = self._cluster.volumes[name]
        self._cluster.volumes[name] = dataclasses.replace(
            found, options={**found.options, **options}
        )
        for key in [key for key in self._cluster.views if key[1] == name]:
            del self._cluster.views[key]


class Lvm:
    """The LVs of one node."""

    def __init__(self, node: 'Node') -> None:
        self._node = node
        self.rows: dict[str, lvm.LogicalVolume] = {}

    def add(self, *lvs: lvm.LogicalVolume) -> None:
        self.rows.update({each.full_name: each for each in lvs})

    def lvs(self, *selectors: str) -> tuple[lvm.LogicalVolume, ...]:
        if self._node.trouble is not None:
            raise self._node.trouble
        return tuple(
            row
            for row in self.rows.values()
            if not selectors or {f'@{tag}' for tag in row.tags} & {*selectors}
        )

    def tag_lvs(self, lvs: Sequence[str], tags: Iterable[str]) -> None:
        self._retag('add', lvs, lambda old: old | {*tags})

    def untag_lvs(self, lvs: Sequence[str], tags: Iterable[str]) -> None:
        self._retag('remove', lvs, lambda old: old - {*tags})

    def _retag(
        self,
        verb: str,
        lvs: Sequence[str],
        change: Callable[[frozenset[str]], frozenset[str]],
    ) -> None:
        for name in lvs:
            self._node.record(f'{verb} tags', name)
            row = self.rows[name]
            self.rows[name] = dataclasses.replace(row, tags=change(row.tags))


class FileSystems:
    """The mounts of one node, and the volume ids of the bricks there."""

    def __init__(self, node: 'Node') -> None:
        self._node = node
        #: The source of each mount, by mount point.
        self.table: dict[str, str] = {}
        #: By path of a brick: the id of its volume, in hex.
        self.volume_ids: dict[str, str] = {}

    def mounts(self) -> tuple[file_systems.Mount, ...]:
        return tuple(
            file_systems.Mount(target, source, 'xfs', frozenset())
            for target, source in self.table.items()
        )

    def read_volume_id(self, path: str) -> str | None:
        return self.volume_ids.get(path)

    def make_directory(self, path: str) -> None:
        """Do nothing: these file systems have no directories."""

    def mount(self, lv: str, path: str) -> None:
        self._node.record('mount', lv, path)
        (row,) = (
            row for row in self._node.lvm.rows.values() if row.full_name == lv
        )
        self.table[path] = row.device


class Node:
    """A storage node."""

    def __init__(self, whole: 'Cluster', name: str) -> None:
        self.name = name
        self.pools = ()
        self.gluster = Gluster(whole, name)
        self.lvm = Lvm(self)
        self.file_systems = FileSystems(self)
        #: Raised by all reads of LVs.
        self.trouble: Exception | None = None
        self._cluster = whole

    def lvs_and_mounts(
        self, *lv_names: str
    ) -> tuple[tuple[lvm.LogicalVolume, ...], tuple[file_systems.Mount, ...]]:
        return self.lvm.lvs(*lv_names), self.file_systems.mounts()

    def run(self, *the_steps: step_outcomes.Step) -> None:
        for step in the_steps:
            for tool in (self.lvm, self.file_systems):
                if action := getattr(tool, step.verb, None):
                    action(**step.values)
                    break
            else:
                raise AssertionError(f'not expected: {step}')

    def record(self, *words: str) -> None:
        self._cluster.record(None, self.name, *words)


class Cluster:
    """A trusted storage pool in memory."""

    def __init__(self, *volumes: gluster.Volume) -> None:
        self.locks = Locks()
        self.volumes = {each.name: each for each in volumes}
        #: What glusterd on one node reports, where it differs.
        self.views: dict[tuple[str, str], gluster.Volume] = {}
        #: The node and the volume of each brick that is down.
        self.down: set[tuple[str, str]] = set()
        self.disconnected: set[str] = set()
        self.status_errors: dict[str, Exception] = {}
        #: Raised by a read, if set.
        self.trouble: Exception | None = None
        self.changes: list[tuple[str, ...]] = []
        self.nodes: Any = tuple(Node(self, name) for name in NODES)
        for each in volumes:
            for node in self.nodes:
                self.add_brick(node, each)

    def add_brick(self, node: Node, of: gluster.Volume) -> None:
        """Give a node the mounted brick of the volume of a share."""
        share_id = names.share_id_from_name(of.name)
        assert share_id is not None
        row = brick_lv(share_id)
        node.lvm.add(row)
        path = path_of(share_id)
        node.file_systems.table[path.rpartition('/')[0]] = row.device
        node.file_systems.volume_ids[path] = of.hex_id

    def record(self, volume_name: str | None, *words: str) -> None:
        kinds = [
            key
            for kind, key in self.locks.held
            if kind == 'share' and volume_name in (None, names.volume(key))
        ]
        assert kinds, f'{words} without the lock of the share'
        self.changes.append(words)

    def node(self, name: str) -> Node:
        (found,) = (node for node in self.nodes if node.name == name)
        assert isinstance(found, Node)
        return found

    def members(self) -> tuple[cluster.Member, ...]:
        return tuple(
            cluster.Member(node, uuid_of(node.name), node.name)
            for node in self.nodes
        )

    def read(self, question: Callable[[Any], T]) -> T:
        if self.trouble is not None:
            raise self.trouble
        return question(self.nodes[0].gluster)

    def change(
        self, action: Callable[[Any], None], is_done: Callable[[Any], bool]
    ) -> None:
        action(self.nodes[0].gluster)

    def try_everywhere(
        self,
        action: Callable[[Any], T],
        nodes: Iterable[Any] | None = None,
    ) -> tuple[dict[str, T], dict[str, Exception]]:
        done: dict[str, T] = {}
        failed: dict[str, Exception] = {}
        for node in self.nodes if nodes is None else nodes:
            try:
                done[node.name] = action(node)
            except Exception as error:
                failed[node.name] = error
        return done, failed

    def everywhere(
        self,
        action: Callable[[Any], T],
        nodes: Iterable[Any] | None = None,
    ) -> dict[str, T]:
        done, failed = self.try_everywhere(action, nodes)
        cluster.raise_any(failed)
        return done

    def state(self, **changes: Any) -> cluster_state.ClusterState:
        """Return the state of the cluster as a pass reads it."""
        usual = cluster_state.ClusterState(
            backend_mark=BACKEND,
            peers=tuple(
                gluster.Peer(
                    uuid_of(name), name, name not in self.disconnected
                )
                for name in NODES
            ),
            volumes=dict(self.volumes),
            snapshots={},
            brick_statuses=tuple(
                status
                for each in self.volumes.values()
                if each.is_started and each.name not in self.status_errors
                for status in self.nodes[0].gluster.brick_status(each.name)
            ),
            lvs_by_node={
                node.name: tuple(node.lvm.rows.values()) for node in self.nodes
            },
            errors_by_node={},
            volumes_by_node={
                node.name: {
                    name: node.gluster.volume(name) for name in self.volumes
                }
                for node in self.nodes
            },
        )
        return dataclasses.replace(usual, **changes)

    def finder(self) -> volumes.Volumes:
        """Return the service that finds the volumes of shares."""
        whole: Any = self
        protocol = test_protocols.Dummy(whole)
        return volumes.Volumes(whole, protocol, backend_mark=BACKEND)


def warnings(caplog: Any, level: str = 'WARNING') -> list[str]:
    """Return what the driver logged at one level, and forget the rest."""
    messages = [
        record.getMessage()
        for record in caplog.records
        if record.levelname == level
        and record.name.startswith('manila_glusterfs_clone')
    ]
    caplog.clear()
    return messages
