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
"""The faults manila-share starts with, and the mistakes that prevent it."""

from collections.abc import Callable, Iterator
import logging

from manila import exception
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import names
from manila_glusterfs_clone import protocols
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model.test_share_manager import Cloud
from tests.model.test_share_manager import cloud  # noqa: F401
from tests.model.test_share_manager import share_type  # noqa: F401

CLIENT = '10.0.0.5'
#: Seconds: a set-up asks each node a few things, and one time-out at most.
SOON, ONE_TIME_OUT = 5.0, 70.0


def full(pool: model_cluster.ModelCluster) -> None:
    for each in pool.nodes['gl2'].lvm.pools.values():
        each.health = 'out_of_data'
        each.data_percent = 100.0


def metadata_full(pool: model_cluster.ModelCluster) -> None:
    for each in pool.nodes['gl2'].lvm.pools.values():
        each.metadata_percent = 99.0


def failed(pool: model_cluster.ModelCluster) -> None:
    for each in pool.nodes['gl2'].lvm.pools.values():
        each.health = 'failed'


def inactive(pool: model_cluster.ModelCluster) -> None:
    for each in pool.nodes['gl2'].lvm.pools.values():
        each.active = False


def unreadable(pool: model_cluster.ModelCluster) -> None:
    pool.nodes['gl2'].lvm.unreadable = True


#: What is broken, and what is found then: subjects and kinds.
STORAGE: dict[Callable[[model_cluster.ModelCluster], None], str] = {
    full: 'out_of_data',
    metadata_full: 'metadata full',
    failed: 'failed',
    inactive: 'inactive',
    unreadable: 'not visible',
}


@pytest.mark.parametrize('broken', STORAGE, ids=lambda f: f.__name__)
def test_a_pool_that_is_broken_on_one_node(
    cloud: Cloud,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    broken: Callable[[model_cluster.ModelCluster], None],
) -> None:
    """It starts, denies and deletes, and the fault is said in one place."""
    share, spare = cloud.create(), cloud.create()
    rule = cloud.allow(share, 'ip', CLIENT)
    volume = f'manila-{cloud.instance(share)}'
    assert cloud.pool.mount(CLIENT, volume)
    broken(cloud.pool)
    caplog.clear()
    begun = cloud.pool.time.now
    cloud.start()
    assert cloud.pool.time.now - begun < ONE_TIME_OUT
    assert cloud.manager.driver.initialized
    found = cloud.manager.driver._services.health.faults
    assert {(f.node, f.kind) for f in found} == {('gl2', STORAGE[broken])}
    told = [
        record
        for record in caplog.records
        if record.name == fault_log.__name__
        and record.levelno >= logging.WARNING
    ]
    assert len(told) == 1
    assert cloud.pool.mounted(volume) == {CLIENT}
    cloud.deny(share, rule)
    assert cloud.pool.mounted(volume) == set()
    if broken is not unreadable:
        cloud.delete(spare)
        assert f'manila-{spare}' not in cloud.pool.state.volumes
    # The scheduler is told that there is no room, and the log nothing new.
    caplog.clear()
    stats = cloud.manager.driver.get_share_stats(refresh=True)
    assert [pool['free_capacity_gb'] for pool in stats['pools']] == [0]
    assert not caplog.records


def test_a_fault_that_comes_and_goes_is_logged_by_the_statistics(
    cloud: Cloud,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = cloud.manager.driver
    full(cloud.pool)
    for _ in range(3):
        driver.get_share_stats(refresh=True)
    told = [r for r in caplog.records if r.name == fault_log.__name__]
    assert [record.levelno for record in told] == [logging.WARNING]
    for each in cloud.pool.nodes['gl2'].lvm.pools.values():
        each.health, each.data_percent = '', 1.0
    driver.get_share_stats(refresh=True)
    assert driver._services.health.faults == ()


def test_a_node_that_is_down(cloud: Cloud) -> None:  # noqa: F811
    share = cloud.create()
    rule = cloud.allow(share, 'ip', CLIENT)
    cloud.pool.cut('gl3')
    cloud.pool.time.advance(300)
    begun = cloud.pool.time.now
    cloud.start()
    assert cloud.pool.time.now - begun < ONE_TIME_OUT
    (found,) = {f.node for f in cloud.manager.driver._services.health.faults}
    assert found == 'gl3'
    cloud.deny(share, rule)
    assert cloud.rules(share) == {}


def test_glusterd_that_is_down(cloud: Cloud) -> None:  # noqa: F811
    share = cloud.create()
    cloud.allow(share, 'ip', CLIENT)
    cloud.pool.nodes['gl3'].glusterd_up = False
    cloud.start()
    assert [
        (f.node, f.kind) for f in cloud.manager.driver._services.health.faults
    ] == [('gl3', 'glusterd')]
    assert cloud.share(share)['status'] == 'available'


@pytest.mark.parametrize('program', ['lvcreate', 'xfs_growfs', 'umount'])
def test_a_program_that_is_missing_on_one_node(
    pool: model_cluster.ModelCluster, program: str
) -> None:
    pool.nodes['gl2'].absent.add(program)
    with model_backend.in_time_of(pool):
        made = model_backend.ModelBackend(link.Process(pool))
        with pytest.raises(findings.Misconfigured) as caught:
            made.backend.check()
    (found,) = caught.value.mistakes
    assert (found.node, found.kind) == ('gl2', 'missing')
    assert program in found.message


def test_set_up_asks_little(pool: model_cluster.ModelCluster) -> None:
    with model_backend.in_time_of(pool):
        process = link.Process(pool)
        begun = pool.time.now
        model_backend.ModelBackend(process).backend.check()
    # A greeting; the release and the boot unit in one request; the peers, the
    # LVs and the limits of LVM. And one question more.
    assert len(process.steps) == 6 * 3 + 1
    assert process.requests == 4 * 3 + 1
    assert pool.time.now - begun < SOON


@pytest.mark.parametrize(
    'name',
    [
        'Gluster tier 1',
        'größe',
        'a\tb',
        'x' * 255,
        '100 %',
        '-n',
        '--version',
        '--',
        '#',
    ],
)
def test_a_back_end_of_any_name_is_served(
    pool: model_cluster.ModelCluster, ids: Iterator[str], name: str
) -> None:
    share, snapshot = next(ids), next(ids)
    with model_backend.in_time_of(pool):
        made = model_backend.ModelBackend(link.Process(pool), backend=name)
        if not name.startswith('x'):
            made.backend.check()
        made.create(share)
        made.snapshot(snapshot, share)
        made.clone(next(ids), snapshot)
        made.check()
        mark = pool.state.volumes[names.volume(share)].options[
            names.OPTION_BACKEND
        ]
        assert mark == made.services.settings.backend_mark
        # This command is too long for a console.
        rules = [
            protocols.Rule(each, 'ip', each, 'rw')
            for each in (f'10.0.0.{number}' for number in range(100))
        ]
        volume = made.services.volumes.get_finished(share)
        made.services.protocol.apply(
            volume.name,
            rules,
            is_revoking=False,
            extra_options=made.services.volumes.permanent_options(
                share, volume
            ),
        )
        options = pool.state.volumes[volume.name].options
        assert options[names.OPTION_BACKEND] == mark
        assert options['auth.allow'].count(',') == 99


def test_a_back_end_name_that_is_too_long(
    pool: model_cluster.ModelCluster,
) -> None:
    with model_backend.in_time_of(pool):
        made = model_backend.ModelBackend(
            link.Process(pool), backend='ü' * 100
        )
        with pytest.raises(findings.Misconfigured) as caught:
            made.backend.check()
    assert [m.subject for m in caught.value.mistakes] == ['share_backend_name']


def test_two_back_ends_never_have_the_same_mark() -> None:
    marks = ['a b', 'a%20b', 'a%2520b', 'a+b', 'a\tb', 'a']
    assert len({names.backend_mark(each) for each in marks}) == len(marks)


def test_errors_are_those_of_manila(cloud: Cloud) -> None:  # noqa: F811
    for each in cloud.pool.nodes['gl2'].lvm.pools.values():
        each.zero = False
    driver = cloud.manager.driver
    with pytest.raises(exception.ShareBackendException) as caught:
        driver.check_for_setup_error()
    assert isinstance(caught.value.__cause__, findings.Misconfigured)
    assert isinstance(caught.value.__cause__, errors.Error)
