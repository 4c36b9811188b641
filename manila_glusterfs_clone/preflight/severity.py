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
"""Collect all problems of a back end, even those that a start does not check.

The start of the service must be fast, and fails only because of mistakes. The
command ``check`` runs the checks of the start, and those of the modules
:mod:`~manila_glusterfs_clone.preflight.node_advice` and
:mod:`~manila_glusterfs_clone.preflight.cluster_advice`.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import enum

from manila_glusterfs_clone import findings


class Level(enum.Enum):
    """How serious a problem is."""

    #: The back end does not start, or operations fail, until an operator
    #: corrects the mistake.
    MISTAKE = 'mistake'
    #: Something is broken now; the rest works.
    FAULT = 'fault'
    #: Nothing is broken yet.
    WARNING = 'warning'
    #: Nothing is wrong, but the operator should know.
    ADVICE = 'advice'


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem of a back end, with its level."""

    level: Level
    finding: findings.Finding


def node_problem(
    level: Level, node_name: str, kind: str, message: str
) -> Problem:
    """Return a problem of a node."""
    return Problem(
        level, findings.Finding(f'node {node_name}', kind, message, node_name)
    )


def problems(
    mistakes: Iterable[findings.Finding],
    faults: Iterable[findings.Finding],
    advice: Iterable[Problem],
) -> tuple[Problem, ...]:
    """Return all problems once, the most serious first.

    :param mistakes: all mistakes; including the faults if no glusterd answers.
    """

    def all_problems() -> Iterator[Problem]:
        for mistake in mistakes:
            yield Problem(Level.MISTAKE, mistake)
        for fault in faults:
            yield Problem(Level.FAULT, fault)
        yield from advice

    # Compare the messages, too: a file can have two problems of one kind, for
    # example two expired certificates.
    first_problems: dict[tuple[findings.Finding, str], Problem] = {}
    for problem in all_problems():
        first_problems.setdefault(
            (problem.finding, problem.finding.message), problem
        )
    levels = list(Level)
    return tuple(
        sorted(
            first_problems.values(),
            key=lambda problem: levels.index(problem.level),
        )
    )
