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
"""Problems of a back end as data: mistakes, faults, and a log of changes.

A *mistake* is in the configuration and stays until somebody corrects it. A
*fault* is something that is broken today. Both are a :class:`Finding`; the
code that finds the problem decides which of the two it is.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import threading

from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: The parts of a back end that are checked as a whole. *Storage* is the access
#: to nodes by SSH and their thin pools, checked each time that Manila asks for
#: the capacity. *Services* are glusterd and installed programs, checked when
#: manila-share starts.
SERVICES, STORAGE = 'services', 'storage'


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem, with its remedy.

    Two findings are equal if they are of the same kind on the same object,
    even if the numbers in their messages differ.
    """

    #: The option, or the object on the cluster.
    subject: str
    #: The kind of problem, in one or two words.
    kind: str
    #: The problem and its remedy, for operators.
    message: str = dataclasses.field(compare=False)
    #: The node that it was found on; empty if it is not about one node.
    node: str = ''

    def __str__(self) -> str:
        return f'{self.subject}: {self.message}'


class Misconfigured(errors.Error):
    """All mistakes in the configuration and on the nodes together."""

    def __init__(self, backend: str, mistakes: Sequence[Finding]) -> None:
        super().__init__(backend, tuple(mistakes))
        self.backend = backend
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = '\n'.join(f'  * {mistake}' for mistake in self.mistakes)
        return f'back end {self.backend} cannot be used:\n{lines}'


class Health:
    """The current faults of one back end; logs each when it comes and goes.

    :param backend: the name of the back end, for the log.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._faults: dict[str, tuple[Finding, ...]] = {}
        self._guard = threading.Lock()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Return all faults that the latest checks found."""
        with self._guard:
            return tuple(
                fault for part in self._faults.values() for fault in part
            )

    def report(self, faults: Mapping[str, Sequence[Finding]]) -> None:
        """Replace the faults of parts, and log which are new or gone.

        :param faults: all faults of :data:`SERVICES`, :data:`STORAGE` or
            both. The faults of a part that is not given stay.
        """
        before = {*self.faults}
        with self._guard:
            self._faults.update({k: tuple(v) for k, v in faults.items()})
        now = self.faults
        new = [fault for fault in now if fault not in before]
        if new:
            LOG.warning(
                'Back end %s: %d new faults; operations that do not need the '
                'faulty parts go on:\n%s',
                self._backend,
                len(new),
                '\n'.join(f'  * {fault}' for fault in new),
            )
        for fault in before - {*now}:
            LOG.info(
                'Back end %s: fault is gone: %s (%s)',
                self._backend,
                fault.subject,
                fault.kind,
            )
