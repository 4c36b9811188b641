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
"""Find the faults of thin pools, and their remedies.

The used space of a pool has two limits: the options of the driver, and LVM's
own limit (:mod:`~manila_glusterfs_clone.tools.lvmconfig`), which concerns only
new LVs. The lower limit applies, and the fault states it.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import lvm

GIB = thin_pools.GIB
ThinPool = thin_pools.ThinPool


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault that makes a thin pool unusable."""

    #: The kind of the :class:`findings.Finding`, in one or two words.
    kind: str
    #: The state of the pool and the remedy, without the name of the pool.
    message: str
    #: As in :class:`findings.Finding`.
    ends_soon: bool = False


def find_fault(
    pool: ThinPool | None,
    limits: options.Limits,
    *,
    needs_new_lvs: bool = True,
) -> Fault | None:
    """Return the fault of a thin pool; None if the pool has no fault.

    :param pool: None for a pool that LVM does not list.
    :param needs_new_lvs: whether LVM's limit for new LVs applies.
    """
    if pool is None:
        return Fault(
            'not visible',
            'not listed by LVM; create the pool, or if it exists, check its '
            'disk with "pvs" and "dmesg" on the node',
        )
    if not pool.is_active:
        # If a failing disk has damaged the metadata of a pool, LVM does not
        # activate the pool at boot, and prints "Check of pool failed
        # (status:64). Manual repair required!"
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
    return _data_fault(pool, limits, needs_new_lvs) or _metadata_fault(
        pool, limits, needs_new_lvs
    )


def _data_fault(
    pool: ThinPool, limits: options.Limits, needs_new_lvs: bool
) -> Fault | None:
    state = f'data space is {pool.data_percent:.1f} % full'
    threshold = pool.policy.threshold
    if (
        needs_new_lvs
        and threshold < limits.data_percent
        and pool.data_percent >= threshold
    ):
        return Fault(
            'lvm limit',
            f'{state}, and {_threshold_limit(pool)}; '
            f'{_threshold_remedy(pool)}',
            pool.is_extended_soon,
        )
    if pool.data_percent >= limits.data_percent:
        return Fault(
            'full',
            f'{state}, the limit is {limits.data_percent} %; '
            f'{_space_remedy(pool)}',
        )
    return None


def _metadata_fault(
    pool: ThinPool, limits: options.Limits, needs_new_lvs: bool
) -> Fault | None:
    state = f'metadata space is {pool.metadata_percent:.1f} % full'
    remedy = (
        f'run "lvextend --poolmetadatasize +SIZE {pool.name}", or delete '
        f'shares or snapshots'
    )
    if (
        needs_new_lvs
        and pool.metadata_limit < limits.metadata_percent
        and pool.metadata_percent >= pool.metadata_limit
    ):
        if pool.reserve_limit <= pool.policy.threshold:
            limit = (
                f'LVM creates no logical volume in this pool at '
                f'{pool.reserve_limit:.1f} % or more'
            )
        else:
            limit = _threshold_limit(pool)
            remedy += ', or set a higher threshold'
        return Fault(
            'lvm metadata limit',
            f'{state}, and {limit}; {remedy}',
            pool.is_extended_soon,
        )
    if pool.metadata_percent >= limits.metadata_percent:
        return Fault(
            'metadata full',
            f'{state}, the limit is {limits.metadata_percent} %; {remedy}',
        )
    return None


def reason_without_room(
    pool: ThinPool | None,
    size: int,
    limits: options.Limits,
    *,
    needs_new_lvs: bool = True,
) -> str | None:
    """Return why a pool cannot be used, or has no space for ``size`` bytes.

    :param pool: None for a pool that LVM does not list.
    :param size: the size that is added to the LVs that clients can write to,
        in bytes; 0 for a snapshot.
    :param needs_new_lvs: whether LVM's limit for new LVs applies.
    :return: the reason and the remedy; None if the pool has the space.
    """
    if fault := find_fault(pool, limits, needs_new_lvs=needs_new_lvs):
        return fault.message
    if pool is None or size <= room_for_shares(pool, limits):
        return None
    return (
        f'the logical volumes of shares would need '
        f'{(pool.provisioned + size) / GIB:.1f} GiB, but '
        f'max_over_subscription_ratio ({limits.oversubscription:g}) '
        f'allows {pool.size * limits.oversubscription / GIB:.1f} '
        f'GiB; run "lvextend --size +SIZE {pool.name}", or delete shares'
    )


def room_for_shares(pool: ThinPool, limits: options.Limits) -> int:
    """Return how much the LVs of shares can still grow, in bytes.

    Return 0 if the LVs already exceed max_over_subscription_ratio.
    """
    allowed = int(pool.size * limits.oversubscription)
    return max(0, allowed - pool.provisioned)


def _threshold_limit(pool: ThinPool) -> str:
    source = f'profile {pool.profile}' if pool.profile else 'lvm.conf'
    return (
        f'LVM creates no logical volume in a thin pool that is fuller than '
        f'{pool.policy.threshold} % (thin_pool_autoextend_threshold in '
        f'{source})'
    )


def _threshold_remedy(pool: ThinPool) -> str:
    """Return why LVM does not extend a pool, and what to do."""
    deletion = 'set a higher threshold, or delete shares or snapshots'
    extension = f'run "lvextend --size +SIZE {pool.name}", {deletion}'
    if pool.next_extension > pool.vg_free:
        return (
            f'LVM needs at least {pool.next_extension / GIB:.1f} GiB to '
            f'extend the pool, but its volume group has '
            f'{pool.vg_free / GIB:.1f} GiB free; add a disk with "vgextend", '
            f'{deletion}'
        )
    if not pool.policy.is_automatic:
        return (
            f'LVM does not extend thin pools automatically '
            f'(activation/monitoring, thin_pool_autoextend_percent); '
            f'{extension}'
        )
    if pool.policy.threshold < thin_pools.MIN_AUTOEXTEND_PERCENT:
        return (
            f'LVM extends a thin pool only above '
            f'{thin_pools.MIN_AUTOEXTEND_PERCENT} %; {extension}'
        )
    return (
        f'run "lvextend --use-policies {pool.name}" on the node if LVM does '
        f'not extend the pool within a minute; if this happens often, check '
        f'dmeventd, and set a threshold that is a multiple of 5'
    )


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
    pools_by_node: Mapping[str, thin_pools.NodePools],
    errors_by_node: Mapping[str, Exception],
    limits: options.Limits,
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Return configuration mistakes and current faults of thin pools.

    If no node lists a pool, this is a mistake: the name of the pool is wrong,
    or the pool was not created. If some nodes list the pool, there are two
    cases. A node that lists other LVs of the pool's VG has a mistake: the pool
    was not created there. A node that lists no LV of the VG has a fault: the
    disk of the VG has possibly failed.

    :param pool_names: the names of the pools, ``vg/thinpool``.
    :param pools_by_node: the pools of each node that answered, by node name.
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
    faults += [
        findings.Finding(
            f'node {node}',
            'lvm settings',
            f'the limits of LVM for new logical volumes could not be read, so '
            f'the driver may report free space where LVM creates no logical '
            f'volume; run the failed command as root to see the cause: '
            f'{pools.settings_error}',
            node,
        )
        for node, pools in pools_by_node.items()
        if pools.settings_error is not None
    ]
    for name in pool_names:
        pool_by_node = {
            node: pools.by_name[name] for node, pools in pools_by_node.items()
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
            vg_name = name.partition('/')[0]
            is_vg_visible = vg_name in pools_by_node[node].vg_names
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
                    findings.Finding(
                        subject,
                        fault.kind,
                        fault.message,
                        node,
                        ends_soon=fault.ends_soon,
                    )
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
