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
    """If the ``with`` block fails, call ``undo``, and raise the error again.

    If ``undo`` fails, only log its error: when the user deletes the object in
    Manila, the driver removes the remaining parts.

    :param undo: remove the parts of the object that exist; succeed if there
        are none.
    :param subject: the object, for the log.
    :param require_lock: raise an error if the operation has lost its lock, so
        that ``undo`` is not called: another host may be changing the object.
    """
    try:
        yield
    except BaseException as error:
        LOG.warning(
            'Creation of %s: failed; removing its parts: %s',
            subject,
            error,
        )
        try:
            require_lock()
            undo()
        except Exception:
            LOG.exception(
                'Creation of %s: failed, and parts may be left; delete it in '
                'Manila',
                subject,
            )
        raise
