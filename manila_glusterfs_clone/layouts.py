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
"""The layouts of volumes: their properties, and the layout of a volume.

To add a layout (arbiter, disperse, distributed-replicate), add an entry to
:data:`LAYOUTS`. Other code reads the attributes of the entry. It never
compares layout names or replica counts.

No node has two bricks of one volume. If a node had two, glusterd could take
their file systems for one. Clients would then see only a part of the volume's
size (glusterfs issues 1447 and 3642).
"""

from collections.abc import Sequence
import dataclasses
import typing

from manila_glusterfs_clone import errors

AUTO = 'auto'


@dataclasses.dataclass(eq=False)
class UnknownLayout(errors.NotPossible):
    """The requested layout does not exist."""

    layout: str

    def __str__(self) -> str:
        known = ', '.join([AUTO, *(layout.name for layout in LAYOUTS)])
        return f'layout {self.layout!r}: does not exist; choose one of {known}'


@dataclasses.dataclass(eq=False)
class TooFewNodes(errors.NotPossible):
    """The back end has fewer nodes than a layout needs."""

    layout: str
    needed: int
    available: int

    def __str__(self) -> str:
        return (
            f'layout {self.layout}: needs {self.needed} nodes, but only '
            f'{self.available} are configured; add nodes or choose another '
            f'layout'
        )


@dataclasses.dataclass(frozen=True)
class Layout:
    """The number and the arrangement of the bricks of a volume."""

    name: str
    #: The description of the layout in the help text of the option.
    summary: str
    #: The number of nodes that a volume needs; each node has one brick.
    nodes: int
    #: The arguments of ``gluster volume create`` before the bricks.
    create_words: tuple[str, ...] = ()
    #: The replica count, as ``gluster volume info`` lists it.
    copies: int = 1
    #: How many of these copies are arbiters, as ``gluster volume info`` lists
    #: it. An arbiter brick has the names of files, but not their data.
    arbiters: int = 0
    #: The number of bricks that the data of a file is striped over, without
    #: redundancy.
    data_bricks: int = 1
    #: Whether the self-heal daemon copies missing changes between bricks. If
    #: so, self-heal must be complete before the driver takes a snapshot.
    is_healed: bool = False

    def brick_size(self, share_size: int) -> int:
        """Return the size of each brick of a share, in bytes."""
        return -(-share_size // self.data_bricks)

    def share_size(self, brick_size: int) -> int:
        """Return the size that clients see, in bytes.

        :param brick_size: the size of each brick, in bytes.
        """
        return brick_size * self.data_bricks

    def usable(self, raw: int) -> int:
        """Return the total size of the shares that fit into thin pools.

        :param raw: the total size of the thin pools on all nodes, in bytes.
        :return: bytes.
        """
        return raw * self.data_bricks // self.nodes


class Volume(typing.Protocol):
    """The attributes of a volume that :func:`of_volume` reads."""

    @property
    def copies(self) -> int: ...

    @property
    def arbiters(self) -> int: ...

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
    """Return the layout with the given name.

    For ``auto``, return replica-3 on three nodes or more, else single.

    :param name: a name in :data:`LAYOUTS`, or ``auto``.
    :param node_count: the number of nodes of the back end.
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

    If this driver did not create the volume, its layout may not be in
    :data:`LAYOUTS`. For such a volume, assume that each brick has all data.
    """
    nodes = len(volume.bricks)
    shape = nodes, volume.copies, volume.arbiters
    for layout in LAYOUTS:
        if (layout.nodes, layout.copies, layout.arbiters) == shape:
            return layout
    return Layout(
        name='other',
        summary='not created by this driver',
        nodes=nodes,
        copies=volume.copies,
        arbiters=volume.arbiters,
        is_healed=volume.copies > 1,
    )
