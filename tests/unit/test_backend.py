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
"""A back end: its services and its maintenance."""

import types
from typing import Any

import pytest

from manila_glusterfs_clone import backend
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.preflight import startup_checks


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def opened(calls: list[str]) -> backend.Backend:
    services: Any = types.SimpleNamespace(
        settings='settings',
        cluster='cluster',
        health=fault_log.FaultLog('gold'),
        protocol='protocol',
        close=lambda: calls.append('close'),
    )
    maintenance: Any = types.SimpleNamespace(
        start=lambda: calls.append('start'), stop=lambda: calls.append('stop')
    )
    return backend.Backend(services, maintenance)


def test_closing_stops_maintenance_first(
    opened: backend.Backend, calls: list[str]
) -> None:
    opened.start()
    opened.close()
    assert calls == ['start', 'stop', 'close']


def test_the_check_uses_the_services(
    opened: backend.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: list[Any] = []
    monkeypatch.setattr(
        startup_checks, 'run', lambda *args: arguments.extend(args)
    )
    fault = findings.Finding('an option', 'invalid', 'correct it')
    opened.check(('a mistake',), [fault])  # type: ignore[arg-type]
    health = opened.services.health
    assert {'settings', 'cluster', health, ('a mistake',)} <= {*arguments}
    assert health.faults == (fault,)
