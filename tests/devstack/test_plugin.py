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
"""All phases of the DevStack plugin, beside Manila's own plugin."""

from collections.abc import Iterator
import os
from pathlib import Path
import subprocess
from typing import Any

from manila.share import driver as share_driver
from oslo_config import cfg
import pytest

from manila_glusterfs_clone import driver
from manila_glusterfs_clone import node
from manila_glusterfs_clone import options
from tests.devstack import devstack_host
from tests.devstack import sources
from tests.tempest import configuration

BACKEND = 'glusterclone'
SHARE = 'manila-11111111-2222-3333-4444-555555555555'
#: Of another Manila: it is not on the plugin's volume group.
OTHER_SHARE = 'manila-11111111-2222-3333-4444-777777777777'
SNAPSHOT = 'manila-snap-11111111-2222-3333-4444-666666666666'

DEVSTACKS = ['stand_in']
if os.environ.get(sources.DEVSTACK):
    DEVSTACKS.append('devstack')


@pytest.fixture(scope='module', params=DEVSTACKS)
def devstack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope='module')
def stacked(
    devstack: str, tmp_path_factory: pytest.TempPathFactory
) -> devstack_host.DevstackHost:
    """Return a host after stack.sh; tests do not change it."""
    host = devstack_host.DevstackHost(
        tmp_path_factory.mktemp('box') / 'box', devstack
    )
    host.stack()
    return host


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / 'box'


def section(host: devstack_host.DevstackHost, name: str) -> Any:
    """Return a section of manila.conf, as manila-share reads it."""
    conf = cfg.ConfigOpts()
    conf.register_opts(options.OPTS, group=name)
    conf.register_opts(share_driver.share_opts, group=name)
    conf(['--config-file', str(host.manila_conf)], project='manila')
    return conf[name]


def words(host: devstack_host.DevstackHost, name: str) -> dict[str, str]:
    """Return a section of manila.conf as text."""
    found: dict[str, str] = {}
    inside = False
    for line in host.manila_conf.read_text().splitlines():
        if line.startswith('['):
            inside = line == f'[{name}]'
        elif inside and '=' in line:
            option, _, value = line.partition('=')
            found[option.strip()] = value.strip()
    return found


def test_the_section_of_the_back_end(
    stacked: devstack_host.DevstackHost,
) -> None:
    written = words(stacked, BACKEND)
    ours = {name for name in written if name.startswith('glusterfs_clone_')}
    assert ours <= {option.name for option in options.OPTS}
    assert set(written) - ours == {
        'backend_availability_zone',
        'driver_handles_share_servers',
        'share_backend_name',
        'share_driver',
    }
    settings = options.read(
        section(stacked, BACKEND), written['share_backend_name']
    )
    assert not list(options.find_mistakes(settings))
    assert settings.nodes == (devstack_host.ADDRESS,)
    assert settings.pools == ('glusterclone/pool',)
    assert section(stacked, BACKEND).driver_handles_share_servers is False
    assert written['share_driver'] == (
        f'{driver.__name__}.{driver.GlusterfsCloneShareDriver.__name__}'
    )


def test_the_rest_of_manila_conf(
    stacked: devstack_host.DevstackHost,
) -> None:
    default = words(stacked, 'DEFAULT')
    assert default['enabled_share_backends'] == BACKEND
    assert default['enabled_share_protocols'] == 'GLUSTERFS'
    assert words(stacked, 'oslo_concurrency')['lock_path']


def test_the_default_share_type(stacked: devstack_host.DevstackHost) -> None:
    assert any(
        line.endswith(
            'share type create default False --extra-specs '
            'snapshot_support=True create_share_from_snapshot_support=True'
        )
        for line in stacked.read('types')
    ), stacked.read('types')


def test_key_and_host_keys(stacked: devstack_host.DevstackHost) -> None:
    settings = section(stacked, BACKEND)
    key = Path(settings.glusterfs_clone_ssh_private_key)
    assert 'PRIVATE KEY' in key.read_text()
    assert key.stat().st_mode & 0o077 == 0
    hosts = Path(settings.glusterfs_clone_ssh_known_hosts).read_text()
    assert hosts.split()[0] == devstack_host.ADDRESS
    authorized = stacked.root / 'home/manila/.ssh/authorized_keys'
    assert Path(f'{key}.pub').read_text().strip() in authorized.read_text()


def test_the_node_installer(stacked: devstack_host.DevstackHost) -> None:
    assert stacked.read('users') == ['manila']
    assert node.UNIT in stacked.read('enabled')
    assert stacked.read('active')[0] == 'glusterd'
    for path in (
        node.SCRIPT_PATH,
        node.UNIT_PATH,
        node.DROP_IN_PATH,
        node.SUDOERS_PATH,
    ):
        assert (stacked.root / path[1:]).is_file()


def test_the_thin_pool_zeroes(stacked: devstack_host.DevstackHost) -> None:
    (command,) = stacked.commands('lvcreate')
    assert '--zero y --thinpool pool glusterclone' in command
    assert stacked.read('vgs') == ['glusterclone']


def test_the_driver_is_installed_beside_manila(
    stacked: devstack_host.DevstackHost,
) -> None:
    by_name: dict[str, set[str]] = {}
    for line in stacked.read('journal'):
        command, editable, path = line.partition(' -e ')
        if editable and 'install' in command:
            by_name.setdefault(Path(path).name, set()).add(command)
    assert by_name['manila'] == by_name[devstack_host.PLUGIN]


def test_the_packages(stacked: devstack_host.DevstackHost) -> None:
    installed = ' '.join(stacked.commands('apt-get')).split()
    assert {
        'glusterfs-server',
        'lvm2',
        'thin-provisioning-tools',
        'xfsprogs',
    } <= set(installed)


def test_tempest_is_told_what_the_driver_can_do(
    stacked: devstack_host.DevstackHost,
) -> None:
    """The lab's own configuration asks the driver what it can do."""
    can = {
        'storage_protocol': 'GLUSTERFS',
        'snapshot_support': True,
        'create_share_from_snapshot_support': True,
        'thin_provisioning': True,
        'sg_consistent_snapshot_support': None,
        'revert_to_snapshot_support': False,
        'mount_snapshot_support': False,
        'replication_type': None,
    }
    (addresses,) = [p for p in configuration.PASSES if p.name == 'ip']
    lab = configuration.settings(can, addresses, Path('/'))['share']
    written = stacked.tempest()
    for option, value in lab.items():
        if option not in (
            'backend_names',
            'build_interval',
            'build_timeout',
            'default_share_type_name',
            'region',
        ):
            assert written.get(option, '') == str(value), option
    assert written['backend_names'] == BACKEND.upper()
    assert written['default_share_type_name'] == 'default'


def cluster_calls(host: devstack_host.DevstackHost) -> list[str]:
    return [
        line
        for name in ('losetup', 'vgcreate', 'lvcreate', 'useradd')
        for line in host.commands(name)
        if not line.startswith('-j')
    ]


def test_stack_again_and_clean_twice(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    bare = host.files()
    host.stack()
    key = (host.root / 'etc/manila/glusterfs_clone_key').read_text()
    made = cluster_calls(host)
    first = host.manila_conf.read_text()
    host.stack()
    assert cluster_calls(host) == made
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
    assert cluster_calls(host) == made
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


def test_a_host_without_manila_share(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    host.configure('disable_service m-shr')
    host.stack()
    assert not cluster_calls(host)
    assert 'glusterfs-server' not in ' '.join(host.commands('apt-get'))
    host.succeed('clean')


def test_a_cluster_that_is_there(box: Path, devstack: str) -> None:
    key = box.parent / 'key'
    key.write_text('a key')
    host = devstack_host.DevstackHost(
        *(box, devstack, 'GLUSTERFS_CLONE_LOCAL=False'),
        'GLUSTERFS_CLONE_NODES=gl1,gl2,gl3',
        f'GLUSTERFS_CLONE_SSH_PRIVATE_KEY={key}',
        'GLUSTERFS_CLONE_SSH_PORT=2222',
        'GLUSTERFS_CLONE_POOLS=gvg/pool,gvg/other',
        'MANILA_ENABLED_BACKENDS=one,two',
        'MANILA_OPTGROUP_two_glusterfs_clone_layout=single',
        'MANILA_OPTGROUP_two_glusterfs_clone_pools=tight/pool',
    )
    host.write('backends', 'one', 'two')
    host.stack()
    for backend, pools, layout in (
        ('one', ['gvg/pool', 'gvg/other'], 'auto'),
        ('two', ['tight/pool'], 'single'),
    ):
        read = section(host, backend)
        assert not list(
            options.find_mistakes(options.read(read, backend.upper()))
        )
        assert read.glusterfs_clone_nodes == ['gl1', 'gl2', 'gl3']
        assert read.glusterfs_clone_ssh_port == 2222
        assert read.glusterfs_clone_pools == pools
        assert read.glusterfs_clone_layout == layout
    assert host.tempest()['multi_backend'] == 'True'
    assert not cluster_calls(host)
    assert not host.commands('gluster')
    assert 'glusterfs-server' not in ' '.join(host.commands('apt-get'))
    host.succeed('clean')
    assert key.read_text() == 'a key'
    assert not host.commands('gluster')


REFUSALS: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ('post-config', ('GLUSTERFS_CLONE_LOCAL=False',), {}),
    (
        'post-config',
        (
            'GLUSTERFS_CLONE_LOCAL=False',
            'GLUSTERFS_CLONE_NODES=gl1',
            'GLUSTERFS_CLONE_SSH_PRIVATE_KEY=/nowhere',
        ),
        {},
    ),
    ('post-config', (), {'vgs-on-other-disks': BACKEND}),
    ('post-config', (), {'peers': 'one\ntwo'}),
    ('post-config', (), {'unreachable': devstack_host.ADDRESS}),
    ('extra', ('GLUSTERFS_CLONE_TIMEOUT=0',), {'backends': 'other'}),
)


@pytest.mark.parametrize(('phase', 'settings', 'state'), REFUSALS)
def test_stack_ends_where_it_cannot_go_on(
    box: Path,
    devstack: str,
    phase: str,
    settings: tuple[str, ...],
    state: dict[str, str],
) -> None:
    host = devstack_host.DevstackHost(box, devstack, *settings)
    for name, text in state.items():
        host.write(name, text)
    with pytest.raises(AssertionError, match='ERROR'):
        host.stack()
    assert host.read('phase') == [phase]


def test_a_name_that_is_no_variable(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(
        box, devstack, 'MANILA_ENABLED_BACKENDS=gluster-1'
    )
    with pytest.raises(AssertionError, match='gluster-1: a back end'):
        host.stack()


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


def variables(script: str) -> Iterator[tuple[str, str]]:
    """Return what a script assigns at its top level."""
    for line in script.splitlines():
        name, equals, value = line.partition('=')
        if equals and name.isidentifier():
            yield name, value


def test_the_sample(box: Path, devstack: str) -> None:
    """The lines of local.conf.sample are read without what is ours."""
    sample = (sources.CHECKOUT / 'devstack/local.conf.sample').read_text()
    lines = [
        line
        for line in sample.splitlines()
        if '=' in line and not line.startswith(('#', '[', 'HOST_IP'))
    ]
    assert any(line.startswith('GLUSTERFS_CLONE_') for line in lines)
    host = devstack_host.DevstackHost(box, devstack, *lines)
    host.stack()
    assert words(host, BACKEND)['glusterfs_clone_nodes']
