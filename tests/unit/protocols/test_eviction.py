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
"""Waiting for clients; with real answers it is tested in test_native."""

from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.tools import gluster

VOLUME = gluster.Volume(
    'v', 'i', 'Started', 0, 1, (gluster.Brick('gl1', '/b', 'u1'),), {}
)


def confirmation(*uuids: str, connected: tuple[str, ...] = ()) -> Any:
    return mock.Mock(
        confirmed_by=frozenset(uuids),
        connected_uuids=frozenset(connected),
        reasons=('no route',),
    )


def nodes(failure: Exception | None) -> Any:
    node = mock.Mock()
    node.name = 'gl1'
    member = mock.Mock(uuid='u1', node=node)
    answer: Any = ({}, {'gl1': failure}) if failure else ({'gl1': ()}, {})
    return mock.Mock(
        nodes=[node],
        **{
            'members.return_value': (member,),
            'try_everywhere.return_value': answer,
        },
    )


def test_confirmed_bricks_are_not_asked() -> None:
    cluster = nodes(None)
    eviction.require_no_outdated_bricks(cluster, VOLUME, confirmation('u1'))
    cluster.try_everywhere.assert_not_called()


def test_node_that_is_down_has_no_running_bricks() -> None:
    cluster = nodes(errors.Down('gl1', 'no route'))
    eviction.require_no_outdated_bricks(cluster, VOLUME, confirmation())


@pytest.mark.parametrize(
    'failure', [None, errors.LoginRefused('gl1', 'no login')]
)
def test_node_that_answers_may_have_outdated_bricks(
    failure: Exception | None,
) -> None:
    with pytest.raises(eviction.RevocationNotConfirmed) as caught:
        eviction.require_no_outdated_bricks(
            nodes(failure), VOLUME, confirmation()
        )
    assert caught.value.args == ('v', ('gl1',), ('no route',))


def test_nothing_is_waited_for_if_all_nodes_with_bricks_are_down() -> None:
    cluster = nodes(None)
    eviction.await_eviction(
        cluster, VOLUME, lambda address: False, (), mock.Mock()
    )
    cluster.change.assert_not_called()
