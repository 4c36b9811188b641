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
"""The layouts of volumes: what each needs, and which one a volume has.

A new layout (arbiter, disperse, distributed-replicate) is one more entry of
:data:`LAYOUTS`. Other code asks the entry, and compares neither the names of
layouts nor numbers of copies.

A node never has two bricks of one volume: GlusterFS divides the size that
clients see by the number of bricks that share a file system id (glusterfs
issues 1447 and 3642).
"""

from collections.abc import Sequence
import dataclasses
import typing

from manila_glusterfs_clone import errors

AUTO = 'auto'


@dataclasses.dataclass(eq=False)
class UnknownLayout(errors.NotPossible):
    """No layout has the name that was asked for."""

    layout: str

    def __str__(self) -> str:
        known = ', '.join([AUTO, *(layout.name for layout in LAYOUTS)])
        return f'layout {self.layout!r} does not exist; choose one of {known}'


@dataclasses.dataclass(eq=False)
class TooFewNodes(errors.NotPossible):
    """The back end has fewer nodes than a layout needs."""

    layout: str
    needed: int
    available: int

    def __str__(self) -> str:
        return (
            f'layout {self.layout} needs {self.needed} nodes, but only '
            f'{self.available} are configured; add nodes or choose another '
            f'layout'
        )


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out a volume over the nodes."""

    name: str
    #: For the help text of the option.
    summary: str
    #: How many nodes a volume takes, with one brick on each.
    nodes: int
    #: Arguments of ``gluster volume create`` before the bricks.
    create_words: tuple[str, ...] = ()
    #: How many bricks hold the same file, as ``gluster volume info`` counts.
    copies: int = 1
    #: Over how many bricks the data of one file is divided.
    data_bricks: int = 1
    #: Whether the self-heal daemon repairs bricks. Then all bricks have to
    #: be healed before a snapshot is taken.
    is_healed: bool = False

    def brick_size(self, share_size: int) -> int:
        """Return the size of each brick of a share, in bytes."""
        return -(-share_size // self.data_bricks)

    def share_size(self, brick_size: int) -> int:
        """Return the size that clients see with such bricks, in bytes."""
        return brick_size * self.data_bricks

    def usable(self, raw: int) -> int:
        """Return how many bytes of shares fit into bytes of thin pools."""
        return raw * self.data_bricks // self.nodes


class Volume(typing.Protocol):
    """What :func:`of_volume` reads of a volume."""

    @property
    def copies(self) -> int: ...

    @property
    def bricks(self) -> Sequence[object]: ...


SINGLE = Layout(
    name='single',
    summary='one brick on one node, no redundancy',
    nodes=1,
)
REPLICA_3 = Layout(
    name='replica-3',
    summary='three copies on three nodes',
    nodes=3,
    create_words=('replica', '3'),
    copies=3,
    is_healed=True,
)

LAYOUTS = (SINGLE, REPLICA_3)


def choose(name: str, node_count: int) -> Layout:
    """Return the layout of a name, or for ``auto`` the one that fits.

    :param node_count: how many nodes the back end has.
    :raises UnknownLayout: no layout has that name.
    :raises TooFewNodes: the layout needs more nodes.
    """
    if name == AUTO:
        return REPLICA_3 if node_count >= REPLICA_3.nodes else SINGLE
    for layout in LAYOUTS:
        if layout.name == name:
            if layout.nodes > node_count:
                raise TooFewNodes(name, layout.nodes, node_count)
            return layout
    raise UnknownLayout(name)


def of_volume(volume: Volume) -> Layout:
    """Return the layout of a volume.

    A volume that was not created by this driver may have another layout. Its
    bricks are taken for copies of each other.
    """
    nodes = len(volume.bricks)
    for layout in LAYOUTS:
        if (layout.nodes, layout.copies) == (nodes, volume.copies):
            return layout
    return Layout(
        name='other',
        summary='not created by this driver',
        nodes=nodes,
        copies=volume.copies,
        is_healed=volume.copies > 1,
    )
