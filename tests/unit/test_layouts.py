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
"""Layouts."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts


@pytest.mark.parametrize(
    ('nodes', 'layout'),
    [
        (1, layouts.SINGLE),
        (2, layouts.SINGLE),
        (3, layouts.REPLICA_3),
        (7, layouts.REPLICA_3),
    ],
)
def test_auto(nodes: int, layout: layouts.Layout) -> None:
    assert layouts.choose('auto', nodes) is layout


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_by_name(layout: layouts.Layout) -> None:
    assert layouts.choose(layout.name, layout.bricks) is layout


def test_too_few_nodes() -> None:
    with pytest.raises(errors.NotPossible, match=r'takes 3 nodes .* 2'):
        layouts.choose('replica-3', 2)


@pytest.mark.parametrize('name', ['', 'Auto', 'replica', 'replica-3 force'])
def test_what_there_is_not(name: str) -> None:
    with pytest.raises(errors.NotPossible, match='auto, single, replica-3'):
        layouts.choose(name, 3)


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_each_adds_up(layout: layouts.Layout) -> None:
    assert layout.bricks % layout.copies == 0
    assert layout.bricks >= 1
    for word in layout.words:
        assert word == word.strip()
        assert word
