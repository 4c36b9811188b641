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
"""Actions in parallel, and their errors."""

import threading

import pytest

from manila_glusterfs_clone.cluster import parallel


def fail(message: str) -> None:
    raise ValueError(message)


def test_results_and_errors_are_collected() -> None:
    results, failures = parallel.try_all(
        {'a': lambda: 1, 'b': lambda: 1 // 0, 'c': lambda: 3}
    )
    assert results == {'a': 1, 'c': 3}
    assert isinstance(failures.pop('b'), ZeroDivisionError)
    assert not failures


def test_both_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=5)
    with parallel.beside('x', barrier.wait) as done:
        barrier.wait()
    assert done.result() in (0, 1)


def test_the_error_of_the_action_is_raised_where_it_is_wanted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with parallel.beside('x', lambda: fail('action')) as done:
        pass
    with (
        pytest.raises(ValueError, match='action'),
        parallel.beside('x', lambda: fail('action')) as done,
    ):
        done.result()
    assert not caplog.records


@pytest.mark.parametrize('fails', [False, True])
def test_the_error_of_the_action_is_not_lost(
    caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """Often it is the cause."""
    with (
        pytest.raises(ValueError, match='body'),
        parallel.beside('x', lambda: fail('action') if fails else None),
    ):
        fail('body')
    assert [record.getMessage() for record in caplog.records] == (
        ['x failed, too: action'] if fails else []
    )
