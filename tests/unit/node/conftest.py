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
"""A node with fake programs, and a runner on it."""

from collections.abc import Iterator
import pathlib

import pytest

from tests.unit import runner_process


@pytest.fixture
def node(tmp_path: pathlib.Path) -> runner_process.Node:
    return runner_process.Node(tmp_path)


@pytest.fixture
def talk(node: runner_process.Node) -> Iterator[runner_process.Talk]:
    talk = runner_process.Talk(node)
    yield talk
    talk.stop()
