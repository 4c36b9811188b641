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
"""Manila's own GlusterFS driver, as far as it clones snapshots.

It sets the option ``nfs.export-volumes``, which GlusterFS 10 and later do not
have. This one call is left out; without that, no clone would succeed.
"""

from typing import Any

from manila.common import config
from manila.share import configuration
from manila.share import driver as share_driver
from manila.share.drivers.glusterfs import common
from manila.share.drivers.glusterfs import glusterfs_native
from manila.share.drivers.glusterfs import layout
from manila.share.drivers.glusterfs import layout_volume

from tests.functional.manila_stand_in import Snapshot
from tests import lab as lab_module

_GROUP = 'in_tree'
_LAYOUT = 'layout_volume.GlusterfsVolumeMappedLayout'
_GONE = 'nfs.export-volumes'


class _PrivateStorage:
    """The private storage of one process."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, str]] = {}

    def get(self, share_id: str, key: str) -> str | None:
        return self._values.get(share_id, {}).get(key)

    def update(self, share_id: str, values: dict[str, str]) -> None:
        self._values.setdefault(share_id, {}).update(values)


class _Manager(common.GlusterManager):  # type: ignore[misc]
    def set_vol_option(
        self, option: str, value: Any, ignore_failure: bool = False
    ) -> None:
        if option != _GONE:
            super().set_vol_option(option, value, ignore_failure)


class InTreeDriver:
    """Clones snapshots of volumes that have the option auth.ssl-allow."""

    def __init__(self, lab: lab_module.Lab) -> None:
        self._server = f'root@{lab.nodes[0].address}'
        values: dict[str, Any] = {
            'driver_handles_share_servers': False,
            'glusterfs_share_layout': _LAYOUT,
            'glusterfs_path_to_private_key': str(lab.root_key),
            'glusterfs_volume_pattern': 'manila-.*',
        }
        settings = configuration.Configuration(
            share_driver.share_opts, config_group=_GROUP
        )
        settings.append_config_values(layout.glusterfs_share_layout_opts)
        settings.append_config_values(common.glusterfs_common_opts)
        settings.append_config_values(
            layout_volume.glusterfs_volume_mapped_opts
        )
        for option, value in values.items():
            config.CONF.set_override(option, value, group=_GROUP)
        self._storage = _PrivateStorage()
        common.GlusterManager = _Manager
        self._driver = glusterfs_native.GlusterfsNativeShareDriver(
            private_storage=self._storage, configuration=settings
        )
        self._driver.layout.glusterfs_versions = {
            self._server: lab.release.split('.')
        }

    def clone(self, volume_id: str, snapshot: Snapshot) -> None:
        """Clone a snapshot into the volume ``manila-<volume_id>``."""
        origin = snapshot.share
        self._storage.update(
            origin.id, {'volume': f'{self._server}:/{origin.volume}'}
        )
        self._driver.create_share_from_snapshot(
            None,
            {'id': volume_id, 'share_proto': 'GLUSTERFS'},
            {
                'id': snapshot.id,
                'share_id': origin.id,
                'share_instance': {'id': origin.id},
            },
        )
