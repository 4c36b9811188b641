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
"""LVM thin provisioning on one node.

As observed on LVM 2.03.16 (with GlusterFS 10.3) and 2.03.31 (with 11.1):
``lvcreate -s`` does not copy tags; a mounted LV is not removed, even with
``--force``; extending an LV to its current size fails; a refusal has the exit
status 5; a thin pool over the threshold of lvm.conf takes no new LV, whatever
is free in the VG.
"""

from collections.abc import Sequence
import copy
import dataclasses
import json

from tests.model.shared_dict import SharedDict
from tests.model import shell

EXTENT = 4 << 20

Answer = shell.Answer


@dataclasses.dataclass
class Image:
    """What is on a file system: directories with their xattrs, and data.

    The data of a share is one word; it stands for all its files.
    """

    size: int
    #: Path inside the file system, ``''`` for its root, to xattrs.
    directories: dict[str, dict[str, str]] = dataclasses.field(
        default_factory=lambda: {'': {}}
    )
    data: str = ''


@dataclasses.dataclass
class LogicalVolume:
    """A thin volume."""

    name: str
    size: int
    pool: str
    origin: str = ''
    tags: set[str] = dataclasses.field(default_factory=set)
    #: What a power cut leaves; None without a file system.
    disk: Image | None = None
    #: What is mounted, with what is not written back yet.
    live: Image | None = None
    #: Since when there is something that is not written back.
    dirty: float | None = None
    #: Whether its XFS has shut itself down, until it is unmounted.
    shut_down: bool = False

    def write_back(self) -> None:
        """Put on the disk what is only in memory."""
        if self.live is not None:
            self.disk = copy.deepcopy(self.live)
        self.dirty = None


@dataclasses.dataclass
class ThinPool:
    """A thin pool; how full it is, the tests say."""

    name: str
    size: int
    data_percent: float = 1.0
    metadata_percent: float = 11.0
    health: str = ''
    zero: bool = True
    active: bool = True
    metadata_size: int = 64 << 20
    #: The metadata profile; empty if none.
    profile: str = ''

    def refuses_new(self, threshold: int) -> bool:
        """Return whether LVM makes no thin LV in it any more.

        LVM keeps a quarter of the metadata free, or 4 MiB if that is less.
        """
        reserve = min(25.0, 100 * (4 << 20) / self.metadata_size)
        return (
            max(self.data_percent, self.metadata_percent) > threshold
            or self.metadata_percent >= 100 - reserve
            or self.data_percent >= 100
        )


class Lvm:
    """One volume group with thin pools."""

    def __init__(self, vg: str, pools: Sequence[ThinPool], log: bool) -> None:
        self.vg = vg
        self.pools = {pool.name: pool for pool in pools}
        self.lvs: dict[str, LogicalVolume] = SharedDict()
        #: Free space, which a thin pool can be extended by.
        self.free = 4 << 30
        #: Of lvm.conf.
        self.settings = {
            'thin_pool_autoextend_threshold': 100,
            'thin_pool_autoextend_percent': 20,
            'monitoring': 0,
        }
        #: Of the files of profiles, by name; they override lvm.conf.
        self.profiles: dict[str, dict[str, int]] = {}
        #: Whether its disk fails.
        self.unreadable = False
        #: Whether reports come with a log, as those of 2.03.31 do.
        self._log = log

    def device(self, name: str) -> str:
        vg, lv = self.vg.replace('-', '--'), name.replace('-', '--')
        return f'/dev/mapper/{vg}-{lv}'

    def by_device(self, device: str) -> LogicalVolume | None:
        """Find an LV by either of the paths of its device."""
        for lv in self.lvs.values():
            if device in (self.device(lv.name), f'/dev/{self.vg}/{lv.name}'):
                return lv
        return None

    def snapshot(self, origin: str, name: str) -> LogicalVolume:
        """Make a thin snapshot.

        Device-mapper freezes the origin's file system meanwhile, which
        writes back all that it has in memory.
        """
        source = self.lvs[origin]
        source.write_back()
        if name in self.lvs or self.is_too_full(source.pool):
            raise ValueError(name)
        made = LogicalVolume(
            name,
            source.size,
            source.pool,
            origin,
            disk=copy.deepcopy(source.disk),
        )
        self.lvs[name] = made
        return made

    def drop(self, name: str) -> None:
        """Remove an LV; those made of it have no origin any more."""
        del self.lvs[name]
        for lv in self.lvs.values():
            if lv.origin == name:
                lv.origin = ''

    # -- commands

    def lvs_command(self, argv: Sequence[str]) -> Answer:
        options, names = shell.split(argv)
        fields = options['--options'].split(',')
        shell.require(options, '--reportformat', 'json')
        shell.require(options, '--units', 'b')
        assert '--nosuffix' in options
        # One that cannot be read is left out, without a word.
        rows = [] if self.unreadable else self._rows()
        status, problem = 0, ''
        if names:
            (name,) = names
            if name.startswith('@'):
                rows = [
                    row
                    for row in rows
                    if name[1:] in row['lv_tags'].split(',')
                ]
            elif '/' in name:
                rows = [
                    row
                    for row in rows
                    if f'{row["vg_name"]}/{row["lv_name"]}' == name
                ]
                if not rows:
                    status = 5
                    problem = f'Failed to find logical volume "{name}"'
            elif name != self.vg:
                rows = []
                status = 5
                problem = f'Volume group "{name}" not found'
        return Answer(
            self._report(
                [{field: row[field] for field in fields} for row in rows],
                problem,
            ),
            f'  {problem}\n' if problem and not self._log else '',
            status,
        )

    def lvcreate(self, argv: Sequence[str]) -> Answer:
        options, names = shell.split(argv)
        shell.require(options, '--type', 'thin')
        name = options['--name']
        size = shell.size(options['--virtualsize'])
        (vg,) = names
        if vg != self.vg:
            return _no(f'Volume group "{vg}" not found')
        if name in self.lvs or name in self.pools:
            return _no(
                f'Logical Volume "{name}" already exists in volume group '
                f'"{vg}"'
            )
        pool = self.pools.get(options['--thinpool'])
        if pool is None:
            return _no(f'Thin pool {vg}/{options["--thinpool"]} not found.')
        if self.is_too_full(pool.name):
            return _no(
                f'Cannot create new thin volume, free space in thin pool '
                f'{vg}/{pool.name} reached threshold.'
            )
        size = -(-size // EXTENT) * EXTENT
        self.lvs[name] = LogicalVolume(
            name, size, pool.name, tags=set(shell.values(argv, '--addtag'))
        )
        return Answer(f'  Logical volume "{name}" created.\n')

    def is_too_full(self, pool: str) -> bool:
        """Return whether LVM makes no thin LV in a pool any more."""
        thin_pool = self.pools[pool]
        settings = self._settings_of(thin_pool.profile)
        return thin_pool.refuses_new(
            settings.get('thin_pool_autoextend_threshold', 100)
        )

    def _settings_of(self, profile: str) -> dict[str, int]:
        return {**self.settings, **self.profiles.get(profile, {})}

    def lvmconfig(self, argv: Sequence[str]) -> Answer:
        options, names = shell.split(argv)
        shell.require(options, '--typeconfig', 'full')
        profile = options.get('--metadataprofile', '')
        if profile and profile not in self.profiles:
            return Answer(
                '',
                f'  /etc/lvm/profile/{profile}.profile: stat failed: No such '
                f'file or directory\n  Failed to apply metadata profile '
                f'{profile}.\n',
                5,
            )
        settings = self._settings_of(profile)
        keys = [name.partition('/')[2] for name in names]
        return Answer(
            ''.join(
                f'{key}={settings[key]}\n' for key in keys if key in settings
            )
        )

    def lvchange(self, argv: Sequence[str]) -> Answer:
        _, names = shell.split(argv)
        problems = []
        for full in names:
            lv = self._find(full)
            if lv is None:
                problems.append(f'Failed to find logical volume "{full}"')
            else:
                lv.tags |= set(shell.values(argv, '--addtag'))
                lv.tags -= set(shell.values(argv, '--deltag'))
        return _no(*problems) if problems else Answer()

    def lvextend(self, argv: Sequence[str]) -> Answer:
        options, (full,) = shell.split(argv)
        size = -(-shell.size(options['--size']) // EXTENT) * EXTENT
        lv = self._find(full)
        if lv is None:
            return _no(f'Failed to find logical volume "{full}"')
        extents = size // EXTENT
        if size == lv.size:
            return _no(
                f'New size ({extents} extents) matches existing size '
                f'({extents} extents).'
            )
        if size < lv.size:
            return _no(
                f'New size given ({extents} extents) not larger than '
                f'existing size ({lv.size // EXTENT} extents)'
            )
        lv.size = size
        return Answer(f'  Logical volume {full} successfully resized.\n')

    def lvremove(self, argv: Sequence[str]) -> Answer:
        _, names = shell.split(argv)
        problems = []
        for full in names:
            lv = self._find(full)
            if lv is None:
                problems.append(f'Failed to find logical volume "{full}"')
            elif lv.live is not None:
                problems.append(
                    f'Logical volume {full} contains a filesystem in use.'
                )
            else:
                self.drop(lv.name)
        return _no(*problems) if problems else Answer()

    def _find(self, full: str) -> LogicalVolume | None:
        vg, _, name = full.partition('/')
        return self.lvs.get(name) if vg == self.vg else None

    def _rows(self) -> list[dict[str, str]]:
        rows = [self._pool_row(pool) for pool in self.pools.values()]
        rows += [self._row(lv) for lv in [*self.lvs.values()]]
        return sorted(rows, key=lambda row: row['lv_name'])

    def _row(self, lv: LogicalVolume) -> dict[str, str]:
        role = ['public']
        if any(other.origin == lv.name for other in self.lvs.values()):
            role += ['origin', 'thinorigin']
        if lv.origin:
            role += ['snapshot', 'thinsnapshot']
        return {
            'vg_name': self.vg,
            'lv_name': lv.name,
            'lv_size': str(lv.size),
            'lv_layout': 'thin,sparse',
            'lv_role': ','.join(role),
            'lv_active': 'active',
            'lv_health_status': '',
            'zero': 'zero' if self.pools[lv.pool].zero else '',
            'pool_lv': lv.pool,
            'origin': lv.origin,
            'data_percent': '6.36' if lv.disk is not None else '0.00',
            'metadata_percent': '',
            'lv_tags': ','.join(sorted(lv.tags)),
            'lv_dm_path': self.device(lv.name),
            'lv_metadata_size': '',
            'lv_device_open': 'open' if lv.live is not None else '',
            'lv_profile': '',
            'vg_profile': '',
            'vg_free': str(self.free),
        }

    def _pool_row(self, pool: ThinPool) -> dict[str, str]:
        return {
            'vg_name': self.vg,
            'lv_name': pool.name,
            'lv_size': str(pool.size),
            'lv_layout': 'thin,pool',
            'lv_role': 'private',
            'lv_active': 'active' if pool.active else '',
            'lv_health_status': pool.health,
            'zero': 'zero' if pool.zero else '',
            'pool_lv': '',
            'origin': '',
            'data_percent': f'{pool.data_percent:.2f}',
            'metadata_percent': f'{pool.metadata_percent:.2f}',
            'lv_tags': '',
            'lv_dm_path': self.device(pool.name),
            'lv_metadata_size': str(pool.metadata_size),
            'lv_device_open': 'open',
            'lv_profile': pool.profile,
            'vg_profile': '',
            'vg_free': str(self.free),
        }

    def _report(self, rows: list[dict[str, str]], problem: str) -> str:
        report: dict[str, object] = {'report': [{'lv': rows}]}
        if self._log:
            report['log'] = (
                [{'log_type': 'error', 'log_message': problem}]
                if problem
                else []
            )
        return json.dumps(report)


def _no(*problems: str) -> Answer:
    return Answer('', ''.join(f'  {said}\n' for said in problems), 5)
