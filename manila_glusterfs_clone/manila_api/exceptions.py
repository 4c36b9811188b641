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

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import arguments
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import clones

LOG = log.getLogger(__name__)

#: By error: the filter of Manila's scheduler that could have refused the
#: request for the same reason; None if there is no such filter.
_SCHEDULER_FILTERS: dict[type[errors.Error], str | None] = {
    placement.InsufficientSpace: 'CapacityFilter',
    clones.SnapshotInOtherPool: 'CreateFromSnapshotFilter',
    clone_sources.SnapshotNotFound: 'CreateFromSnapshotFilter',
    arguments.WrongProtocol: 'CapabilitiesFilter',
    arguments.UnknownPool: None,
}


def backend_failure(message: str) -> Exception:
    """Return Manila's exception for an operation that failed."""
    return exception.ShareBackendException(msg=message)  # type: ignore[no-any-return]


def unmanage_failure(message: str) -> Exception:
    """Return the exception after which a share can be unmanaged again."""
    return exception.UnmanageInvalidShare(reason=message)  # type: ignore[no-any-return]


def unmanage_snapshot_failure(message: str) -> Exception:
    """Return the exception after which a snapshot can be unmanaged again."""
    return exception.UnmanageInvalidShareSnapshot(reason=message)  # type: ignore[no-any-return]


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
        errors that a filter of the scheduler could have prevented.
    """
    try:
        yield
    except tuple(_SCHEDULER_FILTERS) as error:
        LOG.error('%s %s failed: %s', operation, name, error)
        # For NoValidHost, Manila creates a user message that names the filter.
        # For others, the message is "An unknown error occurred".
        raise exception.NoValidHost(
            f'{operation} {name} failed: {error}',
            detail_data={'last_filter': _filter_of(error)},
        ) from error
    except errors.Error as error:
        LOG.error('%s %s failed: %s', operation, name, error)
        raise make_error(f'{operation} {name} failed: {error}') from error


def _filter_of(error: Exception) -> str | None:
    return next(
        name
        for kind, name in _SCHEDULER_FILTERS.items()
        if isinstance(error, kind)
    )
