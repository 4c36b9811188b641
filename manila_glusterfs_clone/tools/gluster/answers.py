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
"""What glusterd answers, as frozen dataclasses, read from its XML."""

from collections.abc import Mapping
import dataclasses
from xml.etree import ElementTree

#: More than that glusterd lets no volume have.
MAX_SNAPSHOTS = 256


@dataclasses.dataclass(frozen=True)
class Peer:
    """A node of the trusted storage pool, as another one sees it."""

    uuid: str
    #: ``localhost`` for the node that was asked.
    hostname: str
    connected: bool
    #: All names and addresses that it is known by, if it is another node.
    names: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Brick:
    """One brick of a volume."""

    host: str
    path: str
    node_uuid: str


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume, as ``volume info`` has it."""

    name: str
    id: str
    #: ``Created``, ``Started`` or ``Stopped``.
    status: str
    snapshot_count: int
    copies: int
    bricks: tuple[Brick, ...]
    options: Mapping[str, str]

    @property
    def hex_id(self) -> str:
        """The volume id as bricks are marked with it."""
        return self.id.replace('-', '')

    @property
    def is_started(self) -> bool:
        return self.status == 'Started'


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot, as ``snapshot info`` has it."""

    name: str
    #: The id, in hex, of the volume that glusterd made for the snapshot:
    #: what the names of its LVs begin with.
    hex_id: str
    #: The volume it was taken of.
    origin: str
    is_active: bool


@dataclasses.dataclass(frozen=True)
class SnapshotConfig:
    """What glusterd is told of snapshots, as ``snapshot config`` has it."""

    #: How many a volume may have: the lower of its own limit and that of
    #: the cluster.
    hard_limit: int
    #: Whether glusterd deletes the oldest when there are nearly as many.
    auto_delete: bool


@dataclasses.dataclass(frozen=True)
class BrickStatus:
    """Whether the process of a brick is up, and who is connected to it."""

    node_uuid: str
    path: str
    online: bool
    #: The addresses of its clients, without ports.
    clients: frozenset[str]


@dataclasses.dataclass(frozen=True)
class HealState:
    """What is still to be healed, as ``volume heal … info summary`` has it."""

    #: How many entries, on all bricks together.
    entries: int
    #: How many of them are in split-brain.
    split_brain: int
    #: Bricks that did not answer, each as ``host:/path (state)``.
    silent: tuple[str, ...]

    @property
    def is_healed(self) -> bool:
        return not self.entries and not self.silent


def text(element: ElementTree.Element | None, path: str) -> str:
    return (element.findtext(path) or '') if element is not None else ''


def volumes(root: ElementTree.Element) -> dict[str, Volume]:
    """Read the answer to ``volume info``.

    A glusterd that was just started and is told by its peers of a volume
    shows it without its bricks for a moment (11.1).

    :raises ValueError: a volume has not all its bricks or options.
    """
    found = map(_volume, root.iterfind('volInfo/volumes/volume'))
    return {volume.name: volume for volume in found}


def _volume(element: ElementTree.Element) -> Volume:
    bricks = []
    for brick in element.iterfind('bricks/brick'):
        # The host may be an IPv6 address, and have colons itself.
        host, _, path = text(brick, 'name').partition(':/')
        bricks.append(Brick(host, f'/{path}', text(brick, 'hostUuid')))
    options = {
        text(option, 'name'): text(option, 'value')
        for option in element.iterfind('options/option')
    }
    for found, count in ((bricks, 'brickCount'), (options, 'optCount')):
        told = text(element, count)
        if told and len(found) != int(told):
            raise ValueError(
                f'volume {text(element, "name")}: {len(found)} in place of '
                f'the {told} of {count}'
            )
    if not bricks:
        raise ValueError(f'volume {text(element, "name")} has no bricks')
    return Volume(
        name=text(element, 'name'),
        id=text(element, 'id'),
        status=text(element, 'statusStr'),
        snapshot_count=int(text(element, 'snapshotCount') or 0),
        copies=int(text(element, 'replicaCount') or 1),
        bricks=tuple(bricks),
        options=options,
    )


def snapshots(root: ElementTree.Element) -> dict[str, Snapshot]:
    found = map(_snapshot, root.iterfind('snapInfo/snapshots/snapshot'))
    return {snapshot.name: snapshot for snapshot in found}


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
    for own in root.iterfind('snapConfig/volumeConfig/volume'):
        # All volumes are told of if none was asked for.
        if text(own, 'name') == volume:
            limit = text(own, 'effectiveHardLimit')
    return SnapshotConfig(
        hard_limit=int(limit or MAX_SNAPSHOTS),
        auto_delete=text(config, 'systemConfig/autoDelete') == 'enable',
    )


def heal_state(root: ElementTree.Element) -> HealState:
    """Read the answer to ``volume heal … info summary``.

    A brick that is down has a state, such as "Transport endpoint is not
    connected", and no counts, or a dash for each.
    """
    entries = split_brain = 0
    silent = []
    for brick in root.iterfind('healInfo/bricks/brick'):
        count = text(brick, 'totalNumberOfEntries')
        if count.isdecimal():
            entries += int(count)
            split = text(brick, 'numberOfEntriesInSplitBrain')
            split_brain += int(split) if split.isdecimal() else 0
        else:
            state = text(brick, 'status') or 'no state'
            silent.append(f'{text(brick, "name")} ({state})')
    return HealState(entries, split_brain, tuple(silent))
