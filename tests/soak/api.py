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
"""The requests of users to Manila, through its API."""

from collections.abc import Callable, Collection
import threading
import time
from typing import Any, TypeVar

from tests.lab.errors import LabError
from tests.lab.manila import rest
from tests.lab.manila import users
from tests.lab.network import Network

T = TypeVar('T')

#: States that something is to leave by itself.
TRANSITIONS = frozenset(
    {
        *('creating', 'creating_from_snapshot', 'deleting', 'extending'),
        # Those of rules, as this version of the API has them.
        *('new', 'queued_to_apply', 'applying'),
        *('queued_to_deny', 'denying'),
    }
)
GONE = 'gone'


class Failed(Exception):
    """Something ended in a state of error."""

    def __init__(self, what: str, status: str) -> None:
        super().__init__(what, status)
        self.status = status

    def __str__(self) -> str:
        return f'{self.args[0]} is {self.status}'


class Stuck(Failed):
    """Something stays in a state of transition."""


class User:
    """A user of one project; several threads may be that user."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._local = threading.local()

    # -- shares

    def create(
        self, name: str, share_type: str, size: int, snapshot: str | None
    ) -> str:
        """Ask for a share; return its id."""
        body = {
            'share_proto': 'GLUSTERFS',
            'name': name,
            'size': size,
            'share_type': share_type,
            'snapshot_id': snapshot,
        }
        made = self._ask('post', 'shares', {'share': body})
        return str(made['share']['id'])

    def extend(self, share: str, size: int) -> None:
        self._act(share, 'extend', {'new_size': size})

    def locations(self, share: str) -> list[str]:
        """Return the paths of the export locations, preferred ones first."""
        found = self._ask('get', f'shares/{share}/export_locations')
        listed = found['export_locations']
        listed.sort(key=lambda each: not each['preferred'])
        return [each['path'] for each in listed]

    def status(self, share: str) -> str:
        return self._status('shares', 'share', share)

    def all(self, kind: str) -> dict[str, str]:
        """Return the states of all shares, or snapshots, by id."""
        found = self._ask('get', f'{kind}/detail')
        return {each['id']: each['status'] for each in found[kind]}

    # -- snapshots

    def snapshot(self, name: str, share: str) -> str:
        """Ask for a snapshot; return its id."""
        body = {'share_id': share, 'name': name}
        made = self._ask('post', 'snapshots', {'snapshot': body})
        return str(made['snapshot']['id'])

    def snapshot_status(self, snapshot: str) -> str:
        return self._status('snapshots', 'snapshot', snapshot)

    def delete(self, kind: str, thing: str) -> None:
        """Ask that a share or snapshot be deleted; gone already is fine.

        :param kind: shares or snapshots.
        """
        try:
            self._ask('delete', f'{kind}/{thing}')
        except rest.Refused as refusal:
            if refusal.status != 404:
                raise

    # -- access rules

    def allow(self, share: str, address: str) -> str:
        """Ask that an address be allowed; return the id of the rule."""
        rule = {
            'access_type': 'ip',
            'access_to': address,
            'access_level': 'rw',
        }
        made = self._act(share, 'allow_access', rule)
        return str(made['access']['id'])

    def deny(self, share: str, rule: str) -> None:
        self._act(share, 'deny_access', {'access_id': rule})

    def rules(self, share: str) -> dict[str, str]:
        """Return the states of the rules of a share, by id."""
        listed = self._act(share, 'access_list', None)['access_list']
        return {each['id']: each['state'] for each in listed}

    def rule_status(self, share: str, rule: str) -> str:
        return self.rules(share).get(rule, GONE)

    # -- waiting

    def wait(
        self,
        what: str,
        status: Callable[[], str],
        wanted: str,
        timeout: float = 600,
    ) -> None:
        """Wait until something has a status.

        :raises Failed: it has another one, which it does not leave.
        :raises Stuck: it does not leave a state of transition in time.
        """
        deadline = time.monotonic() + timeout
        while (now := status()) != wanted:
            if now not in TRANSITIONS and not (
                # What is to be deleted is so a moment later.
                wanted == GONE and now in ('available', 'active')
            ):
                raise Failed(what, now)
            if time.monotonic() > deadline:
                raise Stuck(what, now)
            time.sleep(1)

    # -- how

    def _status(self, kind: str, name: str, thing: str) -> str:
        try:
            return str(self._ask('get', f'{kind}/{thing}')[name]['status'])
        except rest.Refused as refusal:
            if refusal.status != 404:
                raise
            return GONE

    def _act(self, share: str, action: str, body: object) -> Any:
        return self._ask('post', f'shares/{share}/action', {action: body})

    def _ask(self, verb: str, path: str, *body: object) -> Any:
        """Ask once more with a new token where the old one has expired."""
        for again in (True, False):
            if not hasattr(self._local, 'rest'):
                self._local.rest = rest.Rest(self._network, users.DEMO)
            try:
                ask = getattr(self._local.rest, verb)
                return ask(f'{rest.MANILA}/{path}', *body)
            except rest.Refused as refusal:
                if refusal.status != 401 or not again:
                    raise
                del self._local.rest
        raise LabError('unreachable')


def left(statuses: Collection[str]) -> list[str]:
    """Return the states that something should leave by itself."""
    return sorted(set(statuses) & TRANSITIONS)
