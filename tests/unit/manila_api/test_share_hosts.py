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
"""The host of a share in Manila's database.

The model tests change the host of a share in a database.
"""

from typing import Any

from manila import db
from oslo_db import exception as db_exception
import pytest

from manila_glusterfs_clone.manila_api import share_hosts


def fail(*arguments: Any) -> None:
    raise db_exception.DBConnectionError('gone')


def test_the_same_pool_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, 'share_instance_update', fail)
    share_hosts.record_pool(
        'context', {'id': 'i', 'host': 'h@gold#vg/a'}, 'vg/a'
    )


def test_host_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, 'share_instance_update', fail)
    share = {'id': 'i', 'host': 'h@gold#vg/a'}
    with pytest.raises(share_hosts.DatabaseFailed) as caught:
        share_hosts.record_pool('context', share, 'vg/b')
    assert caught.value.share_id == 'i'
    assert share['host'] == 'h@gold#vg/a'
