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
"""Which clients the observer counts as disturbed."""

from collections.abc import Iterator

import pytest

from tests.model import model_backend

KEPT, GOES = '10.0.0.5', '10.0.0.6'


@pytest.fixture
def volume(manila: model_backend.ModelBackend, ids: Iterator[str]) -> str:
    share = next(ids)
    manila.create(share)
    manila.allow(share, KEPT, GOES)
    name = manila.shares[share].volume
    assert manila.pool.mounted(name) == {KEPT, GOES}
    return name


def admit(
    manila: model_backend.ModelBackend, volume: str, allowed: str
) -> None:
    """Set the access list as a driver that knows no better."""
    manila.services.cluster.nodes[0].gluster.set_options(
        volume, {'auth.allow': allowed}
    )


def test_a_moment_without_access_is_recorded_for_good(
    manila: model_backend.ModelBackend, volume: str
) -> None:
    admit(manila, volume, '0.0.0.0')
    admit(manila, volume, f'{KEPT},{GOES}')
    found = manila.pool.observer.disturbances
    assert [each.address for each in found] == [KEPT, GOES]
    assert {each.volume for each in found} == {volume}
    assert all('auth.allow 0.0.0.0' in each.step for each in found)
    assert manila.problems()


def test_one_whose_rule_goes_is_not_disturbed(
    manila: model_backend.ModelBackend, volume: str
) -> None:
    manila.allow(volume.removeprefix('manila-'), KEPT)
    assert manila.pool.mounted(volume) == {KEPT}
    assert not manila.pool.observer.disturbances


def test_a_stop_disturbs_and_a_delete_that_was_asked_for_does_not(
    manila: model_backend.ModelBackend, ids: Iterator[str], volume: str
) -> None:
    other = next(ids)
    manila.create(other)
    manila.allow(other, KEPT)
    manila.delete(other)
    assert not manila.pool.observer.disturbances
    manila.services.cluster.nodes[0].gluster.stop_volume(volume)
    assert len(manila.pool.observer.disturbances) == 2


@pytest.mark.parametrize('nodes', [1, 2])
def test_what_is_not_done_by_the_driver_is_not_recorded(
    manila: model_backend.ModelBackend, volume: str, nodes: int
) -> None:
    pool = manila.pool
    for name in ('gl2', 'gl3')[:nodes]:
        pool.cut(name)
    assert bool(pool.state.served()) == (nodes == 1)
    pool.boot()
    manila.heal()
    pool.glusterd.ask(
        pool.nodes['gl1'], ['volume', 'set', volume, 'auth.allow', GOES]
    )
    admit(manila, volume, GOES)
    assert not pool.observer.disturbances


def test_a_brick_less_disturbs_nobody_and_two_do(
    manila: model_backend.ModelBackend, volume: str
) -> None:
    """Of three copies, two serve."""
    pool = manila.pool
    for number, node in enumerate(pool.nodes.values()):
        path = pool.state.volumes[volume].bricks[number].path
        with pool.observer.command(f'kill {path}', is_read=False):
            node.files.users.pop(path)
        assert len(pool.observer.disturbances) == 2 * (number > 0)
