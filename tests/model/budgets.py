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
"""How long an operation may take, in seconds of model time.

A fault costs a constant: one time-out for each operation, whatever the number
of shares, and never one for each share.
"""

from collections.abc import Callable
import dataclasses

from tests.model import fault_injection
from tests.model import link

Fault = fault_injection.Fault
Variant = fault_injection.Variant

#: Where nothing is wrong.
USUAL = {
    'create share': 12.0,
    'create snapshot': 10.0,
    'clone and grow': 20.0,
    'extend': 3.0,
    'allow access': 3.0,
    'deny access': 6.0,
    'make read-only': 8.0,
    'make writable': 10.0,
    'delete snapshot': 6.0,
    'delete a clone': 10.0,
    'delete an origin': 14.0,
}

#: Time-outs of the driver: of a connection, of a tool of LVM.
CONNECT, LVM = 15.0, 120.0
#: Seconds for which another transaction holds glusterd, and what a driver
#: that asks again and again may be late.
BUSY, LATE = 30.0, 15.0


#: Seconds for which a driver asks again for what has no answer, and that the
#: command line of gluster waits for a node that has lost its power.
SETTLE, SILENCE = 600.0, 120.0
#: Seconds that a driver waits for the bricks of a new volume.
ONLINE = 120.0
#: Seconds that an undo, a new session or another try takes.
ANOTHER_TRY = 10.0
#: What undoes itself when it fails.
_UNDONE = frozenset({'create share', 'create snapshot', 'clone and grow'})

#: What a step that goes wrong may cost, beside another try.
_COSTS: dict[fault_injection.AnyFault, float] = {
    # It is killed, and waits for nothing.
    Fault.KILLED_BEFORE: 0.0,
    Fault.KILLED_AFTER: 0.0,
    Variant.KILLED_SLOW: 0.0,
    Fault.LINK_CUT: 0.0,
    Fault.GARBLED: 0.0,
    Fault.REFUSED: 0.0,
    Variant.LOST_BEFORE: 0.0,
    Variant.GIVEN_UP: 0.0,
    Variant.LEFT_OUT: 5.0,
    # A revocation asks each node for its addresses, and for its bricks.
    Variant.UNREACHABLE: 3 * CONNECT,
    # glusterd starts again.
    Fault.GLUSTERD_KILLED: 60.0,
    # Four phases of a transaction.
    Variant.SLOW: 4 * 20.0,
    # The cluster has no answer until it knows that the node is gone.
    Fault.POWER_CUT: SETTLE + SILENCE,
    Variant.POWER_CUT_AFTER: SETTLE + SILENCE,
    Variant.POWER_CUT_MIDWAY: 2 * SILENCE,
    # The node boots; then its glusterd starts.
    Variant.REBOOTED: 60.0,
    Variant.PEER_REBOOTED: 60.0,
    Fault.HANGS: 0.0,
    Variant.HANGS_IDLE: 0.0,
    Variant.GLUSTERD_KILLED_MIDWAY: 0.0,
}
#: Where the time-out of the step passes, once.
_HANG = {
    Fault.HANGS,
    Variant.HANGS_IDLE,
    Variant.POWER_CUT_MIDWAY,
    Variant.GLUSTERD_KILLED_MIDWAY,
}


def with_fault(
    operation: str, fault: fault_injection.AnyFault, timeout: float
) -> float:
    """Return the time budget of an operation with a fault at one step.

    :param timeout: of that step.
    """
    found = USUAL[operation] + ANOTHER_TRY + _COSTS[fault]
    if fault in _HANG:
        found += timeout
    if fault in (Fault.POWER_CUT, Variant.POWER_CUT_AFTER):
        # To undo is a change that has no answer either.
        found += SETTLE if operation in _UNDONE else 0.0
    reboots = (Variant.REBOOTED, Variant.PEER_REBOOTED)
    if fault in reboots and operation in _UNDONE:
        # A new brick may have lost the id of its volume, and does not start.
        found += ONLINE
    return found


@dataclasses.dataclass(frozen=True)
class Condition:
    """A fault that exists before an operation begins, and stays."""

    name: str
    #: Brings it about.
    begin: Callable[[link.Process], None]
    #: What an operation may take more.
    more: float
    #: … and those that have to make sure of a node that does not answer.
    twice: frozenset[str] = frozenset()

    def budget(self, operation: str) -> float:
        """Return the time budget of an operation."""
        times = 2 if operation in self.twice else 1
        return USUAL[operation] + times * self.more


def _all_is_well(process: link.Process) -> None:
    pass


def _dead(name: str) -> Callable[[link.Process], None]:
    def begin(process: link.Process) -> None:
        process.pool.cut(name)
        # The other nodes have noticed.
        process.pool.time.advance(60.0)

    return begin


def _busy(process: link.Process) -> None:
    process.pool.state.hold_all(BUSY)


def _hung(process: link.Process) -> None:
    process.fail_when(Variant.HANGS_IDLE, 'lvs', 'gl2')


#: Whether the bricks of a node that does not answer run is asked anew when
#: a rule is revoked: they might go by the rules of before.
_REVOKES = frozenset({'deny access', 'make read-only', 'make writable'})

CONDITIONS = (
    Condition('all is well', _all_is_well, 0.0),
    Condition('the writer is dead', _dead('gl1'), CONNECT, _REVOKES),
    Condition('another node is dead', _dead('gl3'), CONNECT, _REVOKES),
    Condition('glusterd is busy', _busy, BUSY + LATE),
    Condition('a disk hangs', _hung, LVM),
)
