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
"""Which tags of bricks are corrected, and whose LVs are left alone."""

from typing import Any

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import names
from manila_glusterfs_clone.tools import gluster
from tests.unit.maintenance import fake_cluster
from tests.unit.maintenance.fake_cluster import A, B, OTHER

NAME = names.volume(A)
LV = f'gvg/{NAME}'
PATH = fake_cluster.path_of(A)
MOUNT = PATH.rpartition('/')[0]
TAGS = names.brick_tags(A, MOUNT)
OTHER_TAGS = names.brick_tags(OTHER, names.mount_point('/srv', OTHER))


def row(share_id: str, status: str = 'available') -> manila_db.Row:
    return manila_db.Row(share_id, fake_cluster.HOST, status, None, share_id)


class Scene:
    """Two shares on three nodes, and the audit of their tags."""

    def __init__(self) -> None:
        self.cluster = fake_cluster.Cluster(
            fake_cluster.volume(A), fake_cluster.volume(B)
        )
        self.backoff = backoff.Backoff()
        whole: Any = self.cluster
        locks: Any = self.cluster.locks
        self._room = brick_tag_repair.BrickTags(whole, locks, self.backoff)

    def run(
        self, status: str = 'available', **changes: Any
    ) -> list[tuple[str, ...]]:
        """Run the step of one pass; return the changes that it made."""
        self.cluster.changes.clear()
        self.backoff.begin_pass()
        self._room.correct(
            self.cluster.state(**changes), {A: row(A, status), B: row(B)}
        )
        self.backoff.end_pass()
        return self.cluster.changes

    def retag(self, node: str, *tags: str, lv: str = NAME) -> None:
        self.cluster.node(node).lvm.add(fake_cluster.lv(lv, *tags))

    def tags(self, node: str, lv: str = NAME) -> frozenset[str]:
        return self.cluster.node(node).lvm.rows[f'gvg/{lv}'].tags


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_right_tags_are_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert scene.run() == []
    assert caplog.records == []


@pytest.mark.parametrize('wrong', [(), OTHER_TAGS, TAGS | {'manila.share=x'}])
def test_wrong_tags_of_a_brick_are_corrected(
    scene: Scene, wrong: tuple[str, ...]
) -> None:
    scene.retag('gl2', *wrong, 'foreign')
    assert {node for node, *_ in scene.run()} == {'gl2'}
    assert scene.tags('gl2') == TAGS | {'foreign'}
    assert scene.run() == []


def test_tags_are_added_before_others_are_removed(scene: Scene) -> None:
    scene.retag('gl2', *OTHER_TAGS)
    assert [verb for _, verb, _ in scene.run()] == ['add tags', 'remove tags']


@pytest.mark.parametrize(
    'status', ['creating', 'deleting', 'extending', 'error', 'unmanaging']
)
def test_a_share_that_is_not_in_use_is_left_alone(
    scene: Scene, status: str
) -> None:
    scene.retag('gl2')
    assert scene.run(status) == []


def test_a_volume_that_was_unmanaged_is_left_alone(scene: Scene) -> None:
    options = {names.OPTION_BACKEND: names.UNMANAGED}
    scene.cluster.volumes[NAME] = fake_cluster.volume(A, options=options)
    scene.retag('gl2')
    assert scene.run() == []


def test_a_share_without_a_volume_is_left_alone(scene: Scene) -> None:
    del scene.cluster.volumes[NAME]
    scene.retag('gl2')
    assert scene.run() == []


def test_a_node_that_was_not_read_is_left_alone(scene: Scene) -> None:
    """Its LVs are unknown, and not without tags."""
    lvs = scene.cluster.state().lvs_by_node
    lvs = {node: lvs[node] for node in lvs if node != 'gl2'}
    scene.retag('gl2')
    assert scene.run(lvs_by_node=lvs) == []


def test_a_share_in_use_is_left_to_its_operation(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for share_id in (A, B):
        scene.retag('gl1', lv=names.volume(share_id))
    scene.cluster.locks.held_by_others.add(('share', A))
    scene.run()
    assert scene.tags('gl1') == frozenset()
    assert not [line for line in fake_cluster.warnings(caplog) if A in line]
    mount = names.mount_point('/srv', B)
    assert scene.tags('gl1', names.volume(B)) == names.brick_tags(B, mount)


def test_a_share_that_was_deleted_after_the_pass_began(scene: Scene) -> None:
    scene.retag('gl1')
    scene.cluster.locks.on_acquired = lambda: scene.cluster.volumes.clear()
    assert scene.run() == []


def test_another_file_system_in_place_of_a_brick_is_left_alone(
    scene: Scene,
) -> None:
    """The mounted LV is not the brick, and the brick's LV is not known."""
    node = scene.cluster.node('gl2')
    del node.lvm.rows[LV]
    foreign = fake_cluster.lv('foreign')
    node.lvm.add(foreign)
    node.file_systems.table[MOUNT] = foreign.device
    node.file_systems.volume_ids.clear()
    assert scene.run() == []


def test_an_lv_that_another_volume_uses_is_left_alone(scene: Scene) -> None:
    node = scene.cluster.node('gl2')
    scene.retag('gl2')
    # Both volumes have a brick on this LV: its owner is unknown.
    path = f'{MOUNT}/second'
    other = fake_cluster.volume(
        OTHER,
        bricks=(
            *fake_cluster.volume(OTHER).bricks[:1],
            gluster.Brick('gl2', path, 'uuid-gl2'),
        ),
    )
    scene.cluster.volumes[other.name] = other
    assert scene.run() == []
    assert node.lvm.rows[LV].tags == frozenset()


@pytest.mark.parametrize('failing', ['gl1', None])
def test_a_failure_is_logged_once_and_does_not_hide_the_next_share(
    scene: Scene, caplog: pytest.LogCaptureFixture, failing: str | None
) -> None:
    lvs = scene.cluster.state().lvs_by_node
    wrong = dict.fromkeys(lvs, ())
    trouble = errors.TimedOut('gl1', ('lvs',), 1)
    for share_id in (A, B):
        scene.retag('gl2', lv=names.volume(share_id))
    if failing is not None:
        scene.cluster.node(failing).trouble = trouble
    else:
        scene.cluster.trouble = trouble
    messages = []
    for _ in range(3):
        scene.run(lvs_by_node=wrong)
        messages += [
            message
            for message in fake_cluster.warnings(caplog)
            if str(trouble) in message
        ]
    assert [A in message for message in messages] == [True, False]
    assert B in messages[1]
    # The other nodes of both shares were corrected.
    mount = names.mount_point('/srv', B)
    assert (scene.tags('gl2') == TAGS) is (failing is not None)
    assert (
        scene.tags('gl2', names.volume(B)) == names.brick_tags(B, mount)
    ) is (failing is not None)


def test_a_correction_without_effect_is_retried_at_growing_intervals(
    scene: Scene,
) -> None:
    tries: list[None] = []
    scene.cluster.locks.on_acquired = lambda: tries.append(None)
    counts = []
    for _ in range(8):
        scene.run(lvs_by_node=dict.fromkeys(fake_cluster.NODES, ()))
        counts.append(len(tries))
    # Two shares are tried in the passes 1, 2, 4 and 8.
    assert counts == [2, 4, 4, 6, 6, 6, 6, 8]


# -- former bricks


def test_a_former_brick_is_reported_once_and_kept(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """GlusterFS 11 needs it for the snapshots that were taken of it."""
    scene.retag('gl3', names.share_tag(A), lv='old')
    assert scene.run() == []
    (message,) = fake_cluster.warnings(caplog)
    assert NAME in message
    assert 'gl3:gvg/old' in message
    assert LV not in message
    assert scene.run() == []
    assert fake_cluster.warnings(caplog) == []
    assert 'gvg/old' in scene.cluster.node('gl3').lvm.rows


def test_the_lvs_of_other_shares_are_not_former_bricks(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.retag('gl3', *OTHER_TAGS, lv='other')
    scene.run()
    assert fake_cluster.warnings(caplog) == []


def test_a_brick_with_right_tags_and_another_name_is_no_former_brick(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Renaming an LV does not make it another brick."""
    node = scene.cluster.node('gl3')
    del node.lvm.rows[LV]
    scene.retag('gl3', *TAGS, lv='renamed')
    assert scene.run() == []
    assert fake_cluster.warnings(caplog) == []


def test_lvs_of_a_share_on_a_node_without_its_brick_are_former_bricks(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fake_cluster.volume(A)
    scene.cluster.volumes[NAME] = fake_cluster.volume(
        A, bricks=whole.bricks[:2]
    )
    scene.run()
    (message,) = fake_cluster.warnings(caplog)
    assert f'gl3:{LV}' in message
    assert f'gl1:{LV}' not in message
