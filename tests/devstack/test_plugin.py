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

from pathlib import Path
from typing import Any

from manila.share import driver as share_driver
from oslo_config import cfg
import pytest
import yaml

from manila_glusterfs_clone import driver
from manila_glusterfs_clone import node
from manila_glusterfs_clone import options
from tests.devstack import devstack_host
from tests.devstack import sources
from tests.tempest import configuration

BACKEND = 'glusterclone'


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
        node.RUNNER_PATH,
        node.SETTINGS_PATH,
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


def test_a_host_without_manila_share(box: Path, devstack: str) -> None:
    host = devstack_host.DevstackHost(box, devstack)
    host.configure('disable_service m-shr')
    host.stack()
    assert not host.cluster_calls()
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
    assert not host.cluster_calls()
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


def test_the_job_of_zuul(box: Path, devstack: str) -> None:
    jobs = yaml.safe_load((sources.CHECKOUT / 'zuul.d/jobs.yaml').read_text())
    (job,) = [each['job'] for each in jobs if 'tempest' in each['job']['name']]
    variables = job['vars']['devstack_localrc']
    host = devstack_host.DevstackHost(
        # As the role write-devstack-local-conf writes them.
        *(box, devstack),
        *(f'{name}="{value}"' for name, value in variables.items()),
    )
    host.stack()
    assert words(host, BACKEND)['glusterfs_clone_nodes']
    assert words(host, 'DEFAULT')['enabled_share_protocols'] == 'GLUSTERFS'
