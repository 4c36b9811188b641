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
"""A thread that repeats one action at a fixed interval.

It is a thread of Python's own that waits for an event. So it is a real thread
where Manila runs with threads (23.0.1), and a green thread where eventlet has
patched them (16.0.0), and it needs neither to be started or stopped. The
looping calls of oslo.service require that the kind of threads was chosen for
the whole process. That choice is Manila's, not a driver's.
"""

from collections.abc import Callable
import threading

from oslo_log import log

LOG = log.getLogger(__name__)


class PeriodicThread:
    """Repeats an action; one run never overlaps the next.

    The thread is a daemon: it does not keep the process from exiting.

    :param action: is repeated also after it has raised; errors are logged.
    :param interval: seconds before the first run, and from the end of one
        run to the start of the next.
    :param name: of the thread, and of the action in the log.
    """

    def __init__(
        self, action: Callable[[], None], interval: float, name: str
    ) -> None:
        self._action = action
        self._interval = interval
        self._name = name
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread; to be called once, after the process forked."""
        threading.Thread(
            target=self._run, name=self._name, daemon=True
        ).start()

    def stop(self) -> None:
        """Start no further run; a run in progress is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._action()
            except Exception:
                LOG.exception(
                    '%s: failed; next attempt in %g s',
                    self._name,
                    self._interval,
                )
