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
"""Find what is left on the storage nodes and belongs to no share.

The program :mod:`tests.lab.node_inventory` runs on each node and lists what
is there; the driver is never asked. What was there when the lab came up is no
leak. What belongs to a share or snapshot that the caller reports as alive is
no leak either. Everything else is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
import json
from pathlib import Path
import re
import time
from typing import Any

from tests.lab import disks
from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.storage_node import StorageNode

#: The inventory of one node; node_inventory.py describes it.
Inventory = Mapping[str, Any]

INVENTORY_PROGRAM = Path(__file__).with_name('node_inventory.py')

#: Gluster's own litter, and what comes and goes by itself. Of each process
#: there ever was glusterd leaves a socket, which is harmless: it is below
#: ``/run``, and its name tells nothing. What glusterd leaves under the names
#: of volumes and snapshots is no litter, on nodes without a brick neither;
#: only of a snapshot that was restored by hand nothing tells the name of its
#: directory in ``/run/gluster/snaps``.
_LITTER = re.compile(
    r'/run/gluster/[0-9a-f]+\.socket$|/run/gluster/changelog-'
    r'|/run/(gluster|lock|lvm|udev|systemd|log|user|credentials)$'
    r'|/run/lock/lvm|/run/gluster/(snaps|vols|shd)$'
    r'|/var/lib/glusterd/(vols|snaps)/[^/]+$'
    r'|(/var)?/tmp/systemd-private-'
)


@dataclass(frozen=True, order=True)
class Leak:
    """One object on one node that should not exist.

    :param kind: volume, snapshot, activated, lv, thin device, tag, mount,
        directory, process, unit, file, untagged for a brick that lacks a
        tag, or silent for what could not be asked.
    """

    node: str
    kind: str
    name: str
    detail: str = ''

    def __str__(self) -> str:
        more = f' ({self.detail})' if self.detail else ''
        return f'{self.node}: {self.kind} {self.name}{more}'


@dataclass(frozen=True)
class Alive:
    """The objects that existing shares and snapshots own, on any node.

    :param hexes: ids that LVs and mount points of clones are named by.
    :param owners: for each of them that is a volume's, the share; the others
        are of snapshots.
    """

    shares: frozenset[str]
    snapshots: frozenset[str]
    activated: frozenset[str]
    hexes: frozenset[str]
    owners: Mapping[str, str]

    def volume(self, name: str) -> bool:
        return name.removeprefix('manila-') in self.shares

    def snapshot(self, name: str) -> bool:
        return name.removeprefix('manila-snap-') in self.snapshots

    def lv(self, name: str) -> bool:
        return self.volume(name) or name.partition('_')[0] in self.hexes

    def owner(self, name: str) -> str | None:
        """Return the existing share of which the LV is a brick."""
        if self.volume(name):
            return name.removeprefix('manila-')
        return self.owners.get(name.partition('_')[0])

    def path(self, path: str) -> bool:
        """Return whether a path belongs to an existing share or snapshot."""
        for part in path.split('/'):
            if part in self.hexes:
                return True
            if part.startswith('manila-') and (
                self.volume(part) or self.snapshot(part)
            ):
                return True
        return False


def alive(
    inventories: Iterable[Inventory],
    shares: Iterable[str],
    snapshots: Iterable[str],
    activated: Iterable[str] = (),
) -> Alive:
    """Return what existing shares and snapshots own, from all nodes."""
    names = Alive(
        shares=frozenset(shares),
        snapshots=frozenset(snapshots),
        activated=frozenset(activated),
        hexes=frozenset(),
        owners={},
    )
    hexes: set[str] = set()
    owners: dict[str, str] = {}
    for inventory in inventories:
        for name, found in inventory['volumes'].items():
            if names.volume(name):
                owners |= dict.fromkeys(found, name.removeprefix('manila-'))
        for name, snapshot in inventory['snapshots'].items():
            if names.snapshot(name):
                hexes.update(snapshot['hexes'])
    return replace(names, hexes=frozenset(hexes | {*owners}), owners=owners)


def compare(
    node: str, before: Inventory, now: Inventory, living: Alive, age: float
) -> Iterator[Leak]:
    """Return the leaks of one node.

    :param age: seconds after which a command of the driver's is left over.
    """
    yield from _gluster(node, before, now, living)
    yield from _lvm(node, before, now, living)
    for target, source in now['mounts'].items():
        if target not in before['mounts'] and not living.path(target):
            yield Leak(node, 'mount', target, source)
    for path in _new(before, now, 'directories'):
        if not living.path(path):
            yield Leak(node, 'directory', path)
    for path in _new(before, now, 'files'):
        if not _LITTER.match(path) and not living.path(path):
            yield Leak(node, 'file', path)
    for pool, devices in now['thin_devices'].items():
        if devices is None:
            yield Leak(node, 'silent', pool, 'thin_ls has no answer')
            continue
        for number in {*devices} - {*(before['thin_devices'].get(pool) or ())}:
            yield Leak(node, 'thin device', f'{pool}: {number}', 'of no LV')
    for unit in _new(before, now, 'units'):
        yield Leak(node, 'unit', unit, 'failed')
    yield from _processes(node, before, now, living, age)


def _new(before: Inventory, now: Inventory, key: str) -> list[str]:
    return sorted(set(now[key]) - set(before[key]))


def _gluster(
    node: str, before: Inventory, now: Inventory, living: Alive
) -> Iterator[Leak]:
    if now['cli'] is None:
        yield Leak(node, 'silent', 'gluster', 'the CLI has no answer')
    said = now['cli'] or {'volumes': [], 'snapshots': []}
    for name in sorted({*said['volumes'], *now['volumes']}):
        if name in before['volumes'] or living.volume(name):
            continue
        yield Leak(node, 'volume', name, _where(name, said, now, 'volumes'))
    for name in sorted({*said['snapshots'], *now['snapshots']}):
        if name in before['snapshots']:
            continue
        if not living.snapshot(name):
            where = _where(name, said, now, 'snapshots')
            yield Leak(node, 'snapshot', name, where)
        elif (
            now['snapshots'].get(name, {}).get('active')
            and name.removeprefix('manila-snap-') not in living.activated
        ):
            yield Leak(node, 'activated', name)


def _where(name: str, said: Inventory, now: Inventory, key: str) -> str:
    places = []
    if name in said[key]:
        places.append('known to glusterd')
    if name in now[key]:
        places.append('on its disk')
    return ', '.join(places)


def _lvm(
    node: str, before: Inventory, now: Inventory, living: Alive
) -> Iterator[Leak]:
    if now['lvs'] is None:
        yield Leak(node, 'silent', 'lvs', 'LVM has no answer')
        return
    known = {(lv['vg_name'], lv['lv_name']) for lv in before['lvs']}
    for lv in now['lvs']:
        full = f'{lv["vg_name"]}/{lv["lv_name"]}'
        if lv['lv_name'] == disks.FILLER:
            continue
        if (lv['vg_name'], lv['lv_name']) not in known and not living.lv(
            lv['lv_name']
        ):
            yield Leak(node, 'lv', full, lv['lv_tags'])
        tags = [*filter(None, lv['lv_tags'].split(','))]
        if lacking := _lacking(tags, living.owner(lv['lv_name'])):
            yield Leak(node, 'untagged', full, f'no {", ".join(lacking)}')
        for tag in tags:
            key, _, value = tag.partition('=')
            if (
                (key == 'manila.share' and value not in living.shares)
                or (key == 'manila.snapshot' and value not in living.snapshots)
                or (key == 'manila.mount' and not living.path(value))
            ):
                yield Leak(node, 'tag', full, tag)


def _lacking(tags: Sequence[str], share: str | None) -> list[str]:
    """Return the tags that the LV of a brick should have and lacks.

    Without them the node does not mount it when it boots, and whoever looks
    for what was left behind does not know whose it is.
    """
    if share is None:
        return []
    lacking = [
        tag
        for tag in ('manila.brick', f'manila.share={share}')
        if tag not in tags
    ]
    if not any(tag.startswith('manila.mount=/') for tag in tags):
        lacking.append('manila.mount')
    return lacking


def _processes(
    node: str, before: Inventory, now: Inventory, living: Alive, age: float
) -> Iterator[Leak]:
    """Return bricks of deleted volumes, stray daemons, stuck commands."""
    any_volume = bool(now['volumes'])
    for process in now['processes']:
        volfile = str(process['volfile'])
        detail = f'pid {process["pid"]}: {process["command"]}'
        if process['name'] in ('glusterfs', 'glusterfsd'):
            if volfile.startswith('shd/') or volfile.startswith('gluster'):
                # One daemon serves all volumes; it is named by the first.
                if not any_volume:
                    yield Leak(node, 'process', volfile, detail)
            elif volfile.partition('.')[0] not in before[
                'volumes'
            ] and not _serves_living(volfile, living):
                yield Leak(node, 'process', volfile, detail)
        elif (
            process['manila']
            and process['age'] > age
            and not process['name'].startswith(('sshd', 'sudo'))
        ):
            yield Leak(node, 'process', process['name'], detail)


def _serves_living(volfile: str, living: Alive) -> bool:
    """Return whether a volfile id is of an existing share or snapshot.

    ``VOLUME.HOST.PATH``, and for snapshots ``/snaps/NAME/HEX.HOST.PATH``.
    """
    if volfile.startswith(('/snaps/', 'snaps/')):
        return living.snapshot(volfile.strip('/').split('/')[1])
    return living.volume(volfile.partition('.')[0])


def _take(nodes: Sequence[StorageNode]) -> dict[str, Inventory]:
    """Return the inventory of every node, taken side by side."""
    if dark := [node.name for node in nodes if not node.guest.running()]:
        raise LabError(f'leaks cannot be looked for: {dark} are off')
    program = INVENTORY_PROGRAM.read_bytes()

    def ask(node: StorageNode) -> Inventory:
        # Without what a program of the standard library has no use for: it
        # is started in less time.
        said = node.succeed('python3 -IS -', timeout=200, stdin=program)
        inventory: Inventory = json.loads(said)
        return inventory

    with ThreadPoolExecutor(len(nodes)) as pool:
        found = pool.map(ask, nodes)
        return dict(zip((node.name for node in nodes), found, strict=True))


def record_baseline(nodes: Sequence[StorageNode], path: Path) -> None:
    """Return the inventory of the nodes as the baseline without leaks."""
    host.write_atomically(path, json.dumps(_take(nodes)))


def find(
    nodes: Sequence[StorageNode],
    baseline: Path,
    shares: Iterable[str],
    snapshots: Iterable[str],
    activated: Iterable[str],
    *,
    settle: float,
    age: float,
) -> list[Leak]:
    """Return the leaks on all nodes, once pending removals have ended."""
    before: dict[str, Inventory] = json.loads(baseline.read_text())
    shares, snapshots = list(shares), list(snapshots)
    activated = list(activated)
    deadline = time.monotonic() + settle
    while True:
        now = _take(nodes)
        living = alive(now.values(), shares, snapshots, activated)
        leaks = [
            leak
            for name, inventory in now.items()
            for leak in compare(name, before[name], inventory, living, age)
        ]
        if not leaks or time.monotonic() > deadline:
            return sorted(leaks)
        time.sleep(1)
