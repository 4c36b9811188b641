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
"""The mistakes and faults of a back end."""

from manila_glusterfs_clone import findings

FULL = findings.Finding('pool on gl1', 'full', '96 % full')
DOWN = findings.Finding('node gl2', 'unreachable', 'no route', 'gl2')


def test_findings_are_equal_whatever_their_numbers() -> None:
    fuller = findings.Finding('pool on gl1', 'full', '97 % full')
    assert fuller == FULL
    assert DOWN != FULL


def test_a_finding_names_its_subject_once() -> None:
    finding = findings.Finding('node gl2', 'unreachable', 'node gl2: no route')
    assert str(finding) == 'node gl2: no route'


def test_all_mistakes_are_in_one_message() -> None:
    error = findings.Misconfigured('gold', [FULL, DOWN])
    assert str(error) == (
        'back end gold: unusable; correct this:\n'
        '  * pool on gl1: 96 % full\n'
        '  * node gl2: no route'
    )
