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
"""Random operations on shares, snapshots and clones, with many faults.

Any step may fail in any way, nodes lose power and boot, glusterd and
manila-share are killed, and users continue meanwhile. From time to time, and
at the end, everything is recovered as in production: nodes boot, the service
starts, and users delete what is in ``error`` and repeat what was refused. Then
exactly the expected objects exist.
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import uuid

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone import errors
from tests.fault_table import table
from tests.model import fault_injection
from tests.model import link
from tests.model import model_backend
from tests.model import neighbours
from tests.model import scene as scenes
from tests.model import turns

MAX_SHARES = 4

PICK = st.integers(min_value=0, max_value=20)
RULES = st.dictionaries(
    st.sampled_from(['10.0.0.1', '10.0.0.2']),
    st.sampled_from(['rw', 'ro']),
    max_size=2,
)
NODES = st.sampled_from(['gl1', 'gl2', 'gl3'])
#: What goes wrong, and how far from the first step to the last, in percent.
Trouble = tuple[int, fault_injection.AnyFault] | None
_TROUBLES = st.tuples(
    st.integers(min_value=0, max_value=99), st.sampled_from(table.FAULTS)
)
TROUBLE = st.one_of(_TROUBLES, _TROUBLES, st.none())


class Troubles(stateful.RuleBasedStateMachine):
    """Users, administrators, and misfortune."""

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
        #: How many steps each thing had when it was done last.
        self.usual: dict[str, int] = {}
        #: Shares that are in error, or whose deletion failed.
        self.bad_shares: set[str] = set()
        #: Likewise snapshots, and of which share each is.
        self.bad_snapshots: dict[str, str] = {}
        #: The size that a share could not be extended to.
        self.growing: dict[str, int] = {}
        #: What the rules were to be when that failed.
        self.admitting: dict[str, dict[str, str]] = {}
        self.create(None)
        self.snapshot(0, None)

    def teardown(self) -> None:
        if hasattr(self, 'leave'):
            try:
                self.recover()
            finally:
                self.leave.close()

    # -- what there is to choose from

    def available(self) -> list[str]:
        return [s for s in self.manila.shares if s not in self.growing]

    def share(self, pick: int) -> str:
        found = self.available()
        return found[pick % len(found)]

    def taken(self, pick: int) -> str:
        names = list(self.manila.snapshots)
        return names[pick % len(names)]

    def has_shares(self) -> bool:
        return bool(self.available())

    def has_snapshots(self) -> bool:
        return bool(self.manila.snapshots)

    def has_room(self) -> bool:
        return len(self.manila.shares) + len(self.bad_shares) < MAX_SHARES

    def attempt(
        self,
        name: str,
        action: Callable[[model_backend.ModelBackend], object],
        trouble: Trouble = None,
    ) -> bool:
        """Do something in which a step goes wrong; tell whether it is done."""
        process = self.manila.process
        begun = len(process.steps)
        if trouble is not None:
            step = trouble[0] * self.usual.get(name, 20) // 100
            process.fail_at(begun + step, trouble[1])
        try:
            action(self.manila)
            self.usual[name] = len(process.steps) - begun
        except errors.Error:
            return False
        except link.Killed:
            self.restart()
            return False
        finally:
            process.fail_no_more()
        return True

    # -- what users do

    @stateful.precondition(has_room)
    @stateful.rule(trouble=TROUBLE)
    def create(self, trouble: Trouble) -> None:
        share = next(self.ids)
        if not self.attempt('create', lambda m: m.create(share), trouble):
            self.bad_shares.add(share)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, trouble=TROUBLE)
    def snapshot(self, pick: int, trouble: Trouble) -> None:
        share, snapshot = self.share(pick), next(self.ids)
        if not self.attempt(
            'snapshot', lambda m: m.snapshot(snapshot, share), trouble
        ):
            self.bad_snapshots[snapshot] = share

    @stateful.precondition(lambda self: self.has_snapshots())
    @stateful.precondition(has_room)
    @stateful.rule(pick=PICK, more=st.integers(0, 1), trouble=TROUBLE)
    def clone(self, pick: int, more: int, trouble: Trouble) -> None:
        snapshot, share = self.taken(pick), next(self.ids)
        size = self.manila.snapshots[snapshot][1] + more
        if not self.attempt(
            'clone', lambda m: m.clone(share, snapshot, size), trouble
        ):
            self.bad_shares.add(share)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, trouble=TROUBLE)
    def extend(self, pick: int, trouble: Trouble) -> None:
        share = self.share(pick)
        size = self.manila.shares[share].size + 1
        if not self.attempt(
            'extend', lambda m: m.extend(share, size), trouble
        ):
            self.growing[share] = size

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, rules=RULES, trouble=TROUBLE)
    def allow(
        self, pick: int, rules: dict[str, str], trouble: Trouble
    ) -> None:
        self.admit(self.share(pick), rules, trouble)

    def admit(
        self, share: str, rules: dict[str, str], trouble: Trouble = None
    ) -> bool:
        known = self.manila.shares[share]
        before = {*known.allow.split(',')} - {'0.0.0.0'}
        self.admitting.pop(share, None)
        done = self.attempt(
            'allow', lambda m: m.set_rules(share, rules), trouble
        )
        known = self.manila.shares[share]
        if done:
            assert self.pool.mounted(known.volume) <= known.levels.keys()
            for address in known.levels:
                self.pool.mount(address, known.volume)
        else:
            # They may be in or not.
            known.allow = ','.join(sorted(before | {*rules})) or '0.0.0.0'
            self.admitting[share] = rules
        return done

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK)
    def write(self, pick: int) -> None:
        """Have a client write, while it reaches all copies."""
        share = self.share(pick)
        volume = self.pool.state.volumes[self.manila.shares[share].volume]
        if all(self.pool.state.online(volume, b) for b in volume.bricks):
            self.manila.write(share, f'word {next(self.words)}')

    @stateful.precondition(has_snapshots)
    @stateful.rule(pick=PICK, trouble=TROUBLE)
    def delete_snapshot(self, pick: int, trouble: Trouble) -> None:
        snapshot = self.taken(pick)
        share = self.manila.snapshots.pop(snapshot)[0]
        self.bad_snapshots[snapshot] = share
        self.forget_snapshot(snapshot, trouble)

    @stateful.precondition(has_shares)
    @stateful.rule(pick=PICK, trouble=TROUBLE)
    def delete(self, pick: int, trouble: Trouble) -> None:
        share = self.share(pick)
        if self.has_snapshot(share):
            return
        del self.manila.shares[share]
        self.admitting.pop(share, None)
        self.bad_shares.add(share)
        self.forget_share(share, trouble)

    @stateful.precondition(lambda self: self.bad_shares)
    @stateful.rule(pick=PICK, trouble=TROUBLE)
    def delete_what_is_in_error(self, pick: int, trouble: Trouble) -> None:
        share = sorted(self.bad_shares)[pick % len(self.bad_shares)]
        if not self.has_snapshot(share):
            self.forget_share(share, trouble)

    def has_snapshot(self, share: str) -> bool:
        return share in self.bad_snapshots.values() or any(
            taken[0] == share for taken in self.manila.snapshots.values()
        )

    def forget_share(self, share: str, trouble: Trouble = None) -> bool:
        done = self.attempt(
            'delete',
            lambda m: m.services.shares.delete(share, is_clone=True),
            trouble,
        )
        if done:
            self.bad_shares.discard(share)
        return done

    def forget_snapshot(self, snapshot: str, trouble: Trouble = None) -> bool:
        share = self.bad_snapshots[snapshot]
        done = self.attempt(
            'delete snapshot',
            lambda m: m.services.snapshots.delete(snapshot, share),
            trouble,
        )
        if done:
            del self.bad_snapshots[snapshot]
        return done

    # -- what happens

    @stateful.rule(node=NODES)
    def power_is_cut(self, node: str) -> None:
        self.pool.cut(node)

    @stateful.rule(node=NODES)
    def boot(self, node: str) -> None:
        if not self.pool.nodes[node].up:
            self.pool.boot(node)

    @stateful.rule(node=NODES)
    def glusterd_is_killed(self, node: str) -> None:
        self.pool.kill_glusterd(node)

    @stateful.rule(seconds=st.sampled_from([3.0, 30.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.pool.time.advance(seconds)
        self.pool.glusterd.settle()

    @stateful.rule()
    def restart(self) -> None:
        """Start manila-share anew."""
        self.manila = scenes.restart(self.manila, self.pool)
        self.manila.heal_all()

    @stateful.rule()
    def recover(self) -> None:
        """Have all be well again, as in life."""
        self.pool.boot()
        self.pool.time.advance(scenes.SETTLED)
        self.restart()
        for snapshot in list(self.bad_snapshots):
            assert self.forget_snapshot(snapshot), snapshot
        for share in sorted(self.bad_shares):
            assert self.forget_share(share), share
        for share, size in list(self.growing.items()):
            assert self.attempt('extend', lambda m: m.extend(share, size)), (
                share
            )
            del self.growing[share]
        for share, rules in list(self.admitting.items()):
            assert self.admit(share, rules), share
        self.pool.time.advance(scenes.SETTLED)
        self.manila.check()
        for known in self.manila.shares.values():
            assert self.pool.read(known.volume) == known.data
            assert (
                self.pool.size(known.volume) == known.size * model_backend.GIB
            )
            allowed = known.allow.split(',')
            assert self.pool.mounted(known.volume) <= {*allowed}


Troubles.TestCase.settings = hypothesis.settings(
    hypothesis.settings.get_profile('model'),
    max_examples=60,
    stateful_step_count=20,
)
TestTroubles = pytest.mark.usefixtures('quiet')(Troubles.TestCase)
