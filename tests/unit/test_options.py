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
"""The options of a back end section."""

from oslo_config import cfg
import pytest

from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import options
from manila_glusterfs_clone.protocols import native


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], project='unit', default_config_files=[])
    conf.register_opts(options.OPTS, group='gold')
    conf.register_opt(
        cfg.FloatOpt('max_over_subscription_ratio', default=20.0),
        group='gold',
    )
    return conf


def test_defaults(conf: cfg.ConfigOpts) -> None:
    settings = options.read(conf.gold, 'gold')
    assert settings.backend == 'gold'
    assert settings.nodes == settings.pools == settings.tls_server_names == ()
    assert settings.ssh_port == 22
    assert settings.ssh_user == 'manila'
    assert settings.layout == 'auto'
    assert settings.brick_root == options.DEFAULT_BRICK_ROOT
    assert not settings.tls
    assert settings.limits == options.Limits(95, 85, 20.0)


def test_what_is_set_is_read(conf: cfg.ConfigOpts) -> None:
    for name, value in {
        'glusterfs_clone_nodes': ['gl2', 'gl1'],
        'glusterfs_clone_ssh_port': 2222,
        'glusterfs_clone_ssh_user': 'root',
        'glusterfs_clone_ssh_private_key': '/k',
        'glusterfs_clone_ssh_known_hosts': '/h',
        'glusterfs_clone_pools': ['gvg/pool', 'gvg/other'],
        'glusterfs_clone_layout': 'single',
        'glusterfs_clone_brick_root': '/srv/x//',
        'glusterfs_clone_tls': True,
        'glusterfs_clone_tls_server_names': ['gl1'],
        'glusterfs_clone_max_data_percent': 50,
        'glusterfs_clone_max_metadata_percent': 40,
        'glusterfs_clone_settle_timeout': 77,
        'glusterfs_clone_lock_timeout': 88,
        'glusterfs_clone_reconcile_interval': 0,
        'glusterfs_clone_orphan_grace': 9999,
        'glusterfs_clone_orphans': 'report',
        'max_over_subscription_ratio': 2.5,
    }.items():
        conf.set_override(name, value, group='gold')
    assert options.read(conf.gold, 'x') == options.Settings(
        backend='x',
        nodes=('gl2', 'gl1'),
        ssh_port=2222,
        ssh_user='root',
        ssh_private_key='/k',
        ssh_known_hosts='/h',
        pools=('gvg/pool', 'gvg/other'),
        layout='single',
        brick_root='/srv/x',
        tls=True,
        tls_server_names=('gl1',),
        limits=options.Limits(50, 40, 2.5),
        settle_timeout=77,
        lock_timeout=88,
        reconcile_interval=0,
        orphan_grace=9999,
        orphans='report',
    )


@pytest.mark.parametrize(
    ('name', 'bad'),
    [
        ('glusterfs_clone_ssh_port', 70000),
        ('glusterfs_clone_layout', 'replica-4'),
        ('glusterfs_clone_max_data_percent', 0),
        ('glusterfs_clone_max_data_percent', 101),
        ('glusterfs_clone_max_metadata_percent', 101),
        ('glusterfs_clone_settle_timeout', 5),
        ('glusterfs_clone_lock_timeout', 0),
        ('glusterfs_clone_reconcile_interval', -1),
        ('glusterfs_clone_orphan_grace', 3599),
        ('glusterfs_clone_orphans', 'keep'),
    ],
)
def test_bad_values_are_refused_on_reading(
    conf: cfg.ConfigOpts, name: str, bad: object
) -> None:
    with pytest.raises(ValueError):
        conf.set_override(name, bad, group='gold')


def test_every_layout_can_be_chosen(conf: cfg.ConfigOpts) -> None:
    for layout in layouts.LAYOUTS:
        conf.set_override('glusterfs_clone_layout', layout.name, group='gold')


def test_all_options_bear_the_name_of_the_driver_and_are_explained() -> None:
    for option in options.OPTS:
        assert option.name.startswith('glusterfs_clone_')
        assert option.help is not None
        assert len(option.help) > 20
        assert option.help.endswith('.')


def test_the_list_for_generators_is_a_copy() -> None:
    ((group, listed),) = options.list_opts()
    assert group == 'glusterfs_clone'
    assert [o.name for o in listed] == [o.name for o in options.OPTS]
    assert not {id(o) for o in listed} & {id(o) for o in options.OPTS}


#: By option: values in which a word of a command would begin with a dash.
#: Commands do not contain the values of the other options.
WITH_A_DASH: dict[str, list[object]] = {
    'glusterfs_clone_nodes': [['-n'], ['gl1', '--version']],
    'glusterfs_clone_ssh_user': ['-oProxyCommand=id'],
    'glusterfs_clone_pools': [['-gvg/pool'], ['gvg/-pool'], ['--gvg/pool']],
    'glusterfs_clone_layout': ['--single'],
    'glusterfs_clone_brick_root': ['-x', '--version', '--/srv'],
    'glusterfs_clone_tls_server_names': [['--version'], ['gl1', '-x']],
    'glusterfs_clone_orphans': ['--remove'],
}
#: The driver opens these files itself.
OPENED = {'glusterfs_clone_ssh_private_key', 'glusterfs_clone_ssh_known_hosts'}


def test_each_text_among_the_options_is_tried_with_a_dash() -> None:
    texts = {
        option.name
        for option in options.OPTS
        if isinstance(option, (cfg.StrOpt, cfg.ListOpt))
    }
    assert texts == WITH_A_DASH.keys() | OPENED


@pytest.mark.parametrize(
    ('name', 'value'),
    [(name, value) for name, each in WITH_A_DASH.items() for value in each],
)
def test_no_option_becomes_an_option_of_a_command(
    conf: cfg.ConfigOpts, name: str, value: object
) -> None:
    try:
        conf.set_override(name, value, group='gold')
    except ValueError:
        return
    settings = options.read(conf.gold, 'gold')
    protocol_mistakes = native.NativeProtocol.find_mistakes(settings)
    assert name in {
        *(option for option, _ in options.find_mistakes(settings)),
        *(mistake.subject for mistake in protocol_mistakes),
    }
