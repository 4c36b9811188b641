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
"""A process that was just started counts as running, whatever /proc shows."""

from collections.abc import Iterator
import os
from pathlib import Path

import pytest

from tests.lab import guest
from tests.lab import host
from tests.lab.kernel import Kernel
from tests.lab.manila import service
from tests.lab.network import Network
from tests.lab.network import storage_port


class Here(Network):
    """This network, in which a sleep stands for all there is to run."""

    def inside(self, *argv: str) -> list[str]:
        return ['sleep', '60']


def _guest(directory: Path) -> guest.Guest:
    return guest.Guest(
        guest.Spec(
            *(storage_port(1), 'storage', 64, Kernel(directory)),
            *(directory / 'root', {}, 0),
        ),
        *(Here('unit'), directory),
    )


def _service(directory: Path) -> service.Service:
    return service.Service(
        service.Spec('some', ('sleep', '60'), lambda _: ''),
        *(Here('unit'), str(directory), directory),
    )


@pytest.fixture(params=[_guest, _service])
def one(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[guest.Guest | service.Service]:
    """Started, and not to be seen in /proc: in the midst of its exec."""
    monkeypatch.setattr(host, 'processes', lambda _: iter(()))
    started = request.param(tmp_path)
    started.start()
    yield started
    started.kill()


def test_it_runs(one: guest.Guest | service.Service) -> None:
    assert one.running()
    if isinstance(one, service.Service):
        one.wait_ready()
        assert [*one.pids().values()] == [os.getpid()]


def _ended(one: guest.Guest | service.Service, end: str) -> bool:
    process = one._process
    assert process is not None
    getattr(one, end)()
    return process.returncode is not None and not one.running()


def test_it_can_be_killed(one: guest.Guest | service.Service) -> None:
    assert _ended(one, 'kill')


@pytest.mark.parametrize('one', [_service], indirect=True)
def test_it_can_be_stopped(one: service.Service) -> None:
    assert _ended(one, 'stop')
