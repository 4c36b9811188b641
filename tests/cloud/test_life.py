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
"""The life of a share and of its clone, as a user and clients see it."""

from typing import Any

import pytest

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends

GIB = 1 << 30

#: The series of Manila that first tells users what a driver says of an
#: export location.
TELLS_OPTIONS = 20


class Project:
    """A user of one kind of share, who mounts what Manila says."""

    def __init__(self, manila: manila_module.Manila, kind: str) -> None:
        self.manila = manila
        self.demo = manila.demo
        self.kind = kind

    def share(self, name: str, size: int, *more: str) -> str:
        made = self.demo(
            *('share', 'create', 'GLUSTERFS', str(size), '--name', name),
            *('--share-type', self.kind, *more, '--wait'),
            timeout=300,
        )
        assert made['status'] == 'available'
        assert made['size'] == size
        return str(made['id'])

    def admit(self, share: str, client: lab_module.Client) -> str:
        """Make a rule, and wait until it holds; give its id."""
        who = client.address if self.kind == backends.IP else client.name
        rule = self.demo(
            *('share', 'access', 'create', share, self.kind, who, '--wait'),
        )
        assert rule['state'] == 'active'
        return str(rule['id'])

    def export(self, share: str) -> dict[str, Any]:
        """The preferred export location."""
        listed = self.demo('share', 'export', 'location', 'list', share)
        assert len(listed) == 3
        (preferred,) = (each for each in listed if each['Preferred'])
        shown: dict[str, Any] = self.demo(
            *('share', 'export', 'location', 'show', share, preferred['ID']),
        )
        return shown

    def mount(self, share: str, client: lab_module.Client, at: str) -> None:
        """Mount as one who knows only what the API says."""
        export = self.export(share)
        host, _, volume = export['path'].partition(':/')
        options = ''
        if self.manila.series >= TELLS_OPTIONS:
            options = export['properties']['mount_options']
            assert 'backup-volfile-servers=' in options
        client.mount(host, volume, at, options)


@pytest.mark.parametrize('kind', backends.BACKENDS)
def test_life(
    lab: lab_module.Lab, manila: manila_module.Manila, kind: str
) -> None:
    project = Project(manila, kind)
    demo = project.demo
    first, second = lab.client('c1'), lab.client('c2')

    origin = project.share('origin', 1)
    project.admit(origin, first)
    project.mount(origin, first, '/mnt/origin')
    first.write_tree('/mnt/origin', 8, 4, seed='a')
    first.succeed('sync -f /mnt/origin')
    before = first.checksum_tree('/mnt/origin')
    snapshot = demo(
        *('share', 'snapshot', 'create', origin, '--name', 's', '--wait'),
        timeout=300,
    )
    assert snapshot['status'] == 'available'
    first.write_tree('/mnt/origin', 8, 4, seed='b')
    first.succeed('sync -f /mnt/origin')

    clone = project.share('clone', 2, '--snapshot-id', snapshot['id'])
    export = project.export(clone)
    host, _, volume = export['path'].partition(':/')
    assert not first.can_mount(host, volume)
    project.admit(clone, second)
    project.mount(clone, second, '/mnt/clone')
    assert second.checksum_tree('/mnt/clone') == before
    assert first.checksum_tree('/mnt/origin') != before

    demo.run('share', 'resize', clone, '3', '--wait', timeout=300)
    assert demo('share', 'show', clone)['size'] == 3
    assert 2.9 * GIB < second.df('/mnt/clone')[0] <= 3 * GIB
    assert manila.other('share', 'list') == []

    first.umount('/mnt/origin')
    demo.run(
        *('share', 'snapshot', 'delete', snapshot['id'], '--wait'), timeout=300
    )
    demo.run('share', 'delete', origin, '--wait', timeout=300)
    assert second.checksum_tree('/mnt/clone') == before
    second.umount('/mnt/clone')
    demo.run('share', 'delete', clone, '--wait', timeout=300)
    assert demo('share', 'list') == []
