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
"""glusterd that has just started is waited for."""

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import glusterd_start
from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry
from tests.unit.cluster import test_cluster
from tests.unit import fakes

VOLUMES = fakes.xml('<volList><volume>a</volume><volume>b</volume></volList>')
AWAY = errors.Unreachable('gl2', 'no route')


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch, clock: fakes.Clock) -> fakes.Clock:
    monkeypatch.setattr(nodes, 'time', clock)
    monkeypatch.setattr(retry, 'time', clock)
    monkeypatch.setattr(glusterd_start, 'time', clock)
    return clock


def make(*answers: fakes.Answer | Exception) -> cluster.Cluster:
    return test_cluster.make(
        [
            fakes.Node(f'gl{n}')
            .gluster('pool list', test_cluster.VIEWS[n])
            .gluster('volume list', VOLUMES)
            .answer(fakes.AGE, answer)
            for n, answer in enumerate(answers, 1)
        ]
    )


@pytest.mark.parametrize(
    ('answers', 'waited'),
    [
        (['8640', '16.5'], 0),
        (['8640', '4'], 12),
        (['9', '4'], 12),
    ],
)
def test_glusterd_that_has_just_started_is_waited_for(
    time: fakes.Clock, answers: list[str], waited: int
) -> None:
    begun = time.now
    glusterd_start.await_started(make(*map(fakes.Answer, answers)))
    assert time.now - begun == waited


@pytest.mark.parametrize(
    ('answer', 'waited'),
    [
        (AWAY, 4),
        (fakes.Answer('null'), 4),
        # glusterd may have just started there.
        (fakes.Answer('nonsense'), 16),
    ],
)
def test_node_whose_answer_is_unknown_is_waited_for(
    time: fakes.Clock, answer: fakes.Answer | Exception, waited: int
) -> None:
    begun = time.now
    glusterd_start.await_started(make(answer, fakes.Answer('12')))
    assert time.now - begun == waited


def test_a_mistake_of_ours_is_not_passed_over() -> None:
    with pytest.raises(ZeroDivisionError):
        glusterd_start.await_started(make(ZeroDivisionError()))
