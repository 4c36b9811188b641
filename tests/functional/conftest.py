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
"""Fixtures: one lab for all tests of a run. Each test leaves it clean."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from tests.devstack import sources
from tests.functional import manila_stand_in
from tests.functional import shapes
from tests import lab as lab_module


@pytest.fixture(scope='session')
def release(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption('--release'))


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests that run on the other release only."""
    if config.getoption('--every-test'):
        return
    release = config.getoption('--release')
    once = []
    for item in items:
        mark = item.get_closest_marker('any_release')
        if mark and (mark.args or ('11.1',)) != (release,):
            once.append(item)
    items[:] = [item for item in items if item not in once]
    config.hook.pytest_deselected(items=once)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download Manila's sources while the tests can reach the internet."""
    if any(item.path.stem == 'test_devstack' for item in session.items):
        sources.manila()


@pytest.fixture(scope='session')
def shape(pytestconfig: pytest.Config) -> shapes.Shape:
    """Return the shape of the cluster on which faults are tried."""
    return shapes.Shape(
        pytestconfig.getoption('--fault-nodes'),
        pytestconfig.getoption('--fault-layout'),
    )


@pytest.fixture(scope='session')
def lab(
    pytestconfig: pytest.Config, release: str, shape: shapes.Shape
) -> Iterator[lab_module.Lab]:
    """Return three storage nodes and three clients; one for the faults.

    From here on the test process lives in the network of the lab.
    """
    name = pytestconfig.getoption('--lab')
    if name:
        running = lab_module.Lab.attach(name)
        assert running.release == release
        running.enter()
        yield running
        return
    clients = 1 if pytestconfig.getoption('--every-fault') else 3
    with lab_module.Lab(
        release, nodes=shape.nodes, clients=clients, say=print
    ) as running:
        running.enter()
        yield running


@pytest.fixture(scope='session')
def conf(
    lab: lab_module.Lab,
    shape: shapes.Shape,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Return the path of a manila.conf for the lab."""
    directory: pathlib.Path = tmp_path_factory.mktemp('manila')
    return manila_stand_in.write_configuration(lab, directory, shape.layout)


@pytest.fixture(scope='session')
def drivers(lab: lab_module.Lab) -> Iterator[list[Any]]:
    """All drivers of the run; closing them leaves no console open."""
    made: list[Any] = []
    yield made
    for each in made:
        each._services.close()
    found = [leak for leak in lab.leaks(age=0) if leak.kind == 'process']
    assert not found, '\n'.join(map(str, found))


@pytest.fixture(scope='session')
def ip_driver(drivers: list[Any], conf: str) -> Any:
    return _driver(drivers, conf, manila_stand_in.IP)


@pytest.fixture(scope='session')
def tls_driver(drivers: list[Any], conf: str) -> Any:
    return _driver(drivers, conf, manila_stand_in.TLS)


def _driver(drivers: list[Any], conf: str, backend: str) -> Any:
    made = manila_stand_in.open_driver(conf, backend)
    drivers.append(made)
    made.check_for_setup_error()
    return made


@pytest.fixture
def manila(
    lab: lab_module.Lab, ip_driver: Any
) -> Iterator[manila_stand_in.ManilaStandIn]:
    """Manila with the back end for address rules."""
    yield from _manila(lab, ip_driver, manila_stand_in.IP)


@pytest.fixture
def tls_manila(
    lab: lab_module.Lab, tls_driver: Any
) -> Iterator[manila_stand_in.ManilaStandIn]:
    """Manila with the back end for certificate rules."""
    yield from _manila(lab, tls_driver, manila_stand_in.TLS)


def _manila(
    lab: lab_module.Lab, driver: Any, backend: str
) -> Iterator[manila_stand_in.ManilaStandIn]:
    made = manila_stand_in.ManilaStandIn(driver, backend)
    yield made
    for client in lab.clients:
        client.succeed('pkill -f "[m]ount-for-ever" || true')
        client.succeed('umount -a -l -t fuse.glusterfs || true')
    made.clean()
    found = lab.leaks(age=manila_stand_in.CONSOLES)
    assert not found, '\n'.join(map(str, found))
