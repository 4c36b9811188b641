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
"""Read and check the dictionaries that Manila passes to the driver."""

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

from manila.share import share_types

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols

EXTRA_SPEC_LAYOUT = 'glusterfs_clone:layout'

Data = Mapping[str, Any]


@dataclasses.dataclass(eq=False)
class WrongProtocol(errors.NotPossible):
    """The back end does not serve the protocol of a share."""

    scheduler_filter: ClassVar[str] = 'CapabilitiesFilter'

    share_proto: str
    #: The protocol of the back end.
    supported: str

    def __str__(self) -> str:
        return (
            f'share protocol {self.share_proto}: not supported by this back '
            f'end; use {self.supported}'
        )


@dataclasses.dataclass(eq=False)
class UnknownPool(errors.NotPossible):
    """The back end does not have the pool of a share."""

    #: The host of the share: ``HOST@BACKEND#POOL``.
    share_host: str
    pool_names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'host {self.share_host}: names none of the pools '
            f'{", ".join(self.pool_names)}; check glusterfs_clone_pools'
        )


def require_protocol(share: Data, protocol: protocols.Protocol) -> None:
    """Verify that the back end serves the protocol of a share.

    :raises WrongProtocol: the share has another protocol.
    """
    if share['share_proto'].upper() != protocol.share_proto:
        raise WrongProtocol(share['share_proto'], protocol.share_proto)


def pool(share: Data, settings: options.Settings) -> str:
    """Return the pool (``vg/thinpool``) that Manila chose for a share.

    :raises UnknownPool: the back end does not have this pool.
    """
    share_host = str(share['host'])
    name = share_host.partition('#')[2]
    if name not in settings.pools:
        raise UnknownPool(share_host, settings.pools)
    return name


def layout(share: Data) -> str | None:
    """Return the layout that the share type names; None if it names none."""
    if not share.get('share_type_id'):
        return None
    specs = share_types.get_extra_specs_from_share(share)
    value = specs.get(EXTRA_SPEC_LAYOUT)
    return None if value is None else str(value)


def is_cloned(share: Data) -> bool:
    """Return whether a share was created from a snapshot."""
    return bool(
        share.get('snapshot_id')
        or share.get('source_share_group_snapshot_member_id')
    )


def rule(data: Data) -> protocols.Rule:
    """Return the access rule in one of Manila's dictionaries."""
    return protocols.Rule(
        access_id=data['access_id'],
        access_type=data['access_type'],
        access_to=data['access_to'],
        access_level=data['access_level'],
    )
