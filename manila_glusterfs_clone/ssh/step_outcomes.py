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
"""Steps for the runner on a node, and the outcome of each step.

:mod:`manila_glusterfs_clone.node.runner` lists the outcomes that the runner
reports. This module converts them to results and errors.
"""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import verbs

#: A message contains at most this many characters of the head of an output,
#: and as many of its tail.
_EXCERPT = errors.EXCERPT // 2


@dataclasses.dataclass(frozen=True)
class Step:
    """One verb of :mod:`~manila_glusterfs_clone.node.runner.verbs`."""

    verb: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: The time limit in seconds; None for the time limit of the request.
    timeout: float | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """Return the command line of the program that the runner runs.

        For a verb without a program, return words that describe the step.
        """
        return tuple(verbs.VERBS[self.verb].words(**self.values))


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a step that is done."""

    node: str
    argv: tuple[str, ...]
    status: int
    #: The output of the program. For a verb without a program, its result as
    #: JSON.
    stdout: str
    stderr: str


Outcome = Result | errors.Error


@dataclasses.dataclass(eq=False)
class NotAllowed(errors.NotPossible):
    """The runner on a node does not allow a step."""

    node: str
    verb: str
    problem: str

    def __str__(self) -> str:
        return (
            f'node {self.node}: the runner does not allow {self.verb}: '
            f'{self.problem}'
        )


@dataclasses.dataclass(eq=False)
class Skipped(errors.Refused):
    """A step was not started, because another step was not done."""

    node: str
    verb: str

    def __str__(self) -> str:
        return f'node {self.node}: {self.verb} was not started'


@dataclasses.dataclass(eq=False)
class RunnerFailed(errors.Unknown):
    """The runner on a node failed during a step."""

    node: str
    verb: str
    reason: str

    def __str__(self) -> str:
        return (
            f'node {self.node}: the runner failed during {self.verb}, which '
            f'may have taken effect: {excerpt(self.reason)}'
        )


class GlusterdNotRunning(errors.Unreachable):
    """glusterd does not run on a node; the command was not started."""

    def __init__(self, node: str) -> None:
        super().__init__(node, 'glusterd does not run')
        self.args = (node,)

    def __str__(self) -> str:
        return (
            f'glusterd on node {self.node}: not running; run "systemctl start '
            f'glusterd" there'
        )


def outcome_of(
    node: str, step: Step, seconds: float, answer: Mapping[str, Any]
) -> Outcome:
    """Return the result or the error that an answer of the runner means.

    :param seconds: the time limit of the step.
    """
    argv = tuple(map(str, answer.get('argv') or step.argv))
    stdout = str(answer.get('stdout', ''))
    stderr = str(answer.get('stderr', ''))
    status = answer.get('status')
    reason = str(answer.get('reason', ''))
    match answer.get('outcome'), answer.get('kind'):
        case 'done', None:
            return Result(node, argv, status or 0, stdout, stderr)
        case 'skipped', None:
            return Skipped(node, step.verb)
        case 'refused', 'invalid':
            return NotAllowed(node, step.verb, reason)
        case 'refused', 'missing':
            return errors.CommandFailed(node, argv, 127, '', reason)
        case 'refused', 'busy' | 'late':
            return errors.Occupied(node, argv)
        case 'refused', 'glusterd':
            return GlusterdNotRunning(node)
        case 'refused', 'stopping':
            return errors.Unreachable(node, 'the connection was ending')
        case 'refused', 'status' if isinstance(status, int):
            return errors.CommandFailed(node, argv, status, stdout, stderr)
        case 'unknown', 'deadline':
            return errors.TimedOut(node, argv, seconds)
        case 'unknown', 'signal':
            return errors.LinkLost(
                node,
                argv,
                f'the command was killed by signal {-(status or 0)}',
                stdout,
            )
        case 'unknown', 'ended':
            output = '\n'.join(filter(None, (stdout, stderr)))
            return errors.LinkLost(node, argv, 'the console ended', output)
        case 'unknown', 'failed':
            return RunnerFailed(node, step.verb, reason or stderr)
    return errors.Garbled(node, argv, stdout or f'{answer!r:.400}')


def results_of(outcomes: Iterable[Outcome]) -> list[Result]:
    """Return the results of steps that ran one after the other.

    :raises errors.Error: the error of the first step that is not done.
    """
    results = []
    failure: errors.Error | None = None
    for outcome in outcomes:
        if isinstance(outcome, Result):
            results.append(outcome)
        elif failure is None or isinstance(failure, Skipped):
            # If a step is invalid, the runner also skips the steps before it.
            failure = outcome
    if failure is not None:
        raise failure
    return results


def excerpt(text: str) -> str:
    """Return a text; if it is too long, only its head and its tail."""
    text = text.strip()
    if len(text) <= 2 * _EXCERPT:
        return text
    return f'{text[:_EXCERPT]} […] {text[-_EXCERPT:]}'
