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

Users cannot read logs or exceptions. They see the status of a share, and user
messages. Manila defines the texts of these messages. For some exceptions,
Manila also creates the message
(:mod:`~manila_glusterfs_clone.manila_api.exceptions`). This module creates a
message where Manila creates none, or where Manila's message lacks the reason.
"""

from collections.abc import Container, Iterator, Mapping
import contextlib
from typing import Any

from manila import context as manila_context
from manila.message import api
from manila.message import message_field
from oslo_log import log

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import protocols

LOG = log.getLogger(__name__)


def report_refused_rules(
    context: Any,
    share: Mapping[str, Any],
    changed_rule_ids: Container[str],
    refusals: Mapping[str, errors.NotPossible],
) -> None:
    """Report to the user that new or changed access rules were refused.

    If rules were refused because of their type or level, create a message
    about unsupported access. If rules were refused for other reasons, create a
    message about a forbidden client.

    :param changed_rule_ids: the access ids of the new and changed rules.
    :param refusals: why rules were refused, by access id.
    """
    details = {
        'UNSUPPORTED_CLIENT_ACCESS'
        if isinstance(refusal, protocols.AccessNotSupported)
        else 'FORBIDDEN_CLIENT_ACCESS'
        for access_id, refusal in refusals.items()
        if access_id in changed_rule_ids
    }
    for detail in sorted(details, reverse=True):
        _create(context, 'UPDATE_ACCESS_RULES', detail, share)


@contextlib.contextmanager
def insufficient_space_reported(share: Mapping[str, Any]) -> Iterator[None]:
    """Create a user message if an extension fails for lack of space.

    Raise the error again. Manila's own message reports only that the extension
    failed.
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
    """Create a user message; log errors instead of raising them."""
    try:
        api.API().create(
            context,
            getattr(message_field.Action, action),
            share['project_id'],
            resource_type=message_field.Resource.SHARE,
            resource_id=share['share_id'],
            # Older releases of Manila lack some of these details. With None,
            # the message reports an unknown error.
            detail=getattr(message_field.Detail, detail, None),
        )
    except Exception:
        LOG.exception(
            'Share %s: the user message %s could not be created',
            share['id'],
            detail,
        )
