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
"""A real GlusterFS cluster for tests, made of user-mode Linux guests.

::

    with Lab(release='11.1', nodes=3, clients=2) as lab:
        lab.nodes[0].gluster('volume list')
        lab.node('gl2').crash()
        assert not lab.leaks()

It runs on any Debian host as root, needs no virtualisation, and touches
nothing of the host's network and disks.
"""

from tests.lab.client import Client
from tests.lab.errors import CommandFailed, LabError, Unexpected
from tests.lab.lab import Lab
from tests.lab.leaks import Leak
from tests.lab.machine import Machine, side_by_side
from tests.lab.storage_node import BOOT_SCRIPT, BOOT_UNIT, StorageNode

__all__ = [
    'BOOT_SCRIPT',
    'BOOT_UNIT',
    'Client',
    'CommandFailed',
    'Lab',
    'LabError',
    'Leak',
    'Machine',
    'StorageNode',
    'Unexpected',
    'side_by_side',
]
