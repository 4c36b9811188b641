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
"""Thin pools that LVM or the driver takes for too full."""

from collections.abc import Callable, Iterator
import logging

import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import options
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import turns

THIN_POOL = model_backend.THIN_POOL
GIB = model_backend.GIB
THRESHOLD = 'thin_pool_autoextend_threshold'
LVMCONFIG = 'lvmconfig'


@pytest.fixture(autouse=True)
def nothing_left(manila: model_backend.ModelBackend) -> Iterator[None]:
    yield
    manila.check()


def capacity(manila: model_backend.ModelBackend) -> placement.Capacity:
    return manila.services.capacities()[THIN_POOL]


def fill(pool: model_cluster.ModelCluster, percent: float) -> None:
    for thin_pool in pool.thin_pools():
        thin_pool.data_percent = percent


def set_threshold(pool: model_cluster.ModelCluster, percent: int) -> None:
    for node in pool.nodes.values():
        node.lvm.settings[THRESHOLD] = percent


def programs(manila: model_backend.ModelBackend, since: int) -> list[str]:
    return [step.argv[0] for step in manila.process.steps[since:]]


def changes(manila: model_backend.ModelBackend, since: int) -> list[link.Step]:
    return [step for step in manila.process.steps[since:] if not step.is_read]


@pytest.mark.parametrize('limit', ['threshold', 'metadata'])
def test_what_lvm_refuses_is_not_offered_and_not_begun(
    manila: model_backend.ModelBackend, ids: Iterator[str], limit: str
) -> None:
    origin, snapshot = next(ids), next(ids)
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    assert capacity(manila).free_bytes > 0
    if limit == 'threshold':
        set_threshold(manila.pool, 50)
        fill(manila.pool, 60.0)
    else:
        # LVM keeps a quarter of little metadata free, the driver 15 %.
        for thin_pool in manila.pool.thin_pools():
            thin_pool.metadata_size = 16 << 20
            thin_pool.metadata_percent = 80.0
    # The settings are read from time to time.
    manila.pool.time.advance(600.0)
    assert capacity(manila).free_bytes == 0
    kinds = {fault.kind for fault in manila.services.health.faults}
    assert (
        kinds
        == {
            'threshold': {'lvm limit'},
            'metadata': {'lvm metadata limit'},
        }[limit]
    )
    since = len(manila.process.steps)
    verbs: tuple[Callable[[], object], ...] = (
        lambda: manila.create(next(ids)),
        lambda: manila.snapshot(next(ids), origin),
        lambda: manila.clone(next(ids), snapshot),
    )
    for verb in verbs:
        with pytest.raises(placement.InsufficientSpace) as caught:
            verb()
        assert all(
            'LVM creates no logical volume' in reason
            for reason in caught.value.obstacles.values()
        )
    # A clone may activate its snapshot while it reads the limits.
    activate = ('snapshot', 'activate')
    assert {step.argv[1:3] for step in changes(manila, since)} <= {activate}
    manila.pool.time.run_deferred()
    state = manila.pool.state
    assert not any(
        state.snapshots[name].active for name in manila.pool.own_snapshots()
    )
    # LVM extends an LV that exists, and removes one.
    manila.extend(origin, 2)
    manila.delete_snapshot(snapshot)
    manila.delete(origin)


def test_a_threshold_that_an_operator_has_raised(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    set_threshold(manila.pool, 50)
    fill(manila.pool, 60.0)
    assert capacity(manila).free_bytes == 0
    set_threshold(manila.pool, 70)
    # The settings were read just now.
    with pytest.raises(placement.InsufficientSpace):
        manila.create(next(ids))
    manila.pool.time.advance(30.0)
    manila.create(next(ids))
    assert capacity(manila).free_bytes > 0
    assert not manila.services.health.faults


def test_a_pool_that_was_never_asked_for_its_settings(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """LVM itself refuses then, and what was begun is undone."""
    share = next(ids)
    manila.create(share)
    set_threshold(manila.pool, 50)
    fill(manila.pool, 60.0)
    verbs: tuple[Callable[[], object], ...] = (
        lambda: manila.create(next(ids)),
        lambda: manila.snapshot(next(ids), share),
    )
    for verb in verbs:
        with pytest.raises(errors.Error):
            verb()


def test_the_operations_read_no_settings(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Neither before nor after something is known of them."""
    for _ in range(2):
        since = len(manila.process.steps)
        origin, snapshot, share = next(ids), next(ids), next(ids)
        manila.create(origin)
        manila.snapshot(snapshot, origin)
        manila.clone(share, snapshot, 2)
        manila.extend(origin, 2)
        assert LVMCONFIG not in programs(manila, since)
        capacity(manila)


def test_the_capacity_is_read_with_one_command_on_each_node(
    manila: model_backend.ModelBackend,
) -> None:
    capacity(manila)
    for _ in range(8):
        manila.pool.time.advance(60.0)
        since = len(manila.process.steps)
        capacity(manila)
        assert programs(manila, since) == ['lvs'] * len(manila.pool.nodes)


def test_a_pool_that_lvm_extends_is_no_warning(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has no free capacity until then."""
    caplog.set_level(logging.WARNING, 'manila_glusterfs_clone')
    for node in manila.pool.nodes.values():
        node.lvm.settings['monitoring'] = 1
        node.lvm.free = 1 << 40
    set_threshold(manila.pool, 70)
    manila.pool.time.advance(600.0)
    for _ in range(3):
        fill(manila.pool, 75.0)
        assert capacity(manila).free_bytes == 0
        with pytest.raises(placement.InsufficientSpace):
            manila.create(next(ids))
        fill(manila.pool, 62.5)
        manila.pool.time.advance(60.0)
        assert capacity(manila).free_bytes > 0
        manila.create(next(ids))
    assert not caplog.records
    fill(manila.pool, 75.0)
    for _ in range(2):
        capacity(manila)
        manila.pool.time.advance(60.0)
    (record,) = caplog.records
    assert 'lvextend --use-policies' in record.getMessage()
    fill(manila.pool, 62.5)
    capacity(manila)


@pytest.mark.parametrize('is_hanging', [False, True])
@turns.in_turn()
def test_what_a_pool_above_the_threshold_costs(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    is_hanging: bool,
) -> None:
    """One more command a minute on each node, whatever it answers."""
    share, snapshot = next(ids), next(ids)
    manila.create(share)
    manila.snapshot(snapshot, share)
    set_threshold(manila.pool, 50)
    fill(manila.pool, 60.0)
    manila.pool.time.advance(600.0)
    assert capacity(manila).free_bytes == 0
    nodes = len(manila.pool.nodes)
    if is_hanging:
        manila.process.fail_when(link.Variant.HANGS_IDLE, LVMCONFIG, 'gl2')
    for _ in range(10):
        manila.pool.time.advance(60.0)
        since = len(manila.process.steps)
        started_at = manila.pool.time.now
        assert capacity(manila).free_bytes == 0
        assert manila.pool.time.now - started_at < 60
        assert sorted(programs(manila, since)) == sorted(
            [LVMCONFIG, 'lvs'] * nodes
        )
    kinds = {fault.kind for fault in manila.services.health.faults}
    assert kinds == {'lvm limit', *(['lvm settings'] if is_hanging else [])}
    # What was read less than 30 seconds ago is not read again.
    verbs: tuple[Callable[[], object], ...] = (
        lambda: manila.create(next(ids)),
        lambda: manila.snapshot(next(ids), share),
        lambda: manila.clone(next(ids), snapshot),
    )
    since = len(manila.process.steps)
    for verb in verbs:
        with pytest.raises(placement.InsufficientSpace):
            verb()
    assert LVMCONFIG not in programs(manila, since)
    # LVM's limit does not concern an extension.
    manila.pool.time.advance(60.0)
    since = len(manila.process.steps)
    manila.extend(share, 2)
    assert LVMCONFIG not in programs(manila, since)
    # A refusal reads the settings of all nodes, each once.
    since = len(manila.process.steps)
    for verb in verbs:
        with pytest.raises(placement.InsufficientSpace):
            verb()
    assert programs(manila, since).count(LVMCONFIG) == nodes
    manila.process.fail_no_more()
    manila.delete_snapshot(snapshot)
    manila.delete(share)


def test_a_threshold_in_the_profile_of_a_pool(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """It counts even if the threshold of lvm.conf is lower or higher."""
    for node in manila.pool.nodes.values():
        node.lvm.profiles['mine'] = {THRESHOLD: 70}
        for thin_pool in node.lvm.pools.values():
            thin_pool.profile = 'mine'
    set_threshold(manila.pool, 50)
    fill(manila.pool, 60.0)
    assert capacity(manila).free_bytes > 0
    share = next(ids)
    manila.create(share)
    set_threshold(manila.pool, 100)
    fill(manila.pool, 75.0)
    assert capacity(manila).free_bytes == 0
    with pytest.raises(placement.InsufficientSpace) as caught:
        manila.snapshot(next(ids), share)
    assert all(
        'in profile mine' in reason
        for reason in caught.value.obstacles.values()
    )
    # LVM uses lvm.conf if the file of the profile is missing.
    for node in manila.pool.nodes.values():
        node.lvm.profiles.clear()
    manila.pool.time.advance(60.0)
    assert capacity(manila).free_bytes > 0
    manila.snapshot(next(ids), share)


def test_settings_that_cannot_be_read(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """It is a fault, and the settings that were read last apply."""
    set_threshold(manila.pool, 50)
    capacity(manila)
    for node in manila.pool.nodes.values():
        del node.lvm.settings[THRESHOLD]
    manila.pool.time.advance(600.0)
    assert capacity(manila).free_bytes > 0
    faults = manila.services.health.faults
    assert {fault.kind for fault in faults} == {'lvm settings'}
    assert len(faults) == len(manila.pool.nodes)
    fill(manila.pool, 60.0)
    assert capacity(manila).free_bytes == 0
    set_threshold(manila.pool, 100)
    manila.pool.time.advance(60.0)
    manila.create(next(ids))
    assert capacity(manila).free_bytes > 0
    assert not manila.services.health.faults


# -- over-subscription


@pytest.fixture
def tight(manila: model_backend.ModelBackend) -> model_backend.ModelBackend:
    """Return a back end whose pools have room for six shares of 1 GiB."""
    provisioned = capacity(manila).provisioned_bytes
    for node in manila.pool.nodes.values():
        for thin_pool in node.lvm.pools.values():
            thin_pool.size = (provisioned + 6 * GIB) // 2
    limits = options.Limits(95, 85, 2.0)
    return model_backend.ModelBackend(manila.process, limits=limits)


def test_snapshots_do_not_count_as_provisioned(
    tight: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    others = capacity(tight).provisioned_bytes
    origin = next(ids)
    tight.create(origin)
    before = capacity(tight)
    assert before.provisioned_bytes == others + GIB
    snapshots = [next(ids) for _ in range(12)]
    for snapshot in snapshots:
        tight.snapshot(snapshot, origin)
        assert capacity(tight) == before
    # A clone can be written to.
    clones = [next(ids) for _ in range(5)]
    for number, clone in enumerate(clones):
        tight.clone(clone, snapshots[number])
        assert capacity(tight).provisioned_bytes == others + (number + 2) * GIB
    assert capacity(tight).free_bytes == 0
    verbs: tuple[Callable[[], object], ...] = (
        lambda: tight.create(next(ids)),
        lambda: tight.clone(next(ids), snapshots[0]),
        lambda: tight.extend(origin, 2),
    )
    for verb in verbs:
        with pytest.raises(placement.InsufficientSpace) as caught:
            verb()
        assert all(
            'max_over_subscription_ratio' in reason
            for reason in caught.value.obstacles.values()
        )
    # … and snapshots of all of them can still be taken.
    for share in (origin, *clones):
        tight.snapshot(next(ids), share)
    for snapshot in [*tight.snapshots]:
        tight.delete_snapshot(snapshot)
    for share in (origin, *clones):
        tight.delete(share)
    assert capacity(tight).provisioned_bytes == others
    tight.check()


def test_snapshots_of_others_do_not_count_as_provisioned(
    tight: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Their LVs have no tags."""
    origin = next(ids)
    tight.create(origin)
    before = capacity(tight)
    tight.gluster(
        *('snapshot', 'create', 'theirs', f'manila-{origin}', 'no-timestamp')
    )
    assert capacity(tight) == before
    tight.gluster('snapshot', 'delete', 'theirs')
    tight.delete(origin)
    tight.check()
