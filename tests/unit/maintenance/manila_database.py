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
"""Shares, snapshots and access rules in Manila's database.

All are created, changed and deleted with Manila's own functions.
"""

import inspect
from typing import Any

from manila import context
from manila import db
from manila.share import rpcapi

from tests.unit.maintenance.fake_cluster import HOST

PROJECT = 'a-project'

Asked = list[tuple[Any, ...]]
_RealShareAPI = rpcapi.ShareAPI


class Database:
    """What the services and the API of Manila write."""

    def __init__(self) -> None:
        self.context = context.get_admin_context()

    def share(
        self,
        instance_id: str,
        *,
        host: str = f'{HOST}#gvg/pool',
        status: str = 'available',
        size: int = 1,
        **columns: Any,
    ) -> str:
        """Create a share with one instance; return the id of the share."""
        share = db.share_create(
            self.context,
            {
                'size': size,
                'share_proto': 'GLUSTERFS',
                'project_id': PROJECT,
                'user_id': 'a-user',
            },
            create_share_instance=False,
        )
        self.instance(
            instance_id, share['id'], host=host, status=status, **columns
        )
        return str(share['id'])

    def instance(self, instance_id: str, share: str, **columns: Any) -> None:
        """Add an instance to a share, as a migration does."""
        db.share_instance_create(
            self.context, share, {'id': instance_id, **columns}
        )

    def snapshot(
        self,
        instance_id: str,
        share: str,
        share_instance_id: str,
        *,
        status: str = 'available',
    ) -> str:
        """Create a snapshot with one instance; return its id."""
        snapshot = db.share_snapshot_create(
            self.context,
            {
                'share_id': share,
                'size': 1,
                'share_size': 1,
                'share_proto': 'GLUSTERFS',
                'project_id': PROJECT,
                'user_id': 'a-user',
            },
            create_snapshot_instance=False,
        )
        db.share_snapshot_instance_create(
            self.context,
            snapshot['id'],
            {
                'id': instance_id,
                'share_instance_id': share_instance_id,
                'status': status,
            },
        )
        return str(snapshot['id'])

    def rule(
        self,
        share: str,
        access_to: str,
        state: str = 'active',
        access_level: str = 'rw',
    ) -> str:
        """Add an access rule to all instances of a share; return its id."""
        rule = db.share_access_create(
            self.context,
            {
                'share_id': share,
                'access_type': 'ip',
                'access_to': access_to,
                'access_level': access_level,
            },
        )
        for instance in db.share_instance_get_all_by_share(
            self.context, share
        ):
            db.share_instance_access_update(
                self.context, rule['id'], instance['id'], {'state': state}
            )
        return str(rule['id'])

    def set_rule(self, rule: str, instance_id: str, state: str) -> None:
        """Write the state of an access rule of an instance."""
        db.share_instance_access_update(
            self.context, rule, instance_id, {'state': state}
        )

    def rule_states(self, instance_id: str) -> dict[str, str]:
        """Return the state of each access rule, by its address."""
        return {
            rule['access_to']: rule['state']
            for rule in db.share_access_get_all_for_instance(
                self.context, instance_id
            )
        }

    def read_share(self, instance_id: str) -> Any:
        return db.share_instance_get(
            self.context, instance_id, with_share_data=True
        )

    def read_snapshot(self, instance_id: str) -> Any:
        return db.share_snapshot_instance_get(self.context, instance_id)

    def set_status(self, instance_id: str, status: str) -> None:
        db.share_instance_update(self.context, instance_id, {'status': status})

    def set_cast(self, instance_id: str, is_cast: bool) -> None:
        """Have Manila apply all rules of an instance as read-only."""
        db.share_instance_update(
            self.context, instance_id, {'cast_rules_to_readonly': is_cast}
        )

    def delete_share(self, instance_id: str) -> None:
        db.share_instance_delete(self.context, instance_id)

    def delete_snapshot(self, instance_id: str) -> None:
        db.share_snapshot_instance_delete(self.context, instance_id)


class ShareAPI:
    """Records what manila-share is asked for, if Manila has such a request."""

    #: The name and the arguments of each request, without the context.
    asked: Asked = []
    #: Raised by each request, if set.
    trouble: Exception | None = None

    def delete_share_instance(self, *args: Any, **kwargs: Any) -> None:
        self._record('delete_share_instance', *args, **kwargs)

    def delete_snapshot(self, *args: Any, **kwargs: Any) -> None:
        self._record('delete_snapshot', *args, **kwargs)

    def update_access(self, *args: Any, **kwargs: Any) -> None:
        self._record('update_access', *args, **kwargs)

    def _record(self, name: str, *args: Any, **kwargs: Any) -> None:
        real = getattr(_RealShareAPI, name)
        bound = inspect.signature(real).bind(self, *args, **kwargs)
        _, _, *words = bound.arguments.values()
        self.asked.append((name, *words))
        if self.trouble is not None:
            raise self.trouble
