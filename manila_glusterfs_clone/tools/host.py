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
"""The operating system of one node: addresses, names, programs, units."""

import dataclasses
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import json_answers

#: Time limit, in seconds, for steps that read the state of the kernel.
TIMEOUT = 40.0
#: Time limit, in seconds, for resolving a host name.
_LOOKUP_TIMEOUT = 20.0
#: Time limit, in seconds, for a program that reports on the node.
_PROGRAM_TIMEOUT = 20.0

_RELEASE = re.compile(r'glusterfs (\d+)\.(\d+)')
#: The unit states that ``systemctl is-enabled`` can print (systemctl(1)).
_UNIT_STATES = re.compile(
    r'^(enabled|enabled-runtime|linked|linked-runtime|alias|masked'
    r'|masked-runtime|static|indirect|disabled|generated|transient|bad'
    r'|not-found)$',
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Report:
    """The runner and the programs of a node."""

    greeting: greetings.Greeting
    #: The release of GlusterFS, such as (11, 1); None if unknown.
    release: tuple[int, int] | None
    #: The state of the unit that mounts bricks at boot, as systemd prints
    #: it, for example ``enabled``; empty if unknown.
    boot_unit: str

    @property
    def missing_programs(self) -> tuple[str, ...]:
        """Return the required programs that the node lacks."""
        return self.greeting.missing_programs


class Host:
    """The operating system of one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner

    def addresses(self) -> frozenset[str]:
        """Return the IP addresses of the node, without loopback addresses."""
        return self._texts(step_outcomes.Step('addresses'), TIMEOUT)

    def resolve(self, name: str) -> frozenset[str]:
        """Return the IP addresses of a host name, as the node resolves it."""
        return self._texts(
            step_outcomes.Step('resolve', {'name': name}), _LOOKUP_TIMEOUT
        )

    def glusterd_age(self) -> float | None:
        """Return how long glusterd has been running, in seconds.

        :return: None if glusterd is not running.
        """
        result = self._runner.run(
            step_outcomes.Step('glusterd_age'), timeout=TIMEOUT
        )
        age: float | None = json_answers.value(result, float, int, type(None))
        return age

    def report(self) -> Report:
        """Return what the runner and two programs of the node report.

        :raises errors.Unreachable: the node cannot be reached, or the runner
            does not start there.
        :raises errors.Refused: the runner accepts no steps.
        """
        greeting = self._runner.greet()
        verb_by_program = {
            'gluster': 'gluster_version',
            'systemctl': 'boot_unit',
        }
        verbs = [
            verb
            for program, verb in verb_by_program.items()
            if program not in greeting.missing_programs
        ]
        if greeting.problem or not verbs:
            return Report(greeting, None, '')
        results = self._runner.run_all(
            [step_outcomes.Step(verb) for verb in verbs],
            timeout=_PROGRAM_TIMEOUT,
        )
        by_verb = dict(zip(verbs, results, strict=True))
        return Report(
            greeting,
            _release(by_verb.get('gluster_version')),
            unit_state(by_verb.get('boot_unit')),
        )

    def _texts(
        self, step: step_outcomes.Step, timeout: float
    ) -> frozenset[str]:
        result = self._runner.run(step, timeout=timeout)
        texts = json_answers.value(result, list)
        if not all(isinstance(text, str) for text in texts):
            raise errors.Garbled(result.node, result.argv, result.stdout)
        return frozenset(texts)


def _release(result: step_outcomes.Result | None) -> tuple[int, int] | None:
    match = _RELEASE.search(result.stdout) if result else None
    return (int(match[1]), int(match[2])) if match else None


def unit_state(result: step_outcomes.Result | None) -> str:
    """Return the state of a unit, as systemd prints it; empty if unknown."""
    if result is None:
        return ''
    if 'No such file or directory' in result.stderr:
        return 'not-found'
    match = _UNIT_STATES.search(result.stdout)
    return match[1] if match else ''
