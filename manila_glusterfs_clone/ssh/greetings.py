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
"""Parse what the runner on a node reports about itself; check its release.

A runner serves a range of releases of the driver. The runner is older than the
driver if an operator updated the driver without running the node installer
again.
"""

import dataclasses
import json

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.ssh import step_outcomes


def installer_remedy(options: str = '--pool=VG/THINPOOL') -> str:
    """Return the remedy for a runner that is missing or too old.

    :param options: the options for the command.
    """
    return (
        f'run the output of "manila-glusterfs-clone node-installer {options}" '
        f'on the node as root'
    )


class NoRunner(errors.Unreachable):
    """The login worked, but the runner did not start; nothing was run.

    ``reason`` is the output of the node.
    """

    @property
    def problem(self) -> str:
        """Return the message without the remedy."""
        output = step_outcomes.excerpt(self.reason)
        return (
            f'node {self.node}: the runner did not start: '
            f'{output or "no output"}'
        )

    def __str__(self) -> str:
        return f'{self.problem}; {installer_remedy()}'


class WrongRelease(errors.Unreachable):
    """The runner on a node is too old or too new for this driver.

    :param release: the release of the runner.
    :param oldest_served: the oldest release of the driver that the runner
        serves.
    """

    def __init__(self, node: str, release: int, oldest_served: int) -> None:
        super().__init__(node, f'its runner has release {release}')
        self.args = (node, release, oldest_served)
        self.release = release
        self.oldest_served = oldest_served

    @property
    def is_too_old(self) -> bool:
        """Return whether the runner is older than this driver needs."""
        return self.release < runner.RELEASE

    @property
    def problem(self) -> str:
        """Return the message without the remedy."""
        return (
            f'node {self.node}: the runner has release {self.release} and '
            f'serves drivers from release {self.oldest_served} on, but this '
            f'driver has release {runner.RELEASE}'
        )

    def __str__(self) -> str:
        remedy = (
            f'{installer_remedy()} (running operations continue)'
            if self.is_too_old
            else 'update the driver on this host'
        )
        return f'{self.problem}; {remedy}'


@dataclasses.dataclass(frozen=True)
class Greeting:
    """What a runner reports about itself."""

    release: int
    oldest_served: int
    brick_roots: frozenset[str]
    volume_groups: frozenset[str]
    #: Why the runner accepts no steps; empty if it does.
    problem: str
    #: The required programs that the node lacks.
    missing_programs: tuple[str, ...] = ()


def parse(node: str, text: str) -> Greeting:
    """Parse the answer to "hello".

    :raises NoRunner: the text is no greeting.
    :raises WrongRelease: the runner does not fit this driver.
    """
    try:
        values = json.loads(text)
        greeting = Greeting(
            int(values['release']),
            int(values['oldest_served']),
            frozenset(values.get('brick_roots', ())),
            frozenset(values.get('volume_groups', ())),
            str(values.get('problem', '')),
            tuple(map(str, values.get('missing_programs', ()))),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoRunner(node, f'not a greeting: {text}') from error
    if not greeting.oldest_served <= runner.RELEASE <= greeting.release:
        raise WrongRelease(node, greeting.release, greeting.oldest_served)
    return greeting
