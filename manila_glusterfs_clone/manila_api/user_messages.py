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
"""Create Manila's user messages for requests that the driver refuses.

A user sees neither the log nor the text of an exception, but only the status
of the share and user messages, whose sentences Manila defines. If an operation
fails as a whole, Manila creates a message for the exception
(:mod:`~manila_glusterfs_clone.manila_api.exceptions`). The other messages are
created here.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
import contextlib
from typing import Any

from manila import context as manila_context
from manila.message import api
from manila.message import message_field
from oslo_log import log

from manila_glusterfs_clone.cluster import placement

LOG = log.getLogger(__name__)


def rules_refused(
    context: Any,
    share: Mapping[str, Any],
    added: Iterable[Mapping[str, Any]],
    refused: Container[str],
    tls: bool,
) -> None:
    """Report to the user that access rules could not be applied.

    :param added: the new rules.
    :param refused: the ids of the rules that could not be applied.
    :param tls: whether rules name certificates instead of addresses. A rule
        of a supported type and level was refused for its client.
    """
    supported = ('cert' if tls else 'ip', 'rw')
    kinds = {
        (rule['access_type'], rule['access_level']) == supported
        for rule in added
        if rule['access_id'] in refused
    }
    for is_supported in sorted(kinds):
        detail = (
            'FORBIDDEN_CLIENT_ACCESS'
            if is_supported
            else 'UNSUPPORTED_CLIENT_ACCESS'
        )
        _create(context, 'UPDATE_ACCESS_RULES', detail, share)


@contextlib.contextmanager
def extending(share: Mapping[str, Any]) -> Iterator[None]:
    """Report to the user that a share cannot be extended for lack of space.

    Manila's own message reports only that extending it failed.
    """
    try:
        yield
    except placement.InsufficientSpace:
        context = manila_context.get_admin_context()
        _create(context, 'EXTEND', 'FILTER_CAPACITY', share)
        raise


def _create(
    context: Any, action: str, detail: str, share: Mapping[str, Any]
) -> None:
    """Create a user message; errors are logged and not raised."""
    try:
        api.API().create(
            context,
            getattr(message_field.Action, action),
            share['project_id'],
            resource_type=message_field.Resource.SHARE,
            resource_id=share['share_id'],
            # An older Manila may lack it, and reports an unknown reason.
            detail=getattr(message_field.Detail, detail, None),
        )
    except Exception:
        LOG.exception(
            'Share %s: the user message %s could not be created',
            share['id'],
            detail,
        )
