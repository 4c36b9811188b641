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
"""Backoff: warn once about a lasting problem, and retry ever less often.

One pass of maintenance leaves its notes here for the next. The notes are kept
by keys that their user chooses. A key that does not come up in a complete
pass is forgotten at the end of that pass.
"""

from collections.abc import Hashable

from oslo_log import log

LOG = log.getLogger(__name__)

#: The longest time between two retries, in passes.
_MAX_WAIT = 64


class Backoff:
    """Per key: when it last came up, what was logged, when to retry."""

    def __init__(self) -> None:
        self._passes = 0
        #: The last pass in which the key came up.
        self._came_up: dict[Hashable, int] = {}
        #: The last warning.
        self._warnings: dict[Hashable, str] = {}
        #: The pass of the next retry, and how many passes to wait after it.
        self._retries: dict[Hashable, tuple[int, int]] = {}

    def begin_pass(self) -> None:
        """Count a pass."""
        self._passes += 1

    def end_pass(self) -> None:
        """Forget the keys that did not come up in this pass.

        To be called only if the pass was complete.
        """
        forgotten = [
            key for key, last in self._came_up.items() if last != self._passes
        ]
        for key in forgotten:
            del self._came_up[key]
            self._warnings.pop(key, None)
            self._retries.pop(key, None)

    def warn_once(self, key: Hashable, message: str) -> None:
        """Log a warning, unless the last one of this key was the same."""
        self._came_up[key] = self._passes
        if self._warnings.get(key) != message:
            self._warnings[key] = message
            LOG.warning('%s', message)

    def was_seen_before(self, key: Hashable) -> bool:
        """Return whether a key came up in an earlier pass; note this one."""
        last = self._came_up.get(key, self._passes)
        self._came_up[key] = self._passes
        return last < self._passes

    def is_retry_due(self, key: Hashable) -> bool:
        """Return whether to try now: 1, 2, 4, … passes after the last try."""
        self._came_up[key] = self._passes
        due, wait = self._retries.get(key, (0, 1))
        if self._passes < due:
            return False
        self._retries[key] = self._passes + wait, min(wait * 2, _MAX_WAIT)
        return True
