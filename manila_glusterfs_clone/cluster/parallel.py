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
"""Run actions in parallel."""

from collections.abc import Callable, Iterator, Mapping
import concurrent.futures
import contextlib
import contextvars
from typing import TypeVar

from oslo_log import log

LOG = log.getLogger(__name__)

T = TypeVar('T')


def try_all(
    actions: Mapping[str, Callable[[], T]],
) -> tuple[dict[str, T], dict[str, Exception]]:
    """Run actions in parallel, and collect the exceptions.

    :return: the results and the exceptions, each by the key of the action.
    """
    results: dict[str, T] = {}
    failures: dict[str, Exception] = {}
    if not actions:
        return results, failures
    with concurrent.futures.ThreadPoolExecutor(len(actions)) as executor:
        futures = {
            key: executor.submit(contextvars.copy_context().run, action)
            for key, action in actions.items()
        }
        for key, future in futures.items():
            try:
                results[key] = future.result()
            except Exception as error:
                failures[key] = error
    return results, failures


@contextlib.contextmanager
def beside(
    subject: str, action: Callable[[], T]
) -> Iterator['concurrent.futures.Future[T]']:
    """Run an action in parallel to the body; wait for both.

    The body gets a future of the action: ``result()`` waits for the action,
    and raises its error. If the body raises another error, log the error of
    the action.

    :param subject: the object and the action, for the log.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        future = executor.submit(contextvars.copy_context().run, action)
        try:
            yield future
        except Exception as error:
            failure = future.exception()
            if failure is not None and failure is not error:
                LOG.warning('%s failed, too: %s', subject, failure)
            raise
