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
"""How the volume of a share is laid out over the nodes.

A new layout (arbiter, disperse, distributed-replicate) is one more entry:
how many nodes it takes, and the words that ``gluster volume create`` wants
for it. A node never has two bricks of one volume, since GlusterFS divides
the size that clients see by the number of bricks that share a file system
id (glusterfs issues 1447 and 3642).
"""

import dataclasses

from manila_glusterfs_clone import errors


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out a volume."""

    name: str
    summary: str
    #: How many nodes, and so bricks, a volume takes.
    bricks: int
    #: How many bricks hold a copy of the same data.
    copies: int
    #: Words of ``gluster volume create`` that go before the bricks.
    words: tuple[str, ...]


SINGLE = Layout(
    name='single',
    summary='one brick on one node, no redundancy',
    bricks=1,
    copies=1,
    words=(),
)
REPLICA_3 = Layout(
    name='replica-3',
    summary='three copies on three nodes',
    bricks=3,
    copies=3,
    words=('replica', '3'),
)

LAYOUTS = (SINGLE, REPLICA_3)


def choose(name: str, node_count: int) -> Layout:
    """Give the layout of that name, or for ``auto`` the one that fits.

    :param node_count: how many nodes the cluster has.
    :raises errors.NotPossible: there is no such layout, or the cluster has
        too few nodes for it.
    """
    if name == 'auto':
        return REPLICA_3 if node_count >= REPLICA_3.bricks else SINGLE
    for layout in LAYOUTS:
        if layout.name == name:
            if layout.bricks > node_count:
                raise errors.NotPossible(
                    f'the layout {name} takes {layout.bricks} nodes and '
                    f'there are {node_count}'
                )
            return layout
    known = ', '.join(layout.name for layout in LAYOUTS)
    raise errors.NotPossible(
        f'there is no layout {name!r}; there are auto, {known}'
    )
