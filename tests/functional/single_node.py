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
"""A program: create, snapshot, clone and delete on a cluster of one node.

Arguments: the release of GlusterFS, and a directory for files.
"""

import pathlib
import sys

from tests.functional import manila_stand_in
from tests import lab as lab_module


def main() -> None:
    """Bring a lab of one node up and live through it."""
    release, directory = sys.argv[1:]
    with lab_module.Lab(release, nodes=1, clients=1) as lab:
        lab.enter()
        conf = manila_stand_in.write_configuration(
            lab, pathlib.Path(directory)
        )
        driver = manila_stand_in.open_driver(conf, manila_stand_in.IP)
        driver.check_for_setup_error()
        manila = manila_stand_in.ManilaStandIn(driver, manila_stand_in.IP)
        client = lab.client('c1')

        share = manila.create(1)
        assert len(share.locations) == 1
        manila.allow(share, client.address)
        client.mount(share.host, share.volume, '/mnt/share', share.options)
        client.write_tree('/mnt/share', 10, 10, seed=1)
        client.succeed('sync -f /mnt/share')
        wanted = client.checksum_tree('/mnt/share')
        snapshot = manila.snapshot(share)
        client.succeed('rm -r /mnt/share/*')
        clone = manila.clone(snapshot, 2)
        client.umount('/mnt/share')
        manila.delete(snapshot, share)

        lab.nodes[0].crash()
        lab.nodes[0].boot()
        manila.allow(clone, client.address)
        client.mount(clone.host, clone.volume, '/mnt/clone', clone.options)
        assert client.checksum_tree('/mnt/clone') == wanted
        assert client.df('/mnt/clone')[0] > 1.9 * (1 << 30)
        client.umount('/mnt/clone')
        manila.delete(clone)
        found = lab.leaks(age=manila_stand_in.CONSOLES)
        assert not found, '\n'.join(map(str, found))


if __name__ == '__main__':
    main()
