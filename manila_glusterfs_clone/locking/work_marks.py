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
"""Marks in Manila's database on what this service is at work on.

Manila takes a request from the message queue before it works on it, and its
database shows the same status for a request that still waits in the queue
and for one that a killed service had picked up. A mark tells them apart: it
is set when a verb of the driver begins, and removed when the verb ends. It
lies in Manila's private storage of drivers, under the id of the share or
snapshot instance.

While the verb runs, its process holds the lock of that work. So a mark
without a holder of the lock is interrupted work, whichever host it ran on.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
from typing import Any

from manila_glusterfs_clone.locking import locks

_VERB = 'glusterfs_clone_work'
_SIZE = 'glusterfs_clone_work_size'

CREATE, EXTEND, DELETE, UNMANAGE = 'create', 'extend', 'delete', 'unmanage'


@dataclasses.dataclass(frozen=True)
class Work:
    """What a service was at work on."""

    verb: str
    #: GiB that a share is to have, where the verb changes that.
    size: int | None = None


class WorkMarks:
    """The marks of one back end.

    :param storage: Manila's private storage of the driver; None where there
        is none, as without a database: then nothing is marked.
    """

    def __init__(self, storage: Any | None, mutex: locks.Locks) -> None:
        self._storage = storage
        self._locks = mutex

    @contextlib.contextmanager
    def during(self, instance_id: str, work: Work) -> Iterator[None]:
        """Mark an instance while a verb is at work on it.

        The mark stays only where the process is killed, or told to exit.
        """
        with self._locks.work(instance_id):
            with self.begun(instance_id, work):
                yield
            self.remove(instance_id)

    @contextlib.contextmanager
    def begun(self, instance_id: str, work: Work) -> Iterator[None]:
        """Mark an instance from the first part of a verb on.

        The mark stays for the other parts, unless the first fails.
        """
        self.set(instance_id, work)
        try:
            yield
        except Exception:
            self.remove(instance_id)
            raise

    def set(self, instance_id: str, work: Work) -> None:
        """Mark an instance."""
        if self._storage is not None:
            size = '' if work.size is None else str(work.size)
            self._storage.update(instance_id, {_VERB: work.verb, _SIZE: size})

    def find(self, instance_id: str) -> Work | None:
        """Return what an instance is marked with; None if it is not."""
        found: Mapping[str, str] = {}
        if self._storage is not None:
            found = self._storage.get(instance_id)
        if _VERB not in found:
            return None
        size = found.get(_SIZE)
        return Work(found[_VERB], int(size) if size else None)

    def remove(self, instance_id: str) -> None:
        """Remove the mark of an instance; fine if there is none."""
        if self._storage is not None:
            self._storage.delete(instance_id, [_VERB, _SIZE])
