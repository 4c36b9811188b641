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
"""What the runner on a node of the model reports in its facts."""

from collections.abc import Mapping
import json
from typing import Any

from tests.model import clock
from tests.model import shell

#: The facts about a node without problems.
USUAL: Mapping[str, Any] = {
    'mtab': '../proc/self/mounts',
    'kernel': '6.1.0',
    'has_dm_thin_pool': True,
    'has_xfs': True,
    'glusterd_addresses': ['0.0.0.0'],
    'state_percent': 12,
    'tls': None,
}
#: How much the clock of a node is ahead, in seconds; not a fact of the runner.
AHEAD = 'clock is ahead'


def answer(time: clock.Clock, changes: Mapping[str, Any]) -> shell.Answer:
    """Return the facts about a node.

    :param changes: the facts that differ from the usual ones.
    """
    facts = {**USUAL, **changes}
    facts['clock'] = time.now + facts.pop(AHEAD, 0)
    return shell.Answer(json.dumps(facts))
