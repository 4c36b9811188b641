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
"""The command ``manila-glusterfs-clone``: tools for operators.

cliff loads the module of a command only when the command runs: the commands
that read Manila's configuration and database import Manila, which takes
seconds.
"""

import argparse
from collections.abc import Sequence
import functools
from importlib import metadata
import logging
import sys
from typing import Any
import warnings

from cliff import app
from cliff import commandmanager

from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.cmd import exit_status

ExitStatus = exit_status.ExitStatus

NAME = 'manila-glusterfs-clone'
_PACKAGE = 'manila_glusterfs_clone.cmd'

#: The commands: the class of each, in a module of this package.
COMMANDS = {
    'check': 'check:Check',
    'metrics': 'metrics:Metrics',
    'node-installer': 'node_installer:NodeInstaller',
    'reconcile': 'reconcile:Reconcile',
    'status': 'status:Status',
    'status bricks': 'status:StatusBricks',
    'status maintenance': 'status:StatusMaintenance',
    'status pools': 'status:StatusPools',
    'status shares': 'status:StatusShares',
}


def _version() -> str:
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return 'unknown'  # a source tree that was never installed


def command_manager() -> commandmanager.CommandManager:
    """Return the manager of all commands."""
    manager = commandmanager.CommandManager(namespace='')
    for name, place in COMMANDS.items():
        manager.commands[name] = metadata.EntryPoint(
            name, f'{_PACKAGE}.{place}', _PACKAGE
        )
    return manager


class OperatorApp(app.App):
    """The program; it runs one command, never an interactive shell."""

    NAME = NAME

    def __init__(self) -> None:
        super().__init__(
            description='Tools for operators of the Manila driver for '
            'GlusterFS.',
            version=_version(),
            command_manager=command_manager(),
            # So that "COMMAND --help" prints the help of the command.
            deferred_help=True,
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version, {'prog': NAME, **(argparse_kwargs or {})}
        )
        parser.error = functools.partial(  # type: ignore[method-assign]
            base.refuse, parser
        )
        for action in parser._actions:
            if isinstance(action, argparse._VersionAction):
                action.version = f'{NAME} {version}'
        return parser

    def configure_logging(self) -> None:
        """Do not log to the terminal, unless the operator requests it.

        The output of a command contains all that an operator needs.
        """
        root = logging.getLogger('')
        for handler in [h for h in root.handlers if h.get_name() == NAME]:
            root.removeHandler(handler)
        level = {0: logging.CRITICAL, 1: logging.CRITICAL, 2: logging.INFO}
        handlers: list[logging.Handler] = [logging.StreamHandler(self.stderr)]
        handlers[0].setLevel(
            level.get(self.options.verbose_level, logging.DEBUG)
        )
        if self.options.log_file:
            handlers.append(logging.FileHandler(self.options.log_file))
        for handler in handlers:
            handler.set_name(NAME)
            handler.setFormatter(
                logging.Formatter(self.LOG_FILE_MESSAGE_FORMAT)
            )
            root.addHandler(handler)
        # Maintenance passes record warnings, so warnings must be enabled.
        root.setLevel(
            logging.DEBUG
            if self.options.log_file
            else min(handlers[0].level, logging.WARNING)
        )

    def run(self, argv: list[str]) -> int:
        """Run one command, and return its exit status."""
        try:
            options, words = self.parser.parse_known_args(argv)
            if not words and not options.deferred_help:
                self.parser.print_help(self.stderr)
                return ExitStatus.UNKNOWN
            status: int = super().run(argv)
        except SystemExit as error:
            return int(error.code or 0)
        return status

    def run_subcommand(self, argv: list[str]) -> int:
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            matches = self.get_fuzzy_matches(argv[0])
            self.stderr.write(
                f'{NAME}: there is no command "{" ".join(argv)}"; did you '
                f'mean "{matches[0]}"? See "{NAME} --help"\n'
            )
            return ExitStatus.UNKNOWN
        status: int = super().run_subcommand(argv)
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status.

    :param argv: the arguments; None for the arguments of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not sys.warnoptions:
        # Hide the warnings of the libraries that Manila imports.
        warnings.simplefilter('ignore')
    return OperatorApp().run(words)


if __name__ == '__main__':
    sys.exit(main())
