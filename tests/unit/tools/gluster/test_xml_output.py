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
"""Parsing the answers of glusterd, from recordings."""

import re
from xml.etree import ElementTree

import pytest

from manila_glusterfs_clone.tools.gluster import xml_output
from tests.unit import fakes


def root(release: str, recording: str) -> ElementTree.Element:
    return ElementTree.fromstring(
        fakes.golden(release, recording).answer.stdout
    )


def test_volumes(release: str) -> None:
    volume = xml_output.volumes(root(release, 'volume-info'))['golden']
    assert volume.is_started
    assert volume.replica_count == 3
    assert volume.arbiter_count == 0
    assert [brick.host for brick in volume.bricks] == ['gl1', 'gl2', 'gl3']
    assert re.fullmatch('[0-9a-f]{32}', volume.hex_id)


def test_an_arbiter_volume(release: str) -> None:
    answer = root(release, 'volume-info')
    for element in answer.iter('arbiterCount'):
        element.text = '1'
    assert xml_output.volumes(answer)['golden'].arbiter_count == 1


@pytest.mark.parametrize('tag', ['brickCount', 'optCount'])
def test_a_volume_with_missing_parts_is_refused(
    release: str, tag: str
) -> None:
    answer = root(release, 'volume-info')
    for element in answer.iter(tag):
        element.text = '99'
    with pytest.raises(ValueError, match=tag):
        xml_output.volumes(answer)


def test_no_volumes(release: str) -> None:
    assert xml_output.volumes(root(release, 'volume-info-none')) == {}


@pytest.mark.parametrize(
    ('recording', 'is_active'),
    [('snapshot-info', False), ('snapshot-info-active', True)],
)
def test_snapshots(release: str, recording: str, is_active: bool) -> None:
    snapshot = xml_output.snapshots(root(release, recording))['golden-snap']
    assert snapshot.origin == 'golden'
    assert snapshot.is_active == is_active
    assert re.fullmatch('[0-9a-f]{32}', snapshot.hex_id)


def test_the_limit_of_a_volume_is_the_lower_one(release: str) -> None:
    config = root(release, 'snapshot-config-volume')
    whole = xml_output.snapshot_config(config, 'no such volume')
    assert xml_output.snapshot_config(config, 'golden') != whole
    assert xml_output.snapshot_config(config, 'golden').hard_limit < (
        xml_output.MAX_SNAPSHOTS
    )


def test_heal_state_with_a_brick_that_is_down(release: str) -> None:
    recording = 'volume-heal-summary-brick-down'
    state = xml_output.heal_state(root(release, recording))
    assert not state.is_healed
    (brick,) = state.silent_bricks
    assert 'Transport endpoint is not connected' in brick


def test_heal_state_of_a_healed_volume(release: str) -> None:
    state = xml_output.heal_state(root(release, 'volume-heal-summary'))
    assert state == xml_output.HealState(0, 0, ())
    assert state.is_healed


@pytest.mark.parametrize('element', [None, ElementTree.Element('x')])
def test_text_of_a_missing_element(
    element: ElementTree.Element | None,
) -> None:
    assert xml_output.text(element, 'no/such') == ''
