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
"""The clusters that faults are tried on: how many nodes, and which layout.

The driver places bricks on the nodes with the most free space. Each operation
is run many times, with a fault at the same step of the same node each time. So
where the driver has a choice, other data fills the thin pools of the nodes
that shall have no brick.
"""

from collections import Counter
import dataclasses

from tests.functional import manila_stand_in
from tests import lab as lab_module

SINGLE, REPLICA = 'single', 'replica-3'
_FILLER = 'filler'
_STEP_MIB = 200


@dataclasses.dataclass(frozen=True)
class Shape:
    """A number of nodes, and the layout of the shares on them."""

    nodes: int = 3
    layout: str = REPLICA

    def __str__(self) -> str:
        return f'{self.nodes} nodes, layout {self.layout}'

    @property
    def tier(self) -> str:
        """Return the name of the tables of faults on such clusters."""
        if self == Shape():
            return 'cluster'
        return f'cluster-{self.nodes}-{self.layout}'

    @property
    def is_single(self) -> bool:
        """Return whether a share has one brick only."""
        return self.layout == SINGLE

    @property
    def has_choice(self) -> bool:
        """Return whether there are more nodes than a share has bricks."""
        return self.is_single or self.nodes > 3


class Fillers:
    """Data in the thin pools that decides where bricks are placed."""

    def __init__(self, lab: lab_module.Lab, shape: Shape) -> None:
        self._lab = lab
        self._nodes = lab.nodes if shape.has_choice else []
        self._filled: Counter[str] = Counter()

    def create(self) -> None:
        """Create an empty logical volume on each node, which is no leak."""
        for node in self._nodes:
            node.succeed(
                f'lvcreate -q -y -V 2g --thinpool {manila_stand_in.POOL} '
                f'-n {_FILLER}'
            )
        # Elsewhere a new baseline would hide what earlier tests left.
        if self._nodes:
            self._lab.record_baseline()

    def prefer(self, *names: str) -> None:
        """Have the next bricks placed on these nodes."""
        for node in self._nodes:
            if node.name not in names:
                node.succeed(
                    f'dd if=/dev/zero of=/dev/gvg/{_FILLER} bs=1M conv=fsync '
                    f'count={_STEP_MIB} seek={self._filled[node.name]}'
                )
                self._filled[node.name] += _STEP_MIB

    def remove(self) -> None:
        """Remove the logical volumes."""
        for node in self._nodes:
            node.succeed(f'lvremove -q -y gvg/{_FILLER}')
