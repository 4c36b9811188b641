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
"""Produce the faults of :mod:`tests.fault_table.kinds` in the model.

* A fault that kills the caller or its connections does so before the step,
  after its effect, or during a transaction that continues.
* *Garbage* is an answer whose end is cut off. A gluster console delivers the
  rest later, so its answers are one behind.
* A node or a glusterd dies before a step, or with its transaction half done:
  committed on the node that was asked and on no other.
"""

from collections.abc import Sequence
import dataclasses

from tests.fault_table import kinds
from tests.model import shell

Fault = kinds.Fault
Variant = kinds.Variant
AnyFault = Fault | Variant

_OPTIONS = ('set', 'reset')
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
    'node_facts',
}
_GLUSTER_READS = {'list', 'info', 'config', 'status', 'heal', 'get'}
#: What the driver listens to, beside gluster.
_HEARD = _READS - {'hello'}

#: Phases of a transaction after which it is left to itself: when it has
#: locked what it works on, and when the first node has committed.
LOCKED, HALF_WAY = 1, 2

#: After how many phases a transaction is left to itself.
LEFT: dict[AnyFault | None, int] = {
    Variant.SLOW: LOCKED,
    Variant.KILLED_SLOW: LOCKED,
    Variant.POWER_CUT_MIDWAY: HALF_WAY,
    Variant.GLUSTERD_KILLED_MIDWAY: HALF_WAY,
}


class Killed(BaseException):
    """The calling process was killed."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One remote step."""

    node: str
    argv: tuple[str, ...]

    @property
    def is_gluster(self) -> bool:
        return self.argv[0] == 'gluster'

    @property
    def is_read(self) -> bool:
        if self.is_gluster:
            return self.argv[1].startswith('-') or (
                self.argv[2] in _GLUSTER_READS
            )
        return self.argv[0] in _READS

    @property
    def is_of_options(self) -> bool:
        """Return whether the command changes options of a volume."""
        return (
            self.is_gluster
            and self.argv[1] == 'volume'
            and self.argv[2] in _OPTIONS
        )

    def __str__(self) -> str:
        return f'{" ".join(self.argv)} on {self.node}'


_AFTER_READ = 'a read has no effect that could be half-way, or the last thing'
_REASONS: dict[AnyFault, str] = {
    Fault.KILLED_BEFORE: (
        'a read changes nothing: it is as if killed before the next change'
    ),
    Fault.KILLED_AFTER: _AFTER_READ,
    Variant.KILLED_SLOW: _AFTER_READ,
    Variant.SLOW: _AFTER_READ,
    Variant.POWER_CUT_MIDWAY: _AFTER_READ,
    Variant.POWER_CUT_AFTER: _AFTER_READ,
    Variant.REBOOTED: _AFTER_READ,
    Variant.PEER_REBOOTED: _AFTER_READ,
    Variant.GLUSTERD_KILLED_MIDWAY: _AFTER_READ,
    Variant.LOST_BEFORE: 'a read has no effect: it is as if the link is cut',
    Variant.HANGS_IDLE: 'a read has no effect: it is as if it hangs',
    Variant.GIVEN_UP: 'gluster gives up transactions only',
}
_OF_TRANSACTIONS = frozenset(
    {
        Variant.KILLED_SLOW,
        Variant.SLOW,
        Variant.POWER_CUT_MIDWAY,
        Variant.GLUSTERD_KILLED_MIDWAY,
        Variant.GIVEN_UP,
    }
)


def why_not(fault: AnyFault, step: Step) -> str | None:
    """Return why a fault does not apply to a step, or None if it does."""
    if fault is Variant.LEFT_OUT and not step.is_of_options:
        return 'the model leaves a peer out of changes of options only'
    if step.is_read and fault in _REASONS:
        return _REASONS[fault]
    if not step.is_gluster:
        if fault in _OF_TRANSACTIONS:
            return 'only a transaction of gluster goes on, or ends half-way'
        if fault is Fault.GARBLED and step.argv[0] not in _HEARD:
            return (
                'what it prints is not read, and without its exit status '
                'it is as if the link is cut'
            )
    return None


def garbled(text: str) -> str:
    """Cut off an answer of gluster, inside a tag if it has one."""
    tag = text.find('<', len(text) // 2)
    return text[: tag + 2] if tag >= 0 else text[: len(text) // 2]


def garbled_answer(argv: Sequence[str], answer: shell.Answer) -> shell.Answer:
    """Cut off an answer of another tool."""
    return shell.Answer(
        answer.stdout[: len(answer.stdout) // 2], '', answer.status
    )
