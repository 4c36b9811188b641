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
"""The volume commands as glusterd 10.3 and 11.1 run them.

Each command is a generator. It yields the seconds between its phases (checks,
commit here, commit on the peers); meanwhile its locks are held and others may
act. It returns the answer.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
import re

from tests.model import answers
from tests.model import files
from tests.model import glusterd_state

Phases = Generator[float, None, str]
Options = glusterd_state.Options

#: What glusterd sets on a volume that is created.
_INITIAL = {
    'cluster.granular-entry-heal': 'on',
    'storage.fips-mode-rchecksum': 'on',
    'transport.address-family': 'inet',
    'nfs.disable': 'on',
    'performance.client-io-threads': 'off',
}
#: Of these, what no reset removes.
_LASTING = (
    'storage.fips-mode-rchecksum',
    'transport.address-family',
    'nfs.disable',
)
_KNOWN = re.compile(
    r'user\..+|(auth\.(allow|reject|ssl-allow)|(client|server)\.ssl'
    r'|nfs\.(disable|export-volumes)|cluster\.(granular-entry-heal|data-self-heal-algorithm)'
    r'|features\.(read-only|barrier|quota|inode-quota|quota-deem-statfs)'
    r'|performance\.[a-z-]+|network\.ping-timeout)'
)
_PROFILING = ('diagnostics.count-fop-hits', 'diagnostics.latency-measurement')
#: How long, in bytes, a line of an option may be in glusterd's store before
#: it overruns a buffer.
_LONGEST = 4092
#: Seconds for which glusterd, having started, cannot stand that a volume is
#: deleted.
_STARTING = 8.0
#: Seconds until a client that is not admitted any more is thrown out.
_EVICTION = 1.5


class Volumes:
    """The verbs on volumes."""

    def __init__(self, state: glusterd_state.GlusterdState) -> None:
        self._state = state

    def create(self, asked: str, words: Sequence[str]) -> Phases:
        name, copies, paths = words[0], 1, list(words[1:])
        if paths[0] == 'replica':
            copies = int(paths[1])
            paths = paths[2:]
        assert 'force' not in paths
        if name in self._state.volumes:
            raise glusterd_state.Refusal(0, f'Volume {name} already exists')
        bricks = []
        for path in paths:
            host, _, rest = path.partition(':')
            bricks.append(glusterd_state.Brick(host, rest))
        for brick in bricks:
            self._check_new(brick)
        volume = glusterd_state.Volume(
            name,
            self._state.new_id(),
            bricks,
            copies,
            {
                key: value
                for key, value in _INITIAL.items()
                if copies > 1
                or key
                not in (
                    'cluster.granular-entry-heal',
                    'performance.client-io-threads',
                )
            },
            written_at=self._state.time.now,
        )
        yield 0.5
        first = self._state.nodes[asked]
        self._state.volumes[name] = volume
        for node, _, brick in self._state.on_nodes(first, volume):
            if node is not first:
                yield 0.5
            node.files.make(brick.path)
            node.files.set_xattr(brick.path, files.VOLUME_ID, volume.hex)
        return answers.named('volCreate', volume)

    def _check_new(self, brick: glusterd_state.Brick) -> None:
        node = self._state.nodes.get(brick.node)
        if node is None or not node.serves:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Host {brick.node} is not in \'Peer in Cluster\' state',
            )
        where = f'{brick.node}:{brick.path}'
        if node.files.is_mount_point(brick.path):
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'The brick {where} is a mount point. Please create a '
                f'sub-directory under the mount point and use that as the '
                f'brick directory.',
            )
        if node.files.where(brick.path)[0] is None:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'The brick {where} is being created in the root partition. '
                f'It is recommended that you don\'t use the system\'s root '
                f'partition for storage backend. Or use \'force\' at the end '
                f'of the command if you want to override this behavior.',
            )
        if node.files.xattr(brick.path, files.VOLUME_ID) is not None:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'{brick.path} is already part of a volume',
            )

    def start(self, asked: str, words: Sequence[str]) -> Phases:
        force = list(words[1:]) == ['force']
        volume = self._find(words[0])
        if volume.status == 'Started' and not force:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Volume {volume.name} already started',
            )
        for brick in volume.bricks:
            self._check_startable(volume, brick, force)
        yield 0.5
        first = self._state.nodes[asked]
        volume.status = 'Started'
        self._state.write_volfiles(volume)
        # They stay when it is deleted.
        for node in self._state.nodes.values():
            if node.serves:
                for root in glusterd_state.RUN:
                    node.files.make(f'{root}/{volume.name}')
        self._state.note_opening(volume)
        for node, _, brick in self._state.on_nodes(first, volume):
            if node is not first:
                yield 0.3
            self._state.start_brick(volume, brick)
        return answers.named('volStart', volume)

    def _check_startable(
        self,
        volume: glusterd_state.Volume,
        brick: glusterd_state.Brick,
        force: bool,
    ) -> None:
        node = self._state.nodes[brick.node]
        if not node.serves:
            return
        if not node.files.exists(brick.path):
            if force:
                return
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Failed to find brick directory {brick.path} for volume '
                f'{volume.name}. Reason : No such file or directory',
            )
        mark = node.files.xattr(brick.path, files.VOLUME_ID)
        if mark is None and force:
            node.files.set_xattr(brick.path, files.VOLUME_ID, volume.hex)
        elif mark != volume.hex:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Volume id mismatch for brick {brick.node}:{brick.path}. '
                f'Expected volume id {volume.hex}, volume id {mark} found',
            )

    def stop(self, asked: str, words: Sequence[str]) -> Phases:
        force = list(words[1:]) == ['force']
        volume = self._find(words[0])
        if volume.status != 'Started' and not force:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Volume {volume.name} is not in the started state',
            )
        yield 0.5
        first = self._state.nodes[asked]
        volume.status = 'Stopped'
        for node, _, brick in self._state.on_nodes(first, volume):
            if node is not first:
                yield 0.3
            self._state.stop_brick(brick)
        return answers.named('volStop', volume)

    def delete(self, asked: str, words: Sequence[str]) -> Phases:
        """Forget a volume; its LVs and mounts stay, a clone's too."""
        volume = self._find(words[0])
        count = sum(
            s.origin == volume.name for s in self._state.snapshots.values()
        )
        if volume.status == 'Started':
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Volume {volume.name} has been started.Volume needs to be '
                f'stopped before deletion.',
            )
        if count:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Cannot delete Volume {volume.name} ,as it has {count} '
                f'snapshots. To delete the volume, first delete all the '
                f'snapshots under it.',
            )
        if not all(node.serves for node in self._state.nodes.values()):
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL, 'Some of the peers are down'
            )
        yield 0.5
        for node in self._state.nodes.values():
            age = self._state.time.now - node.glusterd_since
            assert age > _STARTING, f'glusterd on {node.name} hangs for ever'
        del self._state.volumes[volume.name]
        yield 0.5
        return answers.named('volDelete', volume)

    def set(self, asked: str, words: Sequence[str]) -> Phases:
        volume = self._find(words[0])
        pairs = dict(zip(words[1::2], words[2::2], strict=True))
        for name, value in pairs.items():
            if not _KNOWN.fullmatch(name):
                raise _not_set(
                    f'option : {name} does not exist\nDid you mean {name[:3]}?'
                )
            assert len(f'{name}={value}') <= _LONGEST, 'glusterd crashes'
        if 'nfs.export-volumes' in {**volume.options, **pairs}:
            # gNFS is not built; each later change fails too.
            raise _not_set(glusterd_state.NOT_COMMITTED)
        failing = self._state.failing(volume)
        if asked in failing:
            raise _not_set(glusterd_state.NOT_COMMITTED)
        yield 0.5

        def put(options: Options) -> Options:
            # The newest stands first.
            new = dict(reversed(pairs.items()))
            return new | {k: v for k, v in options.items() if k not in pairs}

        was_read_only = glusterd_state.is_read_only(volume)
        self._change(asked, volume, put, failing)
        if (
            glusterd_state.is_read_only(volume)
            and not was_read_only
            and volume.copies > 1
            and any(c.volume == volume.name for c in self._state.clients)
        ):
            # Writes that are under way leave marks (11.1).
            self._state.pending_heals[volume.name] = 3
        yield 0.5
        self.reauthenticate(volume)
        if failing:
            raise _not_set(_not_committed(failing))
        return _said('volSet', 'Set volume successful')

    def reset(self, asked: str, words: Sequence[str]) -> Phases:
        """Put one option of a volume back to its default, or all of them.

        All of them are also those that glusterd refuses to reset one by one.
        """
        name, *options = (word for word in words if word != 'force')
        if name == 'all':
            # Options of the cluster: none that this driver sets.
            yield 0.1
            return _said('volReset', 'reset volume successful')
        volume = self._find(name)
        failing = self._state.failing(volume)
        if asked in failing:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL, glusterd_state.NOT_COMMITTED
            )
        for option in options:
            if option.startswith('user.'):
                raise glusterd_state.Refusal(
                    glusterd_state.INTERNAL, f'Option {option} does not exist'
                )
        yield 0.5

        def drop(kept: Options) -> Options:
            return {
                key: value
                for key, value in kept.items()
                if (key not in options if options else key in _LASTING)
            }

        self._change(asked, volume, drop, failing)
        yield 0.5
        self.reauthenticate(volume)
        if failing:
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL, _not_committed(failing)
            )
        return _said('volReset', 'reset volume successful')

    def _change(
        self,
        asked: str,
        volume: glusterd_state.Volume,
        change: Callable[[Options], Options],
        failing: Iterable[str],
    ) -> None:
        """Change options on all nodes that are there, or on all but some."""
        nodes = self._state.nodes.values()
        absent = {node.name for node in nodes if not node.serves}
        absent.update(failing)
        if self._state.mishap('left out'):
            others = [n.name for n in nodes if n.serves and n.name != asked]
            absent.update(others[-1:])
        volume.change(change, absent)

    def profile(self, asked: str, words: Sequence[str]) -> Phases:
        """Turn profiling on or off, which writes all files of a volume."""
        name, order = words
        volume = self._find(name)
        said = answers.tag(
            'volProfile',
            answers.leaf('volname', name),
            answers.leaf('profileOp', {'start': 1, 'stop': 2}[order]),
        )
        on = _PROFILING[0] in volume.options
        if (order == 'start') == on:
            state = 'already started' if on else 'not started'
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Profile on Volume {name} is {state}',
                said,
            )
        yield 0.5
        for option in _PROFILING:
            volume.options.pop(option, None)
            if not on:
                volume.options[option] = 'on'
        self._state.write_volfiles(volume)
        yield 0.5
        return answers.document(said)

    def status(self, asked: str, words: Sequence[str]) -> Phases:
        if words[0] == 'all':
            yield 0.02 * len(self._state.volumes)
            return answers.volume_status(
                self._state,
                [
                    each
                    for each in self._state.volumes.values()
                    if each.status == 'Started'
                    and not self._state.conflict([f'{each.name}_vol'])
                ],
                clients=False,
            )
        volume = self._find(words[0])
        if volume.status != 'Started':
            message = f'Volume {volume.name} is not started'
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                message,
                answers.leaf('cliOp', 'volStatus')
                + answers.leaf('output', message),
            )
        yield 0.02
        self._state.settle_clients()
        *brick, last = words
        clients = last == 'clients'
        only = ''.join(brick[1:] if clients else words[1:])
        return answers.volume_status(
            self._state,
            [volume],
            clients=clients,
            brick=only,
            message=self._without_clients(asked, volume, only)
            if clients
            else '',
        )

    def _without_clients(
        self, asked: str, volume: glusterd_state.Volume, only: str
    ) -> str:
        """Have bricks without a client fail to list their clients.

        :return: what is said of one on the node that was asked; that of
            another node fails the command.
        """
        message = ''
        for brick in volume.bricks:
            if (
                only in ('', f'{brick.node}:{brick.path}')
                and self._state.online(volume, brick)
                and not answers.connected(self._state, volume, brick)
            ):
                if brick.node != asked:
                    failed = (
                        f'Commit failed on {brick.node}. Please check log '
                        f'file for details.'
                    )
                    raise glusterd_state.Refusal(
                        glusterd_state.INTERNAL,
                        failed,
                        answers.leaf('cliOp', 'volStatus')
                        + answers.leaf('output', failed),
                    )
                message = (
                    'Glusterd Syncop Mgmt brick op \'Status\' failed. Please '
                    'check brick log file for details.'
                )
        return message

    def heal(self, asked: str, words: Sequence[str]) -> Phases:
        volume = self._find(words[0])
        if list(words[1:]) == ['info', 'summary']:
            yield 0.3
            return answers.heal_summary(self._state, volume)
        assert not words[1:]
        if volume.status != 'Started':
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                f'Volume {volume.name} is not started.',
            )
        yield 0.2
        if not all(self._state.online(volume, b) for b in volume.bricks):
            raise glusterd_state.Refusal(
                glusterd_state.INTERNAL,
                'Glusterd Syncop Mgmt brick op \'Heal\' failed. Please check '
                'glustershd log file for details.',
            )
        self._state.heal(volume.name)
        return answers.healing(volume.name)

    def _find(self, name: str) -> glusterd_state.Volume:
        return self._state.volume(
            name, glusterd_state.INTERNAL, f'Volume {name} does not exist'
        )

    def reauthenticate(self, volume: glusterd_state.Volume) -> None:
        """Have bricks look at their clients again, as at each change."""
        for client in self._state.clients:
            if client.volume == volume.name and not any(
                glusterd_state.admits(volume.as_on(brick.node), client.address)
                for brick in volume.bricks
                # That of a node without power admits nobody.
                if self._state.nodes[brick.node].up
            ):
                client.ends = self._state.time.now + _EVICTION


def admits_name(volume: glusterd_state.Volume, common_name: str) -> bool:
    """Whether a client may mount, by the name in its certificate."""
    if volume.options.get('client.ssl') != 'on':
        return False
    listed = volume.options.get('auth.ssl-allow')
    return listed is not None and common_name in listed.split(',')


def _said(operation: str, text: str) -> str:
    return answers.document(
        answers.leaf('cliOp', operation), answers.leaf('output', text)
    )


def _not_committed(nodes: Sequence[str]) -> str:
    return f'Commit failed on {nodes[0]}. Please check log file for details.'


def _not_set(message: str) -> glusterd_state.Refusal:
    return glusterd_state.Refusal(
        glusterd_state.INTERNAL,
        message,
        answers.leaf('cliOp', 'volSet')
        + answers.leaf('output', 'Set volume unsuccessful'),
    )
