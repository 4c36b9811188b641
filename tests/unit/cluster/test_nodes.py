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
"""Nodes, and which of them are skipped as the writer."""

import pytest

from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools import gluster
from tests.unit import fakes

LATE = errors.TimedOut('gl1', ('gluster',), 1)
LOST = errors.LinkLost('gl1', ('gluster',), 'EOF')


@pytest.fixture
def node() -> nodes.Node:
    return nodes.Node(fakes.Node('gl1'), ['gvg/pool'])


def test_a_node_has_the_name_of_its_connection(node: nodes.Node) -> None:
    assert (node.name, node.pool_names) == ('gl1', ('gvg/pool',))


def test_a_node_that_failed_is_skipped_for_a_while(node: nodes.Node) -> None:
    unresponsive = nodes.UnresponsiveNodes()
    assert not unresponsive.is_asked_last(node, 100.0)
    unresponsive.record_failure(node, 100.0)
    assert unresponsive.is_asked_last(node, 100.0 + nodes.ASK_LAST_SECONDS - 1)
    assert not unresponsive.is_asked_last(node, 100.0 + nodes.ASK_LAST_SECONDS)
    unresponsive.record_answer(node)
    assert not unresponsive.is_asked_last(node, 100.0)


@pytest.mark.parametrize(
    ('error', 'timeout'),
    [(LATE, nodes.TIMEOUT_AFTER_FAILURE), (LOST, gluster.READ_TIMEOUT)],
)
def test_only_a_late_node_gets_less_time(
    node: nodes.Node, error: errors.Error, timeout: float
) -> None:
    unresponsive = nodes.UnresponsiveNodes()
    unresponsive.record_timeout(node, error)
    assert unresponsive.timeout(node) == timeout
    assert not unresponsive.is_asked_last(node, 100.0)
