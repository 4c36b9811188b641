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

import dataclasses

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
    assert layouts.layout_by_name('auto', nodes) is layout


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_by_name(layout: layouts.Layout) -> None:
    assert layouts.layout_by_name(layout.name, layout.node_count) is layout


def test_too_few_nodes() -> None:
    with pytest.raises(layouts.TooFewNodes) as caught:
        layouts.layout_by_name('replica-3', 2)
    assert (caught.value.needed_count, caught.value.available_count) == (3, 2)


@pytest.mark.parametrize('name', ['', 'Auto', 'replica', 'replica-3 force'])
def test_a_name_that_is_no_layout(name: str) -> None:
    with pytest.raises(layouts.UnknownLayout) as caught:
        layouts.layout_by_name(name, 3)
    assert caught.value.layout == name


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (
            layouts.UnknownLayout('raid'),
            "layout 'raid': does not exist; choose one of auto, single, "
            'replica-3',
        ),
        (
            layouts.TooFewNodes('replica-3', 3, 2),
            'layout replica-3: needs 3 nodes, but only 2 are configured; add '
            'nodes or choose another layout',
        ),
    ],
)
def test_sentences(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_the_numbers_of_a_layout_agree(layout: layouts.Layout) -> None:
    assert layout.replica_count * layout.data_brick_count == layout.node_count
    for word in layout.create_arguments:
        assert word == word.strip()
        assert word


@dataclasses.dataclass(frozen=True)
class Volume:
    replica_count: int
    bricks: tuple[str, ...]
    arbiter_count: int = 0


@pytest.mark.parametrize('layout', layouts.LAYOUTS)
def test_the_layout_of_a_volume(layout: layouts.Layout) -> None:
    volume = Volume(
        layout.replica_count,
        ('brick',) * layout.node_count,
        layout.arbiter_count,
    )
    assert layouts.of_volume(volume) is layout


def test_an_arbiter_volume_is_not_replica_3() -> None:
    """Its third brick has no data."""
    layout = layouts.of_volume(Volume(3, ('brick',) * 3, arbiter_count=1))
    assert layout not in layouts.LAYOUTS
    assert layout.has_self_heal


def test_an_arbiter_layout_is_one_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arbiter = layouts.Layout(
        'arbiter',
        'two copies and an arbiter on three nodes',
        node_count=3,
        create_arguments=('replica', '3', 'arbiter', '1'),
        replica_count=3,
        arbiter_count=1,
        has_self_heal=True,
    )
    monkeypatch.setattr(layouts, 'LAYOUTS', (*layouts.LAYOUTS, arbiter))
    assert layouts.layout_by_name('arbiter', 3) is arbiter
    three = ('brick',) * 3
    assert layouts.of_volume(Volume(3, three, arbiter_count=1)) is arbiter
    assert layouts.of_volume(Volume(3, three)) is layouts.REPLICA_3


@pytest.mark.parametrize(
    ('replica_count', 'bricks', 'has_self_heal'), [(2, 2, True), (1, 2, False)]
)
def test_a_volume_of_another_layout(
    replica_count: int, bricks: int, has_self_heal: bool
) -> None:
    layout = layouts.of_volume(Volume(replica_count, ('brick',) * bricks))
    assert layout not in layouts.LAYOUTS
    assert layout.has_self_heal is has_self_heal
    assert layout.brick_size(7) == 7


def test_sizes_where_data_is_divided() -> None:
    layout = layouts.Layout(
        'disperse-3',
        'two bricks of data, one of redundancy',
        3,
        data_brick_count=2,
    )
    assert layout.brick_size(9) == 5
    assert layout.share_size(5) == 10
    assert layout.share_capacity(300) == 200
