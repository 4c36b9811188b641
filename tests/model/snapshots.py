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
"""The snapshot commands as glusterd 10.3 and 11.1 run them.

Each command is a generator: see :mod:`tests.model.volumes`.

A snapshot is a volume of its own, on thin snapshots of the bricks' LVs. A
clone is a volume on thin snapshots of those. Both are named after the id of
that volume in hex, with a number that counts the bricks of a node in 10.3
and those of the volume in 11.1. LVM tags are not copied. The node that was
asked commits first, and does not sync what it writes.
"""

from collections.abc import Sequence

from tests.model import answers
from tests.model import files
from tests.model import glusterd_state
from tests.model import model_node
from tests.model import volumes

Phases = volumes.Phases


class Snapshots:
    """The verbs on snapshots."""

    def __init__(self, state: glusterd_state.GlusterdState) -> None:
        self._state = state

    def config(self, asked: str, words: Sequence[str]) -> Phases:
        """Set the limit of a volume."""
        volume, option, limit = words
        assert option == 'snap-max-hard-limit'
        yield 0.5
        self._state.snapshot_limits[volume] = int(limit)
        return answers.document()

    def create(self, asked: str, words: Sequence[str]) -> Phases:
        name, origin, stamp = words
        assert stamp == 'no-timestamp', 'else the name gets the time'
        volume = self._state.volume(
            origin,
            glusterd_state.NO_VOLUME,
            f'Volume ({origin}) does not exist',
        )
        if name in self._state.snapshots:
            raise glusterd_state.Refusal(
                glusterd_state.SNAPSHOT_EXISTS,
                f'Snapshot {name} already exists',
            )
        if volume.status != 'Started':
            raise glusterd_state.Refusal(
                glusterd_state.STOPPED, f'volume {origin} is not started'
            )
        count = sum(s.origin == origin for s in self._state.snapshots.values())
        limit = min(
            self._state.snapshot_limit,
            self._state.snapshot_limits.get(
                origin, glusterd_state.MAX_SNAPSHOTS
            ),
        )
        if count >= limit:
            raise glusterd_state.Refusal(
                glusterd_state.LIMIT,
                f'The number of existing snaps has reached the effective '
                f'maximum limit of {limit}, for the volume '
                f'({origin}). Please delete few snapshots before taking '
                f'further snapshots.',
            )
        self._require_bricks(asked, volume, 'volume', 'snapshot create')
        taken = glusterd_state.Volume(
            '',
            self._state.new_id(),
            [],
            volume.copies,
            glusterd_state.inherited(volume.options),
        )
        snapshot = glusterd_state.Snapshot(
            name, self._state.new_id(), origin, taken
        )
        taken.name = taken.hex
        taken.bricks = self._bricks(taken, volume)
        volume.options = {'features.barrier': 'disable', **volume.options}
        yield 1.0
        first = self._state.nodes[asked]
        self._state.snapshots[name] = snapshot
        for there in self._state.nodes.values():
            if there.serves:
                there.files.make(f'{glusterd_state.SNAPS}/{name}/{taken.hex}')
            else:
                snapshot.lacking.add(there.name)
        full = self._too_full(first, volume)
        if full or self._state.mishap('snapshot create'):
            # It takes everything back but the directories (11.1).
            del self._state.snapshots[name]
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Commit failed on {full or asked}. Please check log file '
                f'for details.',
            )
        for node, index, brick in self._state.on_nodes(first, volume):
            if node is not first:
                yield 2.0
            lv, _ = node.files.where(brick.path)
            assert lv is not None
            node.lvm.snapshot(lv.name, taken.bricks[index].lv)
        yield 1.0
        return answers.snapshot_done('snapCreate', snapshot)

    def activate(self, asked: str, words: Sequence[str]) -> Phases:
        snapshot = self._find(words[0])
        if snapshot.active:
            raise glusterd_state.Refusal(
                22, f'Snapshot {snapshot.name} is already activated.'
            )
        yield 0.5
        snapshot.active = True
        first = self._state.nodes[asked]
        for node, _, brick in self._state.on_nodes(first, snapshot.volume):
            if node is not first:
                yield 0.5
            self.mount(node, snapshot.volume, brick)
            if self._state.release == '10.3' or not node.files.xattr(
                brick.path, files.VOLUME_ID
            ):
                node.files.set_xattr(
                    brick.path, files.VOLUME_ID, snapshot.volume.hex
                )
            node.files.users[brick.path] = None
            # It is waited for, unlike the bricks of a volume.
            node.files.begun[brick.path] = 0.0
        return answers.snapshot_done('snapActivate', snapshot)

    def deactivate(self, asked: str, words: Sequence[str]) -> Phases:
        snapshot = self._find(words[0])
        if not snapshot.active:
            raise glusterd_state.Refusal(
                22, f'Snapshot {snapshot.name} is already deactivated.'
            )
        yield 0.5
        snapshot.active = False
        first = self._state.nodes[asked]
        for node, _, brick in self._state.on_nodes(first, snapshot.volume):
            if node is not first:
                yield 0.5
            self._unmount(node, brick)
        return answers.snapshot_done('snapDeactivate', snapshot)

    def clone(self, asked: str, words: Sequence[str]) -> Phases:
        name, source = words
        if name in self._state.volumes:
            raise glusterd_state.Refusal(
                glusterd_state.VOLUME_EXISTS,
                f'Volume with name:{name} already exists',
            )
        if source not in self._state.snapshots:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL, f'Failed to find :{source} snap'
            )
        snapshot = self._state.snapshots[source]
        if not snapshot.active:
            raise glusterd_state.Refusal(
                glusterd_state.STOPPED, f'Snapshot {source} is not activated'
            )
        self._require_bricks(
            asked, snapshot.volume, 'snapshot', 'snapshot clone'
        )
        made = glusterd_state.Volume(
            name,
            self._state.new_id(),
            [],
            snapshot.volume.copies,
            glusterd_state.inherited(snapshot.volume.options),
            is_clone=True,
            without_daemon_file=set()
            if snapshot.volume.copies == 1
            else set(self._state.nodes),
        )
        made.bricks = self._bricks(made, snapshot.volume)
        yield 1.0
        first = self._state.nodes[asked]
        fails = self._state.mishap('clone') or bool(
            self._too_full(first, snapshot.volume)
        )
        done: list[tuple[model_node.ModelNode, glusterd_state.Brick]] = []
        for node, index, brick in self._state.on_nodes(first, snapshot.volume):
            if node is not first:
                yield 1.5
            if fails and len(done) == len(made.bricks) - 1:
                self._give_up(made, done)
                raise glusterd_state.Refusal(
                    glusterd_state.INTERNAL,
                    f'Commit failed on {node.name}. Please check log '
                    f'file for details.',
                )
            own = made.bricks[index]
            node.lvm.snapshot(brick.lv, own.lv)
            self.mount(node, made, own)
            node.files.set_xattr(own.path, files.VOLUME_ID, made.hex)
            done.append((node, own))
            if node is first:
                self._state.volumes[name] = made
        self._state.volumes[name] = made
        yield 1.0
        return answers.named('CloneCreate', made, 'uuid')

    def _too_full(
        self, first: model_node.ModelNode, volume: glusterd_state.Volume
    ) -> str:
        """Return a node whose LVM makes no LV like those of a volume."""
        for node, _, brick in self._state.on_nodes(first, volume):
            lv = node.lvm.lvs.get(brick.lv) or node.files.where(brick.path)[0]
            if lv is not None and node.lvm.is_too_full(lv.pool):
                return node.name
        return ''

    def _give_up(
        self,
        made: glusterd_state.Volume,
        done: Sequence[tuple[model_node.ModelNode, glusterd_state.Brick]],
    ) -> None:
        """Take back a clone; 11.1 looks for its LVs by a wrong name."""
        self._state.volumes.pop(made.name, None)
        for node, brick in done:
            node.files.detach(brick.mount)
            if self._state.release == '10.3':
                node.lvm.drop(brick.lv)
            self._state.drop_snap_directories(node, made)

    def restore(self, asked: str, words: Sequence[str]) -> Phases:
        """Make the LVs of a snapshot the bricks of its stopped volume.

        The snapshot is consumed. The LVs keep their names and tags, and the
        former bricks stay mounted. The id of the volume stays, its options
        are those of the snapshot.
        """
        snapshot = self._find(words[0])
        volume = self._state.volumes[snapshot.origin]
        if volume.status == 'Started':
            raise glusterd_state.Refusal(
                glusterd_state.STARTED,
                f'Volume ({volume.name}) has been started. Volume needs to '
                f'be stopped before restoring a snapshot.',
            )
        yield 0.5
        first = self._state.nodes[asked]
        for node, _, brick in self._state.on_nodes(first, snapshot.volume):
            if node is not first:
                yield 0.5
            node.files.users.pop(brick.path, None)
            self.mount(node, snapshot.volume, brick)
            node.files.set_xattr(brick.path, files.VOLUME_ID, volume.hex)
        volume.bricks = snapshot.volume.bricks
        volume.options = dict(snapshot.volume.options)
        volume.is_clone = True
        above = f'{glusterd_state.SNAPS}/{snapshot.name}'
        self._state.litter |= {above, f'{above}/{snapshot.volume.hex}'}
        del self._state.snapshots[snapshot.name]
        return answers.snapshot_restored(volume, snapshot)

    def delete(self, asked: str, words: Sequence[str]) -> Phases:
        if any(
            words[0] not in self._state.snapshots_on(node.name)
            for node in self._state.nodes.values()
            if node.serves
        ):
            raise _not_deleted(words[0])
        if words[0] in self._state.remembered[asked]:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Snapshot {words[0]} might not be in an usable state.',
            )
        snapshot = self._find(words[0])
        yield 0.5
        snapshot.active = False
        first = self._state.nodes[asked]
        sticks = self._state.mishap('snapshot delete')
        for node, _, brick in self._state.on_nodes(first, snapshot.volume):
            if node is not first:
                yield 0.5
            self._unmount(node, brick)
            # None is there if it was given up before this node had its turn.
            if brick.lv in node.lvm.lvs and (not sticks or node is first):
                node.lvm.drop(brick.lv)
            if self._state.release == '10.3':
                self._state.drop_snap_directories(node, snapshot.volume)
            # They stay on nodes without a brick.
            above = f'{glusterd_state.SNAPS}/{snapshot.name}'
            node.files.remove(f'{above}/{snapshot.volume.hex}')
            if not any(
                p.startswith(f'{above}/') for p in node.files.directories
            ):
                node.files.remove(above)
        self._state.forget_snapshot(snapshot.name)
        return answers.document(
            answers.tag(
                'snapDelete',
                answers.tag(
                    'snapshots',
                    answers.tag(
                        'snapshot',
                        answers.leaf('status', 'Success'),
                        answers.leaf('name', snapshot.name),
                        answers.leaf('uuid', snapshot.id),
                    ),
                ),
            )
        )

    # -- bricks

    def _bricks(
        self, made: glusterd_state.Volume, of: glusterd_state.Volume
    ) -> list[glusterd_state.Brick]:
        """Name bricks as glusterd does."""
        found = []
        for index, brick in enumerate(of.bricks):
            number = 0 if self._state.release == '10.3' else index
            found.append(
                glusterd_state.Brick(
                    brick.node,
                    f'{glusterd_state.SNAPS}/{made.hex}/brick{index + 1}/'
                    f'{brick.path.rpartition("/")[2]}',
                    f'{made.hex}_{number}',
                    brick.origin or brick.path,
                )
            )
        return found

    def mount(
        self,
        node: model_node.ModelNode,
        volume: glusterd_state.Volume,
        brick: glusterd_state.Brick,
    ) -> None:
        """Mount a brick of a snapshot or clone, if it is not."""
        if not node.files.is_mount_point(brick.mount):
            node.files.make(brick.mount)
            node.files.attach(node.lvm.device(brick.lv), brick.mount)

    def _unmount(
        self, node: model_node.ModelNode, brick: glusterd_state.Brick
    ) -> None:
        """Stop the process and unmount; glusterd waits for it."""
        node.files.users.pop(brick.path, None)
        node.files.detach(brick.mount)

    def _find(self, name: str) -> glusterd_state.Snapshot:
        found = self._state.snapshots.get(name)
        if found is None:
            raise glusterd_state.Refusal(
                glusterd_state.NO_SNAPSHOT, f'Snapshot ({name}) does not exist'
            )
        return found

    def _require_bricks(
        self,
        asked: str,
        volume: glusterd_state.Volume,
        what: str,
        command: str,
    ) -> None:
        for brick in volume.bricks:
            if self._state.online(volume, brick):
                continue
            where = (
                ''
                if brick.node == asked
                else f'Pre Validation failed on {brick.node}. '
            )
            raise glusterd_state.Refusal(
                glusterd_state.BRICK_DOWN,
                f'{where}One or more bricks are not running. Please run '
                f'{what} status command to see brick status.\n'
                f'Please start the stopped brick and then issue {command} '
                f'command ',
            )


def _not_deleted(name: str) -> glusterd_state.Refusal:
    message = f'Snapshot ({name}) does not exist'
    return glusterd_state.Refusal(
        glusterd_state.NO_SNAPSHOT,
        message,
        answers.tag(
            'snapDelete',
            answers.tag(
                'snapshots',
                answers.tag(
                    'snapshot',
                    answers.leaf('status', 'Failure'),
                    answers.leaf('opRet', -1),
                    answers.leaf('opErrno', glusterd_state.NO_SNAPSHOT),
                    answers.leaf('opErrstr', message),
                    answers.leaf('name', name),
                ),
            ),
        ),
    )
