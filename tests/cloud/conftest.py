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
"""Fixtures: one lab with one control plane for all tests of a run.

The tests run outside the network of the lab. They reach Manila through its
client, and guests through the lab.
"""

from collections.abc import Iterator

import pytest

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import environment


@pytest.fixture(scope='session')
def lab(pytestconfig: pytest.Config) -> Iterator[lab_module.Lab]:
    """Three storage nodes and three clients."""
    release = str(pytestconfig.getoption('--release'))
    name = pytestconfig.getoption('--lab')
    if name:
        running = lab_module.Lab.attach(name)
        assert running.release == release
        yield running
        return
    with lab_module.Lab(release, nodes=3, clients=3, say=print) as running:
        yield running


@pytest.fixture(scope='session')
def plane(
    pytestconfig: pytest.Config, lab: lab_module.Lab
) -> Iterator[manila_module.Manila]:
    """Return the control plane; that of the lab, if it has one."""
    version = pytestconfig.getoption('--manila')
    if manila_module.Manila.there(lab):
        running = manila_module.Manila.attach(lab)
        assert version in (None, running.version)
        yield running
        return
    version = version or environment.VERSIONS[0]
    with manila_module.Manila(lab, version, say=print) as running:
        yield running


@pytest.fixture
def manila(
    lab: lab_module.Lab, plane: manila_module.Manila
) -> Iterator[manila_module.Manila]:
    """Return the control plane; remove everything in it after the test."""
    yield plane
    for client in lab.clients:
        client.succeed('umount -a -l -t fuse.glusterfs || true')
    plane.clean()
    found = plane.leaks()
    assert not found, '\n'.join(map(str, found))
