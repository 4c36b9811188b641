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
"""What unstack.sh and clean.sh undo, and what they leave alone."""

from collections.abc import Iterator
from pathlib import Path
import subprocess

import pytest

from manila_glusterfs_clone import node
from tests.devstack import devstack_host
from tests.devstack import sources

SHARE = 'manila-11111111-2222-3333-4444-555555555555'
#: Of another Manila: it is not on the plugin's volume group.
OTHER_SHARE = 'manila-11111111-2222-3333-4444-777777777777'
SNAPSHOT = 'manila-snap-11111111-2222-3333-4444-666666666666'


def test_stack_again_and_clean_twice(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    bare = host.files()
    host.stack()
    key = (host.root / 'etc/manila/glusterfs_clone_key').read_text()
    made = host.cluster_calls()
    first = host.manila_conf.read_text()
    host.stack()
    assert host.cluster_calls() == made
    assert (host.root / 'etc/manila/glusterfs_clone_key').read_text() == key
    assert host.manila_conf.read_text() == first

    def make_share() -> None:
        host.write('volumes', SHARE, OTHER_SHARE)
        host.write('snapshots', SNAPSHOT)
        dm = '/dev/mapper/glusterclone-manila--1'
        host.write('lvs', 'glusterclone/pool', dm)
        host.write('mounts', f'{dm} /srv/manila-glusterfs-clone/{SHARE}')
        mount = host.root / f'srv/manila-glusterfs-clone/{SHARE}'
        mount.mkdir(parents=True, exist_ok=True)

    make_share()
    host.succeed('unstack')
    assert host.read('volumes') == [OTHER_SHARE]
    assert host.read('snapshots') == host.read('mounts') == []
    assert host.read('vgs') == ['glusterclone']
    assert host.read('lvs') == ['glusterclone/pool']
    assert 'glusterd' not in host.read('active')
    assert host.read('users') == ['manila']
    host.succeed('unstack')

    host.stack()
    assert host.cluster_calls() == made
    make_share()
    for _ in range(2):
        host.succeed('clean')
        assert not (host.state / 'loop').exists()
        for name in ('vgs', 'lvs', 'mounts', 'users'):
            assert host.read(name) == [], name
        assert node.UNIT not in host.read('enabled')
        assert host.read('volumes') == [OTHER_SHARE]
        assert 'glusterd' not in host.read('active')
        # Manila's plugin leaves a link to its client.
        left = host.files() - bare - {'usr/local/bin/manila'}
        assert not [
            path
            for path in left
            if 'gluster' in path or 'manila' in path.split('/')
        ]
        assert not host.data.exists()


def test_clean_without_stack(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    host.write('users', 'manila')
    host.write('active', 'glusterd')
    host.succeed('clean')
    assert host.read('users') == ['manila']
    assert 'glusterd' in host.read('active')
    assert not host.commands('userdel')


def test_what_was_there_before_stays(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    host.write('users', 'manila')
    host.write('active', 'glusterd')
    keys = host.root / 'home/manila/.ssh/authorized_keys'
    keys.parent.mkdir(parents=True)
    host.configure(
        f'GLUSTERFS_CLONE_SSH_PRIVATE_KEY={host.root}/home/key',
        f'GLUSTERFS_CLONE_SSH_KNOWN_HOSTS={host.root}/home/known_hosts',
    )
    somebody = 'ssh-ed25519 AAAA somebody\n'
    keys.write_text(somebody)
    hosts = host.root / 'home/known_hosts'
    hosts.write_text('another ssh-ed25519 AAAA\n')
    key = host.root / 'home/key'
    subprocess.run(
        ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(key)],
        check=True,
    )
    host.stack()
    public_key = key.with_suffix('.pub').read_text()
    assert keys.read_text() == f'{somebody}\n{public_key}'
    host.succeed('clean')
    assert host.read('users') == ['manila']
    assert 'glusterd' in host.read('active')
    assert keys.read_text() == somebody
    assert hosts.read_text() == 'another ssh-ed25519 AAAA\n'
    assert key.with_suffix('.pub').read_text() == public_key


def test_local_conf_changes_before_clean(box: Path, devstack: str) -> None:
    """clean.sh undoes what stack.sh did, not what local.conf has since."""
    host = devstack_host.DevstackHost(box, devstack)
    bare = host.files()
    host.stack()
    host.write('users', 'manila', 'somebody')
    host.configure(
        'GLUSTERFS_CLONE_SSH_USER=somebody',
        'GLUSTERFS_CLONE_VG=other',
        'GLUSTERFS_CLONE_BRICK_ROOT=/srv/other',
    )
    host.succeed('clean')
    assert host.read('users') == ['somebody']
    assert host.read('vgs') == []
    assert not {path for path in host.files() - bare if 'gluster' in path}


def test_clean_refuses_a_volume_group_in_use(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    host.stack()
    (host.state / 'in-use').touch()
    with pytest.raises(AssertionError, match='glusterclone is in use'):
        host.succeed('clean')
    assert (host.state / 'loop').exists()
    (host.state / 'in-use').unlink()
    (host.state / 'refused').unlink()
    host.succeed('clean')
    assert not (host.state / 'loop').exists()


def test_the_plugin_removes_what_the_installer_installs() -> None:
    script = (sources.CHECKOUT / 'devstack/plugin.sh').read_text()
    values = dict(variables(script))
    library, _, name = node.SCRIPT_PATH.rpartition('/')
    assert name
    assert values['GLUSTERFS_CLONE_LIBRARY'] == library
    assert values['GLUSTERFS_CLONE_UNIT'] == node.UNIT
    assert node.UNIT_PATH == f'/etc/systemd/system/{node.UNIT}'
    drop_in = values['GLUSTERFS_CLONE_DROP_IN']
    assert node.DROP_IN_PATH == f'{drop_in}/manila-glusterfs-clone.conf'
    assert values['GLUSTERFS_CLONE_SUDOERS'] == node.SUDOERS_PATH
    assert node.RUNNER_PATH.rpartition('/')[0] == library
    etc = node.SETTINGS_PATH.rpartition('/')[0]
    assert values['GLUSTERFS_CLONE_ETC'] == etc


def variables(script: str) -> Iterator[tuple[str, str]]:
    """Return what a script assigns at its top level."""
    for line in script.splitlines():
        name, equals, value = line.partition('=')
        if equals and name.isidentifier():
            yield name, value
