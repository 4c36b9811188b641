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
"""The documentation names each option of Manila that concerns a driver."""

import ast
from collections.abc import Iterator
import functools
import importlib
from importlib import util
import pathlib
import re

from oslo_config import cfg

PAGE = (
    pathlib.Path(__file__).parents[2] / 'doc' / 'source' / 'manila-options.rst'
)

#: The parts of Manila whose options concern a driver.
CONCERNED = (
    'manila.common',
    'manila.coordination',
    'manila.data.helper',
    'manila.db.api',
    'manila.scheduler',
    'manila.service',
    'manila.share',
)
#: Other drivers, other services, and drivers for networks of share servers.
OTHERS = (
    'manila.api',
    'manila.compute',
    'manila.data.drivers',
    'manila.data.manager',
    'manila.db.base',
    'manila.exception',
    'manila.image',
    'manila.message',
    'manila.network',
    'manila.share.drivers',
    'manila.volume',
    'manila.wsgi',
)

#: Options that Manila 16, the oldest supported release, does not have.
NEWER = {
    'admin_only_el_metadata',
    'admin_only_metadata',
    'data_manager_backup_supported_share_protocols',
    'default_mount_point_prefix',
    'driver_backup_continue_update_interval',
    'driver_restore_continue_update_interval',
    'driver_updatable_metadata',
    'driver_updatable_subnet_metadata',
    'is_deferred_deletion_enabled',
    'periodic_deferred_delete_interval',
    'server_migration_extend_neutron_network',
    'share_backup_name_template',
    'update_shares_status_on_ensure',
}
#: Words of the page that look like options of Manila's shares.
OTHER_WORDS = {
    'allocated_capacity_gb',
    'cert',
    'debug',
    'deferred_deleting',
    'different_host',
    'error',
    'error_deferred_deleting',
    'glusterfs_clone_pools',
    'ip',
    'lock_path',
    'only_host',
    'same_host',
}


def is_in(name: str, parts: tuple[str, ...]) -> bool:
    return any(name.startswith(f'{part}.') for part in parts)


@functools.cache
def expressions() -> list[str]:
    """Return the lists of options that Manila registers, as expressions.

    An import of this module of Manila imports all drivers, so read it.
    """
    spec = util.find_spec('manila.opts')
    assert spec is not None and spec.origin is not None
    return [
        ast.unparse(element)
        for statement in ast.parse(pathlib.Path(spec.origin).read_text()).body
        if isinstance(statement, ast.Assign)
        and ast.unparse(statement.targets[0]) == '_global_opt_lists'
        and isinstance(statement.value, ast.List)
        for element in statement.value.elts
    ]


def options_of(expression: str) -> Iterator[cfg.Opt]:
    """Yield the options of a list, or the option in brackets."""
    module, _, name = expression.strip('[]').rpartition('.')
    value = getattr(importlib.import_module(module), name)
    yield from [value] if isinstance(value, cfg.Opt) else value


def concerned() -> dict[str, str]:
    """Return the list of each option that concerns a driver."""
    return {
        option.name: expression
        for expression in expressions()
        if is_in(expression.strip('[]'), CONCERNED)
        and not is_in(expression.strip('[]'), OTHERS)
        for option in options_of(expression)
    }


def named() -> set[str]:
    return set(re.findall(r'``([a-z_]+)``', PAGE.read_text()))


def test_the_page_names_each_option() -> None:
    options = concerned()
    assert {'filter_function', 'share_driver', 'host'} <= set(options)
    missing = {
        name: expression
        for name, expression in options.items()
        if name not in named()
    }
    assert not missing


def test_each_part_of_manila_is_known() -> None:
    unknown = [
        expression
        for expression in expressions()
        if not is_in(expression.strip('[]'), CONCERNED + OTHERS)
    ]
    assert expressions()
    assert not unknown


def test_the_page_names_only_options() -> None:
    """A misspelt name would hide that the right one is missing."""
    assert named() - concerned().keys() - NEWER - OTHER_WORDS == set()


def test_other_words_are_no_options() -> None:
    assert not OTHER_WORDS & (concerned().keys() | NEWER)
    assert named() >= NEWER | OTHER_WORDS
