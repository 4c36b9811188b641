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
"""Remove the parts of an object whose creation failed."""

from collections.abc import Callable, Iterator
import contextlib

from oslo_log import log

LOG = log.getLogger(__name__)


@contextlib.contextmanager
def undo_on_failure(
    undo: Callable[[], None], subject: str, require_lock: Callable[[], None]
) -> Iterator[None]:
    """If the body fails, call ``undo`` and raise the error of the body.

    If ``undo`` fails, log its error. Manila sets the object to an error
    status, whether ``undo`` succeeds or fails. When the user deletes the
    object, the driver removes the parts that are left.

    :param undo: delete the object that the body creates. This function must
        find out which parts of the object exist, and must succeed if no part
        exists.
    :param subject: the object, for the log.
    :param require_lock: raise if the operation has lost its lock. Another
        host could then be changing the object, so ``undo`` is not called.
    """
    try:
        yield
    except BaseException as error:
        LOG.warning(
            'Creation of %s: failed; removing the parts that exist (error: '
            '%s)',
            subject,
            error,
        )
        try:
            require_lock()
            undo()
        except Exception:
            LOG.exception(
                'Creation of %s: failed, and parts of it could not be '
                'removed; delete the object in Manila to remove them',
                subject,
            )
        raise
