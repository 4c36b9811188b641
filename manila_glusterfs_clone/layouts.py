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
"""Define the layouts of volumes, and find the layout of a volume.

To add a layout, such as arbiter or disperse, add an entry to :data:`LAYOUTS`:
other modules read only the attributes of the entry.

No node has two bricks of one volume. With two bricks on a node, glusterd could
count their file systems as one. Clients would then see only a part of the
volume's size (glusterfs issues 1447 and 3642).
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
        known_names = ', '.join([AUTO, *(layout.name for layout in LAYOUTS)])
        return (
            f'layout {self.layout!r}: does not exist; choose one of '
            f'{known_names}'
        )


@dataclasses.dataclass(eq=False)
class TooFewNodes(errors.NotPossible):
    """The back end has fewer nodes than a layout needs."""

    layout: str
    needed_count: int
    available_count: int

    def __str__(self) -> str:
        return (
            f'layout {self.layout}: needs {self.needed_count} nodes, but only '
            f'{self.available_count} are configured; add nodes or choose '
            f'another layout'
        )


@dataclasses.dataclass(frozen=True)
class Layout:
    """The number and the arrangement of the bricks of a volume."""

    name: str
    #: A description for the help text of the option.
    summary: str
    #: The number of nodes that a volume needs; each node has one brick.
    node_count: int
    #: The arguments of ``gluster volume create`` before the bricks.
    create_arguments: tuple[str, ...] = ()
    #: The replica count, as ``gluster volume info`` lists it.
    replica_count: int = 1
    #: The number of arbiters among the replicas, as ``gluster volume info``
    #: lists it. An arbiter brick has the names of files, but not their data.
    arbiter_count: int = 0
    #: The size of a share divided by the size of each brick. Examples: 1 for
    #: three copies, 4 for disperse 4+2.
    data_brick_count: int = 1
    #: Whether the self-heal daemon copies missed changes between bricks.
    has_self_heal: bool = False

    def brick_size(self, share_size: int) -> int:
        """Return the size of each brick of a share, in bytes."""
        return -(-share_size // self.data_brick_count)

    def share_size(self, brick_size: int) -> int:
        """Return the size that clients see, in bytes.

        :param brick_size: the size of each brick, in bytes.
        """
        return brick_size * self.data_brick_count

    def share_capacity(self, thin_pool_bytes: int) -> int:
        """Return the total size of the shares that fill a space, in bytes.

        :param thin_pool_bytes: the space in the thin pools of all nodes.
        """
        return thin_pool_bytes * self.data_brick_count // self.node_count


class VolumeShape(typing.Protocol):
    """The attributes of a volume that :func:`of_volume` reads."""

    @property
    def replica_count(self) -> int: ...

    @property
    def arbiter_count(self) -> int: ...

    @property
    def bricks(self) -> Sequence[object]: ...


SINGLE = Layout(
    name='single',
    summary='one brick on one node, no redundancy',
    node_count=1,
)
REPLICA_3 = Layout(
    name='replica-3',
    summary='three copies on three nodes',
    node_count=3,
    create_arguments=('replica', '3'),
    replica_count=3,
    has_self_heal=True,
)

LAYOUTS = (SINGLE, REPLICA_3)


def layout_by_name(name: str, node_count: int) -> Layout:
    """Return the layout with the given name.

    For ``auto``, return replica-3 for three nodes or more, single for fewer.

    :param node_count: the number of nodes of the back end.
    :raises UnknownLayout: no layout has that name.
    :raises TooFewNodes: the layout needs more nodes.
    """
    if name == AUTO:
        return REPLICA_3 if node_count >= REPLICA_3.node_count else SINGLE
    for layout in LAYOUTS:
        if layout.name == name:
            if layout.node_count > node_count:
                raise TooFewNodes(name, layout.node_count, node_count)
            return layout
    raise UnknownLayout(name)


def of_volume(volume: VolumeShape) -> Layout:
    """Return the layout of a volume.

    If the layout is not in :data:`LAYOUTS`, assume that each brick has all
    data.
    """
    brick_count = len(volume.bricks)
    shape = brick_count, volume.replica_count, volume.arbiter_count
    for layout in LAYOUTS:
        if (
            layout.node_count,
            layout.replica_count,
            layout.arbiter_count,
        ) == shape:
            return layout
    return Layout(
        name='other',
        summary='not created by this driver',
        node_count=brick_count,
        replica_count=volume.replica_count,
        arbiter_count=volume.arbiter_count,
        has_self_heal=volume.replica_count > 1,
    )
