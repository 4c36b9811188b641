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
"""The leak check finds planted leaks."""

from collections.abc import Callable
import contextlib
import time
import uuid

import pytest

from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options
from manila_glusterfs_clone.ssh import commands
from tests.functional import manila_stand_in
from tests import lab as lab_module

pytestmark = pytest.mark.any_release

NOBODYS = str(uuid.uuid4())

#: What is planted on gl2, by its kind, with what takes it away again.
PLANTS = {
    'lv': (
        'lvcreate -qq -y -V 1g -T gvg/pool -n stray',
        'lvremove -qq -f -y gvg/stray',
    ),
    'tag': (
        f'lvchange -qq --addtag manila.share={NOBODYS} gvg/pool',
        f'lvchange -qq --deltag manila.share={NOBODYS} gvg/pool',
    ),
    'mount': (
        'mkdir /srv/stray && mount --bind /srv /srv/stray',
        'umount /srv/stray && rmdir /srv/stray',
    ),
    'directory': (
        f'mkdir -p /srv/manila-glusterfs-clone/manila-{NOBODYS}',
        f'rmdir /srv/manila-glusterfs-clone/manila-{NOBODYS}',
    ),
    'file': ('echo >/tmp/stray', 'rm /tmp/stray'),
    'process': (
        'setsid -f sudo -u manila sleep 1000 </dev/null >/dev/null 2>&1',
        'pkill -x sleep -u manila',
    ),
    'unit': (
        'systemd-run -q --unit manila-stray /bin/false; sleep 1',
        'systemctl reset-failed manila-stray',
    ),
}


@pytest.mark.any_release('10.3')
@pytest.mark.parametrize('kind', PLANTS)
def test_planted_leak_is_found(lab: lab_module.Lab, kind: str) -> None:
    node = lab.node('gl2')
    plant, uproot = PLANTS[kind]
    node.succeed(plant)
    try:
        found = lab.leaks(settle=0, age=0)
    finally:
        node.succeed(uproot)
    kinds = {
        (leak.node, leak.kind)
        for leak in found
        if not leak.detail.startswith('gluster --mode')
    }
    assert ('gl2', kind) in kinds, found


@pytest.mark.any_release('10.3')
def test_what_lives_is_no_leak_and_what_is_forgotten_is(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """A share and a snapshot whose owner forgot them, and an active one."""
    share = manila.create(1)
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot)
    age = manila_stand_in.CONSOLES
    shares, snapshots = {share.id, clone.id}, {snapshot.id}
    assert lab.leaks(shares, snapshots, age=age) == []

    def kinds(forgotten: str) -> set[str]:
        return {
            leak.kind
            for leak in lab.leaks(
                shares - {forgotten},
                snapshots - {forgotten},
                settle=0,
                age=age,
            )
        }

    # Each with all that belongs to it.
    assert {'volume', 'lv', 'tag', 'mount', 'process'} <= kinds(clone.id)
    assert {'volume', 'lv', 'tag', 'mount', 'directory'} <= kinds(share.id)
    assert {'snapshot', 'lv', 'tag'} <= kinds(snapshot.id)

    node = lab.node('gl1')
    name = f'manila-snap-{snapshot.id}'
    node.gluster(f'snapshot activate {name}')
    try:
        found = lab.leaks(shares, snapshots, settle=0, age=age)
        assert {leak.kind for leak in found} >= {'activated'}
    finally:
        node.gluster(f'snapshot deactivate {name}')


@pytest.mark.any_release('10.3')
def test_storage_faults_are_felt(lab: lab_module.Lab) -> None:
    """Each kind of sick disk, and a cut, is what it is called."""
    node = lab.node('gl3')
    write = (
        'lvcreate -qq -y -V 1g -T gvg/pool -n probe >/dev/null; '
        'dd if=/dev/zero of=/dev/gvg/probe bs=64k count=1 oflag=direct'
    )
    with contextlib.ExitStack() as after:
        after.callback(node.succeed, 'lvremove -qq -f -y gvg/probe || true')
        node.succeed(write)
        took = _seconds(lambda: node.succeed(write.partition('; ')[2]))
        node.slow_disk(2000)
        after.callback(node.heal_disk)
        slow = _seconds(lambda: node.succeed(write.partition('; ')[2]))
        assert took < 2 <= slow
        node.heal_disk()
    read = 'dd if=/dev/mapper/labdisk of=/dev/null bs=4k count=1 iflag=direct'
    for sicken in (node.fail_disk, lambda: node.flaky_disk(0, 60)):
        node.succeed(read)
        sicken()
        try:
            node.fail(read)
        finally:
            node.heal_disk()
        node.succeed(read)
    reach = 'timeout 5 bash -c "</dev/tcp/{}/24007"'
    other, third = lab.node('gl1'), lab.node('gl2')
    node.succeed(reach.format(other.name))
    node.cut(other)
    try:
        node.fail(reach.format(other.name))
        other.fail(reach.format(node.name))
        node.succeed(reach.format(third.name))
    finally:
        node.heal(other)
    lab.wait_connected(120)


@pytest.mark.any_release('10.3')
def test_installer_makes_a_node_ready(lab: lab_module.Lab) -> None:
    """The script that operators run, for a user of another name."""
    node = lab.node('gl3')
    public_key = lab.manila_key.with_suffix('.pub').read_text().strip()
    script = node_files.installer(
        'stack',
        public_key,
        archive.build(archive.sources()),
        node_files.settings([options.DEFAULT_BRICK_ROOT], ['gvg', 'tight']),
    )
    stack = commands.Remote(
        commands.Address(node.address, 22, 'stack'),
        commands.Credentials(str(lab.manila_key), str(lab.known_hosts)),
    )
    try:
        for _ in range(2):
            node.succeed('sh -s', stdin=script.encode())
        node.succeed(f'systemctl is-enabled {node_files.UNIT}')
        lvs = commands.Step('list_lvs', {'names': []})
        assert 'pool' in stack.run(lvs).stdout
        for command in ('id', f'{node_files.RUNNER_PATH} x', 'lvs'):
            done = node.execute(f'su - stack -c "sudo -n {command}"')
            assert done.status
            assert 'password' in done.err
    finally:
        stack.close()
        node.install_runner()
        node.succeed('pkill -u stack || :; sleep 1; userdel -r stack')
    assert lab.leaks(age=manila_stand_in.CONSOLES) == []


def _seconds(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun
