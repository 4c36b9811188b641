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
"""Parse the XML answers of glusterd into frozen dataclasses."""

from collections.abc import Mapping
import dataclasses
from xml.etree import ElementTree

#: The maximum number of snapshots of one volume in glusterd.
MAX_SNAPSHOTS = 256
#: The number that glusterd uses for the peer state "Peer in Cluster".
_IN_CLUSTER = '3'


@dataclasses.dataclass(frozen=True)
class Peer:
    """A node of the trusted storage pool, as glusterd on one node lists it."""

    uuid: str
    #: The name of the peer; ``localhost`` for the node that made the list.
    hostname: str
    #: Whether the peer is connected and accepted into the pool.
    is_connected: bool
    #: All names and addresses of the peer; empty for the node that made the
    #: list.
    names: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Brick:
    """One brick of a volume; glusterd names it ``host:path``."""

    host: str
    path: str
    #: The UUID of the node in the trusted storage pool.
    node_uuid: str


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume, as ``gluster volume info`` lists it."""

    name: str
    id: str
    #: ``Created``, ``Started`` or ``Stopped``.
    status: str
    snapshot_count: int
    #: 1 without replication.
    replica_count: int
    bricks: tuple[Brick, ...]
    #: The options that were changed from their defaults.
    options: Mapping[str, str]
    #: How many of the replicas are arbiter bricks, which store no file data.
    arbiter_count: int = 0

    @property
    def hex_id(self) -> str:
        """Return the volume id as 32 hex digits."""
        return self.id.replace('-', '')

    @property
    def is_started(self) -> bool:
        return self.status == 'Started'


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot, as ``gluster snapshot info`` lists it."""

    name: str
    #: The id, in hex, of the volume that glusterd created for the snapshot.
    #: The names of the LVs of the snapshot begin with this id.
    hex_id: str
    #: The name of the volume that the snapshot was taken of.
    origin: str
    is_active: bool


@dataclasses.dataclass(frozen=True)
class SnapshotConfig:
    """The snapshot options, as ``gluster snapshot config`` lists them."""

    #: The maximum number of snapshots of a volume.
    hard_limit: int
    #: Whether glusterd deletes a volume's oldest snapshot when the volume has
    #: almost reached its limit.
    has_auto_delete: bool


@dataclasses.dataclass(frozen=True)
class BrickStatus:
    """The state of a brick process, and the clients connected to it."""

    node_uuid: str
    path: str
    is_online: bool
    #: The addresses of the clients, without ports.
    clients: frozenset[str]


@dataclasses.dataclass(frozen=True)
class HealState:
    """Pending self-heal, as in ``gluster volume heal … info summary``."""

    #: The number of entries (files and directories) that self-heal still has
    #: to copy, summed over all bricks.
    entry_count: int
    #: The number of these entries that are in split-brain.
    split_brain_count: int
    #: The bricks that did not answer, each as ``host:/path (state)``.
    silent_bricks: tuple[str, ...]

    @property
    def is_healed(self) -> bool:
        return not self.entry_count and not self.silent_bricks


def text(element: ElementTree.Element | None, path: str) -> str:
    return (element.findtext(path) or '') if element is not None else ''


def peers(root: ElementTree.Element) -> tuple[Peer, ...]:
    """Return the peers in the answer to ``pool list``."""
    return tuple(
        Peer(
            uuid=text(peer, 'uuid'),
            hostname=text(peer, 'hostname'),
            # A connected peer may be rejected from the pool. For its own
            # node, glusterd reports no state.
            is_connected=text(peer, 'connected') == '1'
            and text(peer, 'state') in ('', _IN_CLUSTER),
            names=frozenset(
                name.text or '' for name in peer.iterfind('hostnames/hostname')
            ),
        )
        for peer in root.iterfind('peerStatus/peer')
    )


def volume_names(root: ElementTree.Element) -> frozenset[str]:
    """Return the names in the answer to ``volume list``."""
    elements = root.iterfind('volList/volume')
    return frozenset(element.text or '' for element in elements)


def brick_statuses(root: ElementTree.Element) -> tuple[BrickStatus, ...]:
    """Return the bricks in the answer to ``volume status``."""
    return tuple(
        BrickStatus(
            node_uuid=text(node, 'peerid'),
            path=text(node, 'path'),
            is_online=text(node, 'status') == '1',
            clients=frozenset(
                text(client, 'hostname').rpartition(':')[0]
                for client in node.iterfind('clientsStatus/client')
            ),
        )
        for node in root.iterfind('volStatus/volumes/volume/node')
        # The answer lists the daemons of the volume among its bricks. Only
        # bricks have an absolute path.
        if text(node, 'path').startswith('/')
    )


def volumes(root: ElementTree.Element) -> dict[str, Volume]:
    """Parse the answer to ``volume info``.

    After its start, glusterd receives volumes from its peers. For a moment it
    lists a received volume without bricks (11.1).

    :return: the volumes by name.
    :raises ValueError: bricks or options of a volume are missing.
    """
    parsed_volumes = map(_volume, root.iterfind('volInfo/volumes/volume'))
    return {volume.name: volume for volume in parsed_volumes}


def _volume(element: ElementTree.Element) -> Volume:
    bricks = []
    for brick in element.iterfind('bricks/brick'):
        # Split at ":/", because the host may be an IPv6 address with colons.
        host, _, path = text(brick, 'name').partition(':/')
        bricks.append(Brick(host, f'/{path}', text(brick, 'hostUuid')))
    options = {
        text(option, 'name'): text(option, 'value')
        for option in element.iterfind('options/option')
    }
    for items, tag in ((bricks, 'brickCount'), (options, 'optCount')):
        count = text(element, tag)
        if count and len(items) != int(count):
            raise ValueError(
                f'volume {text(element, "name")}: {tag} is {count}, but '
                f'{len(items)} are listed'
            )
    if not bricks:
        raise ValueError(f'volume {text(element, "name")} has no bricks')
    return Volume(
        name=text(element, 'name'),
        id=text(element, 'id'),
        status=text(element, 'statusStr'),
        snapshot_count=int(text(element, 'snapshotCount') or 0),
        replica_count=int(text(element, 'replicaCount') or 1),
        bricks=tuple(bricks),
        options=options,
        arbiter_count=int(text(element, 'arbiterCount') or 0),
    )


def snapshots(root: ElementTree.Element) -> dict[str, Snapshot]:
    parsed_snapshots = map(
        _snapshot, root.iterfind('snapInfo/snapshots/snapshot')
    )
    return {snapshot.name: snapshot for snapshot in parsed_snapshots}


def _snapshot(element: ElementTree.Element) -> Snapshot:
    return Snapshot(
        name=text(element, 'name'),
        hex_id=text(element, 'snapVolume/name'),
        origin=text(element, 'snapVolume/originVolume/name'),
        is_active=text(element, 'snapVolume/status') == 'Started',
    )


def snapshot_config(root: ElementTree.Element, volume: str) -> SnapshotConfig:
    config = root.find('snapConfig')
    limit = text(config, 'systemConfig/hardLimit')
    for element in root.iterfind('snapConfig/volumeConfig/volume'):
        # ``snapshot config`` without a volume name lists all volumes.
        if text(element, 'name') == volume:
            limit = text(element, 'effectiveHardLimit')
    return SnapshotConfig(
        hard_limit=int(limit or MAX_SNAPSHOTS),
        has_auto_delete=text(config, 'systemConfig/autoDelete') == 'enable',
    )


def heal_state(root: ElementTree.Element) -> HealState:
    """Parse the answer to ``volume heal … info summary``.

    For a brick that is down, the answer has a state, such as "Transport
    endpoint is not connected". The counts are missing, or are dashes.
    """
    entry_count = split_brain_count = 0
    silent_bricks = []
    for brick in root.iterfind('healInfo/bricks/brick'):
        count_text = text(brick, 'totalNumberOfEntries')
        if count_text.isdecimal():
            entry_count += int(count_text)
            split_count_text = text(brick, 'numberOfEntriesInSplitBrain')
            split_brain_count += (
                int(split_count_text) if split_count_text.isdecimal() else 0
            )
        else:
            state = text(brick, 'status') or 'no state'
            silent_bricks.append(f'{text(brick, "name")} ({state})')
    return HealState(entry_count, split_brain_count, tuple(silent_bricks))
