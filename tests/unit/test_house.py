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
"""The packages import in one direction, and the sources follow the rules."""

import ast
import graphlib
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

#: The floors, the lowest first: packages, and modules of the top package.
#: Each imports only from lower floors and from itself; only the parts of the
#: lowest floor import each other.
FLOORS = (
    'errors names options layouts findings fault_log undo retry node',
    'locking ssh',
    'tools',
    'cluster',
    'protocols',
    'operations',
    'maintenance preflight manila_api',
    'backend',
    'driver cmd',
)
FLOOR = {part: n for n, line in enumerate(FLOORS) for part in line.split()}

#: Libraries and modules that only these packages or modules import.
RESERVED = {
    'paramiko': 'ssh',
    'cryptography': 'ssh preflight.tls_advice',
    f'{NAME}.ssh.transports': 'ssh',
    f'{NAME}.ssh.connector': 'ssh',
    f'{NAME}.ssh.channels': 'ssh',
    f'{NAME}.tools.gluster.console': 'tools.gluster cluster.nodes',
    f'{NAME}.protocols.native': 'protocols',
    'defusedxml': 'tools.gluster',
    'xml.etree': 'tools.gluster',
    'json': 'tools node ssh.greetings maintenance.pass_records',
    'subprocess': 'node.runner.child_processes',
    'oslo_concurrency': 'locking.locks cmd.manila_conf',
    'manila': (
        'locking.tooz_coordinator maintenance.instances '
        'maintenance.interrupted_work maintenance.manila_db '
        'manila_api driver cmd.manila_conf cmd.reconcile'
    ),
    'cliff': 'cmd',
    'prometheus_client': 'cmd.metrics cmd.metric_families',
    'sqlalchemy': 'maintenance.manila_db',
}

#: The modules that quote or join words of a command line.
SHELL_WORDS = ('ssh.commands', 'errors', 'node')

LICENSE = (ROOT / 'tests' / '__init__.py').read_text().partition('"""')[0]
PATHS = sorted(PACKAGE.rglob('*.py'))


def room(path: pathlib.Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


ROOMS = {room(path): path for path in PATHS if room(path)}


def imports(path: pathlib.Path) -> set[str]:
    """Return the full names of all that a module imports."""
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


def own_imports(path: pathlib.Path) -> set[str]:
    """Return the modules of this package that a module imports."""
    prefix = f'{NAME}.'
    return {
        name[len(prefix) :]
        for name in imports(path)
        if name.startswith(prefix)
    }


def part(name: str) -> str:
    return name.partition('.')[0]


def is_below(name: str, parents: str) -> bool:
    """Return whether a module is one of these, or in one of them."""
    return any(
        name == parent or name.startswith(f'{parent}.')
        for parent in parents.split()
    )


def test_every_package_has_its_floor() -> None:
    assert {part(name) for name in ROOMS} == set(FLOOR)
    assert sum(len(line.split()) for line in FLOORS) == len(FLOOR)


@pytest.mark.parametrize('name', ROOMS)
def test_imports_go_down(name: str) -> None:
    floor = FLOOR[part(name)]
    for other in own_imports(ROOMS[name]):
        assert other in ROOMS, f'{name} imports {other}, which is no module'
        is_own = part(other) == part(name) or floor == 0
        assert is_own or FLOOR[part(other)] < floor, f'{name} imports {other}'


def test_no_import_cycle() -> None:
    graph = {name: own_imports(path) for name, path in ROOMS.items()}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(ROOMS)


@pytest.mark.parametrize('name', ROOMS)
def test_reserved_imports(name: str) -> None:
    for imported in imports(ROOMS[name]):
        for reserved, importers in RESERVED.items():
            if is_below(imported, reserved):
                assert is_below(name, importers), f'{name} imports {imported}'


def test_one_room_only_makes_lines_for_a_shell() -> None:
    """The others join words for people to read: in messages and logs."""
    assert {*SHELL_WORDS} <= ROOMS.keys()
    for name, path in ROOMS.items():
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Attribute) and call.attr == 'exec_command':
                assert name == 'ssh.channels'
        if name not in SHELL_WORDS:
            assert 'shlex' not in imports(path), name


@pytest.mark.parametrize('path', PATHS, ids=room)
def test_arguments_are_not_unpacked_from_a_literal(path: pathlib.Path) -> None:
    """A long call has one argument on each line."""
    for call in ast.walk(ast.parse(path.read_text())):
        for argument in call.args if isinstance(call, ast.Call) else []:
            if isinstance(argument, ast.Starred):
                literals = (ast.Tuple, ast.List)
                assert not isinstance(argument.value, literals), (
                    argument.lineno
                )


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
