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
"""Something that is done again and again, beside the rest.

A thread of Python's own that waits for an event: it is a real one where
Manila runs with threads, as 23.0.1 does, and a green one where eventlet has
patched them, as in 16.0.0, and needs nothing of either to be started or
stopped. The looping calls of oslo.service want their kind of threads chosen
for the whole process first, which is Manila's choice and none of a driver.
"""

from collections.abc import Callable
import threading

from oslo_log import log

LOG = log.getLogger(__name__)


class Periodic:
    """Does something every so often, one time after the other.

    The thread is a daemon: it does not keep a process from ending.

    :param action: what raises is logged, and done again.
    :param interval: seconds between an end and the next beginning, and
        before the first.
    """

    def __init__(
        self, action: Callable[[], None], interval: float, name: str
    ) -> None:
        self._action = action
        self._interval = interval
        self._name = name
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; to be called once, and after the process has forked."""
        threading.Thread(
            target=self._run, name=self._name, daemon=True
        ).start()

    def stop(self) -> None:
        """Let no further time begin; one that has is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._action()
            except Exception:
                LOG.exception('%s failed and is done again later', self._name)
