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
"""The base classes of all commands: options, errors and exit status."""

import argparse
from collections.abc import Iterable, Sequence
import functools
import traceback
from typing import Any, NoReturn

from cliff import command
from cliff import lister

from manila_glusterfs_clone.cmd import exit_status
from manila_glusterfs_clone import errors

ExitStatus = exit_status.ExitStatus

Rows = Iterable[Sequence[Any]]


class Unusable(errors.Error):
    """The command cannot do its work; the message says what to do."""


def refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Report a wrong argument in one line, and exit."""
    parser.exit(
        ExitStatus.UNKNOWN,
        f'{parser.prog}: {message}; see "{parser.prog} --help"\n',
    )


def first_line(error: BaseException) -> str:
    """Return the message of an error as one line."""
    lines = str(error).split('\n')
    text = ' '.join(line.strip(' *') for line in lines if line.strip())
    return text or type(error).__name__


class Command(command.Command):
    """A command that reports errors in one line.

    A subclass sets :attr:`exit_status` in its ``take_action``.
    """

    exit_status = ExitStatus.OK

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        # argparse exits with 2, which has another meaning here.
        parser.error = functools.partial(  # type: ignore[method-assign]
            refuse, parser
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command, and return its exit status."""
        try:
            super().run(parsed_args)
        except BrokenPipeError:
            raise
        except Exception as error:
            if self.app.options.debug:
                traceback.print_exception(error, file=self.app.stderr)
            self.app.stderr.write(f'{self.app.NAME}: {first_line(error)}\n')
            return ExitStatus.UNKNOWN
        return self.exit_status


class Lister(Command, lister.Lister):
    """A command that prints rows as a table, JSON, YAML or CSV."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--json',
            action='store_const',
            dest='formatter',
            const='json',
            # The default of --format.
            default=parser.get_default('formatter'),
            help='short for "--format json"',
        )
        return parser


def add_configuration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the configuration and the back ends."""
    parser.add_argument(
        '--config-file',
        metavar='FILE',
        action='append',
        default=[],
        help='the configuration of manila-share; repeat the option for '
        'several files (default: the files that manila-share reads itself, '
        'such as /etc/manila/manila.conf)',
    )
    parser.add_argument(
        '--backend',
        metavar='SECTION',
        action='append',
        default=[],
        help='the section of a back end in the configuration; repeat the '
        'option for several (default: all back ends of this driver in '
        'enabled_share_backends)',
    )
