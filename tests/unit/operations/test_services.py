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
"""The services of a back end belong together, and connect to nothing."""

import dataclasses
from typing import Any
from unittest import mock

import pytest

from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options
from manila_glusterfs_clone.protocols import native
from manila_glusterfs_clone.ssh import commands
from tests.unit import fakes
from tests.unit.locking import test_work_marks

ID = test_work_marks.ID


class Remotes:
    """The nodes that were opened, and what they were opened with."""

    def __init__(self) -> None:
        self.nodes: list[fakes.Node] = []
        self.opened: list[tuple[Any, ...]] = []

    def open(
        self,
        address: commands.Address,
        credentials: commands.Credentials,
        *,
        sudo: bool,
    ) -> fakes.Node:
        node = fakes.Node(address.host)
        self.nodes.append(node)
        self.opened.append((address, credentials, sudo))
        return node


@pytest.fixture
def remotes(monkeypatch: pytest.MonkeyPatch) -> Remotes:
    remotes = Remotes()
    monkeypatch.setattr(commands, 'Remote', remotes.open)
    return remotes


@pytest.fixture
def settings() -> options.Settings:
    values = {option.name: option.default for option in options.OPTS}
    values['glusterfs_clone_nodes'] = ['gl1', 'gl2', 'gl3']
    values['glusterfs_clone_pools'] = ['vg/pool']
    values['max_over_subscription_ratio'] = '20.0'
    configuration = mock.Mock(safe_get=values.get, **values)
    return options.read(configuration, 'gold')


def test_services_are_opened_without_a_connection(
    settings: options.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = mock.Mock(side_effect=AssertionError('connected'))
    monkeypatch.setattr('socket.socket.__init__', connect)
    opened = services.open_services(settings)
    assert [node.name for node in opened.cluster.nodes] == list(settings.nodes)
    assert isinstance(opened.protocol, native.NativeProtocol)
    opened.close()
    connect.assert_not_called()


@pytest.mark.parametrize(('user', 'sudo'), [('root', False), ('m', True)])
def test_nodes_are_opened_with_the_settings(
    settings: options.Settings, remotes: Remotes, user: str, sudo: bool
) -> None:
    """Only root needs no sudo."""
    changed = dataclasses.replace(
        settings,
        ssh_user=user,
        ssh_port=2222,
        ssh_private_key='/etc/key',
        ssh_known_hosts='/etc/hosts',
        settle_timeout=7.0,
    )
    opened = services.open_services(changed)
    credentials = commands.Credentials(
        private_key='/etc/key', known_hosts='/etc/hosts'
    )
    assert remotes.opened == [
        (commands.Address(name, 2222, user), credentials, sudo)
        for name in ('gl1', 'gl2', 'gl3')
    ]
    assert opened.cluster.settle_timeout == 7
    assert [node.pool_names for node in opened.cluster.nodes] == [
        ('vg/pool',)
    ] * 3


def test_closing_closes_every_node(
    settings: options.Settings, remotes: Remotes
) -> None:
    services.open_services(settings).close()
    assert [node.closed for node in remotes.nodes] == [True] * 3


def test_the_layout_of_a_new_share(settings: options.Settings) -> None:
    """The share type decides before the configuration."""
    opened = services.open_services(settings)
    assert opened.layout() is layouts.REPLICA_3
    assert opened.layout('single') is layouts.SINGLE
    configured = dataclasses.replace(settings, layout='single')
    opened = services.open_services(configured)
    assert opened.layout() is layouts.SINGLE
    assert opened.layout('replica-3') is layouts.REPLICA_3


def test_a_layout_that_needs_more_nodes(settings: options.Settings) -> None:
    fewer = dataclasses.replace(settings, nodes=('gl1', 'gl2'))
    with pytest.raises(layouts.TooFewNodes):
        services.open_services(fewer).layout('replica-3')


def test_capacities_are_those_of_the_configured_pools_and_layout(
    settings: options.Settings,
) -> None:
    configured = dataclasses.replace(
        settings, layout='single', pools=('vg/a', 'vg/b')
    )
    opened = services.open_services(configured)
    pools = mock.Mock()
    opened = dataclasses.replace(opened, placement=pools)
    assert opened.capacities() is pools.capacities.return_value
    pools.capacities.assert_called_once_with(('vg/a', 'vg/b'), layouts.SINGLE)


def test_marks_are_in_the_private_storage_of_the_driver(
    settings: options.Settings,
) -> None:
    storage = test_work_marks.Storage()
    work = work_marks.Work(work_marks.CREATE)
    services.open_services(settings, storage).marks.set(ID, work)
    # Another process of the same service finds them.
    assert services.open_services(settings, storage).marks.find(ID) == work
    assert services.open_services(settings).marks.find(ID) is None


def test_faults_are_those_of_the_back_end(
    settings: options.Settings, caplog: pytest.LogCaptureFixture
) -> None:
    fault = findings.Finding('gl1', 'down', 'it is down')
    opened = services.open_services(settings)
    opened.health.report({fault_log.STORAGE: [fault]})
    assert 'gold' in caplog.text
