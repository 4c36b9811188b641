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
"""One thin pool on one node: its state, and what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class ThinPool:
    """A thin pool on one node. Sizes are in bytes."""

    #: ``vg/thinpool``.
    name: str
    size: int
    data_percent: float
    metadata_percent: float
    #: The sum of the sizes of all thin volumes in it.
    provisioned: int
    active: bool
    health: str
    zeroes: bool

    @property
    def free(self) -> int:
        return int(self.size * (100 - self.data_percent) / 100)


def find(lvs: Iterable[lvm.LogicalVolume], name: str) -> ThinPool | None:
    """Find a pool, named ``vg/thinpool``, among the LVs of a node."""
    lvs = tuple(lvs)
    for lv in lvs:
        if lv.is_thin_pool and lv.full_name == name:
            return ThinPool(
                name=name,
                size=lv.size,
                data_percent=lv.data_percent,
                metadata_percent=lv.metadata_percent,
                provisioned=sum(
                    volume.size for volume in lvs if volume.pool_name == name
                ),
                active=lv.active,
                health=lv.health,
                zeroes=lv.zeroes,
            )
    return None


def fault(
    pool: ThinPool | None, limits: options.Limits
) -> tuple[str, str] | None:
    """Return what is broken about a pool, or None.

    :return: the kind, in one word, and the sentence with the remedy.
    """
    if pool is None:
        return 'unseen', (
            'LVM does not see it; if it is there its disk may have failed: '
            'look with "pvs" and "dmesg" on the node'
        )
    if not pool.active:
        # As a boot leaves one whose metadata a failing disk has spoilt:
        # "Check of pool failed (status:64). Manual repair required!"
        return 'inactive', (
            f'it is not active; "lvchange --activate y {pool.name}" '
            f'activates it, or says why not; if it has to be repaired, '
            f'"lvconvert --repair {pool.name}" does that, and then reboot '
            f'the node'
        )
    if pool.health:
        return (
            pool.health,
            f'LVM says of its health: {pool.health}{_cure(pool)}',
        )
    if pool.data_percent >= limits.data_percent:
        return 'full', (
            f'its data space is {pool.data_percent:.1f} % full, the limit is '
            f'{limits.data_percent} %{_make_room(pool)}'
        )
    if pool.metadata_percent >= limits.metadata_percent:
        return 'metadata full', (
            f'its metadata space is {pool.metadata_percent:.1f} % full, the '
            f'limit is {limits.metadata_percent} %; extend it with '
            f'"lvextend --poolmetadatasize +SIZE {pool.name}", or delete '
            f'shares or snapshots'
        )
    return None


def obstacle(
    pool: ThinPool | None, size: int, limits: options.Limits
) -> str | None:
    """Say what keeps ``size`` more bytes from being put on a pool."""
    if broken := fault(pool, limits):
        return broken[1]
    if pool is not None and (
        pool.provisioned + size > pool.size * limits.oversubscription
    ):
        return (
            f'{(pool.provisioned + size) / GIB:.1f} GiB would be promised of '
            f'its {pool.size / GIB:.1f} GiB, more than '
            f'max_over_subscription_ratio allows{_make_room(pool)}'
        )
    return None


def _make_room(pool: ThinPool) -> str:
    return (
        f'; extend it with "lvextend --size +SIZE {pool.name}", or delete '
        f'shares or snapshots'
    )


def _cure(pool: ThinPool) -> str:
    """Say what ends a state of LVM's (lvmthin(7))."""
    if pool.health == lvm.Health.OUT_OF_DATA:
        return _make_room(pool)
    if pool.health == lvm.Health.METADATA_READ_ONLY:
        return (
            f'; unmount what is on it, deactivate it, and run "lvconvert '
            f'--repair {pool.name}"'
        )
    return (
        '; look for errors of its disk in the log of the kernel of the node, '
        'and reboot the node when the disk is well again'
    )


def examine(
    wanted: Sequence[str],
    reports: Mapping[str, Sequence[lvm.LogicalVolume]],
    failed: Mapping[str, Exception],
    limits: options.Limits,
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Return the mistakes and the faults of the thin pools.

    A pool that no node has is misspelt. One that a node lacks was never made
    there if LVM shows others of its VG; else the disk of the VG may have
    failed, and that is a fault.

    :param wanted: the names of the pools, ``vg/thinpool``.
    :param reports: the LVs of the nodes that could be asked, by name.
    :param failed: why the other nodes could not be asked, by name.
    """
    mistakes: list[findings.Finding] = []
    faults = [
        findings.Finding(
            f'node {node}',
            'unreachable' if isinstance(error, errors.Unreachable) else 'lvm',
            str(error),
            node,
        )
        for node, error in failed.items()
    ]
    for name in wanted:
        vg = name.partition('/')[0]
        seen = {node: find(lvs, name) for node, lvs in reports.items()}
        if seen and not any(seen.values()):
            mistakes.append(
                findings.Finding(
                    f'thin pool {name}',
                    'missing',
                    f'none of the nodes {", ".join(seen)} has it; correct '
                    f'glusterfs_clone_pools, or make it on every node',
                )
            )
            continue
        for node, pool in seen.items():
            subject = f'thin pool {name} on node {node}'
            if pool is None and any(lv.vg == vg for lv in reports[node]):
                mistakes.append(
                    findings.Finding(
                        subject,
                        'missing',
                        f'it does not exist, and the other LVs of {vg} do; '
                        f'make it there too',
                        node,
                    )
                )
            elif broken := fault(pool, limits):
                faults.append(findings.Finding(subject, *broken, node))
            if pool is not None and not pool.zeroes:
                mistakes.append(
                    findings.Finding(
                        subject,
                        'zero',
                        f'it does not zero new blocks, so that a share could '
                        f'show the data of a deleted one; "lvchange --zero y '
                        f'{name}" ends that',
                        node,
                    )
                )
    return mistakes, faults
