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
"""Reading and checking Manila's dictionaries."""

import types
from typing import Any

from manila.share import share_types
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import arguments

SETTINGS: Any = types.SimpleNamespace(pools=('gvg/a', 'gvg/b'))
PROTOCOL: Any = types.SimpleNamespace(share_proto='GLUSTERFS')

SENTENCES: dict[errors.Error, str] = {
    arguments.WrongProtocol('NFS', 'GLUSTERFS'): (
        'share protocol NFS: not supported by this back end; use GLUSTERFS'
    ),
    arguments.UnknownPool('host@x#gvg/c', ('gvg/a', 'gvg/b')): (
        'host host@x#gvg/c: names none of the pools gvg/a, gvg/b; check '
        'glusterfs_clone_pools'
    ),
}


@pytest.mark.parametrize(
    'error', SENTENCES, ids=lambda error: type(error).__name__
)
def test_sentence(error: errors.Error) -> None:
    assert str(error) == SENTENCES[error]


def test_protocol() -> None:
    arguments.require_protocol({'share_proto': 'glusterfs'}, PROTOCOL)
    with pytest.raises(arguments.WrongProtocol) as caught:
        arguments.require_protocol({'share_proto': 'NFS'}, PROTOCOL)
    assert caught.value.share_proto == 'NFS'


def test_pool() -> None:
    assert arguments.pool({'host': 'h@x#gvg/b'}, SETTINGS) == 'gvg/b'
    with pytest.raises(arguments.UnknownPool) as caught:
        arguments.pool({'host': 'h@x#gvg/c'}, SETTINGS)
    assert caught.value.pool_names == ('gvg/a', 'gvg/b')


def test_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {arguments.EXTRA_SPEC_LAYOUT: 'single'}
    monkeypatch.setattr(
        share_types, 'get_extra_specs_from_share', lambda share: specs
    )
    assert arguments.layout({'share_type_id': 't'}) == 'single'
    assert arguments.layout({'share_type_id': None}) is None
    specs.clear()
    assert arguments.layout({'share_type_id': 't'}) is None


@pytest.mark.parametrize(
    ('share', 'is_cloned'),
    [
        ({}, False),
        ({'snapshot_id': None}, False),
        ({'snapshot_id': 's'}, True),
        ({'source_share_group_snapshot_member_id': 'm'}, True),
    ],
)
def test_is_cloned(share: dict[str, Any], is_cloned: bool) -> None:
    assert arguments.is_cloned(share) is is_cloned
