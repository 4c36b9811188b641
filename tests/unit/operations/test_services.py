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

from unittest import mock

import pytest

from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options
from manila_glusterfs_clone.protocols import native


def test_services_are_opened_without_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('socket.socket.__init__', mock.Mock())
    values = {option.name: option.default for option in options.OPTS}
    values['glusterfs_clone_nodes'] = ['gl1', 'gl2', 'gl3']
    values['glusterfs_clone_pools'] = ['vg/pool']
    values['max_over_subscription_ratio'] = '20.0'
    configuration = mock.Mock(safe_get=values.get, **values)
    settings = options.read(configuration, 'gold')
    opened = services.open_services(settings)
    assert [node.name for node in opened.cluster.nodes] == list(settings.nodes)
    assert isinstance(opened.protocol, native.NativeProtocol)
    assert opened.layout().replica_count == 3
    opened.close()
