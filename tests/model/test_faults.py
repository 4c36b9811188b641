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
"""Each fault at each remote step of each operation.

An operation is run once to record its steps. Then, for each step and each
fault, it is run on a fresh cluster with the fault at that step. Recovery is as
in production: Manila deletes what could not be created, retries what could not
be deleted or extended, and starts again after a kill. At the end nothing may
be left over, other shares must be complete, and the next clone must work.
"""

import datetime

import pytest

from tests.fault_table import steps
from tests.fault_table import table
from tests.model import fault_injection
from tests.model import scene as scenes


@pytest.fixture(scope='module', params=['10.3', '11.1'])
def scene(request: pytest.FixtureRequest, quiet: None) -> scenes.Scene:
    return scenes.Scene(request.param)


def cells(
    scene: scenes.Scene,
    operation: scenes.Operation,
    fault: fault_injection.AnyFault,
) -> list[table.Cell]:
    """Have each step of an operation go wrong in one way."""
    found = []
    for index, step in enumerate(scene.steps(operation)):
        reason = fault_injection.why_not(fault, step)
        if reason:
            outcome, detail, disturbed = table.NOT_APPLICABLE, reason, 0
        else:
            outcome, detail, disturbed = scene.attempt(operation, index, fault)
        if outcome == table.BROKEN:
            detail = f'step {index}, {step}\n{detail}'
        found.append(
            table.Cell(
                'model',
                scene.release,
                operation.name,
                steps.name(step.node, step.argv),
                fault.name,
                outcome,
                detail,
                disturbed,
            )
        )
    return found


@pytest.mark.parametrize('fault', table.FAULTS, ids=lambda f: str(f.name))
@pytest.mark.parametrize(
    'operation', scenes.OPERATIONS, ids=lambda o: str(o.name)
)
def test_fault_at_each_step(
    scene: scenes.Scene,
    operation: scenes.Operation,
    fault: fault_injection.AnyFault,
    pytestconfig: pytest.Config,
) -> None:
    found = cells(scene, operation, fault)
    assert found
    if file := pytestconfig.getoption('--fault-table'):
        today = datetime.date.today().isoformat()
        table.note_run(file, table.Run('model', scene.release, today, 'model'))
        table.append(file, found)
    broken = table.broken(found)
    assert not broken, f'{fault.value}:\n' + '\n\n'.join(
        f'{cell.step}, {cell.detail}' for cell in broken
    )
