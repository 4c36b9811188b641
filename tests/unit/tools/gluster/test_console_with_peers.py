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
"""The peers come in the request of the first command."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools.gluster import queries
from tests.unit.cluster import test_cluster
from tests.unit import fakes

T = TypeVar('T')

PEERS = test_cluster.peers(1, 2)
NO_VOLUMES = fakes.xml('<volInfo><volumes/></volInfo>')
NO_NAMES = fakes.xml('<volList/>')
NO_SNAPSHOTS = fakes.xml('<snapInfo><snapshots/></snapInfo>')
LOST = errors.LinkLost('gl1', fakes.CONSOLE, 'EOF', '')


def first(node: fakes.Node) -> gluster.PeersFirst:
    return gluster.Gluster(console.Console(node)).peers_first(5.0)


def test_one_request_has_the_peers_and_the_answer() -> None:
    node = fakes.Node().gluster('pool list', PEERS)
    node.gluster('volume info x', NO_VOLUMES)
    client = first(node)
    assert client.volume('x') is None
    assert len(client.peers()) == 2
    assert node.request_count == 1
    assert client.volume('x') is None
    assert node.said() == ['pool list', 'volume info x', 'volume info x']


def test_a_node_that_failed_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither for a connection, nor for the peers."""
    node = fakes.Node().gluster('pool list', PEERS)
    node.gluster('volume info x', NO_VOLUMES)
    asked: list[tuple[list[float | None], float]] = []

    def recording(run: Callable[..., T]) -> Callable[..., T]:
        def record(
            the_steps: Sequence[step_outcomes.Step], *, timeout: float
        ) -> T:
            asked.append(([step.timeout for step in the_steps], timeout))
            return run(the_steps, timeout=timeout)

        return record

    for name in ('outcomes', 'run_all'):
        monkeypatch.setattr(node, name, recording(getattr(node, name)))
    client = first(node)
    client.volume('x')
    client.volume('x')
    ((peers_seconds, volume_seconds), timeout), ((again,), later) = asked
    assert (peers_seconds, timeout) == (5.0, 5.0)
    assert volume_seconds is not None
    assert 50 < volume_seconds <= gluster.READ_TIMEOUT
    assert again == later


def test_several_commands_are_one_request() -> None:
    node = fakes.Node().gluster('pool list', PEERS)
    node.gluster('volume list', NO_NAMES).gluster('volume info', NO_VOLUMES)
    node.gluster('snapshot info', NO_SNAPSHOTS)
    client = first(node)
    assert client.volumes_and_snapshots() == ({}, {})
    assert len(client.peers()) == 2
    assert node.request_count == 1


def test_the_peers_are_not_listed_twice() -> None:
    node = fakes.Node().gluster('pool list', PEERS)
    client = first(node)
    assert client.peers() == client.peers()
    assert node.said() == ['pool list']


def test_the_peers_are_read_without_another_command() -> None:
    node = fakes.Node().gluster('pool list', PEERS)
    assert len(first(node).peers()) == 2


def test_without_the_peers_nothing_is_read() -> None:
    node = fakes.Node().gluster('pool list', LOST)
    client = first(node)
    with pytest.raises(errors.LinkLost):
        client.volume('x')
    with pytest.raises(errors.LinkLost):
        client.peers()
    # A read is repeated once: the connection may have broken while idle.
    assert node.said() == ['pool list'] * 2


def test_a_read_is_repeated_with_the_peers() -> None:
    node = fakes.Node().gluster('pool list', LOST, PEERS)
    node.gluster('volume info x', NO_VOLUMES)
    client = first(node)
    assert client.volume('x') is None
    assert len(client.peers()) == 2
    assert node.request_count == 2


def test_a_refusal_keeps_the_peers() -> None:
    node = fakes.Node().gluster('pool list', PEERS)
    refusal = fakes.xml(ret=-1, errno=30800, message='no')
    node.gluster('snapshot info', refusal)
    client = first(node)
    with pytest.raises(errors.GlusterRefused):
        client.snapshots()
    assert len(client.peers()) == 2


def test_a_glusterd_that_does_not_run_is_known_by_its_text() -> None:
    text = 'Connection failed. Please check if gluster daemon is operational.'
    node = fakes.Node().gluster('pool list', fakes.Answer(text))
    client = first(node)
    with pytest.raises(console.GlusterdNotRunning):
        client.volume('x')
    with pytest.raises(console.GlusterdNotRunning):
        client.peers()


def test_a_busy_process_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = fakes.Node()
    room = console.Console(node)
    monkeypatch.setattr(queries, 'READ_TIMEOUT', 0.01)
    assert room._read_slots.acquire()
    assert room._read_slots.acquire()
    client = gluster.Gluster(room).peers_first(5.0)
    with pytest.raises(errors.Busy):
        client.volume('x')
    with pytest.raises(errors.Busy):
        client.peers()
    assert node.said() == []
