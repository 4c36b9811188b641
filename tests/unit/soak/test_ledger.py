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
"""What a soak takes for the effect of a fault, and what not."""

from collections.abc import Iterator
import pathlib

import pytest

from tests.soak import api
from tests.soak import ledger as ledgers


@pytest.fixture
def ledger(tmp_path: pathlib.Path) -> Iterator[ledgers.Ledger]:
    made = ledgers.Ledger(tmp_path / 'log')
    yield made
    made.close()


def test_a_fault_is_felt_until_its_aftermath_is_over(
    ledger: ledgers.Ledger,
) -> None:
    fault = ledgers.Fault('power cut', 'gl2', 1000.0, 1030.0)
    ledger.faults.append(fault)
    over = 1030.0 + ledgers.AFTERMATH
    assert ledger.during(990.0, 998.0) == []
    assert ledger.during(990.0, 1001.0) == [fault]
    assert ledger.during(1010.0, 1011.0) == [fault]
    assert ledger.during(over - 1, over + 9) == [fault]
    assert ledger.during(over + 1, over + 9) == []


def test_a_fault_of_the_service_is_none_of_a_client(
    ledger: ledgers.Ledger,
) -> None:
    with ledger.fault('service killed'):
        (fault,) = ledger.faults
        assert ledger.during(fault.begun, fault.begun) == [fault]
        assert not ledger.during(fault.begun, fault.begun, nodes_only=True)
    with ledger.fault('power cut', 'gl1'):
        now = ledger.faults[-1].begun
        assert len(ledger.during(now, now, nodes_only=True)) == 1


def test_what_is_wrong_is_in_the_log_and_in_the_summary(
    ledger: ledgers.Ledger, tmp_path: pathlib.Path
) -> None:
    ledger.note('user1', 'create x', 'done')
    assert not ledger.wrong
    ledger.violation('user1', 'x lost 3 confirmed writes')
    text = (tmp_path / 'log').read_text()
    assert [line.split()[2] for line in text.splitlines()] == ['user1'] * 2
    assert ledger.wrong == ['user1: x lost 3 confirmed writes']
    assert ledger.wrong[0] in ledger.summary()


class Things(api.User):
    """Something whose states are given."""

    def __init__(self) -> None:
        pass

    def last(self, *states: str) -> None:
        left = iter(states)
        self.wait('it', lambda: next(left), states[-1])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('time.sleep', lambda seconds: None)


def test_a_state_of_transition_is_waited_for(quick: None) -> None:
    Things().last('creating', 'creating', 'available')
    Things().last('available', 'deleting', api.GONE)
    with pytest.raises(api.Failed) as failed:
        Things().wait('it', lambda: 'error', 'available')
    assert failed.value.status == 'error'
    assert not isinstance(failed.value, api.Stuck)
    with pytest.raises(api.Stuck):
        Things().wait('it', lambda: 'creating', 'available', timeout=0)
