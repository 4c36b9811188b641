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
node that is down. Both are described by a :class:`Finding`.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import threading

from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

#: The parts of a back end. *Options* are those of Manila itself; *services*
#: are glusterd and the programs on nodes; *storage* is the SSH access and the
#: thin pools. The driver checks all parts when manila-share starts, and the
#: storage each time Manila asks for the capacity.
OPTIONS, SERVICES, STORAGE = 'options', 'services', 'storage'


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem of a back end, with its remedy.

    Findings with the same subject, kind and node are equal.
    """

    #: The option or the object that has the problem.
    subject: str
    #: The kind of problem, in one or two words.
    kind: str
    #: The problem and its remedy, for operators.
    message: str = dataclasses.field(compare=False)
    #: The node that has the problem; empty for a problem of the back end.
    node: str = ''
    #: Whether the fault usually ends before the next check. If so, log the
    #: fault only if the next check finds it again.
    ends_soon: bool = dataclasses.field(default=False, compare=False)

    def __str__(self) -> str:
        return labelled(self.subject, self.message)


def labelled(subject: str, message: str) -> str:
    """Put ``SUBJECT:`` before a message that lacks this prefix."""
    label = f'{subject}: '
    return label + message.removeprefix(label)


class Misconfigured(errors.Error):
    """The mistakes of a back end."""

    def __init__(self, backend: str, mistakes: Sequence[Finding]) -> None:
        super().__init__(backend, tuple(mistakes))
        self.backend = backend
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = '\n'.join(f'  * {mistake}' for mistake in self.mistakes)
        return f'back end {self.backend}: unusable; correct this:\n{lines}'


class Health:
    """Keeps the current faults of a back end, and logs changes.

    :param backend: the name of the back end.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._faults: dict[str, tuple[Finding, ...]] = {}
        self._logged_faults: frozenset[Finding] = frozenset()
        self._lock = threading.Lock()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Return the faults that the latest check of each part found."""
        with self._lock:
            return tuple(
                fault for part in self._faults.values() for fault in part
            )

    def report(self, faults: Mapping[str, Sequence[Finding]]) -> None:
        """Replace the faults of the parts that were checked; log changes.

        :param faults: the current faults of each checked part, by
            :data:`OPTIONS`, :data:`SERVICES` or :data:`STORAGE`.
        """
        with self._lock:
            new_faults = [
                fault
                for part, part_faults in faults.items()
                for fault in part_faults
                if fault not in self._logged_faults
                and (
                    not fault.ends_soon or fault in self._faults.get(part, ())
                )
            ]
            self._faults.update({k: tuple(v) for k, v in faults.items()})
            current_faults = {
                fault for part in self._faults.values() for fault in part
            }
            ended_faults = self._logged_faults - current_faults
            self._logged_faults = (
                self._logged_faults - ended_faults
            ) | frozenset(new_faults)
        if new_faults:
            LOG.warning(
                'Back end %s: %d new faults; operations that do not need '
                'these objects continue:\n%s',
                self._backend,
                len(new_faults),
                '\n'.join(f'  * {fault}' for fault in new_faults),
            )
        for fault in ended_faults:
            LOG.info(
                'Back end %s: fault has ended: %s (%s)',
                self._backend,
                fault.subject,
                fault.kind,
            )
