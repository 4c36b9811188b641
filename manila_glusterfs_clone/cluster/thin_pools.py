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
    is_active: bool
    #: As in :class:`~manila_glusterfs_clone.tools.lvm.LogicalVolume`.
    health: str
    zeroes_new_blocks: bool

    @property
    def free_bytes(self) -> int:
        return int(self.size * (100 - self.data_percent) / 100)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault that makes a thin pool unusable."""

    #: The kind of the :class:`findings.Finding`, in one or two words.
    kind: str
    #: The state of the pool and the remedy, without the name of the pool.
    message: str


def find_thin_pool(
    lvs: Iterable[lvm.LogicalVolume], name: str
) -> ThinPool | None:
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
                    thin_lv.size
                    for thin_lv in lvs
                    if thin_lv.pool_name == name
                ),
                is_active=lv.is_active,
                health=lv.health,
                zeroes_new_blocks=lv.zeroes_new_blocks,
            )
    return None


def find_fault(pool: ThinPool | None, limits: options.Limits) -> Fault | None:
    """Return the fault of a thin pool; None if the pool has no fault.

    :param pool: None for a pool that LVM does not list.
    """
    if pool is None:
        return Fault(
            'not visible',
            'not listed by LVM; create the pool, or if it exists, check its '
            'disk with "pvs" and "dmesg" on the node',
        )
    if not pool.is_active:
        # At boot, LVM does not activate a pool whose metadata a failing disk
        # has damaged. It prints "Check of pool failed (status:64). Manual
        # repair required!"
        return Fault(
            'inactive',
            f'not active; run "lvchange --activate y {pool.name}" on the '
            f'node, and if LVM asks for a repair, run "lvconvert --repair '
            f'{pool.name}" and reboot the node',
        )
    if pool.health != lvm.Health.OK:
        return Fault(
            pool.health,
            f'LVM reports the health {pool.health}; {_health_remedy(pool)}',
        )
    if pool.data_percent >= limits.data_percent:
        return Fault(
            'full',
            f'data space is {pool.data_percent:.1f} % full, the limit is '
            f'{limits.data_percent} %; {_space_remedy(pool)}',
        )
    if pool.metadata_percent >= limits.metadata_percent:
        return Fault(
            'metadata full',
            f'metadata space is {pool.metadata_percent:.1f} % full, the limit '
            f'is {limits.metadata_percent} %; run "lvextend '
            f'--poolmetadatasize +SIZE {pool.name}", or delete shares or '
            f'snapshots',
        )
    return None


def reason_without_room(
    pool: ThinPool | None, size: int, limits: options.Limits
) -> str | None:
    """Return why a pool cannot be used, or has no space for ``size`` bytes.

    :param pool: None for a pool that LVM does not list.
    :param size: the size that is added to the thin LVs of the pool, in bytes.
    :return: the reason and the remedy; None if the pool has the space.
    """
    if fault := find_fault(pool, limits):
        return fault.message
    if pool is not None and (
        pool.provisioned + size > pool.size * limits.oversubscription
    ):
        return (
            f'the thin logical volumes would need '
            f'{(pool.provisioned + size) / GIB:.1f} GiB, but '
            f'max_over_subscription_ratio ({limits.oversubscription:g}) '
            f'allows {pool.size * limits.oversubscription / GIB:.1f} GiB; '
            f'{_space_remedy(pool)}'
        )
    return None


def _space_remedy(pool: ThinPool) -> str:
    return (
        f'run "lvextend --size +SIZE {pool.name}", or delete shares or '
        f'snapshots'
    )


def _health_remedy(pool: ThinPool) -> str:
    """Return the remedy for a health problem of a pool (lvmthin(7))."""
    if pool.health == lvm.Health.OUT_OF_DATA:
        return _space_remedy(pool)
    if pool.health == lvm.Health.METADATA_READ_ONLY:
        return (
            f'unmount all file systems in the pool, deactivate the pool, and '
            f'run "lvconvert --repair {pool.name}"'
        )
    return (
        'check the kernel log of the node for disk errors, and reboot the '
        'node after the disk was repaired'
    )


def find_problems(
    pool_names: Sequence[str],
    lvs_by_node: Mapping[str, Sequence[lvm.LogicalVolume]],
    errors_by_node: Mapping[str, Exception],
    limits: options.Limits,
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Return configuration mistakes and current faults of thin pools.

    If no node lists a pool, this is a mistake: the name of the pool is wrong,
    or nobody created the pool. If some nodes list the pool, there are two
    cases. A node that lists other LVs of the pool's VG has a mistake: nobody
    created the pool there. A node that lists no LV of the VG has a fault: the
    disk of the VG has possibly failed.

    :param pool_names: the names of the pools, ``vg/thinpool``.
    :param lvs_by_node: the LVs of each node that answered, by node name.
    :param errors_by_node: why a node could not be read, by node name.
    """
    mistakes: list[findings.Finding] = []
    faults = [
        findings.Finding(
            f'node {node}',
            (
                'unreachable'
                if isinstance(error, errors.Unreachable)
                else 'lvm failed'
            ),
            str(error),
            node,
        )
        for node, error in errors_by_node.items()
    ]
    for name in pool_names:
        pool_by_node = {
            node: find_thin_pool(lvs, name)
            for node, lvs in lvs_by_node.items()
        }
        if pool_by_node and not any(pool_by_node.values()):
            mistakes.append(
                findings.Finding(
                    f'thin pool {name}',
                    'missing',
                    f'exists on none of the nodes {", ".join(pool_by_node)}; '
                    f'correct glusterfs_clone_pools, or create the pool on '
                    f'every node',
                )
            )
            continue
        for node, pool in pool_by_node.items():
            is_vg_visible = any(
                lv.vg == name.partition('/')[0] for lv in lvs_by_node[node]
            )
            subject = f'thin pool {name} on node {node}'
            if pool is None and is_vg_visible:
                mistakes.append(
                    findings.Finding(
                        subject,
                        'missing',
                        'does not exist, but its volume group does; create '
                        'the pool on this node',
                        node,
                    )
                )
            elif fault := find_fault(pool, limits):
                faults.append(
                    findings.Finding(subject, fault.kind, fault.message, node)
                )
            if pool is not None and not pool.zeroes_new_blocks:
                mistakes.append(
                    findings.Finding(
                        subject,
                        'not zeroing',
                        f'does not zero new blocks, so a share could expose '
                        f'the data of a deleted share; run "lvchange --zero y '
                        f'{name}" on the node',
                        node,
                    )
                )
    return mistakes, faults
