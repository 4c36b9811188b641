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
"""Healing the copies of a volume before a snapshot."""

from unittest import mock

import pytest

from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools.gluster import xml_output
from tests.unit import fakes

HEALED = xml_output.HealState(0, 0, ())
MARKED = xml_output.HealState(2, 0, ())


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(retry, 'time', clock)
    return clock


def pool(*states: xml_output.HealState) -> mock.Mock:
    made = mock.Mock()
    made.read.side_effect = [*states, *[states[-1]] * 100]
    return made


def request(pool: mock.Mock) -> mock.Mock:
    heal: mock.Mock = pool.writer.return_value.gluster.heal
    return heal


def test_equal_copies_need_no_daemon(time: fakes.Clock) -> None:
    nodes = pool(HEALED)
    replica_heal.heal(nodes, 'v')
    request(nodes).assert_not_called()
    assert not time.slept


def test_the_daemon_is_asked_once_and_waited_for(time: fakes.Clock) -> None:
    nodes = pool(MARKED, MARKED, HEALED)
    replica_heal.heal(nodes, 'v')
    request(nodes).assert_called_once()
    assert len(time.slept) == 2


def test_a_busy_glusterd_is_asked_again() -> None:
    nodes = pool(MARKED, MARKED, HEALED)
    busy = errors.Busy('gl1', ('heal',), 30802, 'Another transaction')
    request(nodes).side_effect = busy
    replica_heal.heal(nodes, 'v')
    assert request(nodes).call_count == 2


def test_copies_that_stay_different(time: fakes.Clock) -> None:
    nodes = pool(MARKED)
    refused = errors.GlusterRefused('gl1', ('heal',), 1, 'no daemon')
    request(nodes).side_effect = refused
    with pytest.raises(replica_heal.CopiesDiffer) as caught:
        replica_heal.heal(nodes, 'v')
    assert caught.value.entry_count == 2
    assert caught.value.request_failure == str(refused)
    assert 50 < sum(time.slept) <= 60


def test_bricks_that_do_not_answer_get_less_time(time: fakes.Clock) -> None:
    with pytest.raises(replica_heal.CopiesDiffer) as caught:
        replica_heal.heal(pool(xml_output.HealState(0, 0, ('gl1:/b',))), 'v')
    assert caught.value.bricks == ('gl1:/b',)
    assert sum(time.slept) <= 15


def test_a_split_brain_is_not_waited_for(time: fakes.Clock) -> None:
    with pytest.raises(replica_heal.CopiesDiffer) as caught:
        replica_heal.heal(pool(xml_output.HealState(2, 1, ())), 'v')
    assert caught.value.split_brain_count == 1
    assert not time.slept
