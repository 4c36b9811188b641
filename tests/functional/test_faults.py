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
"""A fault at each remote step of each operation on a real cluster.

A sample with each operation and each fault; with ``--every-fault`` the whole
table.
"""

from collections.abc import Iterator
import dataclasses
import itertools
import time

import pytest

from tests.fault_table import kinds
from tests.fault_table import table
from tests.functional import campaign as campaigns
from tests.functional import fault_plans
from tests.functional import lifecycle
from tests.functional import shapes
from tests import lab as lab_module

#: Those of which each step is put to the test, on one of the releases, with
#: these.
HEART = (lifecycle.CLONE, lifecycle.DELETE_CLONE)
BY_STEP = (
    kinds.Fault.KILLED_BEFORE,
    kinds.Fault.KILLED_AFTER,
    kinds.Fault.LINK_CUT,
    kinds.Fault.POWER_CUT,
    kinds.Fault.GLUSTERD_KILLED,
    kinds.Fault.HANGS,
)
#: At how many steps another fault is tried, on a release.
SOME = 1
#: Which faults each other operation has of the table on a release, by whether
#: it is the odd one; counted on from one operation to the next.
OTHERS = {False: (0, 3, 7, 4), True: (5, 1, 6)}


@pytest.fixture(scope='module')
def campaign(
    lab: lab_module.Lab, conf: str, shape: shapes.Shape
) -> Iterator[campaigns.Campaign]:
    made = campaigns.Campaign(lab, conf, shape)
    with made.scene():
        yield made


@pytest.mark.any_release
def test_writer_loses_power_in_the_midst_of_a_clone(
    campaign: campaigns.Campaign,
) -> None:
    """It ends right within ten minutes, and nobody does anything.

    The others wait for the node for two minutes and more, and say "Request
    timed out" and "Another transaction is in progress" meanwhile; somebody
    gives it power again after one and a half.
    """
    steps = campaign.record(lifecycle.CLONE)
    campaign.life.act(lifecycle.DELETE_CLONE)
    (plan,) = (p for p in steps if p.step.name == 'gluster snapshot clone')
    plan = dataclasses.replace(plan, fault=kinds.Fault.POWER_CUT)
    begun = time.monotonic()
    campaign.process.dark = 90.0
    try:
        made = campaign.ends_by_itself(lifecycle.CLONE, plan)
    finally:
        campaign.process.dark = 0.0
    assert time.monotonic() - begun < campaigns.LONGEST
    if made:
        campaign.life.act(lifecycle.DELETE_CLONE)
    else:
        campaign.life.act(lifecycle.CLONE)
        campaign.life.act(lifecycle.DELETE_CLONE)


def planned(
    operation: str,
    recorded: list[fault_plans.Plan],
    shape: shapes.Shape,
    *,
    every: bool,
    odd: bool,
) -> list[fault_plans.Plan]:
    """Choose what goes wrong, in all or one of a kind.

    On other shapes than the usual one each operation has each fault once.
    """
    found: list[list[fault_plans.Plan]] = []
    others = OTHERS[odd] if every else OTHERS[odd][:1]
    if every:
        # In one order: nodes that work side by side take turns at random.
        recorded = sorted(
            recorded, key=lambda plan: (plan.step.name, plan.step.nth)
        )
    for number, fault in enumerate(kinds.Fault):
        possible = fault_plans.chosen(recorded, fault, shape)
        nth = number + lifecycle.OPERATIONS.index(operation)
        if every and shape != shapes.Shape():
            found.append(fault_plans.spread(possible, SOME, odd=odd))
        elif every and operation in HEART:
            found.append(share_of(fault, possible, odd))
        elif nth % len(kinds.Fault) in others:
            found.append(fault_plans.spread(possible, SOME, odd=odd))
    # Of each kind one, and so on: what is systematic shows soon.
    rounds = itertools.zip_longest(*found)
    return [plan for each in rounds for plan in each if plan is not None]


def share_of(
    fault: kinds.Fault, possible: list[fault_plans.Plan], odd: bool
) -> list[fault_plans.Plan]:
    """Give one release its share, so that all of it takes about an hour.

    10.3 takes more than a minute to connect its peers again when glusterd was
    killed, and so 11.1 has nearly all of that.
    """
    if fault not in BY_STEP:
        return fault_plans.spread(possible, SOME, odd=odd)
    if fault is kinds.Fault.GLUSTERD_KILLED:
        return possible if odd else fault_plans.spread(possible, SOME, odd=odd)
    # One and the other in turn, and not the same steps with each fault.
    return possible[([*kinds.Fault].index(fault) + odd) % 2 :: 2]


@pytest.mark.timeout(5400)
def test_every_operation_goes_wrong(
    campaign: campaigns.Campaign, pytestconfig: pytest.Config, release: str
) -> None:
    every = bool(pytestconfig.getoption('--every-fault'))
    only = pytestconfig.getoption('--fault-operation')
    path = pytestconfig.getoption('--fault-table')

    left = {}
    for operation in lifecycle.OPERATIONS:
        recorded = campaign.record(operation)
        left[operation] = (
            planned(
                operation,
                recorded,
                campaign.shape,
                every=every,
                odd=release == '11.1',
            )
            if only in (None, operation)
            else []
        )
        print(operation, len(left[operation]), flush=True)
        if path and left[operation]:
            table.append(
                path, campaign.left_out(operation, recorded, left[operation])
            )
    if path:
        table.note_run(path, campaign.run())
    cells = []
    # One life after the other, with a fault in each operation that has
    # some left.
    for operation in itertools.cycle(lifecycle.OPERATIONS):
        if not any(left.values()):
            break
        if not left[operation]:
            continue
        plan = left[operation].pop(0)
        campaign.process.begin()
        campaign.prepare(operation)
        cell = campaign.attempt(operation, plan)
        cells.append(cell)
        if path:
            table.append(path, [cell])
        if cell.outcome == table.BROKEN:
            try:
                campaign.mend()
            except Exception as error:
                # Else nobody is told what was broken.
                raise AssertionError(f'{cell}, and then {error}') from error
    broken = table.broken(cells)
    print(len(cells), 'faults')
    assert not broken, '\n'.join(map(str, broken))
    assert cells
