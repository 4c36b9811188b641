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
"""Maintenance corrects access lists that were changed by hand."""

from collections.abc import Callable
import dataclasses
from typing import Any

from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import clone_cleanup_candidates
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import lost_rule_changes
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone import names
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.protocols import native
from tests.model import glusterd_state
from tests.model import test_maintenance
from tests.model import test_share_manager

cloud = test_share_manager.cloud
share_type = test_share_manager.share_type
warden = test_maintenance.warden

ALLOWED, STRANGER, SECOND = '10.0.0.5', '10.0.0.66', '10.0.0.6'
#: Seconds of the model that setting one volume's options may take.
BUDGET = 15.0


class Share:
    """A share with a rule and a mounted client."""

    def __init__(
        self, cloud: test_share_manager.Cloud, level: str = 'rw'
    ) -> None:
        self.cloud = cloud
        self.id = cloud.create()
        self.instance = cloud.instance(self.id)
        self.name = f'manila-{self.instance}'
        self.rule = cloud.allow(self.id, 'ip', ALLOWED, level)
        assert cloud.pool.mount(ALLOWED, self.name)
        self.wanted = dict(self.volume.options)

    @property
    def volume(self) -> glusterd_state.Volume:
        return self.cloud.pool.state.volumes[self.name]

    def gluster(self, *words: str, node: str = 'gl1') -> None:
        """Run a command of an operator."""
        pool = self.cloud.pool
        said = pool.glusterd.ask(
            pool.nodes[node],
            [self.name if word == 'V' else word for word in words],
        )
        assert '<opRet>0' in said, said

    def state(self, rule: str, state: str) -> None:
        """Have Manila's database give a rule this state."""
        db.share_instance_access_update(
            self.cloud.context, rule, self.instance, {'state': state}
        )

    def check(self) -> None:
        """Fail unless the share is as it was, for all nodes and clients."""
        assert not self.volume.behind
        options = self.volume.options
        assert {
            key: options.get(key)
            for key, value in self.wanted.items()
            if key in WATCHED
        } == {k: v for k, v in self.wanted.items() if k in WATCHED}
        assert native.REJECT not in options
        assert glusterd_state.is_read_only(
            self.volume
        ) == glusterd_state.is_read_only(
            dataclasses.replace(self.volume, options=self.wanted)
        )
        assert self.cloud.pool.mounted(self.name) == {ALLOWED}
        assert not self.cloud.pool.mount(STRANGER, self.name)


WATCHED = {
    native.ALLOW,
    *native.TLS_OPTIONS,
    names.OPTION_SHARE,
    names.OPTION_BACKEND,
    'cluster.data-self-heal-algorithm',
}


@pytest.fixture
def share(cloud: test_share_manager.Cloud) -> Share:
    return Share(cloud)


@pytest.fixture(params=['rw', 'ro'])
def leveled(
    cloud: test_share_manager.Cloud, request: pytest.FixtureRequest
) -> Share:
    """Return a share that is writable, and one that is read-only."""
    return Share(cloud, request.param)


def operator(*words: str) -> Callable[[Share], None]:
    return lambda share: share.gluster(*words)


#: What somebody did to a volume, and whether strangers come in by that.
DAMAGES: dict[str, tuple[Callable[[Share], None], bool]] = {
    'reset of all': (operator('volume', 'reset', 'V'), True),
    'reset by force': (operator('volume', 'reset', 'V', 'force'), True),
    'reset of the list': (
        operator('volume', 'reset', 'V', 'auth.allow'),
        True,
    ),
    'all allowed': (operator('volume', 'set', 'V', 'auth.allow', '*'), True),
    'one more allowed': (
        operator('volume', 'set', 'V', 'auth.allow', f'{ALLOWED},{STRANGER}'),
        True,
    ),
    'without TLS options': (
        operator('volume', 'reset', 'V', 'server.ssl'),
        False,
    ),
    'rejected': (
        operator('volume', 'set', 'V', 'auth.reject', STRANGER),
        False,
    ),
    'healing differs': (
        operator(
            *('volume', 'set', 'V'),
            *('cluster.data-self-heal-algorithm', 'diff'),
        ),
        False,
    ),
    'marks overwritten': (
        operator('volume', 'set', 'V', 'user.manila.share', 'mine'),
        False,
    ),
    'back end overwritten': (
        operator('volume', 'set', 'V', 'user.manila.backend', 'mine'),
        False,
    ),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_options_that_somebody_changed_are_set_again(
    share: Share, warden: test_maintenance.Warden, name: str
) -> None:
    """Within one pass; whoever has a rule stays mounted throughout."""
    other = Share(share.cloud)
    damage, admits = DAMAGES[name]
    damage(share)
    assert share.cloud.pool.mount(STRANGER, share.name) == admits
    assert {ALLOWED} <= share.cloud.pool.mounted(share.name)
    begun = share.cloud.pool.time.now
    before = len(share.cloud.process.steps)
    (line,) = warden.run()
    assert share.cloud.pool.time.now - begun <= BUDGET
    assert share.name in line
    share.check()
    other.check()
    changes = [
        step.argv
        for step in share.cloud.process.steps[before:]
        if not step.is_read
    ]
    # All in one transaction.
    assert len(changes) == 1, changes
    assert share.name in changes[0]
    assert warden.run() == []


@pytest.mark.parametrize('node', ['gl1', 'gl3'])
def test_node_with_other_options_than_the_rest(
    share: Share, warden: test_maintenance.Warden, node: str
) -> None:
    share.volume.behind[node] = {**share.wanted, native.ALLOW: '*'}
    share.volume.missed[node] = 0
    (line,) = warden.run()
    assert share.name in line
    share.check()
    assert warden.run() == []


def test_reset_and_restart(
    share: Share, warden: test_maintenance.Warden
) -> None:
    """The share is whole: nothing may put it in error or tell to delete it."""
    share.gluster('volume', 'reset', 'V')
    share.cloud.start()
    warden.renew()
    assert share.cloud.share(share.id)['status'] == 'available'
    warden.run()
    share.check()
    assert warden.run() == []


def test_reset_volume_is_not_started_open(
    share: Share,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stopped volume without lists is closed first, and started then."""

    def fail(*_: object, **__: object) -> None:
        raise errors.Unsettled('volume: no list can be set')

    share.gluster('volume', 'stop', 'V', 'force')
    share.gluster('volume', 'reset', 'V')
    with monkeypatch.context() as patch:
        patch.setattr(native.NativeProtocol, 'apply', fail)
        warden.run()
    assert share.volume.status == 'Stopped'
    for _ in range(4):
        warden.run()
    assert share.volume.status == 'Started'
    assert not share.cloud.pool.state.opened_early
    assert not share.cloud.pool.mount(STRANGER, share.name)


def test_one_that_fails_does_not_hide_the_others(
    share: Share,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = sorted(
        [share, Share(share.cloud), Share(share.cloud)],
        key=lambda each: each.instance,
    )
    real = native.NativeProtocol.apply

    def apply(self: Any, name: str, *rest: Any, **more: Any) -> Any:
        if name == shares[0].name:
            raise RuntimeError('the coordinator is away')
        return real(self, name, *rest, **more)

    for each in shares:
        each.gluster('volume', 'reset', 'V')
    with monkeypatch.context() as patch:
        patch.setattr(native.NativeProtocol, 'apply', apply)
        warden.run()
    for each in shares[1:]:
        each.check()
    for _ in range(4):
        warden.run()
    shares[0].check()


@pytest.mark.parametrize('mark', ['unmanaged', names.canonical_id('1' * 32)])
def test_volume_of_somebody_else_is_named_and_left_alone(
    share: Share, warden: test_maintenance.Warden, mark: str
) -> None:
    share.gluster('volume', 'set', 'V', 'user.manila.share', mark)
    share.gluster('volume', 'set', 'V', 'auth.allow', STRANGER)
    before = dict(share.volume.options)
    # In the first pass it may be a clone that was finished meanwhile.
    assert warden.run() == []
    (line,) = warden.run()
    assert share.name in line and mark in line
    assert share.volume.options == before
    assert warden.run() == []


# -- bounds


#: The state of a rule, whether its address may be in the list, and whether
#: the list may be without it.
STATES = {
    'active': (True, False),
    'queued_to_apply': (True, True),
    'applying': (True, True),
    'queued_to_update': (True, True),
    'updating': (True, True),
    'queued_to_deny': (True, True),
    'denying': (True, True),
    'error': (False, True),
    'of a later release': (False, True),
}


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('listed', [True, False])
def test_bounds_of_each_state(
    share: Share, warden: test_maintenance.Warden, state: str, listed: bool
) -> None:
    second = share.cloud.allow(share.id, 'ip', SECOND)
    share.state(second, state)
    both = f'{ALLOWED},{SECOND}'
    share.gluster(
        *('volume', 'set', 'V', 'auth.allow', both if listed else ALLOWED)
    )
    may, need_not = STATES[state]
    right = may if listed else need_not
    assert bool(warden.run()) != right
    assert share.volume.options[native.ALLOW] == (
        both if listed == right else ALLOWED
    )
    assert warden.run() == []
    # What is wrong otherwise is set right, and the bounds are kept.
    was = share.volume.options[native.ALLOW]
    share.gluster('volume', 'set', 'V', 'auth.allow', f'{was},{STRANGER}')
    assert share.cloud.pool.mount(STRANGER, share.name)
    (line,) = warden.run()
    assert STRANGER in line
    assert share.volume.options[native.ALLOW] == was
    served = share.cloud.pool.mounted(share.name)
    assert ALLOWED in served
    assert STRANGER not in served


@pytest.mark.parametrize(
    ('kind', 'to'),
    [('ip', 'fe80::/64'), ('user', 'somebody'), ('cert', 'a-name')],
)
@pytest.mark.parametrize('state', ['error', 'active', 'queued_to_deny'])
def test_rule_that_cannot_hold_hides_no_other(
    share: Share,
    warden: test_maintenance.Warden,
    kind: str,
    to: str,
    state: str,
) -> None:
    """Any tenant can make one; it must not keep the list from repair."""
    rule = share.cloud.allow(share.id, kind, to)
    assert share.cloud.rules(share.id)[rule] == 'error'
    assert share.cloud.share(share.id)['access_rules_status'] == 'error'
    share.state(rule, state)
    assert warden.run() == []
    share.gluster('volume', 'set', 'V', 'auth.allow', '*')
    assert share.cloud.pool.mount(STRANGER, share.name)
    assert any(share.name in line for line in warden.run())
    share.check()


def test_rule_that_is_read_only_hides_no_other(
    share: Share, warden: test_maintenance.Warden
) -> None:
    db.share_access_create(
        share.cloud.context,
        {
            'share_id': share.id,
            'access_type': 'ip',
            'access_to': SECOND,
            'access_level': 'ro',
        },
    )
    share.cloud.manager.update_access(share.cloud.context, share.instance)
    assert share.cloud.share(share.id)['access_rules_status'] == 'error'
    share.gluster('volume', 'reset', 'V')
    assert share.cloud.pool.mount(STRANGER, share.name)
    warden.run()
    share.check()


@pytest.mark.parametrize(
    'words',
    [
        'reset V',
        'reset V force',
        'reset V features.read-only',
        'set V features.read-only off',
        'set V features.read-only on',
        'set V features.read-only enable',
    ],
)
def test_level_that_an_operator_changed(
    leveled: Share, warden: test_maintenance.Warden, words: str
) -> None:
    was_read_only = glusterd_state.is_read_only(leveled.volume)
    leveled.gluster('volume', *words.split())
    is_wrong = words.startswith('reset V') or was_read_only != (
        glusterd_state.is_read_only(leveled.volume)
    )
    if words == 'reset V features.read-only':
        is_wrong = was_read_only
    found = warden.run()
    assert bool(found) == is_wrong
    if is_wrong:
        assert 'features.read-only' in found[0] or not was_read_only
    leveled.check()
    assert warden.run() == []


@pytest.mark.parametrize('value', ['on', 'off'])
@pytest.mark.parametrize('state', ['applying', 'updating', 'denying'])
def test_level_that_an_operator_changed_while_manila_changes_a_rule(
    leveled: Share, warden: test_maintenance.Warden, state: str, value: str
) -> None:
    """The client of the rule stays, until Manila has changed it."""
    cloud = leveled.cloud
    was_read_only = glusterd_state.is_read_only(leveled.volume)
    level = 'ro' if was_read_only else 'rw'
    leveled.state(cloud.allow(leveled.id, 'ip', SECOND, level), state)
    leveled.gluster('volume', 'set', 'V', access_levels.READ_ONLY, value)
    warden.run()
    assert glusterd_state.is_read_only(leveled.volume) == was_read_only
    assert cloud.pool.mounted(leveled.name) == {ALLOWED, SECOND}
    assert warden.run() == []


@pytest.mark.parametrize('node', ['gl1', 'gl2', 'gl3'])
def test_node_on_which_a_volume_is_not_read_only(
    cloud: test_share_manager.Cloud, warden: test_maintenance.Warden, node: str
) -> None:
    share = Share(cloud, 'ro')
    share.volume.behind[node] = {
        **share.wanted,
        access_levels.READ_ONLY: 'off',
    }
    share.volume.missed[node] = 0
    assert (ALLOWED, share.name) in cloud.pool.state.writers()
    assert warden.run()
    share.check()
    assert (ALLOWED, share.name) not in cloud.pool.state.writers()


def test_rules_that_manila_casts_to_read_only(
    share: Share, warden: test_maintenance.Warden
) -> None:
    """As while a share is migrated; its clients go on reading."""
    cloud, state = share.cloud, share.cloud.pool.state
    cloud.allow(share.id, 'ip', SECOND)
    for is_cast in (True, False):
        cloud.cast(share.id, is_cast)
        assert {*cloud.rules(share.id).values()} == {'active'}
        assert glusterd_state.is_read_only(share.volume) == is_cast
        assert ((ALLOWED, share.name) in state.writers()) != is_cast
        assert warden.run() == []
        assert glusterd_state.is_read_only(share.volume) == is_cast
        cloud.start()
        assert glusterd_state.is_read_only(share.volume) == is_cast
    assert cloud.pool.mounted(share.name) == {ALLOWED, SECOND}
    assert not cloud.pool.observer.disturbances
    assert not cloud.pool.observer.breaches


def test_row_that_nothing_can_be_named_after_hides_no_other(
    share: Share, warden: test_maintenance.Warden
) -> None:
    odd = Share(share.cloud).instance
    tables = [
        models.ShareInstance.__table__.c.id,
        models.ShareInstanceAccessMapping.__table__.c.share_instance_id,
    ]
    with db_api.get_engine().begin() as connection:
        for column in tables:
            connection.execute(
                column.table.update()
                .where(column == odd)
                .values({column.name: '0-no-id-of-a-share'})
            )
    share.gluster('volume', 'reset', 'V')
    warden.run()
    share.check()


def test_share_that_is_worked_on_is_left_to_that_operation(
    share: Share, warden: test_maintenance.Warden
) -> None:
    share.gluster('volume', 'set', 'V', 'auth.allow', '*')
    with locks.Locks(1).share(share.instance):
        assert warden.run() == []
    assert share.volume.options[native.ALLOW] == '*'
    for _ in range(2):
        warden.run()
    share.check()


def test_revocation_is_verified_however_many_passes_it_takes(
    share: Share,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list that is right is no proof that a client is disconnected."""
    share.gluster('volume', 'reset', 'V')
    assert share.cloud.pool.mount(STRANGER, share.name)
    with monkeypatch.context() as patch:
        patch.setattr(
            glusterd_state.GlusterdState,
            'settle_clients',
            lambda self: None,  # a brick that disconnects nobody
        )
        assert warden.run()
    found: list[str] = []
    for _ in range(3):
        found += warden.run()
    assert found
    share.check()
    assert warden.run() == []


def test_where_all_is_well_the_audit_costs_nothing(
    share: Share, warden: test_maintenance.Warden
) -> None:
    ours = warden.services
    seen = cluster_state.read(ours.cluster, ours.settings.backend_mark)
    audit = access_audit.AccessAudit(
        ours, backoff.Backoff(), service_host='host@model'
    )
    before = len(share.cloud.process.steps)
    audit.audit(seen, manila_db.rules('host@model'))
    assert len(share.cloud.process.steps) == before


@pytest.mark.parametrize(
    ('owner', 'attribute'),
    [
        (access_audit.AccessAudit, 'audit'),
        (brick_tag_repair.BrickTags, 'correct'),
        (passes.Maintenance, '_heal'),
        (passes.Maintenance, '_resume_interrupted_work'),
        (clone_cleanup_candidates, 'clean_up'),
        (lost_rule_changes.LostRuleChanges, 'repeat'),
        (lost_rule_changes.LostRuleChanges, 'correct_statuses'),
        (interrupted_work.InterruptedWork, 'retry_deletions'),
    ],
)
def test_part_that_fails_does_not_keep_the_next_from_its_turn(
    share: Share,
    warden: test_maintenance.Warden,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    attribute: str,
) -> None:
    """A mistake of ours, or a database that goes away in between."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError('no more')

    reached: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, fail)
        patch.setattr(
            orphans.Orphans,
            'remove_or_report',
            lambda *_, **__: reached.append(1),
        )
        assert len(warden.run()) == 1
        assert warden.run() == []  # said once
    assert len(reached) == 2
    assert warden.run() == []
    share.check()
