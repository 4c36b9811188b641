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
"""A process that not even SIGKILL ends is given up, and not waited for."""

from collections.abc import Iterator
import os
import signal
import time

import pytest

from manila_glusterfs_clone.node.runner import child_processes


@pytest.fixture
def process(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[child_processes.Process]:
    """A process that signals do not reach, as one on a hung disk."""
    monkeypatch.setattr(child_processes, 'PATH', '/usr/bin:/bin')
    monkeypatch.setattr(child_processes, 'KILL_AFTER', 0.1)
    monkeypatch.setattr(child_processes, 'GIVE_UP_AFTER', 0.1)
    process = child_processes.Process(['sleep', '60'])
    numbers: list[int] = []
    monkeypatch.setattr(process, 'kill', numbers.append)
    yield process
    assert numbers == [signal.SIGTERM, signal.SIGKILL]
    os.killpg(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    process.close()


def test_a_process_that_cannot_be_killed(
    process: child_processes.Process,
) -> None:
    begun = time.monotonic()
    assert process.wait(begun + 0.1) == 'late'
    assert time.monotonic() - begun < 10
    assert process.status is None
