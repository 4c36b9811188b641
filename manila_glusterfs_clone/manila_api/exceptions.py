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
"""Translate the driver's errors into Manila's exceptions."""

from collections.abc import Callable, Iterator
import contextlib

from manila import exception
from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)


def backend_failure(message: str) -> Exception:
    """Return Manila's exception for an operation that failed."""
    return exception.ShareBackendException(msg=message)  # type: ignore[no-any-return]


@contextlib.contextmanager
def translated(
    operation: str,
    name: str,
    make_error: Callable[[str], Exception] = backend_failure,
) -> Iterator[None]:
    """Log an error of the driver, and raise Manila's exception for it.

    :param operation: what the body does, such as ``Creating share``.
    :param name: the id of the share or snapshot, or the name of the back end.
    :param make_error: returns Manila's exception for a message; not used for
        errors with a ``scheduler_filter``.
    """
    try:
        yield
    except errors.Error as error:
        LOG.error('%s %s failed: %s', operation, name, error)
        message = f'{operation} {name} failed: {error}'
        if isinstance(error, errors.NotPossible) and error.scheduler_filter:
            # For NoValidHost, Manila creates a user message that names the
            # filter. For other exceptions, Manila's message is "An unknown
            # error occurred".
            raise exception.NoValidHost(
                message, detail_data={'last_filter': error.scheduler_filter}
            ) from error
        raise make_error(message) from error
