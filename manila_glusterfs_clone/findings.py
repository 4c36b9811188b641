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
"""The problems of a back end: configuration mistakes and current faults.

A *mistake* is an error in the configuration or in the set-up of a node. It
stays until an operator corrects it. A *fault* is a current failure, such as a
node that is down. Each mistake and each fault is a :class:`Finding`. The code
that finds a problem decides whether the problem is a mistake or a fault.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import threading

from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: The parts of a back end. *Services* are glusterd and the programs on nodes.
#: *Storage* is the SSH access to nodes, and the thin pools. The driver checks
#: both parts when manila-share starts. It checks the storage again each time
#: that Manila asks for the capacity.
SERVICES, STORAGE = 'services', 'storage'


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem of a back end, with its remedy.

    Two findings are equal if they have the same subject, kind and node, even
    if their messages differ.
    """

    #: The option or the object that has the problem.
    subject: str
    #: The kind of problem, in one or two words.
    kind: str
    #: The problem and its remedy, for operators.
    message: str = dataclasses.field(compare=False)
    #: The node that has the problem; empty if the problem is not on one node.
    node: str = ''

    def __str__(self) -> str:
        return labelled(self.subject, self.message)


def labelled(subject: str, message: str) -> str:
    """Return ``SUBJECT: MESSAGE``.

    If the message begins with ``SUBJECT:``, return the message unchanged.
    """
    label = f'{subject}: '
    return label + message.removeprefix(label)


class Misconfigured(errors.Error):
    """A back end has mistakes; the exception lists all of them."""

    def __init__(self, backend: str, mistakes: Sequence[Finding]) -> None:
        super().__init__(backend, tuple(mistakes))
        self.backend = backend
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = '\n'.join(f'  * {mistake}' for mistake in self.mistakes)
        return f'back end {self.backend}: unusable; correct this:\n{lines}'


class Health:
    """Keep the current faults of a back end; log new and fixed faults.

    :param backend: the name of the back end, for the log.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._faults: dict[str, tuple[Finding, ...]] = {}
        self._lock = threading.Lock()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Return the faults that the latest check of each part found."""
        with self._lock:
            return tuple(
                fault for part in self._faults.values() for fault in part
            )

    def report(self, faults: Mapping[str, Sequence[Finding]]) -> None:
        """Replace the faults of one or both parts, and log the changes.

        :param faults: by part (:data:`SERVICES`, :data:`STORAGE`): all current
            faults of the part. A part that is not a key keeps its faults.
        """
        previous_faults = {*self.faults}
        with self._lock:
            self._faults.update({k: tuple(v) for k, v in faults.items()})
        current_faults = self.faults
        new_faults = [
            fault for fault in current_faults if fault not in previous_faults
        ]
        if new_faults:
            LOG.warning(
                'Back end %s: %d new faults (operations that do not need the '
                'faulty parts continue):\n%s',
                self._backend,
                len(new_faults),
                '\n'.join(f'  * {fault}' for fault in new_faults),
            )
        for fault in previous_faults - {*current_faults}:
            LOG.info(
                'Back end %s: fault no longer found: %s (%s)',
                self._backend,
                fault.subject,
                fault.kind,
            )
