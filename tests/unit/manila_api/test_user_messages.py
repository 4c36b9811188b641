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
"""User messages for requests that the driver refuses."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import user_messages
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.protocols import access_lists

SHARE = {'id': 'i', 'share_id': 's', 'project_id': 'p'}


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    messages: list[tuple[str, str]] = []
    monkeypatch.setattr(
        user_messages,
        '_create',
        lambda context, action, detail, share: messages.append(
            (action, detail)
        ),
    )
    return messages


@pytest.mark.parametrize(
    ('refusals', 'details'),
    [
        ([access_lists.AccessListFull(1)], ['FORBIDDEN_CLIENT_ACCESS']),
        (
            [access_levels.AccessLevelsDiffer('ro', 'rw')],
            ['UNSUPPORTED_CLIENT_ACCESS'],
        ),
        (
            [access_levels.AccessLevelNotSupported('')],
            ['UNSUPPORTED_CLIENT_ACCESS'],
        ),
        (
            [protocols.AccessTypeNotSupported('cert', 'ip')],
            ['UNSUPPORTED_CLIENT_ACCESS'],
        ),
        (
            [
                access_lists.AddressNotIPv4('fd00::1'),
                access_levels.AccessLevelsDiffer('ro', 'rw'),
                access_levels.AccessLevelsDiffer('ro', 'rw'),
            ],
            ['UNSUPPORTED_CLIENT_ACCESS', 'FORBIDDEN_CLIENT_ACCESS'],
        ),
        ([], []),
    ],
)
def test_refused_rules(
    created: list[tuple[str, str]],
    refusals: list[errors.NotPossible],
    details: list[str],
) -> None:
    by_id = {f'r{number}': each for number, each in enumerate(refusals)}
    user_messages.report_refused_rules(None, SHARE, [*by_id, 'r9'], by_id)
    assert created == [('UPDATE_ACCESS_RULES', detail) for detail in details]


def test_no_message_for_rules_that_were_refused_before(
    created: list[tuple[str, str]],
) -> None:
    refusals = {'old': access_lists.AccessListFull(1)}
    user_messages.report_refused_rules(None, SHARE, ['new'], refusals)
    assert created == []


def test_other_errors_of_an_extension_create_no_message(
    created: list[tuple[str, str]],
) -> None:
    with pytest.raises(ZeroDivisionError):
        with user_messages.insufficient_space_reported(SHARE):
            raise ZeroDivisionError
    assert created == []
