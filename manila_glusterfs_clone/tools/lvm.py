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
"""LVM of one node: logical volumes, thin pools, and their states.

This room holds all that the driver knows about LVM's output: the report
fields, the health states (:class:`Health`) and the refusals (``_IN_USE``).

All data comes from JSON reports, with sizes in bytes. Fields are read by
name, because the letters of ``lv_attr`` change between releases.

Observed on LVM 2.03.16 and 2.03.31: ``lvcreate -s`` does not copy the tags
of the origin; ``lvextend`` to the current size of an LV fails with status 5;
``lvremove`` refuses an LV that is in use, even with ``-f``.
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

#: Exit status of an LVM command that was refused or failed (ECMD_FAILED).
_FAILED_STATUS = 5
#: Message of ``lvremove`` for an LV that is mounted or open.
_IN_USE = re.compile(r'Logical volume (\S+) (?:contains a filesystem )?in use')

#: Seconds. LVM answers sooner unless a disk hangs.
TIMEOUT = 120.0


class Health:
    """Values of ``lv_health_status`` of a thin pool (lvs(8), lvmthin(7)).

    A value that is not listed here is kept as LVM printed it.
    :mod:`~manila_glusterfs_clone.cluster.thin_pools` has the remedy for
    each value. A new one gets a name here and a remedy there.
    """

    #: The pool has no problem.
    OK = ''
    #: The data space is full: writes fail, or wait for space.
    OUT_OF_DATA = 'out_of_data'
    #: The metadata is damaged or full: the pool accepts no writes.
    METADATA_READ_ONLY = 'metadata_read_only'
    #: The kernel cannot use the pool any more, usually for a failed disk.
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True)
class LogicalVolume:
    """One LV as reported by ``lvs``. Sizes are in bytes."""

    vg: str
    name: str
    size: int
    layout: frozenset[str]
    role: frozenset[str]
    active: bool
    #: One of :class:`Health`, or another value that LVM printed.
    health: str
    #: Whether new blocks read as zeros instead of as their old content.
    zeroes: bool
    pool: str
    origin: str
    #: Percent of the space that is used; 0 where LVM reports none.
    data_percent: float
    metadata_percent: float
    tags: frozenset[str]
    #: The path that ``findmnt`` lists as the source, ``/dev/mapper/…``.
    device: str

    @property
    def full_name(self) -> str:
        return f'{self.vg}/{self.name}'

    @property
    def pool_name(self) -> str:
        """The thin pool of this LV, as ``vg/thinpool``; empty if none."""
        return f'{self.vg}/{self.pool}' if self.pool else ''

    @property
    def is_thin_pool(self) -> bool:
        return {'thin', 'pool'} <= self.layout

    @property
    def is_thin_volume(self) -> bool:
        return bool(self.pool) and 'thin' in self.layout

    def tag_value(self, prefix: str) -> str | None:
        """Return the rest of the tag that begins with ``prefix``, or None.

        The first in alphabetical order, where several tags begin with it.
        """
        for tag in sorted(self.tags):
            if tag.startswith(prefix):
                return tag[len(prefix) :]
        return None


def parse_report(text: str) -> tuple[LogicalVolume, ...]:
    """Parse the JSON of ``lvs`` with the fields of :data:`_REPORT`.

    :raises ValueError: the text is not such a report.
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
        layout=_split(row['lv_layout']),
        role=_split(row['lv_role']),
        active=row['lv_active'] == 'active',
        health=row['lv_health_status'],
        zeroes=row['zero'] == 'zero',
        pool=row['pool_lv'],
        origin=row['origin'],
        data_percent=float(row['data_percent'] or 0),
        metadata_percent=float(row['metadata_percent'] or 0),
        tags=_split(row['lv_tags']),
        device=row['lv_dm_path'],
    )


def _split(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(',') if word)


class Lvm:
    """The LVM of one node."""

    def __init__(self, node: circuit_breaker.CommandRunner) -> None:
        self._node = node

    def lvs(
        self, *names: str, timeout: float = TIMEOUT
    ) -> tuple[LogicalVolume, ...]:
        """Return all LVs, or the LVs selected by ``names``.

        :param names: VGs, LVs as ``vg/lv``, or tags as ``@tag``.
        :param timeout: seconds.
        :raises errors.CommandFailed: a named VG or LV does not exist. A tag
            that no LV has is no error.
        :raises errors.Garbled: the answer is not a report.
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
        """Create a thin LV of ``size`` bytes.

        :raises errors.CommandFailed: LVM refused, for example because an
            LV of that name exists.
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
        """Add tags to the LVs ``vg/lv``; existing tags are no error."""
        self._run(
            'lvchange', *(f'--addtag={tag}' for tag in sorted(tags)), *names
        )

    def activate(self, name: str) -> None:
        """Activate an LV, even one with the activation-skip flag."""
        self._run('lvchange', '--activate=y', '--ignoreactivationskip', name)

    def remove_tags(self, names: Sequence[str], tags: Iterable[str]) -> None:
        """Remove tags from the LVs ``vg/lv``; missing tags are no error."""
        self._run(
            'lvchange', *(f'--deltag={tag}' for tag in sorted(tags)), *names
        )

    def extend(self, name: str, size: int) -> None:
        """Grow an LV to ``size`` bytes, which must exceed its size."""
        self._run('lvextend', f'--size={size}b', name)

    def remove(self, *names: str) -> None:
        """Remove LVs.

        :raises errors.InUse: an LV is mounted or open.
        """
        try:
            self._run('lvremove', '--force', '--yes', *names)
        except errors.CommandFailed as error:
            match = _IN_USE.search(error.stderr)
            if match is None or error.status != _FAILED_STATUS:
                raise
            raise errors.InUse(error, f'/dev/{match[1]}') from error

    def _run(self, *argv: str) -> None:
        self._node.run(argv, timeout=TIMEOUT)
