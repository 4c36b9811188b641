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
"""Random operations on shares, snapshots and clones.

After each step exactly the expected objects exist, and every share has the
data that was written to it or inherited by it, and no data of another share.
"""

from collections.abc import Iterator
import contextlib
import itertools
import uuid

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone import errors
from tests.model import budgets
from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import turns

MAX_SHARES = 6

#: A choice among what there is, by number.
PICK = st.integers(min_value=0, max_value=20)
RULES = st.dictionaries(
    st.sampled_from(['10.0.0.1', '10.0.0.2', '192.168.7.7']),
    st.sampled_from(['rw', 'ro']),
    max_size=3,
)


class Lives(stateful.RuleBasedStateMachine):
    """Does what users and administrators do, in any order."""

    @stateful.initialize(release=st.sampled_from(['10.3', '11.1']))
    def begin(self, release: str) -> None:
        self.leave = contextlib.ExitStack()
        self.pool = neighbours.pool(release)
        self.leave.enter_context(model_backend.in_time_of(self.pool))
        self.leave.enter_context(turns.in_turn())
        self.manila = model_backend.ModelBackend(link.Process(self.pool))
        self.ids: Iterator[str] = (
            str(uuid.UUID(int=n)) for n in itertools.count(1)
        )
        self.words = itertools.count()
        self.manila.create(next(self.ids))

    def teardown(self) -> None:
        if hasattr(self, 'leave'):
            self.leave.close()

    # -- what there is to choose from

    def share(self, pick: int) -> str:
        return list(self.manila.shares)[pick % len(self.manila.shares)]

    def taken(self, pick: int) -> str:
        names = list(self.manila.snapshots)
        return names[pick % len(names)]

    def has_shares(self) -> bool:
        return bool(self.manila.shares)

    def has_snapshots(self) -> bool:
        return bool(self.manila.snapshots)

    def has_room(self) -> bool:
        return len(self.manila.shares) < MAX_SHARES

    # -- what users do

    @stateful.precondition(has_room)
    @stateful.rule(size=st.integers(1, 3))
    def create(self, size: int) -> None:
        self.manila.create(next(self.ids), size)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK)
    def write(self, pick: int) -> None:
        self.manila.write(self.share(pick), f'word {next(self.words)}')

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK)
    def snapshot(self, pick: int) -> None:
        self.manila.snapshot(next(self.ids), self.share(pick))

    @stateful.precondition(lambda self: self.has_snapshots())
    @stateful.precondition(has_room)
    @stateful.rule(pick=PICK, more=st.integers(0, 2))
    def clone(self, pick: int, more: int) -> None:
        snapshot = self.taken(pick)
        size = self.manila.snapshots[snapshot][1] + more
        self.manila.clone(next(self.ids), snapshot, size)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, more=st.integers(0, 2))
    def extend(self, pick: int, more: int) -> None:
        share = self.share(pick)
        self.manila.extend(share, self.manila.shares[share].size + more)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, rules=RULES)
    def allow(self, pick: int, rules: dict[str, str]) -> None:
        share = self.share(pick)
        name = self.manila.shares[share].volume
        addresses = rules.keys() - self.manila.set_rules(share, rules).keys()
        for address in ('10.0.0.1', '10.0.0.2', '192.168.7.7'):
            assert self.pool.mount(address, name) == (address in addresses)
        assert self.pool.mounted(name) == addresses

    @stateful.precondition(has_snapshots)
    @stateful.rule(pick=PICK)
    def delete_snapshot(self, pick: int) -> None:
        self.manila.delete_snapshot(self.taken(pick))

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK)
    def delete(self, pick: int) -> None:
        share = self.share(pick)
        if any(s[0] == share for s in self.manila.snapshots.values()):
            try:
                self.manila.delete(share)
            except errors.NotPossible:
                return
            raise AssertionError(f'{share} had snapshots')
        self.manila.delete(share)

    # -- what comes while the snapshot of a clone is still active

    @stateful.precondition(lambda self: self.has_snapshots())
    @stateful.precondition(has_room)
    @stateful.rule(
        pick=PICK,
        then=st.sampled_from(
            ['snapshot', 'clone', 'share', 'restart', 'power', 'other clone']
        ),
    )
    def clone_and_hurry(self, pick: int, then: str) -> None:
        snapshot, share = self.taken(pick), next(self.ids)
        size = self.manila.snapshots[snapshot][1]
        self.manila.clone(share, snapshot, size)
        if then == 'snapshot':
            self.manila.delete_snapshot(snapshot)
        elif then == 'clone':
            self.manila.delete(share)
        elif then == 'share':
            self.manila.snapshot(next(self.ids), share)
        elif then == 'restart':
            self.restart()
        elif then == 'power':
            self.all_nodes_lose_power(hurry=True)
        elif self.has_room():
            self.manila.clone(next(self.ids), snapshot, size)

    # -- what happens

    @stateful.rule(hurry=st.booleans())
    def all_nodes_lose_power(self, hurry: bool) -> None:
        """At once after the last step, or when all is written back."""
        if not hurry:
            self.pool.time.advance(60.0)
        self.pool.cut()
        self.pool.boot()
        self.restart()

    @stateful.rule(number=st.integers(1, 3))
    def a_node_boots(self, number: int) -> None:
        self.pool.shut_down(f'gl{number}')
        self.pool.boot(f'gl{number}')

    @stateful.precondition(
        lambda self: self.has_snapshots() and self.has_room()
    )
    @stateful.rule(pick=PICK, times=st.sampled_from([1, 99]))
    def a_peer_gives_up_a_clone(self, pick: int, times: int) -> None:
        self.pool.state.mishaps['clone'] = times
        with contextlib.suppress(errors.Error):
            self.manila.clone(next(self.ids), self.taken(pick), 9)
        self.pool.state.mishaps.clear()
        # It was tried several times.
        self.manila.took.clear()

    @stateful.rule()
    def restart(self) -> None:
        """Start manila-share anew."""
        # The threads of the process have ended with it.
        self.pool.time.deferred.clear()
        new = model_backend.ModelBackend(link.Process(self.pool))
        new.shares = self.manila.shares
        new.snapshots = self.manila.snapshots
        self.manila = new
        self.manila.heal()

    @stateful.invariant()
    def everything_is_as_it_should_be(self) -> None:
        if hasattr(self, 'manila'):
            self.manila.check()

    @stateful.invariant()
    def everything_is_done_in_time(self) -> None:
        if hasattr(self, 'manila'):
            for operation, took in self.manila.took:
                assert took <= budgets.USUAL[operation], operation
            self.manila.took.clear()

    @stateful.invariant()
    def data_is_its_own(self) -> None:
        if not hasattr(self, 'manila'):
            return
        for share in self.manila.shares.values():
            assert self.pool.read(share.volume) == share.data
            assert (
                self.pool.size(share.volume) == share.size * model_backend.GIB
            )


Lives.TestCase.settings = hypothesis.settings.get_profile('model')
TestLives = pytest.mark.usefixtures('quiet')(Lives.TestCase)
