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
"""Mark operations in Manila's database while they are in progress.

manila-share removes a request from the message queue before it starts the
operation. If the service is killed during the operation, the request is lost.
Manila's database shows the same status for a lost request and for a request
that still waits in the queue. A *work mark* distinguishes the two: the driver
sets the mark when an operation begins, and removes it when the operation ends.
The mark is in Manila's private storage for drivers, under the id of the share
or snapshot instance.

The process that runs an operation holds the work lock of the instance. So if
an instance has a mark, and no process on any host holds its work lock, the
operation was interrupted. A deletion is an exception: while Manila revokes the
access rules of the share, the mark exists without the lock.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
from typing import Any

from manila_glusterfs_clone.locking import locks

_OPERATION = 'glusterfs_clone_work'
_SIZE = 'glusterfs_clone_work_size'

CREATE, EXTEND, DELETE, UNMANAGE = 'create', 'extend', 'delete', 'unmanage'


@dataclasses.dataclass(frozen=True)
class Work:
    """An operation of the driver on a share or snapshot instance."""

    operation: str
    #: The new size of the share in GiB, for ``extend``; otherwise None.
    size: int | None = None


class WorkMarks:
    """The marks of one back end.

    :param storage: Manila's private storage for the driver; None to set no
        marks.
    """

    def __init__(self, storage: Any | None, the_locks: locks.Locks) -> None:
        self._storage = storage
        self._locks = the_locks

    @contextlib.contextmanager
    def locked_and_marked(
        self, instance_id: str, work: Work
    ) -> Iterator[None]:
        """Lock and mark an instance during an operation.

        The mark is removed even if the operation fails. It stays if the
        process ends during the operation.
        """
        with self._locks.work(instance_id):
            with self.mark_begin(instance_id, work):
                yield
            self.remove(instance_id)

    @contextlib.contextmanager
    def mark_begin(self, instance_id: str, work: Work) -> Iterator[None]:
        """Mark an instance for an operation that continues after the body.

        If the body fails, remove the mark. Otherwise keep it for the rest of
        the operation.
        """
        self.set(instance_id, work)
        try:
            yield
        except Exception:
            self.remove(instance_id)
            raise

    def set(self, instance_id: str, work: Work) -> None:
        """Mark an instance with an operation that is in progress."""
        if self._storage is not None:
            size = '' if work.size is None else str(work.size)
            self._storage.update(
                instance_id, {_OPERATION: work.operation, _SIZE: size}
            )

    def find(self, instance_id: str) -> Work | None:
        """Return the operation in an instance's mark; None without a mark."""
        values: Mapping[str, str] = {}
        if self._storage is not None:
            values = self._storage.get(instance_id)
        if _OPERATION not in values:
            return None
        size = values.get(_SIZE)
        return Work(values[_OPERATION], int(size) if size else None)

    def remove(self, instance_id: str) -> None:
        """Remove the mark of an instance, if it has one."""
        if self._storage is not None:
            self._storage.delete(instance_id, [_OPERATION, _SIZE])
