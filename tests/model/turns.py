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
"""Asking one node after the other, so that steps have the same numbers."""

from collections.abc import Callable, Iterator
import concurrent.futures
import contextlib
import types
from typing import ParamSpec, TypeVar
from unittest import mock

from manila_glusterfs_clone.cluster import parallel

P = ParamSpec('P')
T = TypeVar('T')


class Executor:
    """A pool of threads that does one thing after the other."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> 'Executor':
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(
        self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> 'concurrent.futures.Future[T]':
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            future.set_result(action(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


_CONCURRENT = types.SimpleNamespace(
    futures=types.SimpleNamespace(ThreadPoolExecutor=Executor)
)


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """Make the driver ask one node after the other."""
    with mock.patch.object(parallel, 'concurrent', _CONCURRENT):
        yield


def is_in_turn() -> bool:
    """Return whether the driver asks one node after the other."""
    return vars(parallel)['concurrent'] is _CONCURRENT
