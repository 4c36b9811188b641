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
"""LVM on one node, typed.

Everything is read from JSON reports, sizes in bytes. LVM's own fields are
read by name instead of the letters of ``lv_attr``, which change.

What was seen on LVM 2.03.16 and 2.03.31: ``lvcreate -s`` does not pass the
tags of the origin on; ``lvextend`` to the size that an LV has fails with
status 5; ``lvremove`` refuses an LV that is in use, with ``-f`` too.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import json
import re
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker

_REPORT = (
    'vg_name',
    'lv_name',
    'lv_size',
    'lv_layout',
    'lv_role',
    'lv_active',
    'lv_health_status',
    'zero',
    'pool_lv',
    'origin',
    'data_percent',
    'metadata_percent',
    'lv_tags',
    'lv_dm_path',
)

#: What ``lvremove`` says of an LV that is mounted, or open.
_IN_USE = re.compile(r'Logical volume (\S+) (?:contains a filesystem )?in use')

#: LVM answers within this many seconds unless something is very wrong.
TIMEOUT = 120.0


@dataclasses.dataclass(frozen=True)
class LogicalVolume:
    """One LV, as one report has it. Sizes are in bytes."""

    vg: str
    name: str
    size: int
    layout: frozenset[str]
    role: frozenset[str]
    active: bool
    #: Empty when all is well; else LVM's word, such as ``out_of_data``.
    health: str
    #: Whether new blocks read as zeros instead of as what was there.
    zeroes: bool
    pool: str
    origin: str
    #: How full, in percent; 0 where LVM does not say.
    data_percent: float
    metadata_percent: float
    tags: frozenset[str]
    #: The path that mounts are known by, ``/dev/mapper/…``.
    device: str

    @property
    def full_name(self) -> str:
        return f'{self.vg}/{self.name}'

    @property
    def pool_name(self) -> str:
        """The pool it draws from, as ``vg/thinpool``; empty if none."""
        return f'{self.vg}/{self.pool}' if self.pool else ''

    @property
    def is_thin_pool(self) -> bool:
        return {'thin', 'pool'} <= self.layout

    @property
    def is_thin_volume(self) -> bool:
        return bool(self.pool) and 'thin' in self.layout

    def tag_value(self, prefix: str) -> str | None:
        """Give what follows ``prefix`` in the tag that begins with it."""
        for tag in sorted(self.tags):
            if tag.startswith(prefix):
                return tag[len(prefix) :]
        return None


def parse_report(text: str) -> tuple[LogicalVolume, ...]:
    """Read the JSON of ``lvs`` with the fields of :data:`_REPORT`.

    :raises ValueError: it is not such a report.
    """
    try:
        rows = [
            row for part in json.loads(text)['report'] for row in part['lv']
        ]
        return tuple(_logical_volume(row) for row in rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'not an LVM report: {error!r}') from error


def _logical_volume(row: dict[str, Any]) -> LogicalVolume:
    return LogicalVolume(
        vg=row['vg_name'],
        name=row['lv_name'],
        size=int(row['lv_size']),
        layout=_words(row['lv_layout']),
        role=_words(row['lv_role']),
        active=row['lv_active'] == 'active',
        health=row['lv_health_status'],
        zeroes=row['zero'] == 'zero',
        pool=row['pool_lv'],
        origin=row['origin'],
        data_percent=float(row['data_percent'] or 0),
        metadata_percent=float(row['metadata_percent'] or 0),
        tags=_words(row['lv_tags']),
        device=row['lv_dm_path'],
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(',') if word)


class Lvm:
    """The LVM of one node."""

    def __init__(self, node: circuit_breaker.CommandRunner) -> None:
        self._node = node

    def lvs(
        self, *names: str, timeout: float = TIMEOUT
    ) -> tuple[LogicalVolume, ...]:
        """Give all LVs, or those of the VGs, ``vg/lv`` or ``@tag`` named.

        :param timeout: seconds.
        :raises errors.CommandFailed: one that is named does not exist
            (not for a tag, which may be on none).
        :raises errors.Garbled: the answer is no report.
        """
        result = self._node.run(
            [
                'lvs',
                '--reportformat=json',
                '--units=b',
                '--nosuffix',
                f'--options={",".join(_REPORT)}',
                *names,
            ],
            timeout=timeout,
        )
        try:
            return parse_report(result.stdout)
        except ValueError as error:
            raise errors.Garbled(
                result.node, result.argv, result.stdout
            ) from error

    def create_thin_volume(
        self, vg: str, pool: str, name: str, size: int, tags: Iterable[str]
    ) -> None:
        """Make a thin LV of ``size`` bytes.

        :raises errors.CommandFailed: LVM refuses, for one because an LV of
            that name exists.
        """
        self._run(
            'lvcreate',
            '--yes',
            '--wipesignatures=y',
            '--type=thin',
            f'--virtualsize={size}b',
            f'--thinpool={pool}',
            f'--name={name}',
            *(f'--addtag={tag}' for tag in sorted(tags)),
            vg,
        )

    def add_tags(self, names: Sequence[str], tags: Iterable[str]) -> None:
        """Tag the LVs ``vg/lv``; a tag that is there already stays."""
        self._run(
            'lvchange', *(f'--addtag={tag}' for tag in sorted(tags)), *names
        )

    def activate(self, name: str) -> None:
        """Activate an LV, also one that is flagged to be passed over."""
        self._run('lvchange', '--activate=y', '--ignoreactivationskip', name)

    def remove_tags(self, names: Sequence[str], tags: Iterable[str]) -> None:
        """Take tags off the LVs ``vg/lv``; one that is not there is fine."""
        self._run(
            'lvchange', *(f'--deltag={tag}' for tag in sorted(tags)), *names
        )

    def extend(self, name: str, size: int) -> None:
        """Grow an LV to ``size`` bytes, more than it has."""
        self._run('lvextend', f'--size={size}b', name)

    def remove(self, *names: str) -> None:
        """Remove LVs.

        :raises errors.InUse: one is mounted, or open.
        """
        try:
            self._run('lvremove', '--force', '--yes', *names)
        except errors.CommandFailed as error:
            if (match := _IN_USE.search(error.stderr)) is None:
                raise
            raise errors.InUse(error, f'/dev/{match[1]}') from error

    def _run(self, *argv: str) -> None:
        self._node.run(argv, timeout=TIMEOUT)
