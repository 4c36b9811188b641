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
"""Repeat one action in a thread, with a fixed pause between two runs.

A ``threading.Thread`` works with both kinds of threads of Manila. It is a
native thread in Manila 23.0.1, and a green thread in Manila 16.0.0, where
eventlet patches ``threading``. The looping calls of oslo.service are not used:
they require that the process has chosen one kind of threads, and only Manila
can make that choice.
"""

from collections.abc import Callable
import threading

from oslo_log import log

LOG = log.getLogger(__name__)


class PeriodicThread:
    """Repeats an action in a daemon thread; runs never overlap.

    A daemon thread does not prevent the exit of the process.

    :param action: the function to run. Its errors are logged, and the next run
        follows after the pause.
    :param interval_seconds: the pause before the first run and between two
        runs.
    :param name: the name of the thread, and of the action in the log.
    """

    def __init__(
        self, action: Callable[[], object], interval_seconds: float, name: str
    ) -> None:
        self._action = action
        self._interval_seconds = interval_seconds
        self._name = name
        self._stop_event = threading.Event()

    def start(self) -> None:
        """Start the thread; call this once, after the process has forked."""
        threading.Thread(
            target=self._run, name=self._name, daemon=True
        ).start()

    def stop(self) -> None:
        """Stop the thread; do not wait for a run in progress."""
        self._stop_event.set()

    def _run(self) -> None:
        while not self._stop_event.wait(self._interval_seconds):
            try:
                self._action()
            except Exception:
                LOG.exception(
                    '%s: failed; next attempt in %g s',
                    self._name,
                    self._interval_seconds,
                )
