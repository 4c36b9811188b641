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
"""A program: a share on two nodes with its one brick not on the writer.

Arguments: the release of GlusterFS, and a directory for files.
"""

import pathlib
import sys
import time

from tests.functional import manila_stand_in
from tests import lab as lab_module

#: Seconds that a denial may take.
BUDGET = 15.0


def main() -> None:
    """Bring a lab of two nodes up; allow, mount, deny and delete."""
    release, directory = sys.argv[1:]
    with lab_module.Lab(release, nodes=2, clients=2) as lab:
        lab.enter()
        conf = manila_stand_in.write_configuration(
            lab, pathlib.Path(directory)
        )
        driver = manila_stand_in.open_driver(conf, manila_stand_in.IP)
        driver.check_for_setup_error()
        manila = manila_stand_in.ManilaStandIn(driver, manila_stand_in.IP)
        writer = lab.node('gl1')
        writer.succeed(
            'lvcreate --yes --type=thin --virtualsize=1g --thinpool=pool '
            '--name=weight gvg && dd if=/dev/zero of=/dev/gvg/weight bs=1M '
            'count=100 oflag=direct && sync'
        )
        share = manila.create(1)
        writer.succeed('lvremove --force --yes gvg/weight')
        assert share.host == 'gl2', share.locations

        kept, revoked = lab.client('c1'), lab.client('c2')
        for client in (kept, revoked):
            manila.allow(share, client.address)
            client.mount(share.host, share.volume, '/mnt/share')
        begun = time.monotonic()
        manila.deny(share, revoked.address)
        revoked.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
        kept.succeed('touch /mnt/share/still-here')
        manila.deny(share, kept.address)
        assert time.monotonic() - begun <= 2 * BUDGET
        kept.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
        for client in (kept, revoked):
            client.succeed('umount -a -l -t fuse.glusterfs || true')
        manila.delete(share)
        found = lab.leaks(age=manila_stand_in.CONSOLES)
        assert not found, '\n'.join(map(str, found))


if __name__ == '__main__':
    main()
