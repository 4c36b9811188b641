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
"""Names, tags and paths."""

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import names

ID = '3f0c6d5e-8a53-4a57-9a0e-0c1a2b3c4d5e'
UUIDS = st.uuids().map(str)


@given(UUIDS)
def test_names_fit_into_what_the_tools_allow(share_id: str) -> None:
    for name in (names.volume(share_id), names.snapshot(share_id)):
        assert re.fullmatch(r'[A-Za-z0-9_-]{1,254}', name)
        assert len(name) <= 127
    for tag in (
        names.share_tag(share_id),
        names.snapshot_tag(share_id),
        names.mount_tag(names.mount_point('/srv/x', share_id)),
    ):
        assert re.fullmatch(r'[A-Za-z0-9_+.\-/=!:&#]{1,1024}', tag)


@given(UUIDS)
def test_ids_come_back_from_names(some_id: str) -> None:
    assert names.snapshot_id_from_name(names.snapshot(some_id)) == some_id


@given(UUIDS)
def test_a_snapshot_is_never_taken_for_a_share(some_id: str) -> None:
    assert names.snapshot_id_from_name(names.volume(some_id)) is None


@given(UUIDS, UUIDS)
def test_different_ids_have_different_names(one: str, two: str) -> None:
    assert (names.volume(one) == names.volume(two)) == (one == two)


@pytest.mark.parametrize(
    'foreign',
    [
        '',
        'golden',
        'manila-',
        'manila-golden',
        f'other-{ID}',
        f'manila-{ID.upper()}',
        f'manila-{ID}x',
        f'manila-{ID.replace("-", "")}',
        f'manila-{{{ID}}}',
        f'manila-urn:uuid:{ID}',
    ],
)
def test_what_we_did_not_name_is_not_ours(foreign: str) -> None:
    assert names.snapshot_id_from_name(foreign) is None


@pytest.mark.parametrize(
    'bad',
    ['', 'x', '../../etc', f'{ID};reboot', f'{ID} force', '-', 'é' * 32],
)
def test_what_is_no_id_is_refused(bad: str) -> None:
    for make in (
        names.canonical_id,
        names.volume,
        names.snapshot,
        names.share_tag,
        names.snapshot_tag,
    ):
        with pytest.raises(names.NotAnId):
            make(bad)


@pytest.mark.parametrize('bad', [None, 7, b'x', uuid.UUID(ID)])
def test_what_is_no_text_is_refused(bad: object) -> None:
    with pytest.raises(names.NotAnId):
        names.canonical_id(bad)  # type: ignore[arg-type]


def test_one_id_has_one_form() -> None:
    assert names.canonical_id(ID.upper()) == ID
    assert names.volume(ID.replace('-', '')) == names.volume(ID)


def test_a_brick_is_inside_its_mount() -> None:
    mount = names.mount_point('/srv/bricks', ID)
    assert mount == f'/srv/bricks/manila-{ID}'
    assert names.brick_path(mount) == f'{mount}/brick'


@pytest.mark.parametrize('bad', ['', '/a b', '/a,b', '/a@b', '/a\n', '/é'])
def test_what_lvm_takes_for_no_tag_is_refused(bad: str) -> None:
    with pytest.raises(names.NotATagValue):
        names.mount_tag(bad)


def test_tags_are_told_apart_by_their_beginning() -> None:
    prefixes = [names.TAG_SHARE, names.TAG_SNAPSHOT, names.TAG_MOUNT]
    for one in prefixes:
        assert not names.TAG_BRICK.startswith(one)
        for two in prefixes:
            assert one == two or not two.startswith(one)


@pytest.mark.parametrize('path', ['/srv', '/srv/a.b/c_d-e+f', '/a..b/c'])
def test_plain_paths(path: str) -> None:
    assert names.is_plain_path(path)


@pytest.mark.parametrize(
    'path',
    [
        '',
        '/',
        'srv',
        'srv/x',
        '/srv/',
        '//srv',
        '/srv//x',
        '/srv/../etc',
        '/..',
        '/srv/./x',
        '/srv/.',
        '/a b',
        '/a\n',
        '/a;b',
        '/a,b',
        '/é',
        '/' + 'a' * 201,
    ],
)
def test_other_paths(path: str) -> None:
    assert not names.is_plain_path(path)


@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        ('gvg/pool', ('gvg', 'pool')),
        ('a-b.c/d_e+f', ('a-b.c', 'd_e+f')),
    ],
)
def test_pools(name: str, parts: tuple[str, str]) -> None:
    assert names.split_pool(name) == parts


@pytest.mark.parametrize(
    'name',
    [
        '',
        'pool',
        '/pool',
        'gvg/',
        'gvg/pool/x',
        '-gvg/pool',
        'gvg/-pool',
        'g vg/pool',
        'gvg/pool\n',
        '/dev/gvg/pool',
        'gvg/' + 'p' * 64,
    ],
)
def test_what_names_no_pool_is_refused(name: str) -> None:
    with pytest.raises(names.NotAPoolName):
        names.split_pool(name)


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (
            names.NotAnId('x'),
            "'x': not the id of a share or snapshot instance",
        ),
        (
            names.NotATagValue('/a b'),
            "mount point '/a b': too long for an LVM tag, or has characters "
            'that a tag cannot contain; choose another '
            'glusterfs_clone_brick_root',
        ),
        (
            names.NotAPoolName('pool'),
            "'pool': not a thin pool; use the form vg/thinpool",
        ),
    ],
)
def test_sentences(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence
