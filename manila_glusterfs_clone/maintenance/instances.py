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

Maintenance handles share instances and snapshot instances in the same way, but
Manila has different functions for them.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
from typing import Any

from manila import context as manila_context
from manila import db
from manila import quota
from manila.share import rpcapi
from oslo_utils import timeutils

from manila_glusterfs_clone.maintenance import manila_db

#: Statuses of instances (manila/common/constants.py).
AVAILABLE = 'available'
CREATING = 'creating'
DELETING = 'deleting'
DEFERRED_DELETING = 'deferred_deleting'
ERROR_DELETING = 'error_deleting'
EXTENDING = 'extending'
EXTENDING_ERROR = 'extending_error'
UNMANAGING = 'unmanage_starting'

#: A request that no service has begun counts as lost after manila-share has
#: been running for this many seconds. Repeat the request: this does no harm if
#: the original request arrives later.
REPEAT_AFTER_SECONDS = 300.0
#: The same for requests that the driver ends instead of repeating them.
END_AFTER_SECONDS = 3600.0

#: For interrupted work that the driver does not repeat, by status: the new
#: status, which allows another attempt, and the log text. Manila reduces the
#: quota usage only when it begins a deferred deletion, not when it retries the
#: deletion.
ERROR_STATUSES = {
    DEFERRED_DELETING: (
        'error_deferred_deleting',
        'a service restart interrupted its deletion; setting its status to '
        'error_deferred_deleting, in which Manila deletes it again',
    ),
    UNMANAGING: (
        'unmanage_error',
        'a service restart interrupted the request to unmanage it; setting '
        'its status to unmanage_error (unmanage it again)',
    ),
}


def lost_after_seconds(status: str) -> float:
    """Return when a request that no service has begun counts as lost.

    :param status: the status of the instance.
    """
    return REPEAT_AFTER_SECONDS if status == DELETING else END_AFTER_SECONDS


@dataclasses.dataclass(frozen=True)
class InstanceApi:
    """Manila's functions for share instances, or for snapshot instances."""

    kind_name: str
    is_share: bool
    #: Reads an instance. Takes a context and the id of the instance.
    read: Callable[[Any, str], Any]
    #: Updates an instance. Takes a context, the id of the instance, and the
    #: new values.
    write: Callable[[Any, str, Mapping[str, Any]], Any]
    #: Asks manila-share to delete an instance. Takes a context and the
    #: instance.
    ask_to_delete: Callable[[Any, Any], None]
    #: Returns whether Manila can delete an instance without the rest of its
    #: share group.
    is_deleted_alone: Callable[[Any], bool]


def shares() -> InstanceApi:
    """Return the functions for share instances."""
    return InstanceApi(
        'Share',
        is_share=True,
        read=lambda context, instance_id: db.share_instance_get(
            context, instance_id, with_share_data=True
        ),
        write=db.share_instance_update,
        # Create the ShareAPI only for a call: a command that only reads has no
        # connection to the message queue.
        ask_to_delete=lambda context, instance: (
            rpcapi.ShareAPI().delete_share_instance(context, instance)
        ),
        is_deleted_alone=lambda instance: True,
    )


def snapshots(service_host: str) -> InstanceApi:
    """Return the functions for snapshot instances.

    :param service_host: the service that deletes the snapshots:
        ``HOST@BACKEND``.
    """
    return InstanceApi(
        'Snapshot',
        is_share=False,
        read=db.share_snapshot_instance_get,
        write=db.share_snapshot_instance_update,
        ask_to_delete=lambda context, instance: (
            rpcapi.ShareAPI().delete_snapshot(
                context, {'id': instance['snapshot_id']}, service_host
            )
        ),
        # Manila deletes the snapshots of a share group together. Their
        # instances have no snapshot id.
        is_deleted_alone=lambda instance: bool(instance['snapshot_id']),
    )


def apis_with_rows(
    service_host: str,
    share_rows: Iterable[manila_db.Row],
    snapshot_rows: Iterable[manila_db.Row],
) -> tuple[tuple[InstanceApi, Iterable[manila_db.Row]], ...]:
    """Return the functions and rows of shares, then those of snapshots."""
    return (shares(), share_rows), (snapshots(service_host), snapshot_rows)


def ask_to_apply_rules(share_id: str, service_host: str) -> None:
    """Ask manila-share to apply and to deny the waiting rules of a share.

    :param share_id: the id of the share instance.
    :param service_host: the service of the share: ``HOST@BACKEND``.
    """
    rpcapi.ShareAPI().update_access(
        manila_context.get_admin_context(),
        {'id': share_id, 'host': service_host},
    )


def queue_rule_update(share_id: str, access_id: str) -> None:
    """Queue an access rule, so that manila-share changes its level."""
    db.share_instance_access_update(
        manila_context.get_admin_context(),
        access_id,
        share_id,
        {'state': 'queued_to_update'},
    )


def set_rules_status(share_id: str, status: str) -> None:
    """Set the ``access_rules_status`` of a share instance.

    If Manila begins to change a rule meanwhile, it sets the status again after
    the change.
    """
    db.share_instance_update(
        manila_context.get_admin_context(),
        share_id,
        {'access_rules_status': status},
    )


def error_command(api: InstanceApi, instance_id: str) -> str:
    """Return an operator's command that sets the status to error."""
    cli_object = 'share' if api.is_share else 'share snapshot'
    return f'openstack {cli_object} instance set --status error {instance_id}'


def describe_waiting(
    api: InstanceApi, row: manila_db.Row, service_host: str
) -> str:
    """Return the log text for an instance whose work no service has begun.

    :param service_host: the service of the instance: ``HOST@BACKEND``.
    """
    minutes = lost_after_seconds(row.status) / 60
    command = error_command(api, row.id)
    return (
        f'{api.kind_name} {row.id}: status {row.status}, but no service works '
        f'on it. The message queue of {service_host} may still have the '
        f'request. If not, the driver repeats or ends the work after '
        f'{minutes:g} minutes; to end it now, run "{command}", and then '
        f'delete it or repeat the request'
    )


def record_end(
    api: InstanceApi,
    instance: Any,
    status: str,
    instance_state: Mapping[str, Any],
) -> None:
    """Write the end of a resumed creation or extension to the database.

    :param status: the status in Manila's database.
    :param instance_state: the result of a method of
        :class:`~manila_glusterfs_clone.operations.status_after_interruption.Statuses`.
    """
    context = manila_context.get_admin_context()
    if 'export_locations' in instance_state:
        db.export_locations_update(
            context, instance['id'], instance_state['export_locations']
        )
    if 'size' in instance_state:
        db.share_update(
            context, instance['share_id'], {'size': instance_state['size']}
        )
        # The quota reservation of the lost request expires unused. So make
        # Manila count the usage again.
        context.project_id = instance['project_id']
        context.user_id = instance['user_id']
        quota.QUOTAS.usage_reset(context, ['gigabytes'])
    values = {'status': instance_state['status']}
    if status == CREATING and instance_state['status'] == AVAILABLE:
        values['progress'] = '100%'
        if api.is_share:
            values['launched_at'] = timeutils.utcnow()
    api.write(manila_context.get_admin_context(), instance['id'], values)


def describe_end(status: str, instance_state: Mapping[str, Any]) -> str:
    """Return the log text for a resumed creation or extension.

    :param status: the status in Manila's database.
    :param instance_state: the result of a method of
        :class:`~manila_glusterfs_clone.operations.status_after_interruption.Statuses`.
    """
    is_available = instance_state['status'] == AVAILABLE
    if status == CREATING:
        if is_available:
            return (
                'a service restart interrupted its creation, but it is '
                'complete on the cluster; setting its status to available'
            )
        return (
            'a service restart interrupted its creation; setting its status '
            'to error (delete it and create it again)'
        )
    cause = (
        'its extension failed'
        if status == EXTENDING_ERROR
        else 'a service restart interrupted its extension'
    )
    if is_available:
        return (
            f'{cause}; its size is {instance_state["size"]} GiB now; setting '
            f'its status to available'
        )
    return (
        f'{cause}, and the cluster has no volume of this share; setting its '
        f'status to error (look for the volume with "gluster volume info")'
    )
