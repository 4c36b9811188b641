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
"""Manila's own share manager, in this process.

The real ``ShareManager`` with its database, in sqlite in memory, with an
in-memory message bus, and with the requests of users and administrators. The
content of the database is what a user would see.
"""

from collections.abc import Callable, Mapping
import ipaddress
import pathlib
from typing import Any
from unittest import mock

from manila.common import config as common_config
from manila import context
from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila import exception
from manila import rpc
from manila.share import manager
from oslo_config import cfg

CONF = cfg.CONF
assert common_config  # it registers Manila's options

PROJECT = 'a-project'
#: The address of manila-data.
DATA_NODE = '10.0.0.9'


def _section(backend: str, options: Mapping[str, object]) -> str:
    """Return the section of a back end, with what all of them have."""
    lines = '\n'.join(f'{name} = {value}' for name, value in options.items())
    return f"""[{backend}]
share_backend_name = {backend}
share_driver = manila_glusterfs_clone.driver.GlusterfsCloneShareDriver
driver_handles_share_servers = False
{lines}
"""


def configure(
    directory: pathlib.Path, options: Mapping[str, Mapping[str, object]]
) -> str:
    """Configure Manila, make its database, and in it a share type.

    :param directory: where its files go.
    :param options: by back end: its options, beside those that all have.
    :return: the id of the share type.
    """
    file = directory / 'manila.conf'
    sections = '\n'.join(_section(*item) for item in options.items())
    file.write_text(
        f"""[DEFAULT]
state_path = {directory}
transport_url = fake:/
enabled_share_backends = {','.join(options)}
enabled_share_protocols = GLUSTERFS
host = host
data_node_access_ips = {DATA_NODE}
[database]
connection = sqlite://
[oslo_messaging_notifications]
driver = noop
[oslo_concurrency]
lock_path = {directory}
{sections}
"""
    )
    CONF([], project='manila', default_config_files=[str(file)])
    rpc.init(CONF)
    models.BASE.metadata.create_all(db_api.get_engine())
    made = db.share_type_create(
        context.get_admin_context(),
        {
            'name': 'gluster',
            'is_public': True,
            'extra_specs': {'driver_handles_share_servers': 'False'},
        },
    )
    return str(made['id'])


def forget() -> None:
    """Undo what :func:`configure` did to this process."""
    rpc.cleanup()
    CONF.reset()


def _once(**how: object) -> Callable[[Callable[[], None]], object]:
    """Replace Manila's retry, which would repeat set-up for ever."""
    return lambda set_up: set_up


class Manila:
    """manila-share of one back end, called as through its RPC API.

    :param pool: the pool that shares are scheduled to, ``vg/thinpool``.
    """

    def __init__(self, backend: str, pool: str, share_type: str) -> None:
        self.backend = backend
        self.context = context.get_admin_context()
        self.context.project_id = PROJECT
        self._host = f'host@{backend}#{pool}'
        self._share_type = share_type
        self.manager: Any = None
        #: What waits for a service that does not run; None: nothing waits.
        self.queue: list[Callable[[], object]] | None = None
        db.service_create(
            self.context,
            {
                'host': f'host@{backend}',
                'binary': 'manila-share',
                'topic': 'manila-share',
                'report_count': 0,
                'availability_zone': 'nova',
            },
        )

    def start(self) -> None:
        """Start manila-share, for the first time or again."""
        self.manager = manager.ShareManager(service_name=self.backend)
        self.manager.host = f'host@{self.backend}'
        with mock.patch.object(manager.utils, 'retry', _once):
            self.manager.init_host()

    def stop(self) -> None:
        """Stop the service; from now on requests wait in the queue."""
        self.queue = []

    def deliver(self) -> None:
        """Make the service process its queue, once it is started."""
        queue, self.queue = self.queue or [], None
        for each in queue:
            each()

    def _send(self, verb: str, *words: Any, **more: Any) -> None:
        """Send a request to the service, or put it in the queue."""

        def carry_out() -> None:
            getattr(self.manager, verb)(self.context, *words, **more)

        if self.queue is None:
            carry_out()
        else:
            self.queue.append(carry_out)

    def create(self, size: int = 1, snapshot: str | None = None) -> str:
        """Create a share of so many GiB; return its id."""
        share = db.share_create(
            self.context,
            {
                'size': size,
                'share_proto': 'GLUSTERFS',
                'host': self._host,
                'status': 'creating',
                'project_id': PROJECT,
                'user_id': 'a-user',
                'snapshot_id': snapshot,
                'share_type_id': self._share_type,
            },
        )
        self._send(
            'create_share_instance',
            share.instance['id'],
            request_spec={},
            filter_properties={},
            snapshot_id=snapshot,
        )
        return str(share['id'])

    def snapshot(self, share: str) -> str:
        """Take a snapshot; return its id."""
        found = self.share(share)
        snapshot = db.share_snapshot_create(
            self.context,
            {
                'share_id': share,
                'size': found['size'],
                'share_size': found['size'],
                'share_proto': 'GLUSTERFS',
                'status': 'creating',
                'project_id': PROJECT,
                'user_id': 'a-user',
                'progress': '0%',
            },
        )
        self._send('create_snapshot', share, snapshot['id'])
        return str(snapshot['id'])

    def extend(self, share: str, size: int) -> None:
        db.share_update(self.context, share, {'status': 'extending'})
        self._send('extend_share', share, size, [])

    def allow(self, share: str, kind: str, to: str, level: str = 'rw') -> str:
        """Add an access rule; return its id."""
        rule = db.share_access_create(
            self.context,
            {
                'share_id': share,
                'access_type': kind,
                'access_to': to,
                'access_level': level,
            },
        )
        self._send('update_access', self.instance(share))
        return str(rule['id'])

    def set_level(self, share: str, rule: str, level: str) -> None:
        """Change the level of an access rule."""
        db.share_access_update(self.context, rule, {'access_level': level})
        db.share_instance_access_update(
            self.context,
            rule,
            self.instance(share),
            {'state': 'queued_to_update'},
        )
        self._send('update_access', self.instance(share))

    def cast(self, share: str, is_cast: bool) -> None:
        """Have Manila begin or end to apply all rules as read-only."""
        instance = self.instance(share)
        if is_cast:
            self.manager._cast_access_rules_to_readonly(
                self.context,
                db.share_instance_get(
                    self.context, instance, with_share_data=True
                ),
                None,
            )
        else:
            self.manager._reset_read_only_access_rules(
                self.context, instance, supress_errors=False
            )

    def entitled(self, volume: str, address: str) -> bool:
        """Return whether a rule that stays admits an address to a share."""
        try:
            instance = db.share_instance_get(
                self.context, volume.removeprefix('manila-')
            )
        except exception.NotFound:
            return False
        if instance['status'] == 'deleting':
            return False
        return any(
            mapping['state'] in ('active', 'applying')
            and mapping['access_type'] == 'ip'
            and ipaddress.ip_address(address)
            in ipaddress.ip_network(mapping['access_to'], strict=False)
            for mapping in db.share_access_get_all_for_instance(
                self.context, instance['id']
            )
        )

    def is_reader(self, volume: str, address: str) -> bool:
        """Return whether a rule of a share lets an address read only.

        A rule that is being revoked does so until it is gone.
        """
        try:
            instance = db.share_instance_get(
                self.context, volume.removeprefix('manila-')
            )
        except exception.NotFound:
            return False
        return any(
            mapping['state'] in ('active', 'denying')
            and mapping['access_type'] == 'ip'
            and (
                mapping['access_level'] == 'ro'
                or instance['cast_rules_to_readonly']
            )
            and ipaddress.ip_address(address)
            in ipaddress.ip_network(mapping['access_to'], strict=False)
            for mapping in db.share_access_get_all_for_instance(
                self.context, instance['id']
            )
        )

    def deny(self, share: str, rule: str) -> None:
        for mapping in self._mappings(share):
            if mapping['access_id'] == rule:
                db.share_instance_access_update(
                    self.context,
                    rule,
                    self.instance(share),
                    {'state': 'queued_to_deny'},
                )
        self._send('update_access', self.instance(share))

    def delete(self, share: str) -> None:
        db.share_instance_update(
            self.context, self.instance(share), {'status': 'deleting'}
        )
        self._send('delete_share_instance', self.instance(share), force=False)

    def delete_snapshot(self, snapshot: str) -> None:
        instance = db.share_snapshot_get(self.context, snapshot).instance
        db.share_snapshot_instance_update(
            self.context, instance['id'], {'status': 'deleting'}
        )
        self._send('delete_snapshot', snapshot)

    def share(self, share: str) -> Any:
        return db.share_get(self.context, share)

    def snapshot_status(self, snapshot: str) -> str:
        return str(db.share_snapshot_get(self.context, snapshot)['status'])

    def instance(self, share: str) -> str:
        """Return the instance id of a share, which the driver knows."""
        return str(self.share(share).instance['id'])

    def locations(self, share: str) -> list[Any]:
        """Return the export locations of a share."""
        return list(
            db.export_location_get_all_by_share_id(self.context, share)
        )

    def rules(self, share: str) -> dict[str, str]:
        """Return the states of the access rules of a share."""
        return {m['access_id']: m['state'] for m in self._mappings(share)}

    def _mappings(self, share: str) -> Any:
        return db.share_access_get_all_for_instance(
            self.context, self.instance(share)
        )
