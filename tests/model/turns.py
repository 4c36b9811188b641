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


class LateFuture(concurrent.futures.Future[T]):
    """A future whose action starts when a caller waits for its result."""

    def __init__(self, action: Callable[[], T]) -> None:
        super().__init__()
        self._action = action

    def result(self, timeout: float | None = None) -> T:
        self.act()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.act()
        return super().exception(timeout)

    def act(self) -> None:
        if not self.done():
            try:
                self.set_result(self._action())
            except BaseException as error:
                self.set_exception(error)


class LateExecutor(Executor):
    """A pool that starts a single action when a caller waits for it."""

    def __init__(self, workers: int) -> None:
        self._is_late = workers == 1
        self._futures: list[LateFuture[object]] = []

    def __exit__(self, *error: object) -> None:
        for future in self._futures:
            future.act()

    def submit(
        self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> 'concurrent.futures.Future[T]':
        if not self._is_late:
            return super().submit(action, *args, **kwargs)
        future = LateFuture(lambda: action(*args, **kwargs))
        self._futures.append(future)  # type: ignore[arg-type]
        return future


def _with(executor: type[Executor]) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        futures=types.SimpleNamespace(ThreadPoolExecutor=executor)
    )


_IN_TURN, _LATE = _with(Executor), _with(LateExecutor)


@contextlib.contextmanager
def in_turn(*, late: bool = False) -> Iterator[None]:
    """Make the driver ask one node after the other.

    :param late: run the action of :func:`parallel.beside` after its body, not
        before.
    """
    order = _LATE if late else _IN_TURN
    with mock.patch.object(parallel, 'concurrent', order):
        yield


def is_in_turn() -> bool:
    """Return whether the driver asks one node after the other."""
    return vars(parallel)['concurrent'] in (_IN_TURN, _LATE)
