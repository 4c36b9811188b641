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
"""Undo an operation that failed, so that no parts of its object are left."""

from collections.abc import Callable, Iterator
import contextlib

from oslo_log import log

LOG = log.getLogger(__name__)


@contextlib.contextmanager
def undo_on_failure(
    undo: Callable[[], None], subject: str, require_lock: Callable[[], None]
) -> Iterator[None]:
    """Call ``undo`` if the body fails, and raise the error of the body.

    If ``undo`` fails, too, log its error, with the error of the body as its
    context. In both cases Manila sets the object to an error status. When the
    user deletes the object, the driver calls the same function again.

    :param undo: deletes the object that the body creates. It must find out
        which parts of the object exist, and must succeed if there are none.
    :param subject: the object, for the log.
    :param require_lock: raises if the lock of the operation was lost. If so,
        ``undo`` is not called, because another host may work on the object.
    """
    try:
        yield
    except BaseException as error:
        LOG.warning(
            'Creation of %s: failed; removing what was created: %s',
            subject,
            error,
        )
        try:
            require_lock()
            undo()
        except Exception:
            LOG.exception(
                'Creation of %s: failed, and not all that was created is '
                'removed; delete the object in Manila to remove the rest',
                subject,
            )
        raise
