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
"""Read the answers of the runner that are JSON."""

import json
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import step_outcomes


def value(result: step_outcomes.Result, *kinds: type) -> Any:
    """Return the value of an answer.

    :param kinds: the types that the value may have.
    :raises errors.Garbled: the answer is unreadable.
    """
    try:
        answer = json.loads(result.stdout)
    except ValueError as error:
        raise errors.Garbled(
            result.node, result.argv, result.stdout
        ) from error
    if not isinstance(answer, kinds):
        raise errors.Garbled(result.node, result.argv, result.stdout)
    return answer
