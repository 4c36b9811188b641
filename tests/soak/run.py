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
"""Run a soak from start to end."""

from collections.abc import Callable
import functools
import time

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import rest
from tests.lab.manila import users as lab_users
from tests.soak import api
from tests.soak.ledger import Ledger
from tests.soak.storm import Storm
from tests.soak.strangers import Strangers
from tests.soak.work import Worker

#: Seconds between two passes of maintenance.
PASS = 60
#: Seconds in which, all faults mended, everything comes to its end: a pass
#: that was under way, a whole one, and what it asks for.
SETTLED = 3 * PASS + 120
#: Share types, each with the number of copies.
TYPES = {'copied': 3, 'single': 1}


#: Statuses that maintenance ends.
_RETRIED = {'error_deleting', 'extending_error'}


class Soak:
    """Users, clients and faults on one cluster."""

    def __init__(
        self,
        lab: lab_module.Lab,
        manila: manila_module.Manila,
        ledger: Ledger,
        *,
        users: int,
        seed: str,
    ) -> None:
        self._lab = lab
        self._manila = manila
        self._ledger = ledger
        self._user = api.User(lab.network)
        self._storm = Storm(lab, manila, ledger, seed)
        self._workers = [
            Worker(f'user{n}', lab, self._user, ledger, TYPES, seed)
            for n in range(1, users + 1)
        ]

    def run(self, seconds: float, strangers: Strangers) -> None:
        """Go on for so many seconds, and then bring all to its end."""
        self._make_types()
        threads: list[Storm | Worker] = [self._storm, *self._workers]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and self._storm.is_alive():
                time.sleep(1)
        finally:
            for thread in threads:
                thread.enough.set()
            self._ledger.note('soak', 'enough')
            for thread in threads:
                thread.join()
        self._settle()
        for worker in self._workers:
            for share in worker.shares:
                worker.finish(share)
        self._require_no_leaks('with all that is alive')
        self._delete_all()
        self._require_no_leaks('with nothing alive')
        strangers.check()

    def _make_types(self) -> None:
        admin = rest.Rest(self._lab.network, lab_users.ADMIN)
        for name, copies in TYPES.items():
            body = {
                'name': name,
                'share_type_access:is_public': True,
                'extra_specs': {
                    'driver_handles_share_servers': False,
                    'snapshot_support': True,
                    'create_share_from_snapshot_support': True,
                    'share_backend_name': backends.IP,
                    'pool_name': 'gvg/pool',
                    'glusterfs_clone:layout': (
                        'single' if copies == 1 else 'replica-3'
                    ),
                },
            }
            admin.post(f'{rest.MANILA}/types', {'share_type': body})

    def _settle(self) -> None:
        """Have what is left in error deleted; nothing may be stuck."""
        if not self._wait(
            'everything to be in a state that lasts',
            self._moving,
            strict=False,
        ):
            self._remedy()
            self._wait('everything to last after the remedy', self._moving)
        for kind in ('snapshots', 'shares'):
            for thing, status in self._user.all(kind).items():
                if status == 'error':
                    self._ledger.note('soak', f'{kind} {thing}', status)
                    self._user.delete(kind, thing)
            self._wait(f'{kind} in error to be gone', self._in_error(kind))
        for share in self._user.all('shares'):
            for rule, state in self._user.rules(share).items():
                if state == 'error':
                    self._ledger.note('soak', f'rule of {share}', state)
                    self._user.deny(share, rule)
        self._wait('rules to be in a state that lasts', self._moving)

    def _remedy(self) -> None:
        """Restart glusterd on every node, as the errors of deletions ask for.

        After a creation that failed, some nodes may know a snapshot and others
        not, and each deletion leaves it where it is known.
        """
        self._ledger.counts['remedy', 'glusterd restarted'] += 1
        for node in self._lab.nodes:
            peers = node.execute('gluster --mode=script pool list').out
            self._ledger.note(
                'soak', f'peers of {node.name}', '; '.join(peers.splitlines())
            )
        self._ledger.note('soak', 'restarting glusterd on every node')
        for node in self._lab.nodes:
            # The bricks on the node end with its glusterd.
            with self._ledger.fault('glusterd restarted', node.name):
                node.stop_glusterd()
                node.start_glusterd()
                self._lab.wait_connected(240)

    def _moving(self) -> list[str]:
        """Name what is in a state of transition, or waits for a retry."""
        found = []
        for kind in ('snapshots', 'shares'):
            for thing, status in self._user.all(kind).items():
                if status in _RETRIED or status in api.TRANSITIONS:
                    found.append(f'{kind} {thing} {status}')
        for share, status in self._user.all('shares').items():
            if status == 'available':
                for rule, state in self._user.rules(share).items():
                    if state in api.TRANSITIONS:
                        found.append(f'rule {rule} {state}')
        return found

    def _in_error(self, kind: str) -> Callable[[], list[str]]:
        def look() -> list[str]:
            return [
                f'{kind} {thing} {status}'
                for thing, status in self._user.all(kind).items()
                if status not in ('available', 'in-use')
            ]

        return look

    def _wait(
        self,
        what: str,
        left: Callable[[], list[str]],
        *,
        strict: bool = True,
    ) -> bool:
        """Return whether nothing is left in time; note what is.

        :param strict: whether it is a violation if something is.
        """
        begun = time.monotonic()
        while found := left():
            if time.monotonic() - begun > SETTLED:
                note = self._ledger.violation if strict else self._ledger.note
                note('soak', f'{what}: {", ".join(found)}')
                return False
            time.sleep(2)
        took = time.monotonic() - begun
        self._ledger.note('soak', f'waited for {what}', f'{took:.0f} s')
        return True

    def _delete_all(self) -> None:
        for kind in ('snapshots', 'shares'):
            for thing in self._user.all(kind):
                self._user.delete(kind, thing)
            left = functools.partial(self._all, kind)
            if not self._wait(f'all {kind} to be gone', left):
                return

    def _all(self, kind: str) -> list[str]:
        return [
            f'{thing} {status}'
            for thing, status in self._user.all(kind).items()
        ]

    def _require_no_leaks(self, when: str) -> None:
        for leak in self._manila.leaks(settle=SETTLED / 2):
            self._ledger.violation('soak', f'left {when}: {leak}')
