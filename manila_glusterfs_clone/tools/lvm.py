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
"""LVM on one node: logical volumes, thin pools, and their states.

Only this module reads the output of LVM. It does not use ``lv_attr``, because
the letters of this field change between releases.

Observed on LVM 2.03.16 and 2.03.31:

* ``lvcreate -s`` does not copy the tags of the origin.
* ``lvextend`` to the current size of an LV fails with status 5.
* ``lvremove`` refuses an LV that is in use, even with ``-f``.
"""

from collections.abc import Collection, Iterable, Sequence
import dataclasses
import json
import re
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes

#: Exit status of an LVM command that refuses or fails (ECMD_FAILED).
_FAILED_STATUS = 5
#: The message of ``lvremove`` about an LV that is mounted or open.
_IN_USE_MESSAGE = re.compile(
    r'Logical volume (\S+) (?:contains a filesystem )?in use'
)

#: Time limit in seconds. LVM takes longer only if a disk hangs.
TIMEOUT = 120.0


class Health:
    """Values of ``lv_health_status`` of a thin pool (lvs(8), lvmthin(7)).

    LVM may print other values, too.
    :mod:`~manila_glusterfs_clone.cluster.thin_pool_faults` has a remedy for
    each value here.
    """

    #: LVM reports no problem of the pool.
    OK = ''
    #: The data space is full: writes fail, or wait for space.
    OUT_OF_DATA = 'out_of_data'
    #: The metadata is damaged or full: the pool accepts no writes.
    METADATA_READ_ONLY = 'metadata_read_only'
    #: The kernel can no longer use the pool, usually because a disk failed.
    FAILED = 'failed'


@dataclasses.dataclass(frozen=True)
class LogicalVolume:
    """One LV, as ``lvs`` reports it."""

    vg: str
    name: str
    #: The size in bytes.
    size: int
    layout: frozenset[str]
    role: frozenset[str]
    is_active: bool
    #: One of :class:`Health`, or another value that LVM printed.
    health: str
    #: Whether a thin pool fills new blocks with zeros. Otherwise new blocks
    #: may have data of deleted LVs.
    zeroes_new_blocks: bool
    #: The name of the thin pool of the LV, without its VG; empty if none.
    pool: str
    #: The name of the LV that this LV is a snapshot of; empty if none.
    origin: str
    #: The used percentage of the data space; 0 if LVM reports none.
    data_percent: float
    #: The used percentage of the metadata space; 0 if LVM reports none.
    metadata_percent: float
    tags: frozenset[str]
    #: The device path, ``/dev/mapper/…``, as in the kernel's list of mounts.
    device: str
    #: For a thin pool: the size of its metadata space, in bytes; else 0.
    metadata_size: int
    #: Whether the LV is mounted, or a program has opened its device.
    is_open: bool
    #: The metadata profile of the LV or of its VG; empty if none.
    profile: str
    #: The free space of the VG, in bytes.
    vg_free: int

    @property
    def full_name(self) -> str:
        return f'{self.vg}/{self.name}'

    @property
    def pool_name(self) -> str:
        """Return the thin pool of the LV, as ``vg/thinpool``, or ``''``."""
        return f'{self.vg}/{self.pool}' if self.pool else ''

    @property
    def is_thin_pool(self) -> bool:
        return {'thin', 'pool'} <= self.layout

    @property
    def is_thin_volume(self) -> bool:
        return bool(self.pool) and 'thin' in self.layout

    @property
    def is_thin_snapshot(self) -> bool:
        """Return whether the LV is a thin snapshot of an existing LV."""
        return 'thinsnapshot' in self.role

    def tag_value(self, prefix: str) -> str | None:
        """Return the rest of the tag that begins with ``prefix``, or None.

        If several tags begin with it, use the first in alphabetical order.
        """
        for tag in sorted(self.tags):
            if tag.startswith(prefix):
                return tag[len(prefix) :]
        return None


def parse_report(text: str) -> tuple[LogicalVolume, ...]:
    """Parse the JSON of ``lvs``.

    :raises ValueError: the text is not such a report.
    """
    try:
        rows = [
            row for part in json.loads(text)['report'] for row in part['lv']
        ]
        return tuple(_logical_volume(row) for row in rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'not an LVM report: {error!r}') from error


def logical_volumes(result: step_outcomes.Result) -> tuple[LogicalVolume, ...]:
    """Return the LVs in the answer to :func:`listing`.

    :raises errors.Garbled: the answer is not a report.
    """
    try:
        return parse_report(result.stdout)
    except ValueError as error:
        raise errors.Garbled(
            result.node, result.argv, result.stdout
        ) from error


def _logical_volume(row: dict[str, Any]) -> LogicalVolume:
    return LogicalVolume(
        vg=row['vg_name'],
        name=row['lv_name'],
        size=int(row['lv_size']),
        layout=_split(row['lv_layout']),
        role=_split(row['lv_role']),
        is_active=row['lv_active'] == 'active',
        health=row['lv_health_status'],
        zeroes_new_blocks=row['zero'] == 'zero',
        pool=row['pool_lv'],
        origin=row['origin'],
        data_percent=float(row['data_percent'] or 0),
        metadata_percent=float(row['metadata_percent'] or 0),
        tags=_split(row['lv_tags']),
        device=row['lv_dm_path'],
        metadata_size=int(row['lv_metadata_size'] or 0),
        is_open=row['lv_device_open'] == 'open',
        profile=row['lv_profile'] or row['vg_profile'],
        vg_free=int(row['vg_free']),
    )


def _split(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(',') if word)


class Lvm:
    """LVM commands on one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner

    def lvs(
        self, *names: str, timeout: float = TIMEOUT
    ) -> tuple[LogicalVolume, ...]:
        """Return the LVs of the node.

        :param names: see :func:`listing`.
        :raises errors.CommandFailed: a named LV does not exist.
        :raises errors.Garbled: the answer is not a report.
        """
        step = dataclasses.replace(listing(*names), timeout=timeout)
        return logical_volumes(self._runner.run(step, timeout=timeout))


def listing(*names: str) -> step_outcomes.Step:
    """Return the step that lists LVs.

    The step fails if a named LV does not exist. A tag that no LV has is no
    error.

    :param names: the LVs (``vg/lv``) or tags (``@tag``) to select; without
        names, all LVs are selected.
    """
    return _step('list_lvs', names=list(names))


def creation(
    name: str, pool: str, size: int, tags: Iterable[str]
) -> step_outcomes.Step:
    """Return the step that creates a thin LV; it fails if the LV exists.

    :param name: ``vg/lv``.
    :param pool: the name of the thin pool, without the VG.
    :param size: bytes.
    """
    return _step('create_lv', lv=name, pool=pool, size=size, tags=sorted(tags))


def tagging(names: Sequence[str], tags: Iterable[str]) -> step_outcomes.Step:
    """Return the step that adds tags to LVs.

    An LV that has a tag already is no error.

    :param names: each as ``vg/lv``.
    """
    return _step('tag_lvs', lvs=list(names), tags=sorted(tags))


def untagging(names: Sequence[str], tags: Iterable[str]) -> step_outcomes.Step:
    """Return the step that removes tags from LVs.

    An LV without a tag is no error.

    :param names: each as ``vg/lv``.
    """
    return _step('untag_lvs', lvs=list(names), tags=sorted(tags))


def retagging(
    names: Sequence[str], new: Collection[str], old: Collection[str]
) -> list[step_outcomes.Step]:
    """Return the steps that add new tags to LVs, and then remove old tags.

    In this order the LVs always have an owner.
    """
    return [
        *([tagging(names, new)] if new else []),
        *([untagging(names, old)] if old else []),
    ]


def activation(name: str) -> step_outcomes.Step:
    """Return the step that activates an LV; ignore activation-skip flags."""
    return _step('activate_lv', lv=name)


def extension(name: str, size: int) -> step_outcomes.Step:
    """Return the step that grows an LV.

    :param size: the new size in bytes; it must exceed the current size.
    """
    return _step('extend_lv', lv=name, size=size)


def removal(*names: str) -> step_outcomes.Step:
    """Return the step that removes LVs.

    If an LV is mounted or open, the error is :class:`errors.InUse`.

    :param names: each as ``vg/lv``.
    """
    return _step('remove_lvs', lvs=list(names))


def specific_error(error: errors.CommandFailed) -> errors.CommandFailed:
    """Return the error of a step as an instance of a more specific class."""
    match = _IN_USE_MESSAGE.search(error.stderr)
    if match is None or error.status != _FAILED_STATUS:
        return error
    return errors.InUse(error, f'/dev/{match[1]}')


def _step(verb: str, **values: object) -> step_outcomes.Step:
    return step_outcomes.Step(verb, values, TIMEOUT)
