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
"""What one pass of the upkeep remembers for the next.

So that what stays wrong is said once, is tried again after ever longer
times, and what is new is told from what has been there for a while. What a
pass does not come upon is forgotten at its end.
"""

from collections.abc import Hashable

from oslo_log import log

LOG = log.getLogger(__name__)

#: Passes, at most, from one try to the next.
_LONGEST_WAIT = 64


class Backoff:
    """Of what came up in the passes, by keys that their user makes."""

    def __init__(self) -> None:
        self._passes = 0
        self._came_up: dict[Hashable, int] = {}
        self._said: dict[Hashable, str] = {}
        #: The pass from which on to try again, and the wait after that.
        self._tries: dict[Hashable, tuple[int, int]] = {}

    def begin(self) -> None:
        """Begin a pass."""
        self._passes += 1

    def end(self) -> None:
        """End a pass that has seen everything."""
        gone = {k for k, n in self._came_up.items() if n != self._passes}
        for key in gone:
            del self._came_up[key]
            self._said.pop(key, None)
            self._tries.pop(key, None)

    def warn(self, key: Hashable, text: str) -> None:
        """Log a complaint, unless it is what was said of this before."""
        self._came_up[key] = self._passes
        if self._said.get(key) != text:
            self._said[key] = text
            LOG.warning('%s', text)

    def is_old(self, key: Hashable) -> bool:
        """Whether it came up in an earlier pass, too."""
        before = self._came_up.get(key, self._passes)
        self._came_up[key] = self._passes
        return before < self._passes

    def is_due(self, key: Hashable) -> bool:
        """Whether to try something now: at 1, 2, 4, … passes from a try."""
        self._came_up[key] = self._passes
        due, wait = self._tries.get(key, (0, 1))
        if self._passes < due:
            return False
        self._tries[key] = self._passes + wait, min(wait * 2, _LONGEST_WAIT)
        return True
