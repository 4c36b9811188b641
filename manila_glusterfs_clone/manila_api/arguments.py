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
"""Manila's dictionaries, checked, and read as the services want them."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from manila.share import share_types

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols

EXTRA_SPEC_LAYOUT = 'glusterfs_clone:layout'

Data = Mapping[str, Any]


def require_protocol(share: Data, protocol: protocols.Protocol) -> None:
    """Refuse a share of another protocol than that of the back end.

    :raises errors.NotPossible: it is of another one.
    """
    if share['share_proto'].upper() != protocol.share_proto:
        raise errors.NotPossible(
            f'this back end makes shares of the protocol '
            f'{protocol.share_proto}, not {share["share_proto"]}'
        )


def pool(share: Data, settings: options.Settings) -> str:
    """Return the pool that Manila chose for a share, ``vg/thinpool``.

    :raises errors.NotPossible: it is none of the back end's.
    """
    found = str(share['host']).partition('#')[2]
    if found not in settings.pools:
        raise errors.NotPossible(
            f'{share["host"]} names none of the pools '
            f'{", ".join(settings.pools)}'
        )
    return found


def layout(share: Data) -> str | None:
    """Return the layout that the share type asks for, if it does."""
    if not share.get('share_type_id'):
        return None
    specs = share_types.get_extra_specs_from_share(share)
    found = specs.get(EXTRA_SPEC_LAYOUT)
    return None if found is None else str(found)


def is_cloned(share: Data) -> bool:
    """Return whether a share was made from a snapshot."""
    return bool(
        share.get('snapshot_id')
        or share.get('source_share_group_snapshot_member_id')
    )


def rule(data: Data) -> protocols.Rule:
    """Return an access rule."""
    return protocols.Rule(
        access_id=data['access_id'],
        access_type=data['access_type'],
        access_to=data['access_to'],
        access_level=data['access_level'],
    )


def rule_states(
    rules: Iterable[protocols.Rule], refused: Container[str]
) -> dict[str, dict[str, str]]:
    """Return the states of access rules, as Manila wants them.

    :param refused: the ids of those that cannot hold.
    """
    return {
        rule.access_id: {
            'state': 'error' if rule.access_id in refused else 'active'
        }
        for rule in rules
    }
