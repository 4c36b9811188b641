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
"""Shares: how a share is deleted, and how its rules are changed."""

import contextlib
import dataclasses
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'
VOLUME = gluster.Volume('v', 'i', 'Started', 0, 1, (), {})
OLD, KEPT, NEW = (
    protocols.Rule(access_id, 'ip', '10.0.0.1', 'rw')
    for access_id in ('old', 'kept', 'new')
)


class Parts:
    """The services that shares use; all calls are recorded in order."""

    def __init__(self) -> None:
        self.calls: Any = mock.Mock()
        self.calls.locks.share.return_value = contextlib.nullcontext()
        self.calls.protocol.apply.return_value = {}
        self.calls.nodes.read.return_value = VOLUME
        self.shares = shares.Shares(
            self.calls.nodes,
            self.calls.pools,
            self.calls.volumes,
            self.calls.removal,
            self.calls.sources,
            self.calls.cleanup,
            self.calls.protocol,
            self.calls.locks,
            brick_root='/b',
        )

    def names(self) -> list[str]:
        return [call[0] for call in self.calls.mock_calls]


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_deleting_a_share(parts: Parts) -> None:
    parts.shares.delete(SHARE)
    assert parts.names() == ['locks.share', 'removal.remove']


def test_deleting_a_clone_cleans_up_its_snapshots(parts: Parts) -> None:
    parts.calls.sources.snapshots_of_clone.return_value = {'s'}
    parts.shares.delete(SHARE, is_clone=True)
    assert parts.names() == [
        'sources.snapshots_of_clone',
        'locks.share',
        'removal.remove',
        'cleanup.clean_up_snapshots',
    ]
    parts.calls.cleanup.clean_up_snapshots.assert_called_with({'s'})


def test_deleting_a_clone_without_lvs_cleans_up_all_own_snapshots(
    parts: Parts,
) -> None:
    parts.calls.sources.snapshots_of_clone.return_value = None
    parts.shares.delete(SHARE, is_clone=True)
    assert parts.names()[-2:] == ['removal.remove', 'cleanup.clean_up_own']


def test_clone_that_cannot_be_deleted_keeps_its_snapshots(
    parts: Parts,
) -> None:
    failure = errors.TimedOut('gl1', ('gluster',), 1)
    parts.calls.removal.remove.side_effect = failure
    with pytest.raises(errors.TimedOut):
        parts.shares.delete(SHARE, is_clone=True)
    assert parts.names()[-1] == 'removal.remove'


def test_revoking_disconnects_before_new_clients_are_admitted(
    parts: Parts,
) -> None:
    parts.calls.protocol.granted_rules.return_value = (KEPT,)
    parts.shares.update_access(SHARE, [OLD], [KEPT, NEW], is_revoking=True)
    assert parts.calls.protocol.apply.mock_calls == [
        mock.call(mock.ANY, [OLD, KEPT], is_revoking=True),
        mock.call(mock.ANY, [OLD, KEPT, NEW], is_revoking=False),
    ]


def test_revoking_without_new_rules_is_one_change(parts: Parts) -> None:
    parts.calls.protocol.granted_rules.return_value = (KEPT,)
    parts.shares.update_access(SHARE, [OLD], [KEPT], is_revoking=True)
    parts.calls.protocol.apply.assert_called_once_with(
        mock.ANY, [OLD, KEPT], is_revoking=True
    )


def with_level(rule: protocols.Rule, level: str) -> protocols.Rule:
    return dataclasses.replace(rule, access_level=level)


def test_rules_in_force_come_before_new_rules(parts: Parts) -> None:
    """So a new rule with another level does not disconnect their clients."""
    read_only = with_level(KEPT, 'ro')
    parts.calls.protocol.granted_rules.return_value = (read_only,)
    parts.shares.update_access(SHARE, [], [NEW, read_only], is_revoking=False)
    parts.calls.protocol.apply.assert_called_once_with(
        mock.ANY, [read_only, NEW], is_revoking=False
    )


def test_of_new_rules_those_with_rw_come_first(parts: Parts) -> None:
    parts.calls.protocol.granted_rules.return_value = ()
    old, new = with_level(OLD, 'ro'), with_level(KEPT, 'ro')
    parts.shares.update_access(SHARE, [old], [new, NEW], is_revoking=False)
    parts.calls.protocol.apply.assert_called_once_with(
        mock.ANY, [old, NEW, new], is_revoking=False
    )


def test_rules_whose_level_changes_come_after_those_whose_level_stays(
    parts: Parts,
) -> None:
    changed, stays = with_level(NEW, 'rw'), with_level(KEPT, 'ro')
    parts.calls.protocol.granted_rules.return_value = (
        with_level(NEW, 'ro'),
        stays,
    )
    parts.shares.update_access(SHARE, [], [changed, stays], is_revoking=True)
    parts.calls.protocol.apply.assert_called_once_with(
        mock.ANY, [stays, changed], is_revoking=True
    )
