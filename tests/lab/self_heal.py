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
"""Self-heal daemons that glusterd has lost sight of."""

from tests import lab as lab_module


def end_stray(lab: lab_module.Lab) -> None:
    """End self-heal daemons that serve no volume.

    After a node or the network was down, glusterd may leave its self-heal
    daemon running when the last volume is deleted. A restart of glusterd ends
    it.
    """
    for node in lab.nodes:
        if node.execute('pgrep -f "[g]lusterfs.*shd/manila-"').status == 0:
            assert not node.gluster('volume list').strip()
            node.stop_glusterd()
            node.start_glusterd()
    lab.wait_connected(120)
