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
"""The clock of the model: time passes only while a caller waits."""

import threading
import time

from manila_glusterfs_clone.operations import snapshot_deactivation
from tests.model import fault_injection


def let_others_run() -> None:
    """Yield to other threads, if any."""
    if threading.active_count() > 1:
        time.sleep(0)


class Clock:
    """Replaces the module ``time`` in the modules of the driver.

    Commands on nodes take time too; they call :meth:`advance`.
    """

    def __init__(self) -> None:
        self.now = 1_000_000.0
        #: The objects that deactivate snapshots after their last clones. In
        #: the model, :meth:`run_deferred` does this instead of threads.
        self.deferred: list[snapshot_deactivation.SnapshotUses] = []
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        let_others_run()

    def defer(self, uses: snapshot_deactivation.SnapshotUses) -> None:
        """Deactivate snapshots in :meth:`run_deferred`, without a thread."""
        with self._lock:
            if uses not in self.deferred:
                self.deferred.append(uses)

    def run_deferred(self) -> None:
        """Advance the clock until all snapshots are deactivated.

        A killed process deactivates no snapshot.
        """
        while self.deferred:
            try:
                seconds = self.deferred[0].deactivate_due()
            except fault_injection.Killed:
                seconds = None
            if seconds is None:
                del self.deferred[0]
            else:
                self.advance(seconds)

    def __getstate__(self) -> float:
        return self.now

    def __setstate__(self, now: float) -> None:
        self.now = now
        self.deferred = []
        self._lock = threading.Lock()
