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
"""Clusters of one node, and of two nodes without a second copy."""

import pathlib
import subprocess
import sys

import pytest


@pytest.mark.any_release('10.3')
def test_life_on_one_node(release: str, tmp_path: pathlib.Path) -> None:
    run('tests.functional.single_node', release, tmp_path)


def test_brick_away_from_the_writer(
    release: str, tmp_path: pathlib.Path
) -> None:
    run('tests.functional.two_nodes', release, tmp_path)


def run(
    module: str, release: str, directory: pathlib.Path, timeout: float = 600
) -> None:
    """Run in a process of its own: it lives in the network of its lab."""
    done = subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', '-m', module),
            *(release, str(directory)),
        ],
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
