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
"""The operations of the driver over the model, without faults.

Each test ends with a check of the model: nothing is left over, nothing is
missing, every share is complete.
"""

from collections.abc import Iterator
import concurrent.futures

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import protocols
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster


@pytest.fixture(autouse=True)
def nothing_left(manila: model_backend.ModelBackend) -> Iterator[None]:
    yield
    manila.check()


def delete_all(manila: model_backend.ModelBackend) -> None:
    for snapshot in list(manila.snapshots):
        manila.delete_snapshot(snapshot)
    for share in list(manila.shares):
        manila.delete(share)


def test_create_and_delete(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    volume = manila.create(share)
    assert len(volume.bricks) == 3
    locations = manila.services.protocol.find_export_locations(volume)
    assert [location.preferred for location in locations] == [
        True,
        False,
        False,
    ]
    assert not manila.pool.mount('10.0.0.1', f'manila-{share}')
    manila.check()
    manila.delete(share)


def test_single_brick(
    pool: model_cluster.ModelCluster, ids: Iterator[str]
) -> None:
    with model_backend.in_time_of(pool):
        manila = model_backend.ModelBackend(
            link.Process(pool), layout='single'
        )
        origin, snapshot, share = (next(ids) for _ in range(3))
        assert len(manila.create(origin).bricks) == 1
        manila.snapshot(snapshot, origin)
        manila.clone(share, snapshot, 2)
        manila.check()
        delete_all(manila)
        manila.check()


def test_deleting_what_is_not_there(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    manila.services.shares.delete(next(ids))
    manila.services.snapshots.delete(next(ids), next(ids))


@pytest.mark.parametrize('size', [1, 3])
def test_clone(
    manila: model_backend.ModelBackend, ids: Iterator[str], size: int
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.write(origin, 'before')
    manila.snapshot(snapshot, origin)
    manila.write(origin, 'after')
    manila.clone(share, snapshot, size)
    assert manila.pool.read(f'manila-{share}') == 'before'
    assert manila.pool.size(f'manila-{share}') == size * model_backend.GIB
    manila.write(share, 'of the clone')
    assert manila.pool.read(f'manila-{origin}') == 'after'
    manila.check()
    delete_all(manila)


def test_clone_of_a_clone_of_a_clone(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.create(share)
    for generation in range(4):
        manila.write(share, f'generation {generation}')
        snapshot, child = next(ids), next(ids)
        manila.snapshot(snapshot, share)
        manila.clone(child, snapshot, generation + 2)
        share = child
    manila.check()


def test_a_clone_outlives_its_parent(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.write(origin, 'inherited')
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot, 2)
    manila.delete_snapshot(snapshot)
    manila.delete(origin)
    manila.check()
    again, more = next(ids), next(ids)
    manila.snapshot(again, share)
    manila.clone(more, again, 2)
    assert manila.pool.read(f'manila-{more}') == 'inherited'
    manila.delete(more)


def test_a_share_with_snapshots_is_not_deleted(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot = next(ids), next(ids)
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    with pytest.raises(errors.NotPossible):
        manila.delete(origin)


def test_a_clone_admits_nobody_that_its_origin_does(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.allow(origin, '10.0.0.1')
    assert manila.pool.mount('10.0.0.1', f'manila-{origin}')
    manila.snapshot(snapshot, origin)
    manila.clone(share, snapshot)
    assert not manila.pool.mount('10.0.0.1', f'manila-{share}')


def test_inherited_options_are_dropped(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    origin, snapshot, share = (next(ids) for _ in range(3))
    manila.create(origin)
    manila.snapshot(snapshot, origin)
    taken = manila.pool.state.snapshots[f'manila-snap-{snapshot}']
    taken.volume.options['auth.reject'] = '*'
    taken.volume.options['auth.ssl-allow'] = 'someone'
    manila.clone(share, snapshot)
    options = manila.pool.state.volumes[f'manila-{share}'].options
    assert 'auth.ssl-allow' not in options


def test_extend(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.create(share)
    manila.write(share, 'kept')
    manila.extend(share, 5)
    manila.extend(share, 5)
    assert manila.pool.size(f'manila-{share}') == 5 * model_backend.GIB


def test_access_by_address(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    name = f'manila-{share}'
    manila.create(share)
    refused = manila.allow(share, '10.0.0.1', '10.0.1.0/32', '10.0.0.0/33')
    assert set(refused) == {'10.0.0.0/33'}
    manila.shares[share].allow = '10.0.0.1,10.0.1.0'
    assert manila.pool.mount('10.0.0.1', name)
    assert manila.pool.mount('10.0.1.0', name)
    assert not manila.pool.mount('10.0.1.1', name)
    manila.check()
    manila.allow(share, '10.0.1.0')
    # Whoever is not admitted any more is gone before that is reported.
    assert manila.pool.mounted(name) == {'10.0.1.0'}
    manila.allow(share)
    assert not manila.pool.mounted(name)


def test_networks_admit_exactly_their_members(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    share = next(ids)
    manila.create(share)
    backend = manila.services.shares
    backend.update_access(
        share,
        [],
        [protocols.Rule('r', 'ip', '10.1.2.64/30', 'rw')],
        is_revoking=False,
    )
    found = {
        n
        for n in range(256)
        if manila.pool.mount(f'10.1.2.{n}', f'manila-{share}')
    }
    assert found == {64, 65, 66, 67}
    backend.update_access(share, [], [], is_revoking=True)


def test_access_by_certificate(
    pool: model_cluster.ModelCluster, ids: Iterator[str]
) -> None:
    with model_backend.in_time_of(pool):
        manila = model_backend.ModelBackend(
            link.Process(pool), tls=True, tls_server_names=('server',)
        )
        origin, snapshot, share = (next(ids) for _ in range(3))
        manila.create(origin)
        manila.snapshot(snapshot, origin)
        refused = manila.services.shares.update_access(
            origin,
            [],
            [
                protocols.Rule('1', 'cert', 'client', 'rw'),
                protocols.Rule('2', 'cert', 'SERVER', 'rw'),
                protocols.Rule('3', 'ip', '10.0.0.1', 'rw'),
                protocols.Rule('4', 'cert', 'a,b', 'rw'),
            ],
            is_revoking=False,
        )
        assert set(refused) == {'2', '3', '4'}
        options = pool.state.volumes[f'manila-{origin}'].options
        assert options['auth.ssl-allow'] == 'client,server'
        assert options['client.ssl'] == options['server.ssl'] == 'on'
        manila.clone(share, snapshot)
        options = pool.state.volumes[f'manila-{share}'].options
        assert options['auth.ssl-allow'] == 'server'
        delete_all(manila)
        manila.check()


def test_clones_side_by_side(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> None:
    """Of one snapshot and of several, with nobody refused."""
    snapshots = []
    for _ in range(2):
        share, snapshot = next(ids), next(ids)
        manila.create(share)
        manila.write(share, share)
        manila.snapshot(snapshot, share)
        snapshots.append(snapshot)
    wanted = [(next(ids), snapshots[n % 2]) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for done in [
            threads.submit(manila.clone, *pair, 2) for pair in wanted
        ]:
            done.result()
    manila.check()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for gone in [
            threads.submit(manila.delete, share) for share, _ in wanted
        ]:
            gone.result()
