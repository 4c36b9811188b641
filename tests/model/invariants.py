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
"""Compare the objects in the model with what should exist.

The driver is never asked: names and tags are written here a second time.
"""

from collections.abc import Collection, Iterable, Iterator
import dataclasses

from tests.model import files
from tests.model import glusterd_state
from tests.model import model_cluster
from tests.model import model_node

GIB = 1 << 30
BRICK_ROOT = '/srv/manila-glusterfs-clone'


@dataclasses.dataclass
class Share:
    """A share that should exist, and its expected properties."""

    id: str
    #: GiB.
    size: int
    data: str = ''
    #: What ``auth.allow`` should be.
    allow: str = '0.0.0.0'
    #: Who is admitted by a rule that stays: nothing may disturb them.
    kept: set[str] = dataclasses.field(default_factory=set)
    #: The level of each rule that is granted, by address.
    levels: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Who may not write: the clients of read-only rules, also of those that
    #: are being revoked.
    readers: set[str] = dataclasses.field(default_factory=set)
    #: What were its bricks before snapshots were restored into it.
    former: list[glusterd_state.Brick] = dataclasses.field(
        default_factory=list
    )

    @property
    def level(self) -> str | None:
        """Return the level of all granted rules; None if there are none."""
        return next(iter(self.levels.values()), None)

    @property
    def volume(self) -> str:
        return f'manila-{self.id}'


def problems(
    pool: model_cluster.ModelCluster,
    shares: Collection[Share],
    snapshots: Collection[str],
) -> list[str]:
    """Return the objects that are left over or incomplete."""
    pool.glusterd.settle()
    return [
        *map(str, pool.observer.disturbances),
        *map(str, pool.observer.breaches),
        *pool.others.problems(pool),
        *_gluster(pool, shares, snapshots),
        *(
            problem
            for node in pool.nodes.values()
            for problem in _node(pool, node, shares, snapshots)
        ),
        *(problem for share in shares for problem in _share(pool, share)),
    ]


def _gluster(
    pool: model_cluster.ModelCluster,
    shares: Collection[Share],
    snapshots: Collection[str],
) -> Iterator[str]:
    state = pool.state
    for name in state.opened_early:
        yield f'volume {name} was started before it was closed'
    volumes = {share.volume for share in shares}
    others = pool.others
    for name in sorted(state.volumes.keys() - volumes):
        if not others.has('volume', name):
            yield f'volume {name} is left over'
    for name in sorted(volumes - state.volumes.keys()):
        yield f'volume {name} is missing'
    wanted = {f'manila-snap-{snapshot}' for snapshot in snapshots}
    for name in sorted(state.snapshots.keys() - wanted):
        if not others.has('snapshot', name):
            yield f'snapshot {name} is left over'
    for name in sorted(wanted - state.snapshots.keys()):
        yield f'snapshot {name} is missing'
    for snapshot in state.snapshots.values():
        if snapshot.active and not others.has('snapshot', snapshot.name):
            yield f'snapshot {snapshot.name} is active'
    for key, until in state.locks.items():
        if until > pool.time.now:
            yield f'the lock {key} is held'
    for transaction in pool.glusterd.slow:
        yield f'a transaction on {transaction.keys} is under way'


def _node(
    pool: model_cluster.ModelCluster,
    node: model_node.ModelNode,
    shares: Collection[Share],
    snapshots: Collection[str],
) -> Iterator[str]:
    """Compare the LVs, mounts, directories and processes of a node."""
    lvs: dict[str, set[str]] = {}
    mounts: set[tuple[str, str]] = set()
    paths: set[str] = set()
    directories: set[str] = set()
    for share in shares:
        volume = pool.state.volumes.get(share.volume)
        brick = volume.brick_on(node.name) if volume else None
        if volume is None or brick is None:
            continue
        lv = brick.lv or share.volume
        lvs[lv] = {
            'manila.brick',
            f'manila.share={share.id}',
            f'manila.mount={brick.mount}',
        }
        mounts.add((brick.mount, lv))
        paths.add(brick.path)
        directories |= {brick.mount, brick.mount.rpartition('/')[0]}
        for former in share.former:
            if former.node != node.name:
                continue
            lv = former.lv or share.volume
            lvs[lv] = {
                'manila.brick',
                f'manila.share={share.id}',
                f'manila.mount={former.mount}',
            }
            mounts.add((former.mount, lv))
            directories |= {former.mount, former.mount.rpartition('/')[0]}
    for snapshot_id in snapshots:
        snapshot = pool.state.snapshots.get(f'manila-snap-{snapshot_id}')
        brick = snapshot.volume.brick_on(node.name) if snapshot else None
        if snapshot is None or brick is None:
            continue
        lvs[brick.lv] = {f'manila.snapshot={snapshot_id}'}
        # glusterd keeps the directories that it once mounted it on.
        directories |= {brick.mount, brick.mount.rpartition('/')[0]}

    def ours(kind: str, names: Iterable[str]) -> set[str]:
        others = pool.others
        return {n for n in names if not others.has(f'{node.name} {kind}', n)}

    yield from _compare(f'{node.name}: LV', ours('LV', node.lvm.lvs), set(lvs))
    for name, tags in lvs.items():
        found = node.lvm.lvs.get(name)
        if found is not None and found.tags != tags:
            yield f'{node.name}: LV {name} has the tags {found.tags}'
    targets = ours('mount', (m.target for m in node.files.mounts))
    mounted = [m for m in node.files.mounts if m.target in targets]
    yield from _compare(
        f'{node.name}: mount',
        {f'{m.target} of {m.lv}' for m in mounted},
        {f'{target} of {lv}' for target, lv in mounts},
    )
    if len(mounted) != len(mounts):
        yield f'{node.name}: something is mounted twice'
    for share in shares:
        directories |= {
            f'{root}/{share.volume}' for root in glusterd_state.RUN
        }
    directories |= pool.state.litter
    for name in pool.state.snapshots:
        # Those of attempts to take it go when it is deleted.
        above = f'{glusterd_state.SNAPS}/{name}'
        directories |= {
            path
            for path in list(node.files.directories)
            if path == above or path.startswith(f'{above}/')
        }
    kept = {BRICK_ROOT, glusterd_state.SNAPS, *glusterd_state.RUN}
    there = ours('directory', node.files.directories)
    for path in sorted(there - directories - kept):
        if path.startswith(tuple(f'{root}/' for root in kept)):
            yield f'{node.name}: directory {path} is left over'
    running = {path for path, ends in node.files.users.items() if ends is None}
    yield from _compare(
        f'{node.name}: brick process', ours('process', running), paths
    )


def _compare(what: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    for name in sorted(found - wanted):
        yield f'{what} {name} is left over'
    for name in sorted(wanted - found):
        yield f'{what} {name} is missing'


def _share(pool: model_cluster.ModelCluster, share: Share) -> Iterator[str]:
    """Check that a share is complete, even after a power cut."""
    volume = pool.state.volumes.get(share.volume)
    if volume is None:
        return
    if volume.status != 'Started':
        yield f'volume {volume.name} is {volume.status}'
        return
    for name in volume.behind:
        yield f'{name} knows other options of volume {volume.name}'
    options = volume.options
    if options.get('user.manila.share') != share.id:
        yield f'volume {volume.name} is marked as someone else\'s'
    if options.get('auth.allow') != share.allow:
        yield f'volume {volume.name} admits {options.get("auth.allow")}'
    is_read_only = glusterd_state.is_read_only(volume)
    if share.level is not None and is_read_only != (share.level == 'ro'):
        yield f'volume {volume.name} is read-only: {is_read_only}'
    for address, name in sorted(pool.state.writers()):
        if name == volume.name and address in share.readers:
            yield f'{address} can write to {volume.name}'
    for option in options:
        if option == 'auth.reject' or option == 'nfs.export-volumes':
            yield f'volume {volume.name} has inherited {option}'
    for brick in volume.bricks:
        node = pool.nodes[brick.node]
        lv, rest = node.files.where(brick.path)
        if lv is None or lv.live is None or lv.disk is None:
            yield f'brick {brick.path} on {node.name} is not mounted'
            continue
        if lv.live.size != share.size * GIB:
            yield (
                f'brick {brick.path} on {node.name} has {lv.live.size} bytes'
            )
        for where, image in (('memory', lv.live), ('disk', lv.disk)):
            marks = image.directories.get(rest, {})
            if marks.get(files.VOLUME_ID) != volume.hex:
                yield (
                    f'brick {brick.path} on {node.name} is not marked in '
                    f'{where}'
                )
            if image.data != share.data:
                yield (
                    f'brick {brick.path} on {node.name} has {image.data!r} '
                    f'in {where}'
                )
