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
"""The back end sections for the cluster of a lab: one per kind of rule."""

from collections.abc import Sequence
from pathlib import Path

#: Access rules are addresses; they are certificates.
IP, CERT = 'ip', 'cert'

BACKENDS = (IP, CERT)

PROTOCOL = 'GLUSTERFS'


def sections(
    addresses: Sequence[str], names: Sequence[str], key: Path, hosts: Path
) -> dict[str, dict[str, object]]:
    """Return the two sections.

    :param addresses: of the storage nodes; *names* are what the nodes are
        called in their certificates.
    :param key: with which the driver logs in to them.
    :param hosts: the known_hosts that has their keys.
    """
    common: dict[str, object] = {
        'driver_handles_share_servers': False,
        'share_driver': (
            'manila_glusterfs_clone.driver.GlusterfsCloneShareDriver'
        ),
        'glusterfs_clone_nodes': ','.join(addresses),
        'glusterfs_clone_ssh_private_key': key,
        'glusterfs_clone_ssh_known_hosts': hosts,
        'glusterfs_clone_pools': 'gvg/pool,tight/pool',
    }
    return {
        IP: {'share_backend_name': IP, **common},
        CERT: {
            'share_backend_name': CERT,
            **common,
            'glusterfs_clone_tls': True,
            'glusterfs_clone_tls_server_names': ','.join(names),
        },
    }
