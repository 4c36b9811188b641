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
"""Fixtures of the SSH tests: servers and connections to them."""

from collections.abc import Callable, Iterator
import pathlib
import time
from typing import Any

import pytest

from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import runner_client
from tests.unit import runner_process
from tests.unit.ssh import ssh_helpers
from tests.unit import sshd


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    server = sshd.Sshd(tmp_path_factory.mktemp('sshd'))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal(tmp_path: pathlib.Path) -> Iterator[sshd.Sshd]:
    """An sshd for one test, which may kill or freeze it."""
    server = sshd.Sshd(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def connect() -> Iterator[ssh_helpers.Connect]:
    """Make remotes that are closed after the test."""
    made = []

    def connect(*args: Any, **kwargs: Any) -> commands.Remote:
        made.append(ssh_helpers.make_remote(*args, **kwargs))
        return made[-1]

    yield connect
    for node in made:
        node.close()


@pytest.fixture
def host(tmp_path: pathlib.Path) -> runner_process.Node:
    """The programs that the runner finds."""
    directory = tmp_path / 'node'
    directory.mkdir()
    return runner_process.Node(directory)


@pytest.fixture
def node(
    server: sshd.Sshd,
    connect: ssh_helpers.Connect,
    host: runner_process.Node,
) -> commands.Remote:
    return connect(server, runner=host.file)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_client, 'MARGIN_SECONDS', 0.3)
    monkeypatch.setattr(child_processes, 'KILL_AFTER', 0.1)
    monkeypatch.setattr(child_processes, 'GIVE_UP_AFTER', 0.1)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < ssh_helpers.SOON


@pytest.fixture
def crooked(
    server: sshd.Sshd, tmp_path: pathlib.Path
) -> Iterator[Callable[[type[sshd.Manners]], sshd.Crooked]]:
    for name in ('host', 'host.pub', 'user'):
        (tmp_path / name).write_bytes((server.home / name).read_bytes())
    made = []

    def crooked(manners: type[sshd.Manners]) -> sshd.Crooked:
        made.append(sshd.Crooked(tmp_path, manners))
        return made[-1]

    yield crooked
    for one in made:
        one.close()
