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
"""A user of Manila: the command-line client, and guests that mount shares."""

from collections.abc import Callable
import time
from typing import Any

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends

#: The series of Manila that first tells users what a driver says of an
#: export location.
TELLS_OPTIONS = 20

#: Seconds that anything may take on a busy machine.
LONG = 300


class Project:
    """A user of one kind of share, who mounts its export location.

    :param kind: of access rules.
    :param share_type: that of the back end with these, unless given.
    """

    def __init__(
        self,
        manila: manila_module.Manila,
        kind: str,
        share_type: str | None = None,
    ) -> None:
        self.manila = manila
        self.demo = manila.demo
        self.kind = kind
        self._type = share_type or kind

    def share(self, name: str, size: int, *more: str) -> str:
        """Create a share, wait until it is available, and return its id."""
        made = self.ask_share(name, size, *more, '--wait')
        assert made['status'] == 'available'
        assert made['size'] == size
        return str(made['id'])

    def ask_share(self, name: str, size: int, *more: str) -> dict[str, Any]:
        """Request a share."""
        asked: dict[str, Any] = self.demo(
            *('share', 'create', backends.PROTOCOL, str(size)),
            *('--name', name, '--share-type', self._type, *more),
            timeout=LONG,
        )
        return asked

    def snapshot(self, share: str, name: str = 's') -> str:
        """Create a snapshot, wait until it is available, and return its id."""
        made = self.demo(
            *('share', 'snapshot', 'create', share, '--name', name, '--wait'),
            timeout=LONG,
        )
        assert made['status'] == 'available'
        return str(made['id'])

    def who(self, client: lab_module.Client) -> str:
        """Return the name of a client in access rules."""
        return client.address if self.kind == backends.IP else str(client.name)

    def admit(self, share: str, client: lab_module.Client) -> str:
        """Make a rule, and wait until it is active; return its id."""
        rule = self.demo(
            *('share', 'access', 'create', share, self.kind),
            *(self.who(client), '--wait'),
        )
        assert rule['state'] == 'active'
        return str(rule['id'])

    def revoke(self, share: str, rule: str) -> None:
        """Remove a rule, and wait until it is gone."""
        self.demo.run('share', 'access', 'delete', share, rule, '--wait')

    def export(self, share: str) -> dict[str, Any]:
        """Return the preferred export location."""
        listed = self.demo('share', 'export', 'location', 'list', share)
        assert len(listed) == len(self.manila.lab.nodes)
        (preferred,) = (each for each in listed if each['Preferred'])
        shown: dict[str, Any] = self.demo(
            *('share', 'export', 'location', 'show', share, preferred['ID']),
        )
        return shown

    def place(self, share: str) -> tuple[str, str]:
        """Return the host and volume of the preferred export location."""
        host, _, volume = self.export(share)['path'].partition(':/')
        return host, volume

    def mount(self, share: str, client: lab_module.Client, at: str) -> None:
        """Mount a share with only what the API returns."""
        export = self.export(share)
        host, _, volume = export['path'].partition(':/')
        options = ''
        if self.manila.series >= TELLS_OPTIONS:
            options = export['properties']['mount_options']
            assert 'backup-volfile-servers=' in options
        client.mount(host, volume, at, options)

    def delete(self, share: str) -> None:
        """Delete a share, and wait until it is gone."""
        self.demo.run('share', 'delete', share, '--wait', timeout=LONG)

    def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot, and wait until it is gone."""
        self.demo.run(
            'share', 'snapshot', 'delete', snapshot, '--wait', timeout=LONG
        )


def wait_for(
    what: Callable[[], object], timeout: float = 180, every: float = 2
) -> None:
    """Wait until a condition holds.

    :raises AssertionError: when it is not in time.
    """
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, f'not in {timeout:g} s'
        time.sleep(every)
