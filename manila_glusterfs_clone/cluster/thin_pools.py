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
"""Read the state of thin pools, and compute their space.

A thin LV counts as *provisioned* if clients can write to it, because it can
then use its whole size. The LVs of snapshots do not count, because clients
cannot write to a snapshot. But a snapshot keeps the blocks that its origin
replaces, so snapshots and their origin can use more than the size of the
origin. ``data_percent`` includes these blocks.

The free space of the VG does not count, even if LVM extends the pool
automatically. Whether an extension succeeds depends on dmeventd, on the layout
of the pool (a mirrored pool needs several times the space), and on the other
users of the VG.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import math

from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import lvm
from manila_glusterfs_clone.tools import lvmconfig

GIB = 1 << 30
_MIB = 1 << 20

#: LVM extends a thin pool automatically only above this usage, in percent.
MIN_AUTOEXTEND_PERCENT = 50
#: LVM creates thin LVs only while this much metadata space is free: 25 % or
#: 4 MiB, whichever is less (``thin_pool_metadata_min_threshold``).
_METADATA_RESERVE_PERCENT, _METADATA_RESERVE = 25.0, 4 * _MIB
#: Read the settings of LVM again after this time, in seconds; the second value
#: applies while the settings prevent new LVs.
_MAX_POLICY_AGE, _RECHECK_AGE = 600.0, 30.0


@dataclasses.dataclass(frozen=True)
class ThinPool:
    """A thin pool on one node; sizes are in bytes."""

    #: ``vg/thinpool``.
    name: str
    size: int
    data_percent: float
    metadata_percent: float
    metadata_size: int
    #: The sum of the virtual sizes of the thin LVs that clients can write to.
    provisioned: int
    is_active: bool
    #: As in :class:`~manila_glusterfs_clone.tools.lvm.LogicalVolume`.
    health: str
    zeroes_new_blocks: bool
    #: The free space of the VG.
    vg_free: int
    #: The metadata profile of the pool; empty if none.
    profile: str
    policy: lvmconfig.AutoextendPolicy

    @property
    def free_bytes(self) -> int:
        """Return the free data space."""
        return self.size - int(self.size * self.data_percent / 100)

    @property
    def reserve_limit(self) -> float:
        """Return the use of metadata at which LVM creates no LVs, in percent.

        No setting of LVM changes this limit.
        """
        reserve = _METADATA_RESERVE_PERCENT
        if self.metadata_size:
            reserve = min(
                reserve, 100 * _METADATA_RESERVE / self.metadata_size
            )
        return 100 - reserve

    @property
    def metadata_limit(self) -> float:
        """Return the lower of LVM's two limits for metadata, in percent."""
        return min(self.policy.threshold, self.reserve_limit)

    @property
    def has_reached_threshold(self) -> bool:
        """Return whether the threshold of the policy prevents new LVs."""
        # LVM still creates LVs if the use equals the threshold. But lvs rounds
        # the use, so the true use can be greater than the threshold.
        return (
            self.policy.threshold < 100
            and max(self.data_percent, self.metadata_percent)
            >= self.policy.threshold
        )

    @property
    def next_extension(self) -> int:
        """Return the least space in the VG for LVM's next extension, in bytes.

        A mirrored pool needs several times this space.

        :return: 0 if the pool is not full enough for an extension.
        """
        threshold = max(MIN_AUTOEXTEND_PERCENT, self.policy.threshold)
        data = self._growth(self.data_percent, threshold)
        metadata = self._growth(
            self.metadata_percent, min(threshold, int(self.reserve_limit))
        )
        return (self.size * data + self.metadata_size * metadata) // 100

    @property
    def is_extended_soon(self) -> bool:
        """Return whether dmeventd should extend the pool within a minute."""
        return (
            self.policy.is_automatic
            and self.policy.threshold >= MIN_AUTOEXTEND_PERCENT
            and 0 < self.next_extension <= self.vg_free
        )

    def _growth(self, used_percent: float, threshold: int) -> int:
        """Return the growth of an automatic extension, in percent."""
        if used_percent < threshold:
            return 0
        growth_below_threshold = (
            math.ceil(100 * used_percent / threshold) - 100
        )
        return max(self.policy.percent, growth_below_threshold)


@dataclasses.dataclass(frozen=True)
class NodePools:
    """The configured thin pools of a node, as LVM lists them."""

    #: By the name of the pool, ``vg/thinpool``; None if LVM does not list it.
    by_name: Mapping[str, ThinPool | None]
    #: The VGs with at least one LV that LVM lists.
    vg_names: frozenset[str]
    #: Why the settings of LVM could not be read; None if they were read.
    settings_error: errors.Error | None = None


NO_POOLS = NodePools({}, frozenset())


def read(
    node: nodes.Node, pool_names: Iterable[str], timeout: float
) -> NodePools:
    """Read thin pools of a node, and if necessary the settings of LVM.

    :param pool_names: each as ``vg/thinpool``.
    :param timeout: seconds for the list of LVs. The settings can take
        :data:`lvmconfig.TIMEOUT` seconds more.
    :raises errors.Error: LVM on the node did not list the LVs.
    """
    lvs = node.lvm.lvs(timeout=timeout)
    pool_names = tuple(pool_names)
    # Pools with the same profile have the same settings.
    max_ages: dict[str, float] = {}
    for name in pool_names:
        if pool := find(node, lvs, name):
            max_age = _max_policy_age(pool)
            max_ages[pool.profile] = min(
                max_age, max_ages.get(pool.profile, max_age)
            )
    settings_error = node.lvmconfig.refresh(max_ages)
    return NodePools(
        by_name={name: find(node, lvs, name) for name in pool_names},
        vg_names=frozenset(lv.vg for lv in lvs),
        settings_error=settings_error,
    )


def find(
    node: nodes.Node, lvs: Sequence[lvm.LogicalVolume], name: str
) -> ThinPool | None:
    """Return a thin pool of a node; None if LVM does not list it.

    Use the settings of LVM that were read last, and run no command.

    :param lvs: all LVs that LVM lists on the node.
    :param name: ``vg/thinpool``.
    """
    for lv in lvs:
        if lv.is_thin_pool and lv.full_name == name:
            return _thin_pool(lv, lvs, node.lvmconfig.policy(lv.profile))
    return None


def find_and_recheck(
    node: nodes.Node, lvs: Sequence[lvm.LogicalVolume], name: str
) -> ThinPool | None:
    """Return a thin pool; see :func:`find`.

    If the threshold of LVM prevents new LVs, read the settings of LVM again,
    because an operator may have changed them.
    """
    pool = find(node, lvs, name)
    if pool is None or not pool.has_reached_threshold:
        return pool
    node.lvmconfig.refresh({pool.profile: _max_policy_age(pool)})
    return find(node, lvs, name)


def _max_policy_age(pool: ThinPool) -> float:
    return _RECHECK_AGE if pool.has_reached_threshold else _MAX_POLICY_AGE


def _thin_pool(
    pool_lv: lvm.LogicalVolume,
    lvs: Sequence[lvm.LogicalVolume],
    policy: lvmconfig.AutoextendPolicy,
) -> ThinPool:
    name = pool_lv.full_name
    return ThinPool(
        name=name,
        size=pool_lv.size,
        data_percent=pool_lv.data_percent,
        metadata_percent=pool_lv.metadata_percent,
        metadata_size=pool_lv.metadata_size,
        provisioned=sum(
            thin_lv.size
            for thin_lv in lvs
            if thin_lv.pool_name == name and _is_writable(thin_lv)
        ),
        is_active=pool_lv.is_active,
        health=pool_lv.health,
        zeroes_new_blocks=pool_lv.zeroes_new_blocks,
        vg_free=pool_lv.vg_free,
        profile=pool_lv.profile,
        policy=policy,
    )


def _is_writable(lv: lvm.LogicalVolume) -> bool:
    """Return whether clients can write to a thin LV, now or later.

    An LV without a tag of this driver can belong to an operator's snapshot. So
    a thin snapshot that is not open counts as not writable.
    """
    if names.TAG_BRICK in lv.tags:
        # A brick of a restored volume also has the tag of the snapshot.
        return True
    if lv.tag_value(names.TAG_SNAPSHOT) or names.TAG_UNMANAGED in lv.tags:
        return False
    return lv.is_open or not lv.is_thin_snapshot
