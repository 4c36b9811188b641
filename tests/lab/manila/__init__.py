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
"""A real control plane for a lab: keystone, Manila, and all they need.

::

    with Lab() as lab, Manila(lab) as manila:
        share = manila.demo('share', 'create', 'GLUSTERFS', '1', '--wait')
        manila.service('manila-share').kill()
        manila.service('manila-share').start()
        assert not manila.leaks()

Its services run from packages in environments of their own, on loopback
addresses in the lab's network, with the driver of this checkout. Nothing of
the host's own services is used, and labs are not in each other's way.
"""

from tests.lab.manila.control import Manila
from tests.lab.manila.openstack import OpenStack
from tests.lab.manila.service import Service

__all__ = ['Manila', 'OpenStack', 'Service']
