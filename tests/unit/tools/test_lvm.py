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
"""LVM of a node: reports, health states and refusals."""

import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import lvm
from tests.unit import fakes

ROW = {
    'vg_name': 'gvg',
    'lv_name': 'b1',
    'lv_size': '1073741824',
    'lv_layout': 'thin,sparse',
    'lv_role': 'public',
    'lv_active': 'active',
    'lv_health_status': '',
    'zero': 'zero',
    'pool_lv': 'pool',
    'origin': '',
    'data_percent': '6.36',
    'metadata_percent': '',
    'lv_tags': 'manila.brick,manila.share=u1,manila.share=u0',
    'lv_dm_path': '/dev/mapper/gvg-b1',
    'lv_metadata_size': '',
    'lv_device_open': 'open',
    'lv_profile': '',
    'vg_profile': '',
    'vg_free': '4194304',
}


def report(**changes: object) -> str:
    return json.dumps({'report': [{'lv': [{**ROW, **changes}]}]})


def test_a_real_report(release: str) -> None:
    node = fakes.Node().replay(release, 'lvs')
    found = {lv.full_name: lv for lv in lvm.Lvm(node).lvs()}
    pool = found['gvg/pool']
    assert pool.is_thin_pool
    assert not pool.is_thin_volume
    assert pool.pool_name == ''
    assert pool.size >= 8 << 30
    assert 0 < pool.data_percent < 100
    assert 0 < pool.metadata_percent < 100
    assert pool.zeroes_new_blocks
    assert pool.health == lvm.Health.OK
    assert pool.metadata_size == 64 << 20
    assert pool.vg_free > 1 << 30
    assert pool.profile == ''
    made = found['gvg/manila-golden']
    assert made.is_thin_volume
    assert not made.is_thin_pool
    assert made.pool_name == 'gvg/pool'
    assert made.size == 1 << 30
    assert made.is_active
    assert made.origin == ''
    assert made.metadata_percent == 0
    assert made.metadata_size == 0
    assert made.is_open
    assert not made.is_thin_snapshot
    assert made.device == '/dev/mapper/gvg-manila--golden'
    assert made.tag_value('manila.share=') == 'u1'
    assert made.tag_value('manila.mount=') == '/srv/golden/manila-golden'
    assert made.tag_value('manila.snapshot=') is None
    (snapshot,) = [lv for lv in found.values() if lv.origin == made.name]
    (clone,) = [lv for lv in found.values() if lv.origin == snapshot.name]
    assert not snapshot.is_open
    assert clone.is_open
    for lv in (snapshot, clone):
        assert lv.is_thin_volume
        assert lv.is_thin_snapshot
        assert lv.tags == frozenset()
        assert bricks.hex_id_in_name(lv.name)


def test_a_tag_that_no_lv_has(release: str) -> None:
    node = fakes.Node().replay(release, 'lvs-no-such-tag')
    assert lvm.Lvm(node).lvs('@no.such') == ()


def test_a_missing_lv(release: str) -> None:
    node = fakes.Node().replay(release, 'lvs-no-such-lv')
    with pytest.raises(errors.CommandFailed) as caught:
        lvm.Lvm(node).lvs('gvg/nosuch')
    assert caught.value.status == 5


def test_creating_an_existing_lv(release: str) -> None:
    answer = fakes.golden(release, 'lvcreate-exists').answer
    argv = (
        'lvcreate --yes --wipesignatures=y --type=thin '
        '--virtualsize=1073741824b --thinpool=pool --name=b1 '
        '--addtag=a --addtag=b gvg'
    ).split()
    node = fakes.Node().answer(argv, answer)
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(lvm.creation('gvg/b1', 'pool', 1 << 30, ('b', 'a')))
    assert 'already exists' in caught.value.stderr


def test_an_lv_in_use_is_not_removed(release: str) -> None:
    recording = fakes.golden(release, 'lvremove-in-use')
    node = fakes.Node().answer(recording.argv, recording.answer)
    with pytest.raises(errors.CommandFailed) as caught:
        node.run(lvm.removal('gvg/manila-golden'))
    error = lvm.specific_error(caught.value)
    assert isinstance(error, errors.InUse)
    assert error.path == '/dev/gvg/manila-golden'


@pytest.mark.parametrize(
    'answer',
    [
        fakes.Answer('', '  Failed to find logical volume "gvg/b"', 5),
        # The words alone are not enough: LVM fails with status 5.
        fakes.Answer('', '  Logical volume gvg/b in use.', 3),
    ],
)
def test_other_failures_of_lvremove_are_not_in_use(
    answer: fakes.Answer,
) -> None:
    argv = ('lvremove', '--force', '--yes', 'gvg/b')
    with pytest.raises(errors.CommandFailed) as caught:
        fakes.Node().answer(argv, answer).run(lvm.removal('gvg/b'))
    assert lvm.specific_error(caught.value) is caught.value


@pytest.mark.parametrize(
    ('printed', 'health'),
    [
        ('', lvm.Health.OK),
        ('out_of_data', lvm.Health.OUT_OF_DATA),
        ('metadata_read_only', lvm.Health.METADATA_READ_ONLY),
        ('failed', lvm.Health.FAILED),
        ('a state of a later release', 'a state of a later release'),
    ],
)
def test_health(printed: str, health: str) -> None:
    (pool,) = lvm.parse_report(report(lv_health_status=printed))
    assert pool.health == health


@pytest.mark.parametrize(
    ('step', 'command'),
    [
        (lvm.extension('gvg/b', 5), 'lvextend --size=5b gvg/b'),
        (
            lvm.activation('gvg/b'),
            'lvchange --activate=y --ignoreactivationskip gvg/b',
        ),
        (
            lvm.removal('gvg/b', 'gvg/c'),
            'lvremove --force --yes gvg/b gvg/c',
        ),
        (
            lvm.tagging(['gvg/b'], {'y', 'x'}),
            'lvchange --addtag=x --addtag=y gvg/b',
        ),
        (
            lvm.untagging(['gvg/b', 'gvg/c'], {'y', 'x'}),
            'lvchange --deltag=x --deltag=y gvg/b gvg/c',
        ),
    ],
)
def test_steps(step: step_outcomes.Step, command: str) -> None:
    assert step.argv == tuple(command.split())
    assert step.timeout == lvm.TIMEOUT


@pytest.mark.parametrize(
    'text',
    [
        '',
        'lvs: command failed',
        '[]',
        '{}',
        'null',
        '{"report": 5}',
        '{"report": [5]}',
        '{"report": [{}]}',
        '{"report": [{"lv": [5]}]}',
        '{"report": [{"lv": [{}]}]}',
        report(lv_size='1g'),
        report(lv_size=None),
        report(lv_tags=None),
        report(data_percent='full'),
        report(vg_free=''),
        report()[:-4],
    ],
)
def test_an_unreadable_report_is_unknown(text: str) -> None:
    with pytest.raises(ValueError):
        lvm.parse_report(text)
    argv = fakes.golden('11.1', 'lvs').argv
    node = fakes.Node().answer(argv, fakes.Answer(text))
    with pytest.raises(errors.Garbled) as caught:
        lvm.Lvm(node).lvs()
    assert errors.is_unknown(caught.value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(['report', 'lv', *ROW]), inner)
        ),
        max_leaves=6,
    )
)
def test_other_json_is_not_a_report(value: object) -> None:
    try:
        assert lvm.parse_report(json.dumps(value)) == ()
    except ValueError:
        pass


def test_fields_that_are_empty() -> None:
    (lv,) = lvm.parse_report(
        report(data_percent='', lv_active='', zero='', lv_tags='')
    )
    assert lv.data_percent == 0
    assert not lv.is_active
    assert not lv.zeroes_new_blocks
    assert lv.tags == frozenset()


@pytest.mark.parametrize(
    ('own', 'of_vg', 'profile'),
    [
        ('', '', ''),
        ('mine', '', 'mine'),
        ('', 'all', 'all'),
        ('mine', 'all', 'mine'),
    ],
)
def test_the_profile_of_an_lv_or_else_of_its_vg(
    own: str, of_vg: str, profile: str
) -> None:
    (lv,) = lvm.parse_report(report(lv_profile=own, vg_profile=of_vg))
    assert lv.profile == profile


def test_the_first_of_two_tags_counts() -> None:
    (lv,) = lvm.parse_report(report())
    assert lv.tag_value('manila.share=') == 'u0'


def test_a_report_of_several_parts() -> None:
    parts = [json.loads(report(vg_name=vg))['report'][0] for vg in 'ab']
    found = lvm.parse_report(json.dumps({'report': parts, 'log': []}))
    assert [lv.full_name for lv in found] == ['a/b1', 'b/b1']


def test_not_every_thin_lv_is_a_volume() -> None:
    def layout(words: str, pool: str) -> lvm.LogicalVolume:
        return lvm.parse_report(report(lv_layout=words, pool_lv=pool))[0]

    assert not layout('linear', '').is_thin_volume
    assert not layout('linear', '').is_thin_pool
    assert not layout('thin,pool', '').is_thin_volume
    assert not layout('cache', 'cpool').is_thin_volume
