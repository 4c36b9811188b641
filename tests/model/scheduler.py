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
"""Manila's own scheduler and share API, in this process.

They use the database and the options of :mod:`tests.model.share_manager`, and
call each other and the share managers directly instead of over the message
bus.
"""

from collections.abc import Callable
import json
from typing import Any
from unittest import mock

from manila.common import constants
from manila.data import helper as data_helper
from manila.data import rpcapi as data_rpcapi
from manila import db
from manila.db.sqlalchemy import api as db_api
from manila import exception
from manila.scheduler import manager as scheduler_manager
from manila.share import api as share_api
from manila.share import migration
from manila.share import rpcapi

from tests.model import share_manager


class Scheduler:
    """The requests of a user that go to the scheduler.

    :param services: the services of manila-share, one a back end.
    """

    def __init__(self, *services: share_manager.Manila) -> None:
        self._services = {each.manager.host: each for each in services}
        #: The hosts that the scheduler chose, ``HOST@BACKEND#POOL``.
        self.chosen_hosts: list[str] = []
        #: The exceptions of the share managers, which only they see.
        self.failures: list[Exception] = []
        self.context = services[0].context
        self.manager = scheduler_manager.SchedulerManager()
        self.manager.driver.share_rpcapi = self
        self._api = share_api.API()
        self._api.scheduler_rpcapi = self.manager
        self._api.share_rpcapi = self
        self.report_stats()

    def report_stats(self) -> None:
        """Let each service report its statistics to the scheduler."""
        for host, service in self._services.items():
            service.manager.publish_service_capabilities(self.context)
            self.manager.update_service_capabilities(
                self.context,
                service_name='share',
                host=host,
                # As the message bus does.
                capabilities=json.loads(
                    json.dumps(service.manager.last_capabilities)
                ),
            )

    def create(self, size: int = 1, snapshot: str | None = None) -> str:
        """Request a share; return its id."""
        (share_type,) = db.share_type_get_all(self.context).values()
        share = self._api.create(
            self.context,
            'GLUSTERFS',
            size,
            None,
            None,
            snapshot_id=snapshot,
            share_type=share_type,
        )
        return str(share['id'])

    def create_share_instance(
        self,
        context: Any,
        instance: Any,
        host: str,
        request_spec: Any,
        filter_properties: Any,
        snapshot_id: str | None = None,
    ) -> None:
        """Send a request to a share manager (manila/share/rpcapi.py)."""
        self.chosen_hosts.append(host)
        service = self._services[host.partition('#')[0]]
        try:
            service.manager.create_share_instance(
                context,
                instance['id'],
                request_spec=request_spec,
                filter_properties=filter_properties,
                snapshot_id=snapshot_id,
            )
        except exception.ManilaException as error:
            self.failures.append(error)

    def delete_share_instance(
        self, context: Any, instance: Any, force: bool, deferred_delete: bool
    ) -> None:
        """Send a request to a share manager (manila/share/rpcapi.py)."""
        service = self._services[instance['host'].partition('#')[0]]
        service.manager.delete_share_instance(
            context,
            instance['id'],
            force=force,
            deferred_delete=deferred_delete,
        )

    def update_access(self, context: Any, instance: Any) -> None:
        """Send a request to a share manager (manila/share/rpcapi.py)."""
        service = self._services[instance['host'].partition('#')[0]]
        service.manager.update_access(context, instance['id'])

    def connection_get_info(self, context: Any, instance: Any) -> Any:
        """Send a request to a share manager (manila/share/rpcapi.py)."""
        service = self._services[instance['host'].partition('#')[0]]
        return service.manager.connection_get_info(context, instance['id'])

    def migrate(
        self, share: str, host: str, copy: Callable[[str, str], None]
    ) -> None:
        """Have an administrator migrate a share to a host, through a copy.

        :param host: ``HOST@BACKEND#POOL``.
        :param copy: copies the data, as manila-data does while it has access
            rules; takes the ids of the source instance and of the destination
            instance.
        :raises exception.ShareMigrationFailed: Manila ended the migration.
        """
        source = db.share_get(self.context, share).instance
        # As manila/share/api.py does. It asks the scheduler whether the host
        # fits the share, which sends the request to the source's service.
        db.share_instance_update(
            self.context,
            source['id'],
            {'status': constants.STATUS_MIGRATING},
        )
        service = self._services[source['host'].partition('#')[0]]
        instances: list[str] = []

        def copy_data(
            context: Any,
            share_id: str,
            ignored_files: Any,
            source_id: str,
            destination_id: str,
            source_info: Any,
            destination_info: Any,
        ) -> None:
            # As manila/data/manager.py does.
            helper = data_helper.DataServiceHelper(
                context, db, db.share_get(context, share_id)
            )
            source, destination = (
                db.share_instance_get(context, each, with_share_data=True)
                for each in (source_id, destination_id)
            )
            rules = helper.allow_access_to_data_service(
                source, source_info, destination, destination_info
            )
            assert rules, (source_info, destination_info)
            try:
                copy(source_id, destination_id)
            finally:
                for instance in (destination, source):
                    helper.deny_access_to_data_service(rules, instance)
            instances.extend((source_id, destination_id))
            state = constants.TASK_STATE_DATA_COPYING_COMPLETED
            db.share_update(context, share_id, {'task_state': state})

        data_service = mock.Mock(migration_start=copy_data)
        with (
            mock.patch.object(migration.share_api, 'API', lambda: self._api),
            mock.patch.object(rpcapi, 'ShareAPI', lambda: self),
            mock.patch.object(data_rpcapi, 'DataAPI', lambda: data_service),
            # All sessions share the one connection of sqlite in memory, so
            # the session of the quotas would roll back the deletion.
            mock.patch.object(db_api, 'QUOTAS'),
        ):
            service.manager.migration_start(
                self.context,
                share,
                host,
                force_host_assisted_migration=True,
                preserve_metadata=False,
                writable=False,
                nondisruptive=False,
                preserve_snapshots=False,
                new_share_type_id=source['share_type_id'],
            )
            service.manager.migration_complete(self.context, *instances)
