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
"""The short form of the functional tests: the whole driver, once."""

from tests.functional import manila_stand_in
from tests.functional import test_clone
from tests import lab as lab_module


def run(lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn) -> None:
    """Create, snapshot, clone, allow, deny, extend and delete."""
    share = manila.create(1)
    wanted = test_clone.fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot, 2)
    clients = lab.clients[:2]
    *kept, denied = clients
    # A clone inherits no access rule of its origin.
    assert not clients[0].can_mount(clone.host, clone.volume)

    manila.allow(clone, *(client.address for client in clients))
    for client in clients:
        client.mount(clone.host, clone.volume, '/mnt/share', clone.options)
        assert client.checksum_tree('/mnt/share') == wanted
    clients[0].succeed('echo clone > /mnt/share/clone; sync -f /mnt/share')
    assert clients[0].checksum_tree('/mnt/origin') == wanted

    clone = manila.extend(clone, 3)
    size, _ = clients[0].df('/mnt/share')
    assert 2.9 * (1 << 30) < size <= 3 << 30

    manila.deny(clone, denied.address)
    denied.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    assert not denied.can_mount(clone.host, clone.volume)
    for client in kept:
        client.succeed('touch /mnt/share/still-connected')

    for client in clients:
        client.succeed('umount -l /mnt/share /mnt/origin 2>/dev/null || true')
    # The origin first: the clone does not need it.
    manila.delete(snapshot, share, clone)
    leaks = lab.leaks(age=manila_stand_in.CONSOLES)
    assert not leaks, '\n'.join(map(str, leaks))
