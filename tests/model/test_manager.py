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
"""Manila's own share manager over the model: its nodes are the model's."""

from collections.abc import Iterator

from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
import pytest

from manila_glusterfs_clone import remote
from tests.model import census
from tests.model import link
from tests.model import pool as pools
from tests.model import service
from tests import share_manager

BACKEND = 'model'


class Cloud(share_manager.Manila):
    """manila-share over a pool, started and killed at will."""

    def __init__(self, pool: pools.Pool, share_type: str) -> None:
        super().__init__(BACKEND, service.THIN_POOL, share_type)
        self.pool = pool
        self.process = link.Process(pool)

    def start(self) -> None:
        self.process = link.Process(self.pool)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(remote, 'Remote', self.process.connect)
            super().start()

    def check(self, *shares: str) -> None:
        """Fail if there is more than, or not all of, these shares."""
        self.pool.time.advance(5)
        found = census.problems(
            self.pool,
            [
                census.Share(self.instance(share), self.share(share)['size'])
                for share in shares
            ],
            [
                str(instance['id'])
                for instance in (
                    db.share_snapshot_instance_get_all_with_filters(
                        self.context, {}
                    )
                )
            ],
        )
        assert not found, '\n'.join(found)


@pytest.fixture(scope='module')
def share_type(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Configure Manila; give the id of its share type."""
    yield share_manager.configure(
        tmp_path_factory.mktemp('manila'),
        BACKEND,
        {
            'glusterfs_clone_nodes': 'gl1,gl2,gl3',
            'glusterfs_clone_pools': service.THIN_POOL,
            'glusterfs_clone_ssh_private_key': '/dev/null',
            'glusterfs_clone_ssh_known_hosts': '/dev/null',
        },
    )
    share_manager.forget()


@pytest.fixture
def cloud(share_type: str) -> Iterator[Cloud]:
    """Run manila-share over a new pool, with nothing in the database."""
    with db_api.get_engine().begin() as connection:
        for table in reversed(models.BASE.metadata.sorted_tables):
            if not table.name.startswith('share_type'):
                connection.execute(table.delete())
    pool = pools.Pool(3, '11.1')
    with service.in_time_of(pool):
        found = Cloud(pool, share_type)
        found.start()
        yield found


def test_life_of_shares(cloud: Cloud) -> None:
    origin = cloud.create()
    share = cloud.share(origin)
    assert share['status'] == 'available'
    locations = db.export_location_get_all_by_share_id(cloud.context, origin)
    assert [place['path'].partition(':')[0] for place in locations] == [
        'gl1',
        'gl2',
        'gl3',
    ]
    cloud.pool.write(f'manila-{cloud.instance(origin)}', 'some data')
    snapshot = cloud.snapshot(origin)
    assert (
        db.share_snapshot_get(cloud.context, snapshot)['status'] == 'available'
    )

    clone = cloud.create(2, snapshot)
    assert cloud.share(clone)['status'] == 'available'
    volume = f'manila-{cloud.instance(clone)}'
    assert cloud.pool.read(volume) == 'some data'
    assert cloud.pool.size(volume) == 2 * service.GIB

    good = cloud.allow(clone, 'ip', '10.0.0.5')
    bad = cloud.allow(clone, 'ip', 'fe80::1')
    assert cloud.rules(clone) == {good: 'active', bad: 'error'}
    assert cloud.pool.mount('10.0.0.5', volume)
    cloud.deny(clone, good)
    cloud.deny(clone, bad)
    assert cloud.rules(clone) == {}
    assert not cloud.pool.mounted(volume)

    cloud.extend(clone, 4)
    assert cloud.share(clone)['status'] == 'available'
    assert cloud.share(clone)['size'] == 4
    assert cloud.pool.size(volume) == 4 * service.GIB

    cloud.delete_snapshot(snapshot)
    cloud.delete(origin)
    cloud.delete(clone)
    assert not db.share_get_all(cloud.context)
    cloud.check()


def test_clone_fails_and_is_deleted(cloud: Cloud) -> None:
    """The user sees it in error, deletes it, and tries again."""
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    cloud.pool.state.mishaps['clone'] = 99
    with pytest.raises(exception.ShareBackendException):
        cloud.create(1, snapshot)
    cloud.pool.state.mishaps.clear()
    (failed,) = [
        str(share['id'])
        for share in db.share_get_all(cloud.context)
        if share['status'] == 'error'
    ]
    cloud.delete(failed)
    again = cloud.create(1, snapshot)
    assert cloud.share(again)['status'] == 'available'
    cloud.check(origin, again)


def test_killed_while_cloning_and_restarted(cloud: Cloud) -> None:
    """What hangs in ``creating`` is reset and deleted by the user."""
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    # Once to its end, to learn at which step the cluster clones.
    begin = len(cloud.process.steps)
    cloud.delete(cloud.create(1, snapshot))
    (step,) = (
        number
        for number, step in enumerate(cloud.process.steps[begin:])
        if 'clone' in step.argv
    )
    begin = len(cloud.process.steps)
    cloud.process.fail_at(begin + step, link.Fault.KILLED)
    with pytest.raises(link.Killed):
        cloud.create(1, snapshot)
    cloud.start()
    (half,) = [
        str(share['id'])
        for share in db.share_get_all(cloud.context)
        if share['status'] != 'available'
    ]
    cloud.delete(half)
    again = cloud.create(1, snapshot)
    cloud.check(origin, again)


def test_start_heals_and_applies_rules(cloud: Cloud) -> None:
    """All nodes lost their power, and manila-share in mid-rule."""
    share = cloud.create()
    instance = cloud.instance(share)
    rule = cloud.allow(share, 'ip', '10.0.0.5')
    assert cloud.rules(share) == {rule: 'active'}
    db.share_instance_access_update(
        cloud.context, rule, instance, {'state': 'denying'}
    )
    for node in cloud.pool.nodes.values():
        node.boot_unit = False
    cloud.pool.cut()
    cloud.pool.boot()
    # Whoever looks after the nodes has enabled it since.
    for node in cloud.pool.nodes.values():
        node.boot_unit = True
    cloud.start()
    assert cloud.share(share)['status'] == 'available'
    assert cloud.rules(share) == {}
    assert not cloud.pool.mount('10.0.0.5', f'manila-{instance}')
    cloud.check(share)


def test_statistics(cloud: Cloud) -> None:
    cloud.create(3)
    stats = cloud.manager.driver.get_share_stats(refresh=True)
    (pool,) = stats['pools']
    assert pool['pool_name'] == service.THIN_POOL
    assert pool['total_capacity_gb'] == 64
    assert pool['provisioned_capacity_gb'] == 3
