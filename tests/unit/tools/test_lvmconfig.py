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
"""The settings of LVM that limit new thin LVs."""

import time

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import lvmconfig
from tests.unit.cluster import test_bricks
from tests.unit import fakes

Policy = lvmconfig.AutoextendPolicy
NO_PROFILE = test_bricks.LVMCONFIG
OLD = lvmconfig.RETRY_AFTER


def with_profile(name: str) -> tuple[str, ...]:
    return (*NO_PROFILE[:2], f'--metadataprofile={name}', *NO_PROFILE[2:])


def make(*replies: fakes.Reply) -> tuple[fakes.Node, lvmconfig.LvmConfig]:
    node = fakes.Node().answer(NO_PROFILE, *replies)
    return node, lvmconfig.LvmConfig(node)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock; the only item is the time."""
    now = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    return now


def test_real_settings(release: str) -> None:
    node = fakes.Node().replay(release, 'lvmconfig')
    config = lvmconfig.LvmConfig(node)
    assert config.refresh({'': 600}) is None
    assert config.policy('') == Policy(100, 20, False)


def test_a_real_profile(release: str) -> None:
    node = fakes.Node().replay(release, 'lvmconfig', 'lvmconfig-profile')
    assert fakes.golden(release, 'lvmconfig-profile').argv == with_profile(
        'golden'
    )
    config = lvmconfig.LvmConfig(node)
    assert config.refresh({'golden': 600, '': 600}) is None
    assert config.policy('golden') == Policy(77, 30, False)
    assert config.policy('') == Policy(100, 20, False)


def test_a_real_profile_that_does_not_exist(release: str) -> None:
    """LVM then uses the settings without the profile."""
    node = fakes.Node().replay(
        release, 'lvmconfig-no-such-profile', 'lvmconfig'
    )
    assert fakes.golden(
        release, 'lvmconfig-no-such-profile'
    ).argv == with_profile('nosuch')
    config = lvmconfig.LvmConfig(node)
    assert config.refresh({'nosuch': 600}) is None
    assert config.policy('nosuch') == Policy(100, 20, False)


def test_a_profile_that_cannot_be_read_is_an_error() -> None:
    node, config = make(test_bricks.lvm_settings(50))
    message = 'Failed to open config file mine.profile.'
    node.answer(with_profile('mine'), fakes.Answer('', message, 5))
    failure = config.refresh({'mine': 600})
    assert isinstance(failure, errors.CommandFailed)
    assert config.policy('mine') == lvmconfig.NO_POLICY
    assert node.ran == [with_profile('mine')]


def test_settings_are_read_again_when_they_are_old(
    clock: list[float],
) -> None:
    node, config = make(
        test_bricks.lvm_settings(50), test_bricks.lvm_settings(80)
    )
    assert config.policy('') == lvmconfig.NO_POLICY
    assert not node.ran
    for _ in range(2):
        config.refresh({'': 600})
        assert config.policy('').threshold == 50
        clock[0] += 599
    assert len(node.ran) == 1
    clock[0] += 1
    config.refresh({'': 600})
    assert config.policy('').threshold == 80


@pytest.mark.parametrize(
    'trouble',
    [
        fakes.Answer('', 'Failed to load config file', 4),
        fakes.Answer('thin_pool_autoextend_threshold=60\n'),
        fakes.Answer(test_bricks.lvm_settings().stdout.replace('=100', '=-1')),
        fakes.Answer(
            test_bricks.lvm_settings().stdout.replace('=20', '=20.5')
        ),
        errors.LinkLost('gl1', NO_PROFILE, 'connection reset'),
    ],
)
def test_what_was_read_last_counts_if_nothing_can_be_read(
    clock: list[float], trouble: fakes.Reply
) -> None:
    _, config = make(trouble)
    assert config.refresh({'': 600})
    assert config.policy('') == lvmconfig.NO_POLICY
    node, config = make(
        test_bricks.lvm_settings(50), trouble, test_bricks.lvm_settings(80)
    )
    assert config.refresh({'': 600}) is None
    clock[0] += 600
    # The error is reported until the next attempt succeeds.
    for _ in range(2):
        assert config.refresh({'': 600})
        assert config.policy('').threshold == 50
    assert len(node.ran) == 2
    clock[0] += OLD
    assert config.refresh({'': 600}) is None
    assert config.policy('').threshold == 80


def test_several_profiles_have_one_time_limit(clock: list[float]) -> None:
    """The next call reads what is missing."""
    limits: list[float] = []

    class Node(fakes.Node):
        def run(
            self, step: step_outcomes.Step, *, timeout: float = 60.0
        ) -> step_outcomes.Result:
            limits.append(timeout)
            clock[0] += 3
            return super().run(step, timeout=timeout)

    node = Node()
    profiles = dict.fromkeys(('a', 'b', 'c', 'd'), 600.0)
    for name in profiles:
        node.answer(with_profile(name), test_bricks.lvm_settings(60))
    config = lvmconfig.LvmConfig(node)
    assert config.refresh(profiles) is None
    assert limits == [5, 2]
    assert [config.policy(p).threshold for p in profiles] == [60, 60, 100, 100]
    assert config.refresh(profiles) is None
    assert [config.policy(p).threshold for p in profiles] == [60] * 4
    assert len(node.ran) == 4


def test_settings_among_other_lines() -> None:
    text = f'Welcome to this node!\n{test_bricks.lvm_settings(60).stdout}'
    assert lvmconfig.parse_policy(text).threshold == 60


@pytest.mark.parametrize(
    ('policy', 'is_automatic'),
    [
        (Policy(50, 20, True), True),
        (Policy(100, 20, True), False),
        (Policy(50, 0, True), False),
        (Policy(50, 20, False), False),
        (lvmconfig.NO_POLICY, False),
    ],
)
def test_when_lvm_extends_pools(policy: Policy, is_automatic: bool) -> None:
    assert policy.is_automatic == is_automatic


def test_a_threshold_above_100_is_no_limit() -> None:
    text = test_bricks.lvm_settings(150).stdout
    assert lvmconfig.parse_policy(text).threshold == 100
