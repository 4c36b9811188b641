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
"""Read the state of thin pools, and find their faults and the remedies."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class ThinPool:
    """A thin pool on one node; sizes are in bytes."""

    #: ``vg/thinpool``.
    name: str
    size: int
    data_percent: float
    metadata_percent: float
    #: The sum of the virtual sizes of all thin LVs in the pool.
    provisioned: int
    active: bool
    #: One of :class:`~manila_glusterfs_clone.tools.lvm.Health`.
    health: str
    zeroes: bool

    @property
    def free(self) -> int:
        return int(self.size * (100 - self.data_percent) / 100)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault that makes a thin pool unusable."""

    #: The kind of the :class:`findings.Finding`, in one or two words.
    kind: str
    #: The state of the pool and the remedy. The name of the pool is omitted.
    message: str


def find(lvs: Iterable[lvm.LogicalVolume], name: str) -> ThinPool | None:
    """Return the thin pool with a name; None if LVM does not list it.

    :param lvs: all LVs that LVM lists on a node.
    :param name: ``vg/thinpool``.
    """
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


def find_fault(pool: ThinPool | None, limits: options.Limits) -> Fault | None:
    """Return the fault of a thin pool; None if the pool has no fault.

    :param pool: None for a pool that LVM does not list.
    """
    if pool is None:
        return Fault(
            'not visible',
            'LVM does not see it; if it exists, its disk may have failed: '
            'check with "pvs" and "dmesg" on the node',
        )
    if not pool.active:
        # At boot, LVM does not activate a pool if a failing disk has damaged
        # its metadata: "Check of pool failed (status:64). Manual repair
        # required!"
        return Fault(
            'inactive',
            f'it is not active; run "lvchange --activate y {pool.name}"; if '
            f'LVM asks for a repair, run "lvconvert --repair {pool.name}" '
            f'and reboot the node',
        )
    if pool.health != lvm.Health.OK:
        return Fault(
            pool.health,
            f'LVM reports its health as {pool.health}; {_remedy(pool)}',
        )
    if pool.data_percent >= limits.data_percent:
        return Fault(
            'full',
            f'its data space is {pool.data_percent:.1f} % full, the limit is '
            f'{limits.data_percent} %; {_make_room(pool)}',
        )
    if pool.metadata_percent >= limits.metadata_percent:
        return Fault(
            'metadata full',
            f'its metadata space is {pool.metadata_percent:.1f} % full, the '
            f'limit is {limits.metadata_percent} %; extend it with '
            f'"lvextend --poolmetadatasize +SIZE {pool.name}", or delete '
            f'shares or snapshots',
        )
    return None


def obstacle(
    pool: ThinPool | None, size: int, limits: options.Limits
) -> str | None:
    """Return why a pool has no space for more thin LVs.

    :param pool: None for a pool that LVM does not list.
    :param size: the size of all additional thin LVs together, in bytes.
    :return: the reason and the remedy; None if the pool has the space.
    """
    if fault := find_fault(pool, limits):
        return fault.message
    if pool is not None and (
        pool.provisioned + size > pool.size * limits.oversubscription
    ):
        return (
            f'its thin volumes would add up to '
            f'{(pool.provisioned + size) / GIB:.1f} GiB; its size is '
            f'{pool.size / GIB:.1f} GiB, and max_over_subscription_ratio '
            f'allows {limits.oversubscription:g} times that; '
            f'{_make_room(pool)}'
        )
    return None


def _make_room(pool: ThinPool) -> str:
    return (
        f'extend it with "lvextend --size +SIZE {pool.name}", or delete '
        f'shares or snapshots'
    )


def _remedy(pool: ThinPool) -> str:
    """Return the remedy for a health problem of a pool (lvmthin(7))."""
    if pool.health == lvm.Health.OUT_OF_DATA:
        return _make_room(pool)
    if pool.health == lvm.Health.METADATA_READ_ONLY:
        return (
            f'unmount its file systems, deactivate it, and run "lvconvert '
            f'--repair {pool.name}"'
        )
    return (
        'check the log of the kernel on the node for errors of its disk, and '
        'reboot the node when the disk works again'
    )


def examine(
    wanted: Sequence[str],
    reports: Mapping[str, Sequence[lvm.LogicalVolume]],
    failures: Mapping[str, Exception],
    limits: options.Limits,
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Return configuration mistakes and current faults of thin pools.

    A pool that exists on no node is a mistake: its name is wrong, or nobody
    created it. If only some nodes lack a pool, there are two cases. If LVM on
    such a node lists other LVs of the pool's VG, that is a mistake: nobody
    created the pool there. If LVM lists no LV of the VG, that is a fault: the
    disk of the VG may have failed.

    :param wanted: the names of the pools, ``vg/thinpool``.
    :param reports: the LVs of each node that answered, by node name.
    :param failures: why the other nodes did not answer, by node name.
    """
    mistakes: list[findings.Finding] = []
    faults = [
        findings.Finding(
            f'node {node}',
            'unreachable' if isinstance(error, errors.Unreachable) else 'lvm',
            str(error),
            node,
        )
        for node, error in failures.items()
    ]
    for name in wanted:
        pools = {node: find(lvs, name) for node, lvs in reports.items()}
        if pools and not any(pools.values()):
            mistakes.append(
                findings.Finding(
                    f'thin pool {name}',
                    'missing',
                    f'it exists on none of the nodes {", ".join(pools)}; '
                    f'correct glusterfs_clone_pools, or create it on every '
                    f'node',
                )
            )
            continue
        for node, pool in pools.items():
            is_vg_visible = any(
                lv.vg == name.partition('/')[0] for lv in reports[node]
            )
            subject = f'thin pool {name} on node {node}'
            if pool is None and is_vg_visible:
                mistakes.append(
                    findings.Finding(
                        subject,
                        'missing',
                        'it does not exist, although its volume group does; '
                        'create it there too',
                        node,
                    )
                )
            elif fault := find_fault(pool, limits):
                faults.append(
                    findings.Finding(subject, fault.kind, fault.message, node)
                )
            if pool is not None and not pool.zeroes:
                mistakes.append(
                    findings.Finding(
                        subject,
                        'not zeroing',
                        f'it does not zero new blocks, so a share could '
                        f'expose the data of a deleted one; run "lvchange '
                        f'--zero y {name}"',
                        node,
                    )
                )
    return mistakes, faults
