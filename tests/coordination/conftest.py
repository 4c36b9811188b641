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
"""Fixtures: one coordinator of each kind, for the time of the tests."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib

from manila import coordination
from oslo_config import cfg
import pytest

from tests.coordination.lock_host import Host
from tests.coordination import servers


@pytest.fixture(scope='package')
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], servers.Server]]:
    """Return the server of a kind, started at its first use."""
    with contextlib.ExitStack() as stack:
        found: dict[str, servers.Server] = {}

        def get(kind: str) -> servers.Server:
            if kind not in found:
                server = servers.KINDS[kind](tmp_path_factory.mktemp(kind))
                stack.callback(server.kill)
                server.start()
                found[kind] = server
            return found[kind]

        yield get


@pytest.fixture(params=servers.KINDS)
def server(
    running: Callable[[str], servers.Server], request: pytest.FixtureRequest
) -> servers.Server:
    """Each kind of coordinator."""
    return running(request.param)


@pytest.fixture
def host(
    server: servers.Server, tmp_path: pathlib.Path
) -> Iterator[Callable[[str], Host]]:
    """Return a host of a name, which has a lock_path of its own."""
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Host:
            made = Host(server.url, str(tmp_path / name))
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def here(server: servers.Server, tmp_path: pathlib.Path) -> Iterator[None]:
    """Have this process be a host, too."""
    path = str(tmp_path / 'here')
    with contextlib.ExitStack() as stack:
        for group, option, value in (
            ('oslo_concurrency', 'lock_path', path),
            ('coordination', 'backend_url', server.url),
        ):
            cfg.CONF.set_override(option, value, group=group)
            stack.callback(cfg.CONF.clear_override, option, group=group)
        with pytest.MonkeyPatch.context() as patch:
            fresh = coordination.Coordinator(prefix='manila-')
            patch.setattr(coordination, 'LOCK_COORDINATOR', fresh)
            yield
            if coordination.LOCK_COORDINATOR.started:
                driver = coordination.LOCK_COORDINATOR.coordinator
                driver.heart.stop()
