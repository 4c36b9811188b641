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
"""The house is as HACKING.rst says."""

import ast
import io
import pathlib

from oslo_config import cfg
from oslo_config import generator
import pytest

from manila_glusterfs_clone import options

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / 'manila_glusterfs_clone'
NAME = PACKAGE.name
SAMPLE = ROOT / 'etc' / NAME / f'{NAME}.conf.sample'

#: The rooms, the lowest first. A room imports rooms of lower lines only.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        'ssh tools locking operations maintenance manila_api preflight',
        'errors node maintenance.instances maintenance.periodic_thread '
        'maintenance.backoff locking.coordinator',
        'names layouts findings retry locking.host_locks',
        'options',
        'ssh.login',
        'ssh.connections',
        'ssh.channels',
        'ssh.remote',
        'ssh.circuit_breaker',
        'tools.gluster.console tools.lvm tools.file_systems '
        'tools.gluster.answers preflight.node_programs',
        'tools.gluster cluster.thin_pools',
        'cluster.nodes locking.locks undo',
        'cluster',
        'cluster.node_addresses cluster.replica_heal cluster.peers '
        'locking.work_marks',
        'cluster.volume_options',
        'protocols.eviction',
        'cluster.bricks cluster.placement protocols.export_locations '
        'protocols protocols.native',
        'cluster.brick_ownership cluster.leftover_directories',
        'preflight.checks maintenance.brick_repair cluster.deletion '
        'operations.clone_sources operations.volumes '
        'maintenance.manila_db maintenance.cluster_state',
        'operations.shares',
        'operations.snapshots operations.clones maintenance.healing',
        'backend maintenance.orphans maintenance.brick_tags',
        'maintenance.access_audit operations.statuses '
        'manila_api.stats manila_api.exceptions manila_api.arguments',
        'manila_api.user_messages',
        'maintenance.interrupted_work',
        'maintenance.passes',
        'driver',
        'cmd cmd.main',
    )
)

LEVEL = {room: n for n, layer in enumerate(LAYERS) for room in layer}

#: What may be imported by some rooms only, whatever their line.
RESERVED: dict[str, frozenset[str]] = {
    'paramiko': frozenset(
        {'ssh.remote', 'ssh.channels', 'ssh.connections', 'ssh.login'}
    ),
    f'{NAME}.ssh.login': frozenset(
        {'ssh.remote', 'ssh.channels', 'ssh.connections'}
    ),
    f'{NAME}.ssh.connections': frozenset({'ssh.remote', 'ssh.channels'}),
    f'{NAME}.ssh.channels': frozenset({'ssh.remote'}),
    f'{NAME}.tools.gluster.console': frozenset(
        {'tools.gluster', 'cluster.nodes'}
    ),
    'defusedxml': frozenset({'tools.gluster.console'}),
    'xml.etree': frozenset(
        {'tools.gluster.answers', 'tools.gluster.console', 'tools.gluster'}
    ),
    'json': frozenset({'tools.lvm', 'tools.file_systems'}),
    'subprocess': frozenset(),
    'oslo_concurrency': frozenset({'locking.locks'}),
    'manila': frozenset(
        {
            'locking.coordinator',
            'driver',
            'maintenance.instances',
            'maintenance.interrupted_work',
            'manila_api.exceptions',
            'manila_api.arguments',
            'maintenance.manila_db',
            'manila_api.user_messages',
        }
    ),
    'sqlalchemy': frozenset({'maintenance.manila_db'}),
}

LICENSE = (ROOT / 'tests' / '__init__.py').read_text().partition('"""')[0]
PATHS = sorted(PACKAGE.rglob('*.py'))


def room(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


ROOMS = {room(path): path for path in PATHS if room(path)}


def imports(path: pathlib.Path) -> set[str]:
    """Give all that a module imports, by full names."""
    found: set[str] = set()
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f'{path}: relative import'
            found.update(
                f'{statement.module}.{alias.name}' for alias in statement.names
            )
    return found


def ours(path: pathlib.Path) -> set[str]:
    prefix = f'{NAME}.'
    return {
        name[len(prefix) :]
        for name in imports(path)
        if name.startswith(prefix)
    }


def test_every_room_has_its_line() -> None:
    assert set(ROOMS) == set(LEVEL)


def test_no_room_has_two_lines() -> None:
    assert sum(map(len, LAYERS)) == len(LEVEL)


@pytest.mark.parametrize('name', ROOMS)
def test_imports_go_one_way(name: str) -> None:
    for other in ours(ROOMS[name]):
        assert other in LEVEL, f'{name} imports {other}, which is no room'
        assert LEVEL[other] < LEVEL[name], f'{name} imports {other}'


@pytest.mark.parametrize('name', ROOMS)
def test_what_is_reserved_for_some_rooms(name: str) -> None:
    for imported in imports(ROOMS[name]):
        for what, rooms in RESERVED.items():
            if imported == what or imported.startswith(f'{what}.'):
                assert name in rooms, f'{name} imports {imported}'


def test_one_room_only_makes_lines_for_a_shell() -> None:
    """Others join words for people to read: in messages and logs."""
    for name, path in ROOMS.items():
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Attribute) and call.attr == 'exec_command':
                assert name == 'ssh.channels'
        if name not in ('ssh.remote', 'errors', 'node'):
            assert 'shlex' not in imports(path), name


@pytest.mark.parametrize('path', PATHS, ids=room)
def test_header_docstring_and_length(path: pathlib.Path) -> None:
    text = path.read_text()
    assert text.startswith(LICENSE), 'no licence header'
    assert len(text.splitlines()) <= 350
    assert ast.get_docstring(ast.parse(text)), 'no docstring'


@pytest.mark.parametrize(
    'path',
    [
        *sorted((ROOT / 'tests' / 'unit').rglob('*.py')),
        PACKAGE / 'node' / 'mount-bricks',
    ],
    ids=lambda path: str(path.name),
)
def test_the_licence_is_everywhere(path: pathlib.Path) -> None:
    assert LICENSE in path.read_text()


def sample() -> str:
    """Make what ``oslo-config-generator`` makes of the options."""
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    configuration = ROOT / 'etc' / NAME / 'generator.conf'
    conf(
        [f'--config-file={configuration}'],
        project='unit',
        default_config_files=[],
    )
    assert conf.namespace == [NAME]
    assert str(ROOT / conf.output_file) == str(SAMPLE)
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        # The entry point, whether the package is installed or not.
        patch.setattr(
            generator,
            '_list_opts',
            lambda namespaces: [(NAME, options.list_opts())],
        )
        generator.generate(conf, output_file=text)
    return text.getvalue()


def test_the_sample_is_fresh() -> None:
    """``oslo-config-generator`` with ``generator.conf`` makes it anew."""
    assert SAMPLE.read_text() == sample()


def test_the_entry_point_is_declared() -> None:
    project = (ROOT / 'pyproject.toml').read_text()
    assert (
        '[project.entry-points."oslo.config.opts"]\n'
        f'{NAME} = "{NAME}.options:list_opts"\n'
    ) in project
