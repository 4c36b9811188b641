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
"""All or nothing."""

from collections.abc import Callable, Iterator
import contextlib

from oslo_log import log

LOG = log.getLogger(__name__)


@contextlib.contextmanager
def undo_on_failure(
    undo: Callable[[], None], what: str, require_lock: Callable[[], None]
) -> Iterator[None]:
    """Undo what was begun inside if it does not come to its end.

    ``require_lock`` raises if the lock under which it was begun is lost.
    Nothing is undone then: another host may have taken the thing over.

    ``undo`` is the one way to undo the thing concerned, used to delete it
    in life too: it succeeds on what was never made, and finds out by itself
    what there is. If it fails, that is logged, with the error that led to
    it as its context, and the first error is the one that is raised; the
    user then sees the thing in error, and deleting it tries again.
    """
    try:
        yield
    except BaseException as error:
        LOG.warning('Undoing %s: %s', what, error)
        try:
            require_lock()
            undo()
        except Exception:
            LOG.exception(
                'What is left of %s could not be undone. Deleting it tries '
                'again',
                what,
            )
        raise
