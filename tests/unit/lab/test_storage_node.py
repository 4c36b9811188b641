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
"""A node lists its bricks that are down, and waits for them."""

from collections.abc import Iterator
import itertools
import time

import pytest

from tests.lab import ssh
from tests.lab import storage_node as node_module

STATUS = """\
Status of volume: manila-1
{line}
Brick                : Brick gl1:/srv/manila-1/brick
TCP Port             : 49152
Online               : Y
Pid                  : 1234
File System          : xfs
{line}
Brick                : Brick gl2:/srv/manila-1/brick
TCP Port             : N/A
Online               : {second}
Pid                  : N/A

""".replace('{line}', '-' * 78)
UP = ssh.Output(0, STATUS.format(second='Y               '), '')
DOWN = ssh.Output(0, STATUS.format(second='N               '), '')
BUSY = ssh.Output(
    1, '', 'Another transaction is in progress for manila-1.\nTry again.\n'
)
BRICK = 'Brick gl2:/srv/manila-1/brick is not online'


class Node(node_module.StorageNode):
    """One that has these answers, and the last of them for ever."""

    def __init__(self, *answers: ssh.Output) -> None:
        self.name = 'gl1'
        self.asked = 0
        self.answers: Iterator[ssh.Output] = itertools.chain(
            answers, itertools.repeat(answers[-1])
        )

    def execute(
        self, script: str, timeout: float = 60, stdin: bytes = b''
    ) -> ssh.Output:
        self.asked += 1
        return next(self.answers)


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have time pass when someone sleeps, and only then."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(time, 'sleep', sleep)


def test_one_question_when_all_is_well() -> None:
    node = Node(UP)
    assert node.wait_for_bricks() == []
    assert node.asked == 1


def test_a_brick_that_comes_is_waited_for() -> None:
    node = Node(DOWN, BUSY, DOWN, UP)
    assert node.wait_for_bricks() == []
    assert node.asked == 4


def test_a_brick_that_stays_down_is_named() -> None:
    node = Node(DOWN)
    assert node.wait_for_bricks(10) == [BRICK]
    assert node.asked > 10


def test_who_does_not_answer_does_not_say_that_all_is_well() -> None:
    assert Node(BUSY).wait_for_bricks(10) == [
        'gl1: gluster volume status: Another transaction is in progress for '
        'manila-1. Try again.'
    ]
    silent = ssh.Output(137, DOWN.out, '', in_time=False)
    assert BRICK in Node(silent).wait_for_bricks(10)
    silent = ssh.Output(137, '', '', in_time=False)
    assert Node(silent).wait_for_bricks(10) == [
        'gl1: gluster volume status: no answer'
    ]
