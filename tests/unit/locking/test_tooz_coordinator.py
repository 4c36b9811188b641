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
"""Calls to the coordinator, and how drivers of tooz differ."""

from concurrent import futures
import threading
import types

from manila import coordination
import pytest
import tenacity

from manila_glusterfs_clone.locking import tooz_coordinator


def test_retry_error_of_a_driver_means_that_the_lock_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a time to wait, most drivers of tooz raise it."""

    class GivesUp:
        def __init__(self, name: str) -> None:
            pass

        def acquire(self, blocking: bool) -> bool:
            raise tenacity.RetryError(None)  # type: ignore[arg-type]

    monkeypatch.setattr(coordination.LOCK_COORDINATOR, 'started', True)
    monkeypatch.setattr(coordination, 'Lock', GivesUp)
    assert tooz_coordinator.acquire('x') is None


def test_a_call_returns_its_answer_or_raises_its_error() -> None:
    assert tooz_coordinator.run_call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        tooz_coordinator.run_call(lambda: 1 // 0)


def test_a_late_answer_goes_to_its_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tooz_coordinator, 'CALL_TIMEOUT', 0.01)
    answered, released = threading.Event(), threading.Event()
    answers: list[str] = []

    def call() -> str:
        answered.wait(10)
        return 'late'

    def on_late(answer: str) -> None:
        answers.append(answer)
        released.set()

    with pytest.raises(TimeoutError):
        tooz_coordinator.run_call(call, on_late)
    answered.set()
    assert released.wait(10)
    assert answers == ['late']


def test_an_answer_at_the_moment_of_the_timeout_goes_to_the_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wait(
        waiting: list[futures.Future[str]], timeout: float
    ) -> types.SimpleNamespace:
        # The call returns between the end of the wait and the next line.
        waiting[0].exception(10)
        return types.SimpleNamespace(done=set())

    monkeypatch.setattr(futures, 'wait', wait)
    answers: list[str] = []
    with pytest.raises(TimeoutError):
        tooz_coordinator.run_call(lambda: 'late', answers.append)
    assert answers == ['late']
