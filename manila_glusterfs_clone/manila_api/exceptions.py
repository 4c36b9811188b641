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
"""Our errors, as Manila's."""

from collections.abc import Callable, Iterator
import contextlib

from manila import exception
from oslo_log import log

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)


def failure(text: str) -> Exception:
    """Return the error of Manila that says that a back end failed."""
    return exception.ShareBackendException(msg=text)  # type: ignore[no-any-return]


@contextlib.contextmanager
def translated(
    verb: str, of: str, into: Callable[[str], Exception] = failure
) -> Iterator[None]:
    """Raise an error of ours as one of Manila's, and log it.

    :param verb: what is being done, such as ``Creating share``.
    :param of: the id of the share or snapshot, or the name of the back end.
    :param into: makes Manila's error from the sentence.
    """
    try:
        yield
    except placement.InsufficientSpace as error:
        LOG.error('%s %s: %s', verb, of, error)
        # Of this one Manila tells the user that the capacity did not suffice.
        raise exception.NoValidHost(
            f'{verb} {of}: {error}',
            detail_data={'last_filter': 'CapacityFilter'},
        ) from error
    except errors.Error as error:
        LOG.error('%s %s: %s', verb, of, error)
        raise into(f'{verb} {of}: {error}') from error
