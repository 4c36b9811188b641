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
"""The XML that ``gluster --xml`` prints, in the shapes of 10.3 and 11.1."""

from collections.abc import Iterable
from xml.sax import saxutils

from tests.model import glusterd_state

DOWN = 'Connection failed. Please check if gluster daemon is operational.\n'
TIMED_OUT = 'Error : Request timed out\n'

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
#: As glusterd prints it, tag and all.
_NOT_CONNECTED = (
    'Failed to process entries completely. (Transport endpoint is not '
    'connected)totalNumberOfEntries0'
)
_STATUS = {'Created': '0', 'Started': '1', 'Stopped': '2'}


def document(
    *parts: str, ret: int = 0, errno: int = 0, message: str = ''
) -> str:
    """Give a whole document."""
    return (
        f'{_HEAD}<cliOutput>\n  {_verdict(ret, errno, message)}'
        f'{"".join(parts)}\n</cliOutput>\n'
    )


def tag(name: str, *content: str) -> str:
    return f'<{name}>{"".join(content)}</{name}>'


def leaf(name: str, value: object) -> str:
    text = saxutils.escape(str(value))
    return f'<{name}>{text}</{name}>' if text else f'<{name}/>'


def refusal(error: glusterd_state.Refusal) -> str:
    return document(
        error.more, ret=-1, errno=error.errno, message=error.message
    )


def _verdict(ret: int, errno: int, message: str) -> str:
    return (
        leaf('opRet', ret) + leaf('opErrno', errno) + leaf('opErrstr', message)
    )


def named(what: str, volume: glusterd_state.Volume, key: str = 'id') -> str:
    """Answer a verb on a volume with its name and id."""
    return document(
        tag(
            what,
            tag('volume', leaf('name', volume.name), leaf(key, volume.id)),
        )
    )


def snapshot_done(what: str, snapshot: glusterd_state.Snapshot) -> str:
    """Answer a verb on a snapshot with its name and id."""
    return document(
        tag(
            what,
            tag(
                'snapshot',
                leaf('name', snapshot.name),
                leaf('uuid', snapshot.id),
            ),
        )
    )


def snapshot_restored(
    volume: glusterd_state.Volume, snapshot: glusterd_state.Snapshot
) -> str:
    """Answer ``snapshot restore`` with names and ids."""
    return document(
        tag(
            'snapRestore',
            tag('volume', leaf('name', volume.name), leaf('uuid', volume.id)),
            tag(
                'snapshot',
                leaf('name', snapshot.name),
                leaf('uuid', snapshot.id),
            ),
        )
    )


def pool_list(state: glusterd_state.GlusterdState, asked: str) -> str:
    peers = []
    for node in state.nodes.values():
        if node.name == asked:
            continue
        peers.append(
            tag(
                'peer',
                leaf('uuid', node.uuid),
                leaf('hostname', node.name),
                tag('hostnames', leaf('hostname', node.name)),
                leaf('connected', int(node.seems_connected)),
                leaf('state', 3),
                leaf('stateStr', 'Peer in Cluster'),
            )
        )
    peers.append(
        tag(
            'peer',
            leaf('uuid', state.nodes[asked].uuid),
            leaf('hostname', 'localhost'),
            leaf('connected', 1),
        )
    )
    return document(tag('peerStatus', *peers))


def volume_list(state: glusterd_state.GlusterdState) -> str:
    return document(
        tag(
            'volList',
            leaf('count', len(state.volumes)),
            *(leaf('volume', name) for name in sorted(state.volumes)),
        )
    )


def volume_info(
    state: glusterd_state.GlusterdState,
    volumes: Iterable[glusterd_state.Volume],
) -> str:
    found = [_volume(state, volume) for volume in volumes]
    return document(
        tag('volInfo', tag('volumes', *found, leaf('count', len(found))))
    )


def no_volume_info() -> str:
    return document(
        tag('volInfo', tag('volumes', leaf('count', 0))),
        ret=-1,
        errno=glusterd_state.NO_VOLUME,
        message='Volume does not exist',
    )


def _volume(
    state: glusterd_state.GlusterdState, volume: glusterd_state.Volume
) -> str:
    bricks = []
    for brick in volume.bricks:
        name = f'{brick.node}:{brick.path}'
        uuid = state.nodes[brick.node].uuid
        bricks.append(
            f'<brick uuid="{uuid}">{name}'
            + leaf('name', name)
            + leaf('hostUuid', uuid)
            + leaf('isArbiter', 0)
            + '</brick>'
        )
    replicated = volume.copies > 1
    count = sum(s.origin == volume.name for s in state.snapshots.values())
    return tag(
        'volume',
        leaf('name', volume.name),
        leaf('id', volume.id),
        leaf('status', _STATUS[volume.status]),
        leaf('statusStr', volume.status),
        leaf('snapshotCount', count),
        leaf('brickCount', len(bricks)),
        leaf('distCount', 1),
        leaf('replicaCount', volume.copies),
        leaf('arbiterCount', 0),
        leaf('disperseCount', 0),
        leaf('redundancyCount', 0),
        leaf('type', 2 if replicated else 0),
        leaf('typeStr', 'Replicate' if replicated else 'Distribute'),
        leaf('transport', 0),
        tag('bricks', *bricks),
        leaf('optCount', len(volume.options)),
        tag(
            'options',
            *(
                tag('option', leaf('name', name), leaf('value', value))
                for name, value in volume.options.items()
            ),
        ),
    )


def volume_status(
    state: glusterd_state.GlusterdState,
    found: Iterable[glusterd_state.Volume],
    *,
    clients: bool,
    brick: str = '',
    message: str = '',
) -> str:
    """Answer for some volumes, or one brick of them, as ``host:/path``."""
    return document(
        tag(
            'volStatus',
            tag(
                'volumes',
                *(
                    _volume_status(state, volume, clients, brick)
                    for volume in found
                ),
            ),
        ),
        message=message,
    )


def _volume_status(
    state: glusterd_state.GlusterdState,
    volume: glusterd_state.Volume,
    clients: bool,
    only: str,
) -> str:
    entries = []
    for brick in volume.bricks:
        node = state.nodes[brick.node]
        if node.serves and only in ('', f'{brick.node}:{brick.path}'):
            entries.append(_brick_status(state, volume, brick, clients))
    if volume.copies > 1 and not clients and not only:
        for node in state.nodes.values():
            if node.serves:
                entries.append(_daemon(node.name, node.uuid))
    return tag(
        'volume',
        leaf('volName', volume.name),
        leaf('nodeCount', len(entries)),
        *entries,
        *([] if clients else ['<tasks/>']),
    )


def connected(
    state: glusterd_state.GlusterdState,
    volume: glusterd_state.Volume,
    brick: glusterd_state.Brick,
) -> list[str]:
    """Give the addresses of the clients of a brick that is online.

    The self-heal daemons of all nodes are clients of what has copies; that
    of its own node by a loopback address if the node finds its name there.
    """
    found = [
        '127.0.0.1'
        if node.name_is_loopback and node.name == brick.node
        else node.address
        for node in state.nodes.values()
        if volume.copies > 1
        and (node.serves or node.listed_until > state.time.now)
    ]
    return found + [
        client.address
        for client in state.clients
        if client.volume == volume.name
    ]


def _brick_status(
    state: glusterd_state.GlusterdState,
    volume: glusterd_state.Volume,
    brick: glusterd_state.Brick,
    clients: bool,
) -> str:
    online = state.online(volume, brick)
    port: object = 50000 if online else 'N/A'
    more = ''
    if clients and online:
        found = connected(state, volume, brick)
        rows = [leaf('clientCount', len(found))] if found else []
        more = tag(
            'clientsStatus',
            *rows,
            *(
                tag(
                    'client',
                    leaf('hostname', f'{address}:49148'),
                    leaf('bytesRead', 1),
                    leaf('bytesWrite', 1),
                    leaf('opVersion', 100000),
                )
                for address in found
            ),
        )
    return tag(
        'node',
        leaf('hostname', brick.node),
        leaf('path', brick.path),
        leaf('peerid', state.nodes[brick.node].uuid),
        leaf('status', int(online)),
        leaf('port', port),
        tag('ports', leaf('tcp', port), leaf('rdma', 'N/A')),
        leaf('pid', 2000 if online else -1),
        more,
    )


def _daemon(name: str, uuid: str) -> str:
    return tag(
        'node',
        leaf('hostname', 'Self-heal Daemon'),
        leaf('path', name),
        leaf('peerid', uuid),
        leaf('status', 1),
        leaf('port', 'N/A'),
        tag('ports', leaf('tcp', 'N/A'), leaf('rdma', 'N/A')),
        leaf('pid', 2100),
    )


def healing(name: str) -> str:
    """Answer ``volume heal``, which is in words also with ``--xml``."""
    return (
        f'Launching heal operation to perform index self heal on volume '
        f'{name} has been successful \n'
        f'Use heal info commands to check status.\n'
    )


def not_healing(name: str, message: str) -> str:
    """Refuse it, on the error output."""
    return (
        f'Launching heal operation to perform index self heal on volume '
        f'{name} has been unsuccessful:\n{message}\n'
    )


def heal_summary(
    state: glusterd_state.GlusterdState, volume: glusterd_state.Volume
) -> str:
    bricks = []
    for brick in volume.bricks:
        name = leaf('name', f'{brick.node}:{brick.path}')
        if not state.online(volume, brick):
            bricks.append(
                f'<brick hostUuid="-">{name}'
                + leaf('status', _NOT_CONNECTED)
                + '</brick>'
            )
            continue
        count = state.pending(volume.name)
        uuid = state.nodes[brick.node].uuid
        bricks.append(
            f'<brick hostUuid="{uuid}">{name}'
            + leaf('status', 'Connected')
            + leaf('totalNumberOfEntries', count)
            + leaf('numberOfEntriesInHealPending', count)
            + leaf('numberOfEntriesInSplitBrain', 0)
            + leaf('numberOfEntriesPossiblyHealing', 0)
            + '</brick>'
        )
    return (
        f'{_HEAD}<cliOutput>'
        + tag('healInfo', tag('bricks', *bricks))
        + _verdict(0, 0, '')
        + '</cliOutput>\n'
    )


def snapshot_info(
    state: glusterd_state.GlusterdState,
    snapshots: Iterable[glusterd_state.Snapshot],
) -> str:
    found = []
    for snapshot in snapshots:
        count = sum(
            s.origin == snapshot.origin for s in state.snapshots.values()
        )
        found.append(
            tag(
                'snapshot',
                leaf('name', snapshot.name),
                leaf('uuid', snapshot.id),
                '<description/>',
                leaf('createTime', '2026-01-01 00:00:00 +0000'),
                leaf('volCount', 1),
                tag(
                    'snapVolume',
                    leaf('name', snapshot.volume.hex),
                    leaf(
                        'status', 'Started' if snapshot.active else 'Stopped'
                    ),
                    tag(
                        'originVolume',
                        leaf('name', snapshot.origin),
                        leaf('snapCount', count),
                        leaf(
                            'snapRemaining',
                            glusterd_state.MAX_SNAPSHOTS - count,
                        ),
                    ),
                ),
            )
        )
    return document(
        tag('snapInfo', leaf('count', len(found)), tag('snapshots', *found))
    )


def snapshot_config(
    state: glusterd_state.GlusterdState,
    volumes: Iterable[glusterd_state.Volume],
) -> str:
    def own(volume: glusterd_state.Volume) -> str:
        limit = state.snapshot_limits.get(
            volume.name, glusterd_state.MAX_SNAPSHOTS
        )
        effective = min(limit, state.snapshot_limit)
        return tag(
            'volume',
            leaf('name', volume.name),
            leaf('hardLimit', limit),
            leaf('effectiveHardLimit', effective),
            leaf('softLimit', effective * 90 // 100),
        )

    return document(
        tag(
            'snapConfig',
            tag(
                'systemConfig',
                leaf('hardLimit', state.snapshot_limit),
                leaf('softLimit', '90%'),
                leaf('autoDelete', state.auto_delete),
                leaf('activateOnCreate', 'disable'),
            ),
            tag('volumeConfig', *map(own, volumes)),
        )
    )


def global_options(state: glusterd_state.GlusterdState) -> str:
    """Return the answer to ``volume get all all``, with some of the options.

    Not recorded: in the format that vdsm parses.
    """
    options = {
        'cluster.server-quorum-ratio': '51 (DEFAULT)',
        'cluster.op-version': state.op_version,
        'cluster.max-op-version': state.max_op_version,
    }
    return document(
        tag(
            'volGetopts',
            leaf('count', len(options)),
            *(
                tag('Opt', leaf('Option', name), leaf('Value', value))
                for name, value in options.items()
            ),
        )
    )
