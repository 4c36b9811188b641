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

from typing import Any

import pytest

from manila_glusterfs_clone.manila_api import user_messages

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


def rule(**changes: Any) -> dict[str, Any]:
    usual = {'access_id': 'a', 'access_type': 'ip', 'access_level': 'rw'}
    return {**usual, **changes}


@pytest.mark.parametrize(
    ('changes', 'detail'),
    [
        ({}, 'FORBIDDEN_CLIENT_ACCESS'),
        ({'access_level': 'ro'}, 'UNSUPPORTED_CLIENT_ACCESS'),
        ({'access_type': 'cert'}, 'UNSUPPORTED_CLIENT_ACCESS'),
    ],
)
def test_refused_rule(
    created: list[tuple[str, str]], changes: dict[str, Any], detail: str
) -> None:
    user_messages.report_refused_rules(
        None, SHARE, [rule(**changes)], {'a'}, False
    )
    assert created == [('UPDATE_ACCESS_RULES', detail)]


def test_no_message_for_rules_that_are_applied(
    created: list[tuple[str, str]],
) -> None:
    user_messages.report_refused_rules(None, SHARE, [rule()], set(), False)
    assert created == []


def test_other_errors_of_an_extension_create_no_message(
    created: list[tuple[str, str]],
) -> None:
    with pytest.raises(ZeroDivisionError):
        with user_messages.insufficient_space_reported(SHARE):
            raise ZeroDivisionError
    assert created == []
