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
"""A share and its clone from creation to deletion, for users and clients."""

import pytest

from tests.cloud.project import Project
from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends

GIB = 1 << 30


@pytest.mark.parametrize('kind', backends.BACKENDS)
def test_life(
    lab: lab_module.Lab, manila: manila_module.Manila, kind: str
) -> None:
    project = Project(manila, kind)
    demo = project.demo
    first, second = lab.client('c1'), lab.client('c2')

    origin = project.share('origin', 1)
    rule = project.admit(origin, first)
    project.mount(origin, first, '/mnt/origin')
    first.write_tree('/mnt/origin', 8, 4, seed='a')
    first.succeed('sync -f /mnt/origin')
    before = first.checksum_tree('/mnt/origin')
    snapshot = project.snapshot(origin)
    first.write_tree('/mnt/origin', 8, 4, seed='b')
    first.succeed('sync -f /mnt/origin')

    clone = project.share('clone', 2, '--snapshot-id', snapshot)
    assert not first.can_mount(*project.place(clone))
    project.admit(clone, second)
    project.mount(clone, second, '/mnt/clone')
    assert second.checksum_tree('/mnt/clone') == before
    assert first.checksum_tree('/mnt/origin') != before
    # Nor does the client of the clone get into the origin.
    assert not second.can_mount(*project.place(origin))

    demo.run('share', 'resize', clone, '3', '--wait', timeout=300)
    assert demo('share', 'show', clone)['size'] == 3
    assert 2.9 * GIB < second.df('/mnt/clone')[0] <= 3 * GIB
    assert manila.other('share', 'list') == []

    project.revoke(origin, rule)
    first.wait_until_succeeds(
        '! findmnt -n -t fuse.glusterfs /mnt/origin || ! ls /mnt/origin',
        timeout=30,
    )
    assert not first.can_mount(*project.place(origin))
    project.delete_snapshot(snapshot)
    project.delete(origin)
    assert second.checksum_tree('/mnt/clone') == before
    second.umount('/mnt/clone')
    project.delete(clone)
    assert demo('share', 'list') == []
