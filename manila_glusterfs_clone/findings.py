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
"""What is wrong with a back end: findings, and the faults known now.

A *mistake* is in the configuration, and stays until somebody corrects it. A
*fault* is something that is broken today. The finding is the same data; who
looks decides which of the two it is.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import threading

from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: Parts of a back end; who reports one has looked at all of it. *Storage* is
#: nodes by SSH and their thin pools, looked at each time that Manila asks
#: for the capacity. *Services* are glusterd and what is installed, looked at
#: when manila-share starts.
SERVICES, STORAGE = 'services', 'storage'


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with its remedy.

    Two findings are equal when they are of the same kind on the same
    object, whatever numbers their messages have.
    """

    #: The option, or the object on the cluster.
    subject: str
    #: What is wrong, in one word for the program.
    kind: str
    #: What is wrong and what ends it, for people.
    message: str = dataclasses.field(compare=False)
    #: The node that it was found on, if it was on one.
    node: str = ''

    def __str__(self) -> str:
        return f'{self.subject}: {self.message}'


class Misconfigured(errors.Error):
    """Every mistake in the configuration or on the nodes, at once."""

    def __init__(self, backend: str, mistakes: Sequence[Finding]) -> None:
        super().__init__(backend, tuple(mistakes))
        self.backend = backend
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = '\n'.join(f'  * {mistake}' for mistake in self.mistakes)
        return f'back end {self.backend} cannot be used:\n{lines}'


class Health:
    """The faults of one back end, logged when they come and when they go.

    :param backend: its name, for the log.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._known: dict[str, tuple[Finding, ...]] = {}
        self._guard = threading.Lock()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """All faults that the last looks found."""
        with self._guard:
            return tuple(
                each for part in self._known.values() for each in part
            )

    def report(self, found: Mapping[str, Sequence[Finding]]) -> None:
        """Replace what is known, and log what is new or over.

        :param found: all faults of :data:`SERVICES`, :data:`STORAGE` or
            both; what is known of a part that is not in it stays.
        """
        before = {*self.faults}
        with self._guard:
            self._known.update({k: tuple(v) for k, v in found.items()})
        now = self.faults
        new = [fault for fault in now if fault not in before]
        if new:
            LOG.warning(
                'Back end %s: %d new faults; it serves what does not need '
                'the parts that are broken:\n%s',
                self._backend,
                len(new),
                '\n'.join(f'  * {fault}' for fault in new),
            )
        for fault in before - {*now}:
            LOG.info(
                'Back end %s: %s: no longer %s',
                self._backend,
                fault.subject,
                fault.kind,
            )
