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
"""One scenario on a real cluster: a short test of the whole driver.

``tools/test quick`` runs it alone, by its mark.
"""

import pytest

from tests.functional import manila_stand_in
from tests.functional import short_form
from tests import lab as lab_module


@pytest.mark.scenario
def test_create_clone_allow_deny_and_delete(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    short_form.run(lab, manila)
