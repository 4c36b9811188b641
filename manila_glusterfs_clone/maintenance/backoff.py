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
"""Log a lasting problem once, and retry at growing intervals.

A :class:`Backoff` keeps records from one maintenance pass to the next. Each
record belongs to a key. The caller chooses one key for each problem. A key
*comes up* in a pass if the caller passes it to a method. At the end of a pass
without errors, the records of keys that did not come up are deleted.
"""

from collections.abc import Hashable
import time

from oslo_log import log

LOG = log.getLogger(__name__)

#: The longest time between two retries, in passes.
_MAX_WAIT_PASSES = 64


class Backoff:
    """The records of each key: passes, the last warning and the next retry."""

    def __init__(self) -> None:
        self._pass_number = 0
        #: By key: the last pass in which the key came up.
        self._last_passes: dict[Hashable, int] = {}
        #: By key: the monotonic time at which the key first came up.
        self._first_times: dict[Hashable, float] = {}
        #: By key: the last warning that was logged.
        self._last_warnings: dict[Hashable, str] = {}
        #: By key: the pass of the next retry, and the number of passes to wait
        #: after that retry.
        self._retries: dict[Hashable, tuple[int, int]] = {}

    def begin_pass(self) -> None:
        """Begin the next pass."""
        self._pass_number += 1

    def end_pass(self) -> None:
        """Delete the records of keys that did not come up in this pass.

        Call this only after a pass without errors.
        """
        forgotten_keys = [
            key
            for key, last_pass in self._last_passes.items()
            if last_pass != self._pass_number
        ]
        for key in forgotten_keys:
            del self._last_passes[key]
            self._first_times.pop(key, None)
            self._last_warnings.pop(key, None)
            self._retries.pop(key, None)

    def warn_once(self, key: Hashable, message: str) -> None:
        """Log a warning, unless the last warning of this key was the same."""
        self._last_passes[key] = self._pass_number
        if self._last_warnings.get(key) != message:
            self._last_warnings[key] = message
            LOG.warning('%s', message)

    def came_up_before(self, key: Hashable) -> bool:
        """Return whether a key came up in an earlier pass.

        Record that the key came up in this pass.
        """
        last_pass = self._last_passes.get(key, self._pass_number)
        self._last_passes[key] = self._pass_number
        return last_pass < self._pass_number

    def seconds_since_first(self, key: Hashable) -> float:
        """Return for how long a key has come up in each pass.

        Record that the key came up in this pass. If the key did not come up in
        the previous pass, even in a failed one, the time begins at 0 again.
        """
        now = time.monotonic()
        if self._last_passes.get(key, -1) < self._pass_number - 1:
            self._first_times[key] = now
        self._last_passes[key] = self._pass_number
        return now - self._first_times.setdefault(key, now)

    def is_retry_due(self, key: Hashable) -> bool:
        """Return whether the caller has to try now; if so, record the try.

        The first try of a key is due at once. The retries are due 1, 2, 4, …
        passes (at most 64) after the previous try.
        """
        self._last_passes[key] = self._pass_number
        due_pass, wait_passes = self._retries.get(key, (0, 1))
        if self._pass_number < due_pass:
            return False
        self._retries[key] = (
            self._pass_number + wait_passes,
            min(wait_passes * 2, _MAX_WAIT_PASSES),
        )
        return True
