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
"""The command ``check``: find the problems of back ends and their remedies."""

import argparse
from collections.abc import Iterator, Sequence

from oslo_config import cfg

from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.cmd import columns
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone.cmd import progress
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.manila_api import manila_options as manila_section
from manila_glusterfs_clone.preflight import severity

CONF = cfg.CONF
Level = severity.Level
Problem = severity.Problem

COLUMNS = ('Level', 'Back end', 'Node', 'Subject', 'Kind', 'Message')

_COLOURS = {
    Level.MISTAKE: columns.RED,
    Level.FAULT: columns.RED,
    Level.WARNING: columns.YELLOW,
}
_STATUSES = {
    Level.MISTAKE: base.ExitStatus.CRITICAL,
    Level.FAULT: base.ExitStatus.WARNING,
    Level.WARNING: base.ExitStatus.WARNING,
    Level.ADVICE: base.ExitStatus.OK,
}
_PROTOCOL = 'GLUSTERFS'


class Check(base.Lister):
    """Check the configuration, the nodes and the cluster of back ends.

    For each problem, print its level and its remedy. A mistake prevents the
    start of a back end. A fault is a current failure. A warning is a failure
    that will occur later. An advice needs no action.

    The exit status is 2 if there is a mistake, 1 if there is a fault or a
    warning, 0 otherwise, and 3 if nothing could be checked.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_configuration_arguments(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], base.Rows]:
        """Return the problems of all back ends."""
        sections = manila_conf.load(parsed_args)
        rows: list[Sequence[object]] = []
        for section in sections:
            with progress.shown(
                f'Checking back end {section.name}', self.app.stderr
            ):
                problems = find(section)
            for problem in problems:
                self.exit_status = max(
                    self.exit_status, _STATUSES[problem.level]
                )
                rows.append(_row(section.name, problem))
        if not rows:
            self.app.stderr.write('No problems found.\n')
        return COLUMNS, rows


def find(section: manila_conf.Section) -> tuple[Problem, ...]:
    """Return the problems of a back end, the most serious first."""
    problems = list(_find_in_defaults())
    try:
        with section.open() as backend:
            mistakes, faults = manila_section.find_problems(
                section.configuration
            )
            problems += backend.inspect(mistakes, faults)
    except findings.Misconfigured as error:
        # oslo.config does not accept a value, so the back end was not opened.
        problems += severity.problems(error.mistakes, (), ())
    return severity.problems((), (), problems)


def _find_in_defaults() -> Iterator[Problem]:
    """Yield the problems in the section [DEFAULT] of manila.conf."""
    if _PROTOCOL not in CONF.enabled_share_protocols:
        yield Problem(
            Level.MISTAKE,
            findings.Finding(
                'enabled_share_protocols',
                'no protocol',
                f'is {",".join(CONF.enabled_share_protocols)}, so Manila '
                f'creates no share; add {_PROTOCOL}',
            ),
        )


def _row(section_name: str, problem: Problem) -> Sequence[object]:
    finding = problem.finding
    return (
        columns.Coloured(problem.level.value, _COLOURS.get(problem.level, '')),
        section_name,
        finding.node,
        finding.subject,
        finding.kind,
        finding.message.removeprefix(f'{finding.subject}: '),
    )
