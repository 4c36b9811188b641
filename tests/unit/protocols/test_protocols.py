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
"""A new protocol is one new module: what the operations need of one."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
from unittest import mock

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import shares
from manila_glusterfs_clone.operations import volumes
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import registry
from manila_glusterfs_clone.tools import gluster
from tests.unit.cluster import test_cluster
from tests.unit import fakes

SHARE = 'aaaaaaaa-0000-4000-8000-000000000000'
NAME = names.volume(SHARE)
RULE = protocols.Rule('r1', 'user', 'bob', 'rw')


class Dummy(protocols.Protocol):
    """A protocol with one option: the users who may mount."""

    share_proto = 'DUMMY'
    access_type = 'user'

    def __init__(self, nodes: cluster.Cluster) -> None:
        self._cluster = nodes

    @classmethod
    def from_settings(
        cls, nodes: cluster.Cluster, settings: options.Settings
    ) -> 'Dummy':
        return cls(nodes)

    @staticmethod
    def find_mistakes(
        settings: options.Settings,
    ) -> Iterator[findings.Finding]:
        yield from ()

    def deny_all_options(
        self, volume: gluster.Volume | None = None
    ) -> dict[str, str]:
        return dict(self.plan(()).options)

    def options_not_inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        return ()

    def plan(self, rules: Iterable[protocols.Rule]) -> protocols.Plan:
        users = sorted(rule.access_to for rule in rules)
        return protocols.Plan({'dummy.users': ','.join(users) or '-'}, {})

    def apply(
        self,
        volume_name: str,
        rules: Sequence[protocols.Rule],
        *,
        is_revoking: bool,
        extra_options: Mapping[str, str] | None = None,
        node_uuids: Collection[str] = (),
    ) -> Mapping[str, errors.NotPossible]:
        self._cluster.change(
            lambda gluster: gluster.set_options(
                volume_name, self.plan(rules).options
            ),
            lambda gluster: False,
        )
        return {}

    def has_rules(
        self,
        volume: gluster.Volume,
        active: Iterable[protocols.Rule],
        changing: Iterable[protocols.Rule] = (),
    ) -> bool:
        return self.plan(active).options.items() <= volume.options.items()

    def granted_rules(
        self, volume: gluster.Volume, rules: Iterable[protocols.Rule]
    ) -> tuple[protocols.Rule, ...]:
        return tuple(r for r in rules if self.has_rules(volume, [r]))

    def find_export_locations(
        self, volume: gluster.Volume
    ) -> tuple[protocols.ExportLocation, ...]:
        return (protocols.ExportLocation(f'any:/{volume.name}', True, ''),)


def info(mark: str) -> str:
    rows = ''.join(
        f'<option><name>{name}</name><value>{value}</value></option>'
        for name, value in {
            'dummy.users': mark,
            'user.manila.share': SHARE,
            'user.manila.backend': 'gold',
        }.items()
    )
    return fakes.xml(
        f'<volInfo><volumes><volume><name>{NAME}</name><id>i</id>'
        f'<bricks><brick><name>gl1:/b</name><hostUuid>uuid-1</hostUuid>'
        f'</brick></bricks><statusStr>Created</statusStr>'
        f'<options>{rows}</options></volume></volumes></volInfo>'
    )


@pytest.fixture
def node() -> fakes.Node:
    return fakes.Node().grown().gluster('pool list', test_cluster.peers(1))


@pytest.fixture
def protocol(
    node: fakes.Node, monkeypatch: pytest.MonkeyPatch
) -> protocols.Protocol:
    monkeypatch.setitem(registry.PROTOCOLS, 'DUMMY', Dummy)
    nodes = cluster.Cluster([cluster.Node(node)], settle_timeout=30)
    return registry.PROTOCOLS['DUMMY'].from_settings(nodes, mock.Mock())


def written(node: fakes.Node) -> list[str]:
    return [
        command for command in node.said() if command.startswith('volume set')
    ]


def test_a_volume_denies_all_clients_by_the_options_of_the_protocol(
    node: fakes.Node, protocol: protocols.Protocol
) -> None:
    node.gluster(f'volume info {NAME}', info('bob'), info('bob'), info('-'))
    command = (
        f'volume set {NAME} dummy.users - user.manila.backend gold '
        f'user.manila.share {SHARE}'
    )
    node.gluster(command, fakes.xml())
    nodes = cluster.Cluster([cluster.Node(node)], settle_timeout=30)
    volumes.Volumes(nodes, protocol, backend_mark='gold').deny_all(SHARE)
    assert written(node) == [command]


def test_access_rules_are_applied_by_the_protocol(
    node: fakes.Node, protocol: protocols.Protocol
) -> None:
    command = f'volume set {NAME} dummy.users bob'
    node.gluster(command, fakes.xml())
    locks = mock.Mock()
    locks.share.return_value = contextlib.nullcontext()
    service = shares.Shares(
        mock.Mock(),
        mock.Mock(),
        mock.Mock(),
        mock.Mock(),
        mock.Mock(),
        mock.Mock(),
        protocol,
        locks,
        brick_root='/b',
    )
    assert not service.update_access(SHARE, [RULE], [], is_revoking=False)
    assert written(node) == [command]


def test_options_to_change_are_those_of_the_plan(
    protocol: protocols.Protocol,
) -> None:
    options = {'dummy.users': 'bob', 'mark': 'x', 'foreign': 'y'}
    volume = gluster.Volume(NAME, 'i', 'Started', 0, 1, (), options)
    changed = protocol.options_to_change(volume, [RULE], {'mark': 'x'})
    assert changed == frozenset()
    changed = protocol.options_to_change(volume, [], {'mark': 'z', 'new': ''})
    assert changed == {'dummy.users', 'mark', 'new'}


def test_export_locations_are_those_of_the_protocol(
    protocol: protocols.Protocol,
) -> None:
    volume = gluster.Volume(NAME, 'i', 'Started', 0, 1, (), {})
    assert protocol.export_locations(volume) == [
        {
            'path': f'any:/{NAME}',
            'is_admin_only': False,
            'metadata': {'preferred': True},
        }
    ]
