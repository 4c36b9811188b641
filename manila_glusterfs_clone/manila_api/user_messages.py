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
"""What users read of a refusal: Manila's own user messages.

A user sees neither the log nor the text of an exception, only the status of
the share and messages with sentences that Manila fixes. Where an operation
fails as a whole Manila itself makes one, of the exception that it gets
(:mod:`~manila_glusterfs_clone.manila_api.exceptions`); the others are made
here.
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
    """Tell the user that access rules cannot hold.

    :param added: the rules that were asked for now.
    :param refused: the ids of those that cannot hold.
    :param tls: whether rules name certificates instead of addresses. Rules
        of the type and level that there are, are refused for their client.
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
    """Tell the user of a lack of room; Manila tells only that it failed."""
    try:
        yield
    except placement.InsufficientSpace:
        context = manila_context.get_admin_context()
        _create(context, 'EXTEND', 'FILTER_CAPACITY', share)
        raise


def _create(
    context: Any, action: str, detail: str, share: Mapping[str, Any]
) -> None:
    """Make a message; an operation never fails on its account."""
    try:
        api.API().create(
            context,
            getattr(message_field.Action, action),
            share['project_id'],
            resource_type=message_field.Resource.SHARE,
            resource_id=share['share_id'],
            # An older Manila may not have it, and says "unknown" then.
            detail=getattr(message_field.Detail, detail, None),
        )
    except Exception:
        LOG.exception(
            'Share %s: the user could not be told: %s', share['id'], detail
        )
