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
"""Choose the step of an operation that gets a fault, and the fault."""

from collections.abc import Sequence
import dataclasses

from tests.fault_table import kinds
from tests.functional import shapes

_READS = {
    'lvs',
    'lvmconfig',
    'hello',
    'systemctl',
    'list_mounts',
    'is_directory',
    'read_volume_id',
    'list_directory',
    'addresses',
    'resolve',
    'glusterd_age',
    'read_glusterd_log',
}
#: Words before the command of gluster.
_OPTIONS = ('--mode=script', '--xml', '--')
#: Which nodes lose power in what each does on its own.
_DARKENED = ('gl1', 'gl2')
_GLUSTER_READS = {'list', 'info', 'config', 'status', 'heal', 'get'}


@dataclasses.dataclass(frozen=True)
class Step:
    """One remote step of an operation, the same in each of its runs."""

    node: str
    name: str
    #: How many of that name came before it.
    nth: int
    is_read: bool

    @property
    def is_gluster(self) -> bool:
        return self.name.startswith(('gluster ', f'{self.node}: gluster '))

    def __str__(self) -> str:
        return f'{self.name} ({self.nth + 1})' if self.nth else self.name


@dataclasses.dataclass(frozen=True)
class Plan:
    """A fault, and the step that gets it."""

    step: Step
    fault: kinds.Fault
    #: Seconds that the step takes when all goes well.
    took: float


def is_read(argv: Sequence[str]) -> bool:
    """Return whether a command changes nothing."""
    words = [word for word in argv if word not in _OPTIONS]
    if words[0] == 'gluster':
        return words[1].startswith('-') or words[2] in _GLUSTER_READS
    return words[0] in _READS


def reason(step: Step, fault: kinds.Fault, shape: shapes.Shape) -> str | None:
    """Return why a fault does not apply to a step."""
    if step.node not in _DARKENED:
        return f'{step.node} does what gl2 does, beside it'
    if step.node == 'gl2' and not step.is_gluster and not shape.is_single:
        # gl1's link has gluster's console too: what befalls it is more.
        if step.is_read:
            return 'gl2 reads what gl1 reads, beside it'
        if fault in (
            kinds.Fault.KILLED_BEFORE,
            kinds.Fault.KILLED_AFTER,
            kinds.Fault.GLUSTERD_KILLED,
        ):
            return 'it does not strike gl2: gl1, beside it, stands for both'
    local = step.node in _DARKENED and not step.is_gluster
    if fault is kinds.Fault.POWER_CUT and local and not shape.is_single:
        # By no more than its name, so that it is the same one in each run.
        darkened = _DARKENED[ord(step.name[-1]) % len(_DARKENED)]
        if step.node != darkened:
            return 'gl1 and gl2 take turns at losing power in what all do'
    if step.nth and step.is_read:
        return 'where the same is read several times, once stands for all'
    disturbing = (
        kinds.Fault.LINK_CUT,
        kinds.Fault.HANGS,
        kinds.Fault.GARBLED,
        kinds.Fault.REFUSED,
    )
    if step.is_read and fault not in disturbing:
        return (
            'a read has no effect: what happens at it is what happens '
            'before the next step that has one'
        )
    if fault is kinds.Fault.GARBLED and not (step.is_read or step.is_gluster):
        return 'its output is not read; what counts is its exit status'
    return None


def chosen(
    plans: Sequence[Plan], fault: kinds.Fault, shape: shapes.Shape
) -> list[Plan]:
    """Return the steps at which a fault differs from that at the next step."""
    return [
        dataclasses.replace(plan, fault=fault)
        for plan in plans
        if reason(plan.step, fault, shape) is None
    ]


def spread(plans: Sequence[Plan], count: int, *, odd: bool) -> list[Plan]:
    """Return a sample from all parts; a different one on each release."""
    pace = len(plans) / count
    offset = 0.75 if odd else 0.25
    return [
        plans[int((number + offset) * pace)]
        for number in range(min(count, len(plans)))
    ]
