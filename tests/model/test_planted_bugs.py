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
"""A planted bug makes cells of the fault table BROKEN.

Each plant breaks one property of the driver in one place. The same cells are
not broken without it (:mod:`tests.model.test_faults`).
"""

from collections.abc import Callable, Iterator
import dataclasses
from typing import Any
from unittest import mock

import hypothesis
from hypothesis import stateful
import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import brick_removal
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import volfiles
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.tools import file_systems
from tests.fault_table import table
from tests.model import fault_injection
from tests.model import scene as scenes
from tests.model import test_faults
from tests.model import test_random_operator_commands

Fault = fault_injection.Fault
Variant = fault_injection.Variant


@dataclasses.dataclass(frozen=True)
class Plant:
    """A bug: in place of what, and which cells it should turn red."""

    name: str
    owner: Any
    attribute: str
    #: Makes the wrong one of the right one.
    wrong: Callable[[Any], Any]
    operation: str
    fault: fault_injection.AnyFault
    #: Part of what is then said to be wrong.
    said: str


def _forget_one(right: Any) -> Any:
    def reclaim(nodes: Any, unwanted: Any, *more: Any, **named: Any) -> Any:
        return right(
            nodes,
            lambda node, lv: unwanted(node, lv) and node.name != 'gl3',
            *more,
            **named,
        )

    return reclaim


def _nothing(right: Any) -> Any:
    return lambda *args: None


def _another_step(right: Any) -> Any:
    return lambda *args: file_systems.LIST_MOUNTS


def _on_two_nodes(right: Any) -> Any:
    def for_each_brick(self: Any, volume: Any, action: Any) -> None:
        right(self, volume, lambda n, p: n.name == 'gl3' or action(n, p))

    return for_each_brick


def _open_first(right: Any) -> Any:
    def close(self: volumes.Volumes, share_id: str) -> None:
        name = f'manila-{share_id}'
        self._cluster.change(
            lambda line: line.start_volume(name), lambda line: False
        )
        right(self, share_id)

    return close


def _only_whole(right: Any) -> Any:
    def growth(brick: bricks.MountedBrick, size: int) -> Any:
        return right(brick, size) if brick.lv.size < size else []

    return growth


def _gone_is_gone(right: Any) -> Any:
    def remove(self: share_removal.ShareRemoval, share_id: str) -> None:
        """Take a volume that is gone for a share that is."""
        name = f'manila-{share_id}'
        if self._cluster.read(lambda line: line.volume(name)):
            right(self, share_id)

    return remove


def _on_the_writer(right: Any) -> Any:
    def write(
        nodes: cluster.Cluster, volume: Any, options: Any, **more: Any
    ) -> volume_options.Confirmation:
        nodes.change(
            lambda line: line.set_options(volume.name, options),
            lambda line: False,
        )
        peers = nodes.read(lambda line: line.peers())
        everyone = frozenset(peer.uuid for peer in peers)
        return volume_options.Confirmation(everyone, peers, {})

    return write


def _close_first(right: Any) -> Any:
    def apply(self: Any, name: str, rules: Any, **more: Any) -> Any:
        """Admit nobody for a moment."""
        if more['is_revoking']:
            right(self, name, (), is_revoking=False)
        return right(self, name, rules, **more)

    return apply


def _settle_all(right: Any) -> Any:
    def settle(self: Any, *args: Any, **more: Any) -> Any:
        """Deactivate every snapshot that is active."""
        for node in self._cluster.nodes[:1]:
            for name, snapshot in node.gluster.snapshots().items():
                if snapshot.is_active:
                    node.gluster.deactivate_snapshot(name)

    return settle


def _writable_first(right: Any) -> Any:
    def most_restrictive(self: Any, volume: Any, options: Any) -> Any:
        """Change the level and the list in one transaction."""
        return dict(options)

    return most_restrictive


PLANTS = [
    Plant(
        'a volume is writable before a reader is disconnected',
        native.NativeProtocol,
        '_most_restrictive',
        _writable_first,
        'make writable',
        Fault.REFUSED,
        'could write to',
    ),
    Plant(
        'the snapshots of another Manila are deactivated',
        clone_sources.CloneSources,
        'deactivate',
        _settle_all,
        'clone and grow',
        Fault.REFUSED,
        'of others',
    ),
    Plant(
        'a volume is closed for a moment when a rule is revoked',
        native.NativeProtocol,
        'apply',
        _close_first,
        'deny access',
        Fault.REFUSED,
        'lost manila-',
    ),
    Plant(
        'one LV is forgotten',
        brick_ownership,
        'reclaim',
        _forget_one,
        'create share',
        Fault.REFUSED,
        'LV manila-',
    ),
    Plant(
        'the snapshot stays active',
        clone_sources.CloneSources,
        'deactivate',
        _nothing,
        'clone and grow',
        Fault.KILLED_AFTER,
        'is active',
    ),
    Plant(
        'a volume is closed too late',
        volumes.Volumes,
        'deny_all',
        _open_first,
        'clone and grow',
        Fault.KILLED_BEFORE,
        'was started before it was closed',
    ),
    Plant(
        'nothing is written to disk',
        file_systems,
        'syncing',
        _another_step,
        'create share',
        Variant.POWER_CUT_AFTER,
        'is not marked in',
    ),
    Plant(
        'a snapshot is not tagged',
        snapshots.Snapshots,
        '_tag_lvs',
        _nothing,
        'create snapshot',
        Fault.HANGS,
        'has the tags',
    ),
    Plant(
        'mount points are left',
        brick_removal,
        'mount_point_removal',
        _another_step,
        'delete an origin',
        Fault.KILLED_AFTER,
        'directory',
    ),
    Plant(
        'a brick of a clone is overlooked',
        volumes.Volumes,
        'for_each_brick',
        _on_two_nodes,
        'clone and grow',
        Fault.LINK_CUT,
        'on gl3 is not marked',
    ),
    Plant(
        'what is under way is not waited for',
        snapshots.Snapshots,
        '_await_transactions',
        _nothing,
        'create snapshot',
        Variant.KILLED_SLOW,
        'is left over',
    ),
    Plant(
        'what is half grown is not grown',
        bricks,
        '_growth',
        _only_whole,
        'extend',
        Fault.KILLED_BEFORE,
        'bytes',
    ),
    Plant(
        'a share is gone when its volume is',
        share_removal.ShareRemoval,
        'remove',
        _gone_is_gone,
        'delete a clone',
        Fault.KILLED_AFTER,
        'is left over',
    ),
    Plant(
        'clients are not waited for',
        eviction,
        'await_eviction',
        _nothing,
        'deny access',
        Fault.HANGS,
        'is connected to',
    ),
    Plant(
        'what a peer was left out of is not noticed',
        volume_options,
        'write',
        _on_the_writer,
        'clone and grow',
        Variant.LEFT_OUT,
        'knows other options of',
    ),
    Plant(
        'lost volfiles stay lost',
        volfiles,
        'write_lost',
        _nothing,
        'create share',
        Variant.PEER_REBOOTED,
        'it took',
    ),
]


@pytest.fixture(scope='module')
def scene(quiet: None) -> Iterator[scenes.Scene]:
    found = scenes.Scene('11.1')
    for operation in scenes.OPERATIONS:
        # As they are without a bug.
        found.steps(operation)
    yield found


@pytest.mark.parametrize('plant', PLANTS, ids=lambda p: str(p.name))
def test_a_planted_bug_is_found(scene: scenes.Scene, plant: Plant) -> None:
    (operation,) = (
        found for found in scenes.OPERATIONS if found.name == plant.operation
    )
    wrong = plant.wrong(getattr(plant.owner, plant.attribute))
    with mock.patch.object(plant.owner, plant.attribute, wrong):
        found = test_faults.cells(scene, operation, plant.fault)
    red = table.broken(found)
    assert any(plant.said in cell.detail for cell in red), found


def test_random_operator_commands_find_a_planted_bug(quiet: None) -> None:
    """Deleting a restored snapshot removes the bricks of a share."""
    no_users = mock.patch.object(
        brick_ownership.LvUsers, 'users_of', lambda self, lv: ()
    )
    no_doubts = mock.patch.object(
        brick_ownership.LvUsers,
        'require_not_renamed',
        lambda self, lv, node: None,
    )
    settings = hypothesis.settings(
        hypothesis.settings.get_profile('model'),
        max_examples=200,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
    )
    # Brick processes that hold the mounts can make the driver fail first.
    found = pytest.raises((AssertionError, errors.Error))
    with no_users, no_doubts, found:
        stateful.run_state_machine_as_test(
            test_random_operator_commands.Operators, settings=settings
        )
