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
"""Fixtures: what is run as DevStack, and where."""

import os
from pathlib import Path

import pytest

from tests.devstack import sources

DEVSTACKS = ['stand_in']
if os.environ.get(sources.DEVSTACK):
    DEVSTACKS.append('devstack')


@pytest.fixture(scope='module', params=DEVSTACKS)
def devstack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / 'box'


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> None:
    if not os.environ.get(sources.DEVSTACK):
        terminalreporter.write_line(
            f'tests/devstack: the plugin ran on the stand-in for DevStack '
            f'only; {sources.DEVSTACK} names no checkout of DevStack'
        )
