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
"""Which shares are healed, which are left alone, and what is logged."""

import logging
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import brick_repair
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import volumes
from tests.unit.maintenance import fake_cluster
from tests.unit.maintenance.fake_cluster import A, B, C

NAME = names.volume(A)
PATH = fake_cluster.path_of(A)
MOUNT = PATH.rpartition('/')[0]
START, FORCE = ('start', NAME), ('start', NAME, 'force')
BUSY = errors.Busy('gl1', ('volume', 'status'), 1, 'locked')


class Scene:
    """Three shares on three nodes, and their healer."""

    def __init__(self) -> None:
        self.cluster = fake_cluster.Cluster(
            *(fake_cluster.volume(share_id) for share_id in (A, B, C))
        )
        self.clone_cleanup = mock.Mock()
        the_services: Any = mock.Mock(
            spec_set=('cluster', 'volumes', 'clone_cleanup', 'locks'),
            cluster=self.cluster,
            volumes=self.cluster.finder(),
            clone_cleanup=self.clone_cleanup,
            locks=self.cluster.locks,
        )
        self.healer = healing.Healer(the_services)

    def heal(self, *share_ids: str) -> Any:
        """Heal shares; of one share, return only its own result."""
        healed = self.healer.heal(share_ids or [A])
        assert list(healed) == list(share_ids or [A])
        return healed if share_ids else healed[A]

    def put(self, share_id: str, **changes: Any) -> None:
        """Change the volume of a share."""
        changed = fake_cluster.volume(share_id, **changes)
        self.cluster.volumes[changed.name] = changed

    def take_down(self, *nodes: str) -> None:
        """Make the bricks of the first share fail on nodes."""
        self.cluster.down |= {(node, NAME) for node in nodes}

    def unmount(self, node: str) -> None:
        del self.cluster.node(node).file_systems.table[MOUNT]

    def lose(self, node: str) -> None:
        """Make the brick of the first share unrepairable on a node."""
        self.take_down(node)
        self.unmount(node)
        self.cluster.node(node).lvm.rows.pop(f'gvg/{NAME}')

    def mounts(self, node: str) -> tuple[str, ...]:
        (lv,) = (
            lv for lv in self.cluster.node(node).lvm.lvs() if lv.name == NAME
        )
        return node, 'mount', lv.full_name, MOUNT


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_share_that_is_online_is_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert scene.heal() == scene.cluster.volumes[NAME]
    assert scene.cluster.changes == []
    assert caplog.records == []


def test_a_stopped_volume_is_started(scene: Scene) -> None:
    scene.put(A, status='Stopped')
    assert scene.heal().name == NAME
    assert scene.cluster.changes == [START]


def test_the_bricks_of_a_stopped_volume_are_mounted_first(
    scene: Scene,
) -> None:
    scene.put(A, status='Stopped')
    scene.unmount('gl2')
    scene.heal()
    assert scene.cluster.changes == [scene.mounts('gl2'), START]


@pytest.mark.parametrize('mark', [None, 'mine'])
def test_a_stopped_volume_without_its_mark_is_not_started(
    scene: Scene, mark: str | None
) -> None:
    """After a reset, it would admit everybody."""
    options = {} if mark is None else {names.OPTION_SHARE: mark}
    scene.put(A, status='Stopped', options=options)
    error = scene.heal()
    assert isinstance(error, healing.OptionsReset)
    assert error.volume == NAME
    assert scene.cluster.changes == []


def test_a_brick_that_is_down_is_started(scene: Scene) -> None:
    scene.take_down('gl3')
    assert scene.heal().name == NAME
    assert scene.cluster.changes == [FORCE]


def test_a_brick_that_is_down_and_not_mounted_is_mounted_first(
    scene: Scene,
) -> None:
    scene.take_down('gl3')
    scene.unmount('gl3')
    scene.heal()
    assert scene.cluster.changes == [scene.mounts('gl3'), FORCE]


def test_a_brick_that_is_only_not_mounted_is_not_restarted(
    scene: Scene,
) -> None:
    scene.unmount('gl3')
    scene.heal()
    assert scene.cluster.changes == [scene.mounts('gl3')]


def test_a_brick_of_a_disconnected_node_is_waited_for(scene: Scene) -> None:
    """glusterd does not report such a brick."""
    scene.cluster.disconnected.add('gl2')
    scene.take_down('gl2')
    assert scene.heal().name == NAME
    assert scene.cluster.changes == []


def test_a_brick_that_cannot_be_repaired_is_not_started(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.lose('gl2')
    # The share works with its other copies.
    assert scene.heal().name == NAME
    assert scene.cluster.changes == []
    (message,) = fake_cluster.warnings(caplog, 'ERROR')
    assert PATH in message
    assert 'gl2' in message


def test_a_brick_that_cannot_be_repaired_does_not_hide_another(
    scene: Scene,
) -> None:
    scene.lose('gl2')
    scene.take_down('gl3')
    scene.heal()
    assert scene.cluster.changes == [FORCE]


def test_a_volume_with_a_lost_brick_is_started_by_force(scene: Scene) -> None:
    scene.put(A, status='Stopped')
    scene.lose('gl2')
    scene.heal()
    assert scene.cluster.changes == [FORCE]


def test_a_node_whose_mounts_cannot_be_read_is_asked_once(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not once for each share."""
    repaired: list[str] = []
    monkeypatch.setattr(
        brick_repair,
        'repair',
        lambda node, share_id, *_: repaired.append(f'{node.name} {share_id}'),
    )
    for share_id in (A, B):
        scene.put(share_id, status='Stopped')
    scene.cluster.node('gl2').trouble = errors.Down('gl2', 'no route')
    scene.heal(A, B)
    assert sorted(repaired) == [
        f'{node} {share_id}' for node in ('gl1', 'gl3') for share_id in (A, B)
    ]
    # Its brick counts as one that cannot start.
    assert scene.cluster.changes == [
        FORCE,
        ('start', names.volume(B), 'force'),
    ]
    messages = fake_cluster.warnings(caplog, 'ERROR')
    assert all('gl2' in message for message in messages)
    assert len(messages) == 3


def test_a_lasting_error_is_logged_once_and_again_after_a_repair(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    node = scene.cluster.node('gl2')
    scene.take_down('gl2')
    counts = []
    for is_lost in (True, True, False, True):
        scene.cluster.add_brick(node, scene.cluster.volumes[NAME])
        scene.unmount('gl2')
        if is_lost:
            node.lvm.rows.pop(f'gvg/{NAME}')
        scene.heal()
        counts.append(len(fake_cluster.warnings(caplog, 'ERROR')))
    assert counts == [1, 0, 0, 1]


def test_the_errors_of_a_brick_that_somebody_repaired_are_forgotten(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    counts = []
    for is_lost in (True, False, True):
        if is_lost:
            scene.lose('gl2')
        else:
            node = scene.cluster.node('gl2')
            scene.cluster.down.clear()
            scene.cluster.add_brick(node, scene.cluster.volumes[NAME])
        scene.heal()
        counts.append(len(fake_cluster.warnings(caplog, 'ERROR')))
    assert counts == [1, 0, 1]


def test_the_errors_of_a_share_that_is_online_are_forgotten(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a share is not healed."""
    scene.lose('gl2')
    counts = []
    for offline in ({A}, {A, B}, {B}, {A}):
        scene.healer.forget_errors_except_of(offline)
        scene.heal(*sorted(offline))
        counts.append(len(fake_cluster.warnings(caplog, 'ERROR')))
    assert counts == [1, 0, 0, 1]


def test_another_error_of_the_same_share_is_logged(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    counts = []
    for mark in (names.UNMANAGED, names.UNMANAGED, B):
        scene.put(A, options={names.OPTION_SHARE: mark})
        assert isinstance(scene.heal(), errors.Missing)
        counts.append(len(fake_cluster.warnings(caplog, 'ERROR')))
    assert counts == [1, 0, 1]


@pytest.mark.parametrize(
    ('mark', 'kind'),
    [
        (names.UNMANAGED, volumes.VolumeUnmanaged),
        (fake_cluster.OTHER, volumes.VolumeOfOtherShare),
    ],
)
def test_a_volume_of_another_owner_is_left_alone(
    scene: Scene, mark: str, kind: type[errors.Error]
) -> None:
    scene.put(A, status='Stopped', options={names.OPTION_SHARE: mark})
    scene.unmount('gl1')
    assert type(scene.heal()) is kind
    assert scene.cluster.changes == []


def test_a_share_without_a_volume(scene: Scene) -> None:
    del scene.cluster.volumes[NAME]
    error = scene.heal()
    assert isinstance(error, volumes.VolumeNotFound)


def stop_all(scene: Scene) -> None:
    for share_id in (A, B, C):
        scene.put(share_id, status='Stopped')


STARTED_OTHERS = [('start', names.volume(share_id)) for share_id in (B, C)]


def test_a_share_in_use_is_left_to_its_operation(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    stop_all(scene)
    scene.cluster.locks.held_by_others.add(('share', A))
    healed = scene.heal(A, B, C)
    assert isinstance(healed[A], errors.Held)
    assert scene.cluster.changes == STARTED_OTHERS
    assert fake_cluster.warnings(caplog, 'ERROR') == []


@pytest.mark.parametrize(
    ('trouble', 'kind', 'level'),
    [
        (BUSY, errors.Busy, None),
        (errors.TimedOut('gl1', (), 1), errors.TimedOut, 'ERROR'),
        (RuntimeError('a bug'), healing.HealingFailed, 'ERROR'),
    ],
)
def test_a_share_that_fails_does_not_hide_the_next(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
    kind: type[errors.Error],
    level: str | None,
) -> None:
    stop_all(scene)
    # The status is read only of a started volume.
    scene.put(A)
    scene.cluster.status_errors[NAME] = trouble
    caplog.set_level(logging.INFO)
    healed = scene.heal(A, B, C)
    assert type(healed[A]) is kind
    assert str(trouble) in str(healed[A])
    assert {healed[B].name, healed[C].name} == {
        names.volume(B),
        names.volume(C),
    }
    assert scene.cluster.changes == STARTED_OTHERS
    logged = [
        record.levelname for record in caplog.records if A in record.message
    ]
    assert logged == [level or 'INFO']


def test_the_snapshots_of_all_shares_are_cleaned_up(scene: Scene) -> None:
    """Also those of a share that could not be healed."""
    scene.cluster.locks.held_by_others.add(('share', A))
    scene.heal(A, B)
    scene.clone_cleanup.clean_up_volumes.assert_called_once_with(
        {NAME, names.volume(B)}
    )
