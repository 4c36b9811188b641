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
"""Access rules with both levels on one share, in every order.

GlusterFS grants one level on a volume. Whatever the order: no client of a
read-only rule can write, and no client that is mounted loses its mount.
"""

from collections.abc import Callable
import dataclasses

from manila import db
from manila import exception
from manila.message import message_field
import pytest

from tests.model import test_maintenance
from tests.model import test_share_manager
from tests.model import test_user_messages

cloud = test_share_manager.cloud
share_type = test_share_manager.share_type
warden = test_maintenance.warden

#: The client of the granted rule, and the client of the refused rule.
GRANTED, REFUSED = '10.0.0.5', '10.0.0.6'
OTHER_LEVEL = {'rw': 'ro', 'ro': 'rw'}


@dataclasses.dataclass
class Mixed:
    """A share with a rule that is granted, and one that is refused."""

    cloud: test_share_manager.Cloud
    warden: test_maintenance.Warden
    share: str
    #: The level of the rule that is granted.
    level: str
    granted_rule: str
    refused_rule: str

    @property
    def volume(self) -> str:
        return f'manila-{self.cloud.instance(self.share)}'

    def check(self, level: str | None = None) -> None:
        """Fail unless the granted client has this level, and no other."""
        pool = self.cloud.pool
        assert self.cloud.rules(self.share) == {
            self.granted_rule: 'active',
            self.refused_rule: 'error',
        }
        assert pool.mounted(self.volume) == {GRANTED}
        assert not pool.mount(REFUSED, self.volume)
        can_write = (GRANTED, self.volume) in pool.state.writers()
        assert can_write == ((level or self.level) == 'rw')
        assert not pool.observer.disturbances
        assert not pool.observer.breaches

    # -- what happens then

    def restart(self) -> None:
        self.cloud.start()

    def cast(self) -> None:
        """Make all rules read-only for a time, as a migration does.

        The migration fails because a rule is in the state error. At the end,
        Manila applies all rules again, including this rule.
        """
        with pytest.raises(exception.ShareMigrationFailed):
            self.cloud.cast(self.share, True)
        self.check('ro')
        self.cloud.start()
        self.check('ro')
        with pytest.raises(exception.ShareMigrationFailed):
            self.cloud.cast(self.share, False)

    def apply_all(self) -> None:
        """Apply all rules as new rules, as ensure_shares requests."""
        helper = self.cloud.manager.access_helper
        instance = self.cloud.instance(self.share)
        helper.reset_rules_to_queueing_states(
            self.cloud.context, instance, reset_active=True
        )
        self.cloud.manager.update_access(self.cloud.context, instance)

    def maintain(self) -> None:
        assert self.warden.run() == []

    def add_another(self) -> None:
        """Add a rule with the level of the refused one."""
        rule = self.cloud.allow(
            self.share, 'ip', '10.0.0.8', OTHER_LEVEL[self.level]
        )
        assert self.cloud.rules(self.share)[rule] == 'error'
        self.cloud.deny(self.share, rule)


EVENTS: list[Callable[[Mixed], None]] = [
    Mixed.restart,
    Mixed.maintain,
    Mixed.apply_all,
    Mixed.cast,
    Mixed.add_another,
]


@pytest.fixture(params=['rw first', 'ro first', 'both at once', 'changed'])
def mixed(
    request: pytest.FixtureRequest,
    cloud: test_share_manager.Cloud,
    warden: test_maintenance.Warden,
) -> Mixed:
    """Create a share whose rules have both levels."""
    order = request.param
    level = 'ro' if order == 'ro first' else 'rw'
    share = cloud.create()
    volume = f'manila-{cloud.instance(share)}'
    if order == 'both at once':
        cloud.stop()
        refused = cloud.allow(share, 'ip', REFUSED, 'ro')
        granted = cloud.allow(share, 'ip', GRANTED, 'rw')
        cloud.deliver()
        assert cloud.pool.mount(GRANTED, volume)
    else:
        granted = cloud.allow(share, 'ip', GRANTED, level)
        refused = cloud.allow(
            share,
            'ip',
            REFUSED,
            level if order == 'changed' else OTHER_LEVEL[level],
        )
    if order == 'changed':
        assert cloud.pool.mounted(volume) == {GRANTED, REFUSED}
        cloud.set_level(share, refused, OTHER_LEVEL[level])
    return Mixed(cloud, warden, share, level, granted, refused)


@pytest.mark.parametrize('event', EVENTS, ids=lambda event: event.__name__)
def test_one_level_is_granted(
    mixed: Mixed, event: Callable[[Mixed], None]
) -> None:
    mixed.check()
    detail = message_field.Detail.UNSUPPORTED_CLIENT_ACCESS[0]
    action = message_field.Action.UPDATE_ACCESS_RULES[0]
    message = (mixed.share, action, detail)
    assert test_user_messages.told(mixed.cloud) == [message]
    event(mixed)
    mixed.check()
    assert {*test_user_messages.told(mixed.cloud)} == {message}
    mixed.restart()
    mixed.maintain()
    mixed.check()


def test_the_other_level_is_granted_when_the_rules_are_gone(
    mixed: Mixed,
) -> None:
    cloud, share = mixed.cloud, mixed.share
    for rule in (mixed.granted_rule, mixed.refused_rule):
        cloud.deny(share, rule)
    rule = cloud.allow(share, 'ip', REFUSED, OTHER_LEVEL[mixed.level])
    assert cloud.rules(share) == {rule: 'active'}
    assert cloud.pool.mounted(mixed.volume) == {REFUSED}
    assert db.share_get(cloud.context, share)['access_rules_status'] == (
        'active'
    )
    assert not cloud.pool.observer.disturbances
    assert not cloud.pool.observer.breaches
