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
"""Manila's functions for share and snapshot instances, behind one interface.

Maintenance handles shares and snapshots alike, but Manila has different
functions for them.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import Any

from manila import db
from manila.share import rpcapi

from manila_glusterfs_clone.maintenance import manila_db


@dataclasses.dataclass(frozen=True)
class Kind:
    """The functions that read, write and delete shares or snapshots."""

    name: str
    is_share: bool
    #: Takes a context and the id of an instance.
    read: Callable[[Any, str], Any]
    #: Takes a context, the id of an instance, and the new values.
    write: Callable[[Any, str, Mapping[str, Any]], Any]
    #: Sends a request to manila-share. Takes a context and an instance.
    ask_to_delete: Callable[[Any, Any], None]
    #: Whether Manila can be asked to delete an instance by itself.
    is_deleted_alone: Callable[[Any], bool]


def shares() -> Kind:
    """Return the kind of the shares."""
    return Kind(
        'Share',
        is_share=True,
        read=lambda context, instance_id: db.share_instance_get(
            context, instance_id, with_share_data=True
        ),
        write=db.share_instance_update,
        ask_to_delete=rpcapi.ShareAPI().delete_share_instance,
        is_deleted_alone=lambda instance: True,
    )


def snapshots(host: str) -> Kind:
    """Return the kind of the snapshots.

    :param host: the service that deletes them: ``HOST@BACKEND``.
    """
    return Kind(
        'Snapshot',
        is_share=False,
        read=db.share_snapshot_instance_get,
        write=db.share_snapshot_instance_update,
        ask_to_delete=lambda context, instance: (
            rpcapi.ShareAPI().delete_snapshot(
                context, {'id': instance['snapshot_id']}, host
            )
        ),
        # The snapshots of a share group are deleted together.
        is_deleted_alone=lambda instance: bool(instance['snapshot_id']),
    )


def by_kind(
    host: str,
    share_rows: Iterable[manila_db.Row],
    snapshot_rows: Iterable[manila_db.Row],
) -> tuple[tuple[Kind, Iterable[manila_db.Row]], ...]:
    """Return the rows of shares and of snapshots, each with their kind."""
    return (shares(), share_rows), (snapshots(host), snapshot_rows)
