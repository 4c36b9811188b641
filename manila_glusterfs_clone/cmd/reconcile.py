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
"""The command ``reconcile``: find and correct differences from Manila."""

import argparse
from collections.abc import Sequence
import time

from manila import rpc
from oslo_config import cfg

from manila_glusterfs_clone import backend
from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.cmd import columns
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone.cmd import progress
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import pass_records

CONF = cfg.CONF

COLUMNS = ('Back end', 'Result', 'Kind', 'Object', 'State', 'Action')

FOUND, CORRECTED, LEFT = 'found', 'corrected', 'left'
_PAUSE_SECONDS = 30.0
_COLOURS = {FOUND: columns.YELLOW, CORRECTED: columns.GREEN, LEFT: columns.RED}


class Reconcile(base.Lister):
    """List the differences between the cluster and Manila's database.

    The list contains the differences that the next pass of maintenance would
    work on. Operations in progress can appear in the list for a moment.

    With --apply, correct the differences: run passes of maintenance now. The
    passes use the same locks as manila-share, which can run meanwhile. They
    change only objects that belong to this back end and are in Manila's
    database. They remove an orphan only if glusterfs_clone_orphans is
    "remove", and glusterfs_clone_orphan_grace has passed since Manila deleted
    the orphan.

    Run the command as the user of manila-share. The exit status is 1 if
    differences are left.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_configuration_arguments(parser)
        parser.add_argument(
            '--apply',
            action='store_true',
            help='correct the differences',
        )
        parser.add_argument(
            '--pause',
            metavar='SECONDS',
            type=_seconds,
            default=_PAUSE_SECONDS,
            help='the pause between the two passes. A difference that can be '
            'an operation in progress is corrected only if the second pass '
            'finds it, too. There is another pause after the passes if '
            'manila-share was asked to correct something (default: '
            '%(default)g)',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], base.Rows]:
        """Return the differences of all back ends."""
        sections = manila_conf.load(parsed_args)
        manila_conf.require_database()
        if parsed_args.apply:
            manila_conf.require_lock_owner()
            if not rpc.initialized():
                rpc.init(CONF)
        rows: list[Sequence[object]] = []
        for section in sections:
            with section.open() as opened:
                for result, difference in self._reconcile(
                    section, opened, parsed_args
                ):
                    if result != CORRECTED:
                        self.exit_status = base.ExitStatus.WARNING
                    rows.append(_row(section.name, result, difference))
        if not rows:
            self.app.stderr.write('No differences found.\n')
        return COLUMNS, rows

    def _reconcile(
        self,
        section: manila_conf.Section,
        opened: backend.Backend,
        arguments: argparse.Namespace,
    ) -> list[tuple[str, differences.Difference]]:
        """Return the differences, each with its result."""
        found = self._find(section, opened)
        if not arguments.apply or not found:
            return [(FOUND, each) for each in found]
        left = found
        for number in (1, 2):
            if number == 2:
                self._wait(arguments.pause)
            record = self._run_pass(section, opened)
            if record.outcome == pass_records.SKIPPED:
                if number == 1:
                    raise base.Unusable(
                        f'back end {section.name}: manila-share is running a '
                        f'pass of maintenance, so nothing was changed; try '
                        f'again in a few minutes'
                    )
                self.app.stderr.write(
                    'manila-share runs the second pass instead.\n'
                )
            left = self._find(section, opened)
            if not left:
                break
        if any(each.kind in differences.CORRECTED_LATER for each in left):
            # The second pass has asked manila-share to correct these.
            self._wait(arguments.pause)
            left = self._find(section, opened)
        return [
            *((CORRECTED, each) for each in found if each not in left),
            *((LEFT, each) for each in left),
        ]

    def _wait(self, seconds: float) -> None:
        with progress.shown(f'Waiting {seconds:g} s', self.app.stderr):
            time.sleep(seconds)

    def _find(
        self, section: manila_conf.Section, opened: backend.Backend
    ) -> list[differences.Difference]:
        with progress.shown(
            f'Comparing back end {section.name} with Manila', self.app.stderr
        ):
            try:
                state = opened.maintenance.differences.read_cluster()
            except errors.Error as error:
                raise base.Unusable(
                    f'back end {section.name}: the cluster cannot be read: '
                    f'{base.first_line(error)}'
                ) from error
            return opened.maintenance.differences.find(state)

    def _run_pass(
        self, section: manila_conf.Section, opened: backend.Backend
    ) -> pass_records.PassRecord:
        with progress.shown(
            f'Running a pass of maintenance on back end {section.name}',
            self.app.stderr,
        ):
            record = opened.maintenance.run_pass(is_requested=True)
        for action in record.actions:
            self.app.stderr.write(f'{action.message}\n')
        if record.failure:
            self.app.stderr.write(f'The pass failed: {record.failure}\n')
        return record


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 86400:
        raise ValueError(text)
    return seconds


def _row(
    section_name: str, result: str, difference: differences.Difference
) -> Sequence[object]:
    return (
        section_name,
        columns.Coloured(result, _COLOURS[result]),
        difference.kind,
        difference.subject,
        difference.state,
        difference.action,
    )
