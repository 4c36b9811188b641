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
"""List and delete all shares and snapshots in Manila's database."""

import time

from tests.lab.errors import Unexpected
from tests.lab.manila import rest


class Contents:
    """The shares and snapshots of all projects."""

    def __init__(self, admin: rest.Rest) -> None:
        self._admin = admin

    def instances(self) -> tuple[list[str], list[str]]:
        """Return the ids of all instances of shares, and of snapshots."""
        shares = self._admin.get(f'{rest.MANILA}/share_instances')
        snapshots = self._admin.get(f'{rest.MANILA}/snapshot-instances')
        return (
            [each['id'] for each in shares['share_instances']],
            [each['id'] for each in snapshots['snapshot_instances']],
        )

    def delete(self, timeout: float) -> None:
        """Delete all shares and snapshots by force, in whatever status.

        A deletion that fails is repeated: on a busy machine a driver may
        not have reached a node in time.

        :raises Unexpected: when some still exist after so many seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            # A share cannot go before its snapshots.
            kind = 'snapshots'
            if not (left := self._all(kind)):
                kind = 'shares'
                left = self._all(kind)
            if not left:
                return
            for each, status in left.items():
                if status != 'deleting':
                    url = f'{rest.MANILA}/{kind}/{each}/action'
                    self._admin.post(url, {'force_delete': None})
            if time.monotonic() > deadline:
                raise Unexpected(
                    f'the {kind} {left} are still there {timeout:g} s after '
                    f'they were to be deleted'
                )
            time.sleep(1)

    def _all(self, kind: str) -> dict[str, str]:
        """Return ids and statuses."""
        url = f'{rest.MANILA}/{kind}/detail?all_tenants=1'
        found = self._admin.get(url)
        return {each['id']: each['status'] for each in found[kind]}
