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
"""Random operations on shares, mixed with commands of an operator.

The operator restores snapshots, removes tags of bricks or sets wrong ones, and
stops volumes. What clients wrote is there after each step, and a pass of
maintenance corrects everything. At the end everything is deleted, to the last
LV, except for the objects of another Manila.
"""

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from tests.model import invariants
from tests.model import link
from tests.model import model_backend
from tests.model import test_random_operations

PICK = test_random_operations.PICK
NODE = st.sampled_from(['gl1', 'gl2', 'gl3'])


class Operators(test_random_operations.Lives):
    """Does what operators do, too."""

    @stateful.initialize(release=st.sampled_from(['10.3', '11.1']))
    def begin(self, release: str) -> None:
        super().begin(release)
        #: Snapshots that were restored, and that Manila still has: the share.
        self.consumed: dict[str, str] = {}
        #: Whether tags may be wrong.
        self.is_dirty = False
        self.other = model_backend.ModelBackend(link.Process(self.pool))
        share, snapshot, clone = (next(self.ids) for _ in range(3))
        self.other.create(share)
        self.other.snapshot(snapshot, share)
        self.other.clone(clone, snapshot)

    def teardown(self) -> None:
        try:
            if hasattr(self, 'other'):
                self.delete_all()
        finally:
            super().teardown()

    def delete_all(self) -> None:
        for snapshot in [*self.manila.snapshots]:
            self.manila.delete_snapshot(snapshot)
        for share in [*self.manila.shares]:
            self.manila.delete(share)
        while self.consumed:
            self.delete_restored(next(iter(self.consumed)))
        self.is_dirty = False
        self.everything_is_as_it_should_be()

    # -- what operators do

    @stateful.precondition(lambda self: self.has_snapshots())
    @stateful.rule(
        pick=PICK, is_deleted=st.booleans(), is_stopped=st.booleans()
    )
    def restore(self, pick: int, is_deleted: bool, is_stopped: bool) -> None:
        if self.is_dirty:
            # Afterwards nothing shows whose former brick an LV is that has
            # wrong tags.
            self.maintain()
        snapshot = self.taken(pick)
        self.consumed[snapshot] = self.manila.snapshots[snapshot][0]
        self.manila.restore(snapshot)
        self.is_dirty = True
        if is_deleted:
            self.stop_and_delete(snapshot, is_stopped)

    @stateful.precondition(lambda self: self.manila.shares)
    @stateful.rule(pick=PICK, node=NODE)
    def untag(self, pick: int, node: str) -> None:
        lv, tags = self.brick(pick, node)
        self.lvchange(node, lv, *(f'--deltag={tag}' for tag in tags))

    @stateful.precondition(lambda self: self.manila.shares)
    @stateful.rule(pick=PICK, wrong=PICK, node=NODE, keeps=st.booleans())
    def retag(self, pick: int, wrong: int, node: str, keeps: bool) -> None:
        lv, tags = self.brick(pick, node)
        others = [f'manila.share={each}' for each in self.manila.shares]
        others += [f'manila.snapshot={each}' for each in self.manila.snapshots]
        changes = [f'--addtag={others[wrong % len(others)]}']
        if not keeps:
            changes += [f'--deltag={tag}' for tag in tags]
        self.lvchange(node, lv, *changes)

    @stateful.precondition(lambda self: self.consumed)
    @stateful.rule(pick=PICK, is_stopped=st.booleans())
    def stop_and_delete_restored(self, pick: int, is_stopped: bool) -> None:
        snapshot = [*self.consumed][pick % len(self.consumed)]
        self.stop_and_delete(snapshot, is_stopped)

    def stop_and_delete(self, snapshot: str, is_stopped: bool) -> None:
        volume = f'manila-{self.consumed[snapshot]}'
        is_stopped = is_stopped and volume in self.pool.state.volumes
        if is_stopped:
            self.manila.gluster('volume', 'stop', volume)
            self.pool.time.advance(5.0)
        self.delete_restored(snapshot)
        if is_stopped:
            self.manila.gluster('volume', 'start', volume)
            self.pool.time.advance(5.0)

    def delete_restored(self, snapshot: str) -> None:
        share = self.consumed.pop(snapshot)
        self.manila.services.snapshots.delete(snapshot, share)

    def brick(self, pick: int, node: str) -> tuple[str, list[str]]:
        """Return the LV of a brick, and its tags."""
        share = self.share(pick)
        brick = self.pool.state.volumes[f'manila-{share}'].brick_on(node)
        assert brick is not None
        return brick.lv or f'manila-{share}', [
            'manila.brick',
            f'manila.share={share}',
            f'manila.mount={brick.mount}',
        ]

    def lvchange(self, node: str, lv: str, *changes: str) -> None:
        argv = ['lvchange', *changes, f'gvg/{lv}']
        assert not self.pool.nodes[node].execute(argv).status
        self.is_dirty = True

    # -- what is done about it

    @stateful.rule()
    def maintain(self) -> None:
        """Make a pass of maintenance."""
        backend, the_backoff = self.manila.services, backoff.Backoff()
        the_backoff.begin_pass()
        brick_tag_repair.BrickTags(
            backend.cluster, backend.locks, the_backoff
        ).correct(
            cluster_state.read(backend.cluster, backend.settings.backend_mark),
            {
                share: manila_db.Row(share, 'host', 'available', None, share)
                for share in self.manila.shares
            },
        )
        self.manila.heal()
        self.pool.time.advance(5.0)
        self.is_dirty = False

    @stateful.rule(number=st.integers(1, 3))
    def a_node_boots(self, number: int) -> None:
        super().a_node_boots(number)
        self.maintain()

    @stateful.rule()
    def restart(self) -> None:
        super().restart()
        self.pool.time.advance(5.0)

    @stateful.invariant()
    def everything_is_as_it_should_be(self) -> None:
        if not hasattr(self, 'other'):
            return
        self.pool.time.run_deferred()
        self.pool.time.advance(5.0)
        if self.is_dirty:
            return
        found = invariants.problems(
            self.pool,
            [*self.manila.shares.values(), *self.other.shares.values()],
            {*self.manila.snapshots, *self.other.snapshots},
        )
        assert not found, '\n'.join(found)


Operators.TestCase.settings = hypothesis.settings(
    hypothesis.settings.get_profile('model'), max_examples=25
)
TestOperators = pytest.mark.usefixtures('quiet')(Operators.TestCase)
