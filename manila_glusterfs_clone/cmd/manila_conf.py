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
"""Read Manila's configuration, and open back ends as manila-share does."""

import argparse
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

# Registers the options of manila-share.
from manila.common import config as common_config  # noqa: F401
from manila import context as manila_context
from manila.share import configuration as share_configuration
from manila.share import driver as share_driver
from manila.share import drivers_private_data
from manila.share import manager
from oslo_concurrency import lockutils
from oslo_config import cfg

from manila_glusterfs_clone import backend
from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.manila_api import manila_options as manila_section
from manila_glusterfs_clone import options

CONF = cfg.CONF

DRIVER = 'manila_glusterfs_clone.driver.GlusterfsCloneShareDriver'
_DEFAULT_BACKEND_NAME = 'glusterfs_clone'


@dataclasses.dataclass(frozen=True)
class Section:
    """The section of one back end of this driver in manila.conf."""

    name: str
    configuration: Any

    @property
    def service_host(self) -> str:
        """Return the name of the service in Manila: ``HOST@BACKEND``."""
        return manila_section.service_host(self.configuration)

    @property
    def private_storage(self) -> Any:
        """Return Manila's private storage of the driver."""
        return drivers_private_data.DriverPrivateData(
            context=manila_context.get_admin_context(),
            backend_host=self.service_host,
            config_group=self.name,
        )

    def settings(self) -> options.Settings:
        """Return the options of the back end.

        :raises findings.Misconfigured: oslo.config does not accept a value.
        """
        manila_section.require_readable(self.configuration, self.name)
        return options.read(
            self.configuration,
            str(
                self.configuration.safe_get('share_backend_name')
                or _DEFAULT_BACKEND_NAME
            ),
        )

    @contextlib.contextmanager
    def open(self) -> Iterator[backend.Backend]:
        """Open the back end; close its connections after the body.

        :raises findings.Misconfigured: oslo.config does not accept a value.
        """
        opened = backend.Backend.open(
            self.settings(), self.private_storage, self.service_host
        )
        try:
            yield opened
        finally:
            opened.close()


def load(arguments: argparse.Namespace) -> list[Section]:
    """Read the configuration; return the sections of the back ends.

    :param arguments: those of :func:`.base.add_configuration_arguments`.
    :raises base.Unusable: a file cannot be read or parsed, or a back end is
        missing.
    """
    for name in arguments.config_file:
        _require_readable(name)
    words = [f'--config-file={name}' for name in arguments.config_file]
    try:
        CONF(words, project='manila')
    except (cfg.Error, OSError, UnicodeDecodeError) as error:
        raise base.Unusable(
            f'the configuration cannot be read: {base.first_line(error)}; '
            f'correct the file, or name another with --config-file'
        ) from error
    if not CONF.config_file:
        raise base.Unusable(
            'there is no manila.conf; name the file with --config-file'
        )
    return _choose(_sections(), arguments.backend)


def _require_readable(name: str) -> None:
    try:
        pathlib.Path(name).read_text()
    except PermissionError as error:
        raise base.Unusable(
            f'{name} cannot be read: permission denied; run the command as '
            f'the user of manila-share'
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise base.Unusable(
            f'{name} cannot be read ({base.first_line(error)}); name the '
            f'configuration of manila-share with --config-file'
        ) from error


def _sections() -> list[Section]:
    found = []
    for name in CONF.enabled_share_backends or ():
        if name not in CONF.list_all_sections():
            continue
        configuration = share_configuration.Configuration(
            manager.share_manager_opts, config_group=name
        )
        if configuration.share_driver == DRIVER:
            configuration.append_config_values(share_driver.share_opts)
            configuration.append_config_values(options.OPTS)
            found.append(Section(name, configuration))
    return found


def _choose(sections: list[Section], names: list[str]) -> list[Section]:
    files = ', '.join(CONF.config_file)
    if not sections:
        raise base.Unusable(
            f'{files}: no back end in enabled_share_backends has a section '
            f'with share_driver = {DRIVER}; add one'
        )
    known = {section.name: section for section in sections}
    for name in names:
        if name not in known:
            raise base.Unusable(
                f'{files}: {name} is no back end of this driver; choose from '
                f'{", ".join(known)}'
            )
    return [known[name] for name in dict.fromkeys(names)] or sections


def require_database() -> None:
    """Verify that Manila's database answers.

    :raises base.Unusable: the database does not answer.
    """
    try:
        manila_db.shares('')
    except Exception as error:
        raise base.Unusable(
            f'Manila\'s database cannot be read: {base.first_line(error)}; '
            f'check [database] connection, and that the database runs'
        ) from error


def require_lock_owner() -> None:
    """Verify that this process has the user of manila-share.

    The lock files of another user, even of root, would prevent manila-share
    from locking its shares.

    :raises base.Unusable: the directory of locks is not set, does not exist,
        or belongs to another user.
    """
    path = lockutils.get_lock_path(CONF)
    if not path:
        raise base.Unusable(
            '[oslo_concurrency] lock_path is not set; set the directory that '
            'manila-share uses'
        )
    try:
        owner = os.stat(path).st_uid
    except OSError as error:
        raise base.Unusable(
            f'[oslo_concurrency] lock_path {path} cannot be used '
            f'({error.strerror}); start manila-share once, or run the command '
            f'as its user'
        ) from error
    if owner != os.geteuid():
        raise base.Unusable(
            f'[oslo_concurrency] lock_path {path} belongs to the user with '
            f'the id {owner}; run the command as this user, for example with '
            f'"sudo -u \'#{owner}\'"'
        )
