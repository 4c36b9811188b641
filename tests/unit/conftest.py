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
"""What all unit tests share."""

import hypothesis
import pytest

from tests.unit import fakes

# Examples are the same in every run, and none is judged by its time.
hypothesis.settings.register_profile(
    'unit', deadline=None, derandomize=True, max_examples=60, database=None
)
hypothesis.settings.load_profile('unit')


@pytest.fixture(params=fakes.RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release that there are recordings of."""
    return str(request.param)


@pytest.fixture
def clock() -> fakes.Clock:
    return fakes.Clock()
