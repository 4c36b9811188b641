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
"""The DevStack plugin on a real host: all phases, and a share's life."""

import pathlib

import pytest

from tests.functional import test_single_node


@pytest.mark.any_release
def test_stack_unstack_and_clean(release: str, tmp_path: pathlib.Path) -> None:
    test_single_node.run(
        *('tests.functional.devstack_host', release, tmp_path), timeout=1500
    )
