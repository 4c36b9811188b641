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
"""Which access lists are set again, and which volumes are left alone."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import names
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster
from tests.unit.maintenance import fake_cluster
from tests.unit.maintenance.fake_cluster import A, B, OTHER
from tests.unit.protocols import test_protocols

NAME = names.volume(A)
USERS = 'dummy.users'
SET = ('set', NAME)


def rule(user: str) -> protocols.Rule:
    return protocols.Rule(f'rule-{user}', 'user', user, 'rw')


def rules(active: str = '', changing: str = '') -> protocols.Rules:
    """Return rules of users, whose names are separated by blanks."""
    return protocols.Rules(
        tuple(map(rule, active.split())), tuple(map(rule, changing.split()))
    )


class Protocol(test_protocols.Dummy):
    """A protocol with a list of users, with bounds, and with failures."""

    def __init__(self, nodes: Any) -> None:
        super().__init__(nodes)
        self._whole = nodes
        #: The arguments of each call of :meth:`apply`.
        self.applied: list[dict[str, Any]] = []
        #: By name of a volume: raised after the options were set.
        self.troubles: dict[str, Exception] = {}

    def apply(
        self,
        volume_name: str,
        rules: Sequence[protocols.Rule],
        *,
        is_revoking: bool,
        extra_options: Mapping[str, str] | None = None,
        node_uuids: Collection[str] = (),
    ) -> Mapping[str, errors.NotPossible]:
        self.applied.append(
            {
                'name': volume_name,
                'is_revoking': is_revoking,
                'extra_options': extra_options,
                'node_uuids': node_uuids,
            }
        )
        self._whole.nodes[0].gluster.set_options(
            volume_name, {**self.plan(rules).options, **(extra_options or {})}
        )
        if volume_name in self.troubles:
            raise self.troubles[volume_name]
        return {}

    def has_rules(
        self,
        volume: gluster.Volume,
        active: Iterable[protocols.Rule],
        changing: Iterable[protocols.Rule] = (),
    ) -> bool:
        required = {rule.access_to for rule in active}
        permitted = required | {rule.access_to for rule in changing}
        return required <= users(volume) <= permitted

    def granted_rules(
        self, volume: gluster.Volume, rules: Iterable[protocols.Rule]
    ) -> tuple[protocols.Rule, ...]:
        return tuple(r for r in rules if r.access_to in users(volume))


def users(volume: gluster.Volume) -> set[str]:
    return {*volume.options.get(USERS, '*').split(',')} - {'-'}


def volume(share_id: str, listed: str, **options: str) -> gluster.Volume:
    """Return a volume that admits the listed users."""
    usual = fake_cluster.volume(share_id).options
    return fake_cluster.volume(
        share_id, options={**usual, USERS: listed, **options}
    )


class Scene:
    """Two shares, each of which admits bob, and the audit."""

    def __init__(self) -> None:
        self.cluster = fake_cluster.Cluster(volume(A, 'bob'), volume(B, 'bob'))
        self.protocol = Protocol(self.cluster)
        self.backoff = backoff.Backoff()
        the_services: Any = mock.Mock(
            spec_set=('cluster', 'volumes', 'protocol', 'locks'),
            cluster=self.cluster,
            volumes=self.cluster.finder(),
            protocol=self.protocol,
            locks=self.cluster.locks,
        )
        self._audit = access_audit.AccessAudit(
            the_services, self.backoff, service_host=fake_cluster.HOST
        )
        #: The rules in Manila's database.
        self.rules = {A: rules('bob'), B: rules('bob')}
        #: The ids of the shares whose rules were read again.
        self.read: list[str | None] = []

    def rules_of(
        self, host: str, share_id: str | None = None
    ) -> dict[str, protocols.Rules]:
        assert host == fake_cluster.HOST
        self.read.append(share_id)
        return {
            key: self.rules[key]
            for key in self.rules
            if share_id in (None, key)
        }

    def run(self, **changes: Any) -> list[tuple[str, ...]]:
        """Run the audit of one pass; return the changes that it made."""
        self.cluster.changes.clear()
        self.backoff.begin_pass()
        self._audit.audit(self.cluster.state(**changes), dict(self.rules))
        self.backoff.end_pass()
        return self.cluster.changes

    def put(self, share_id: str, listed: str, **options: str) -> None:
        changed = volume(share_id, listed, **options)
        self.cluster.volumes[changed.name] = changed

    def users(self, share_id: str = A) -> set[str]:
        return users(self.cluster.volumes[names.volume(share_id)])


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    found = Scene()
    monkeypatch.setattr(manila_db, 'rules', found.rules_of)
    yield found


def test_right_lists_cost_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.cluster.trouble = AssertionError('a command was run')
    assert scene.run() == []
    assert caplog.records == []
    assert scene.read == []


@pytest.mark.parametrize('listed', ['*', '-', 'bob,eve', 'eve'])
def test_a_list_that_differs_is_set_again(
    scene: Scene, caplog: pytest.LogCaptureFixture, listed: str
) -> None:
    scene.put(A, listed)
    assert scene.run() == [SET]
    assert scene.users() == {'bob'}
    (message,) = fake_cluster.warnings(caplog)
    assert NAME in message
    assert f'{USERS} {listed}' in message
    assert scene.run() == []


def test_a_correction_revokes_and_is_confirmed_by_all_nodes(
    scene: Scene,
) -> None:
    scene.put(A, '*')
    scene.run()
    (call,) = scene.protocol.applied
    assert call['name'] == NAME
    assert call['is_revoking'] is True
    assert sorted(call['node_uuids']) == ['uuid-gl1', 'uuid-gl2', 'uuid-gl3']
    # In the same transaction.
    assert call['extra_options'] == {
        names.OPTION_SHARE: A,
        names.OPTION_BACKEND: fake_cluster.BACKEND,
    }


@pytest.mark.parametrize('option', [names.OPTION_SHARE, names.OPTION_BACKEND])
def test_marks_that_were_overwritten_are_set_again(
    scene: Scene, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    scene.put(A, 'bob', **{option: 'mine'})
    assert scene.run() == [SET]
    right = fake_cluster.volume(A).options[option]
    assert scene.cluster.volumes[NAME].options[option] == right
    (message,) = fake_cluster.warnings(caplog)
    assert f'{option} mine' in message
    assert USERS not in message


def test_one_node_with_another_list_is_enough(scene: Scene) -> None:
    scene.cluster.views['gl3', NAME] = volume(A, '*')
    assert scene.run() == [SET]


@pytest.mark.parametrize(
    ('listed', 'after'),
    [
        # Rules in transition may be granted, or not.
        ('bob', None),
        ('bob,dan', None),
        # A correction leaves them as they are.
        ('bob,dan,eve', {'bob', 'dan'}),
        ('eve', {'bob'}),
    ],
)
def test_rules_in_transition_stay_as_they_are(
    scene: Scene, listed: str, after: set[str] | None
) -> None:
    scene.rules[A] = rules('bob', 'dan')
    scene.put(A, listed)
    assert scene.run() == ([] if after is None else [SET])
    assert scene.users() == after or after is None


def test_a_share_without_a_volume_is_left_alone(scene: Scene) -> None:
    del scene.cluster.volumes[NAME]
    assert scene.run() == []


def test_a_share_in_use_is_left_to_its_operation(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.put(A, '*')
    scene.put(B, '*')
    scene.cluster.locks.held_by_others.add(('share', A))
    assert scene.run() == [('set', names.volume(B))]
    assert not [line for line in fake_cluster.warnings(caplog) if A in line]


@pytest.mark.parametrize('meanwhile', ['corrected', 'rules', 'not in use'])
def test_what_changed_since_the_cluster_was_read_is_read_again(
    scene: Scene, meanwhile: str
) -> None:
    scene.put(A, 'bob,dan')

    def change() -> None:
        if meanwhile == 'corrected':
            scene.put(A, 'bob')
        elif meanwhile == 'rules':
            scene.rules[A] = rules('bob dan')
        else:
            del scene.rules[A]

    scene.cluster.locks.on_acquired = change
    assert scene.run() == []
    assert scene.read == [A]


# -- volumes of other owners


@pytest.mark.parametrize('mark', [OTHER, names.UNMANAGED])
def test_a_volume_of_another_owner_is_reported_and_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture, mark: str
) -> None:
    scene.put(A, '*', **{names.OPTION_SHARE: mark})
    # In the first pass, it may be a clone that was finished meanwhile.
    assert scene.run() == []
    assert fake_cluster.warnings(caplog) == []
    assert scene.run() == []
    (message,) = fake_cluster.warnings(caplog)
    assert NAME in message
    assert mark in message
    assert scene.run() == []
    assert fake_cluster.warnings(caplog) == []
    assert scene.users() == {'*'}


def test_a_volume_that_was_unmanaged_meanwhile_is_left_alone(
    scene: Scene,
) -> None:
    scene.put(A, '*')
    scene.cluster.locks.on_acquired = lambda: scene.put(
        A, '*', **{names.OPTION_SHARE: names.UNMANAGED}
    )
    assert scene.run() == []


# -- failures


TROUBLES = [errors.TimedOut('gl1', (), 1), RuntimeError('a bug')]


@pytest.mark.parametrize('trouble', TROUBLES, ids=repr)
def test_a_share_that_fails_does_not_hide_the_next(
    scene: Scene, trouble: Exception
) -> None:
    scene.put(A, '*')
    scene.put(B, '*')
    scene.protocol.troubles[NAME] = trouble
    scene.run()
    assert scene.users(B) == {'bob'}


@pytest.mark.parametrize('trouble', TROUBLES, ids=repr)
def test_a_failure_is_logged_once_and_retried_at_growing_intervals(
    scene: Scene, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    scene.protocol.troubles[NAME] = trouble
    tried = []
    for number in range(1, 10):
        scene.put(A, '*')
        if scene.run():
            tried.append(number)
    assert tried == [1, 2, 4, 8]
    (message,) = fake_cluster.warnings(caplog)
    assert A in message
    assert str(trouble) in message


def test_a_revocation_is_retried_until_it_is_verified(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The lists are right at once; clients may still be connected."""
    scene.put(A, '*')
    scene.protocol.troubles[NAME] = errors.Unsettled('still connected')
    assert scene.run() == [SET]
    assert scene.users() == {'bob'}
    assert scene.run() == [SET]
    scene.protocol.troubles.clear()
    assert scene.run() == []  # The next retry is due in the fourth pass.
    caplog.clear()
    assert scene.run() == [SET]
    assert len(fake_cluster.warnings(caplog)) == 1
    assert scene.run() == []


def test_a_deleted_share_is_not_verified_any_more(scene: Scene) -> None:
    scene.put(A, '*')
    scene.protocol.troubles[NAME] = errors.Unsettled('still connected')
    scene.run()
    gone = scene.cluster.volumes.pop(NAME)
    scene.run()
    scene.cluster.volumes[NAME] = gone
    assert scene.run() == []


def test_a_node_that_does_not_answer_keeps_no_list_from_being_set(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.put(A, '*')
    client = scene.cluster.node('gl3').gluster
    down = mock.Mock(side_effect=errors.Down('gl3', 'no route'))
    # It goes down after the cluster was read.
    scene.cluster.locks.on_acquired = lambda: monkeypatch.setattr(
        client, 'volume', down
    )
    assert scene.run() == [SET]
    down.assert_called_once_with(NAME)
