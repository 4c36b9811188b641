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
"""Keep the current faults of a back end, and log when they begin and end."""

from collections.abc import Mapping, Sequence
import threading

from oslo_log import log

from manila_glusterfs_clone import findings

LOG = log.getLogger(__name__)

#: The parts of a back end. *Options* are those of Manila itself; *services*
#: are glusterd and the programs on nodes; *storage* is the SSH access and the
#: thin pools. The driver checks all parts when manila-share starts, and the
#: storage each time Manila asks for the capacity.
OPTIONS, SERVICES, STORAGE = 'options', 'services', 'storage'


class FaultLog:
    """Keeps the current faults of a back end, and logs changes.

    :param backend: the name of the back end.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._faults: dict[str, tuple[findings.Finding, ...]] = {}
        self._logged_faults: frozenset[findings.Finding] = frozenset()
        self._lock = threading.Lock()

    @property
    def faults(self) -> tuple[findings.Finding, ...]:
        """Return the faults that the latest check of each part found."""
        with self._lock:
            return tuple(
                fault for part in self._faults.values() for fault in part
            )

    def report(self, faults: Mapping[str, Sequence[findings.Finding]]) -> None:
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
