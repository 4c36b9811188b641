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
"""One scenario on a real cluster: a short test of the whole driver.

``tools/test quick`` runs it alone, by its mark.
"""

import pytest

from tests.functional import manila_stand_in
from tests.functional import test_clone
from tests import lab as lab_module


@pytest.mark.scenario
def test_create_clone_allow_deny_and_delete(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    wanted = test_clone.fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot, 2)
    one, two = lab.client('c1'), lab.client('c2')
    # A clone inherits no access rule of its origin.
    assert not one.can_mount(clone.host, clone.volume)

    manila.allow(clone, one.address, two.address)
    for client in (one, two):
        client.mount(clone.host, clone.volume, '/mnt/share', clone.options)
        assert client.checksum_tree('/mnt/share') == wanted
    one.succeed('echo clone > /mnt/share/clone; sync -f /mnt/share')
    assert one.checksum_tree('/mnt/origin') == wanted

    manila.deny(clone, two.address)
    two.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    assert not two.can_mount(clone.host, clone.volume)
    one.succeed('touch /mnt/share/still-connected')

    for client, path in (
        (one, '/mnt/share'),
        (one, '/mnt/origin'),
        (two, '/mnt/share'),
    ):
        client.succeed(f'umount -l {path} || true')
    # The origin first: the clone does not need it.
    manila.delete(snapshot, share, clone)
    leaks = lab.leaks(age=manila_stand_in.CONSOLES)
    assert not leaks, '\n'.join(map(str, leaks))
