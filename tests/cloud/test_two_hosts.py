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
"""Two hosts of manila-share serve one back end, and one of them is killed.

Both take requests from one queue. The locks of a real coordinator keep their
operations apart.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
import json
from pathlib import Path
import re
import subprocess
import time
from typing import Any

import pytest

from tests.cloud.project import LONG, Project, wait_for
from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import rest
from tests.lab.manila import settings
from tests.lab.manila import stores
from tests.lab.manila import users

ONE, TWO = 'one', 'two'

#: Seconds between two passes of maintenance.
INTERVAL = 20

#: What users wait for the end of.
_TRANSITIONS = {
    *('creating', 'creating_from_snapshot', 'deleting', 'extending'),
    *('ensuring', 'queued_to_apply', 'applying'),
    *('queued_to_deny', 'denying'),
}

#: Writes four times a second; notes how often it could not, or took long.
_WRITER = """\
import os, sys, time
sys.stdout = open('/run/writer-errors', 'w')
failed = slow = number = 0
while not os.path.exists('/run/enough'):
    begun = time.monotonic()
    try:
        with open('/mnt/origin/written', 'a') as file:
            file.write(f'{number}\\n')
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        failed += 1
        print(time.strftime('%T'), error, flush=True)
    slow = max(slow, time.monotonic() - begun)
    number += 1
    open('/run/writer', 'w').write(f'{number} {failed} {slow:.1f}')
    time.sleep(0.25)
"""

Job = Callable[[], object]


class Coordinator:
    """What the two hosts have their locks in."""

    def __init__(
        self, manila: manila_module.Manila, kind: str, many: int
    ) -> None:
        #: Of the operations there are twelve times as many, and two.
        self.many = many
        self._manila = manila
        self._kind = kind

    def break_lock(self, key: str) -> bool:
        """End a lock behind its holder's back; whether it was held."""
        name = f'manila-gfs-clone-{key}'
        if self._kind == 'mysql':
            holder = self._sql(f"SELECT IS_USED_LOCK('{name}')").split()[-1]
            if holder == 'NULL':
                return False
            self._sql(f'KILL {holder}')
            return True
        path = f'/tooz/locks{name}'
        found = json.loads(self._etcdctl('get', path, '-w', 'json'))
        for entry in found.get('kvs', ()):
            self._etcdctl('lease', 'revoke', f'{entry["lease"]:x}')
            return True
        return False

    def _sql(self, statement: str) -> str:
        return self._manila.sql(statement)

    def _etcdctl(self, *argv: str) -> str:
        return subprocess.run(
            self._manila.lab.network.inside(
                'etcdctl', f'--endpoints={stores.ETCD}', *argv
            ),
            check=True,
            capture_output=True,
            text=True,
            env=stores.ETCDCTL,
            timeout=30,
        ).stdout


def held_by(manila: manila_module.Manila, name: str) -> list[str]:
    """The locks of shares and snapshots that a host holds at this moment.

    It holds, or waits for, that of the coordinator, too.
    """
    directory = settings.locks(name, manila.directory)
    files = {
        path.stat().st_ino: path.name.removeprefix('manila-glusterfs-clone-')
        for path in directory.glob('manila-glusterfs-clone-s*')
    }
    pids = manila.service(name).pids()
    found = []
    for line in Path('/proc/locks').read_text().splitlines():
        # 1: POSIX  ADVISORY  WRITE 4711 fd:00:1234 0 EOF
        words = line.split()
        if len(words) == 8 and int(words[4]) in pids:
            inode = int(words[5].rpartition(':')[2])
            if inode in files:
                found.append(files[inode])
    return found


def marks_left(manila: manila_module.Manila) -> int:
    """How many verbs of the driver have begun and not ended."""
    return int(
        manila.sql(
            'SELECT COUNT(*) FROM manila.drivers_private_data '
            'WHERE deleted = 0'
        ).split()[-1]
    )


@dataclass
class User:
    """A user who does not wait for what he asks for."""

    api: rest.Rest
    #: What was asked for, by kind.
    asked: Counter[str] = field(default_factory=Counter)

    def create(self, size: int = 1, snapshot: str | None = None) -> str:
        body = {
            'share_proto': backends.PROTOCOL,
            'size': size,
            'share_type': backends.IP,
            'snapshot_id': snapshot,
            'name': 'of-snapshot' if snapshot else 'new',
        }
        self.asked['clone' if snapshot else 'create'] += 1
        made = self.api.post(f'{rest.MANILA}/shares', {'share': body})
        return str(made['share']['id'])

    def snapshot(self, share: str) -> str:
        self.asked['snapshot'] += 1
        body = {'share_id': share, 'name': 's'}
        made = self.api.post(f'{rest.MANILA}/snapshots', {'snapshot': body})
        return str(made['snapshot']['id'])

    def extend(self, share: str) -> None:
        self._act('extend', share, {'new_size': 2})

    def allow(self, share: str, address: str) -> str:
        rule = {
            'access_type': 'ip',
            'access_to': address,
            'access_level': 'rw',
        }
        return str(self._act('allow_access', share, rule)['access']['id'])

    def deny(self, share: str, rule: str) -> None:
        self._act('deny_access', share, {'access_id': rule})

    def delete(self, kind: str, which: str) -> None:
        self.asked[f'delete {kind}'] += 1
        self.api.delete(f'{rest.MANILA}/{kind}/{which}')

    def status(self, kind: str) -> dict[str, str]:
        """Ids and states of all shares, or snapshots, that there are."""
        found = self.api.get(f'{rest.MANILA}/{kind}/detail')
        return {each['id']: each['status'] for each in found[kind]}

    def rules(self, share: str) -> dict[str, str]:
        """Addresses, and states of their rules."""
        found = self.api.post(
            f'{rest.MANILA}/shares/{share}/action', {'access_list': None}
        )
        return {
            each['access_to']: each['state'] for each in found['access_list']
        }

    def unsettled(self) -> dict[tuple[str, str], str]:
        """All that is in a state of transition, by kind and id."""
        shares = self.status('shares')
        snapshots = self.status('snapshots')
        states = {
            **{('shares', each): status for each, status in shares.items()},
            **{
                ('snapshots', each): status
                for each, status in snapshots.items()
            },
            **{
                ('rules', f'{share} for {address}'): state
                for share in shares
                for address, state in self.rules(share).items()
            },
        }
        return {
            which: state
            for which, state in states.items()
            if state in _TRANSITIONS
        }

    def _act(self, what: str, share: str, how: dict[str, Any]) -> Any:
        self.asked[what] += 1
        return self.api.post(
            f'{rest.MANILA}/shares/{share}/action', {what: how}
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have 50 operations, and MariaDB too, in the run of every test."""
    kinds = [('etcd', 1)]
    if metafunc.config.getoption('--every-test'):
        kinds = [('etcd', 4), ('mysql', 1)]
    metafunc.parametrize(
        'coordinator', kinds, ids=[kind for kind, _ in kinds], indirect=True
    )


@pytest.fixture
def coordinator(
    manila: manila_module.Manila, request: pytest.FixtureRequest
) -> Iterator[Coordinator]:
    """Two hosts that serve one back end, and have their locks in this."""
    manila.set_option(
        backends.IP, 'glusterfs_clone_reconcile_interval', INTERVAL
    )
    kind, many = request.param
    manila.coordinate_by(kind)
    manila.share_out({ONE: (backends.IP,), TWO: (backends.IP,)})
    yield Coordinator(manila, kind, many)
    for client in manila.lab.clients:
        client.succeed('touch /run/enough')
    for service in manila.share_services:
        if not service.running():
            service.start()
            service.wait_ready()
    manila.clean()
    manila.set_option(backends.IP, 'glusterfs_clone_reconcile_interval', None)
    manila.coordinate_by(None)
    manila.share_out({settings.SHARE: backends.BACKENDS})


def at_once(*jobs: Job) -> list[Any]:
    """Do it all at once; what came of each."""
    with futures.ThreadPoolExecutor(16) as threads:
        return [
            each.result() for each in [threads.submit(job) for job in jobs]
        ]


def settle(user: User, seconds: float = LONG) -> None:
    """Wait until nothing is in a state of transition."""
    deadline = time.monotonic() + seconds
    while left := user.unsettled():
        assert time.monotonic() < deadline, left
        time.sleep(2)


def lost_requests(user: User) -> dict[tuple[str, str], str]:
    """Wait for all that is worked on; return what nobody works on.

    Manila takes a request from the queue before it calls the driver. What
    it was about to begin when it was killed is lost.
    """
    since, before = time.monotonic(), user.unsettled()
    while before and time.monotonic() - since < 4 * INTERVAL:
        time.sleep(2)
        if (now := user.unsettled()) != before:
            since, before = time.monotonic(), now
    return before


@pytest.mark.timeout(1800)
def test_one_of_two_is_killed(
    lab: lab_module.Lab,
    manila: manila_module.Manila,
    coordinator: Coordinator,
) -> None:
    many = coordinator.many
    project = Project(manila, backends.IP)
    user = User(rest.Rest(lab.network, users.DEMO))
    writer, reader = lab.client('c1'), lab.client('c2')

    # What there is before.
    origin, *rest_of_them = at_once(*[user.create] * (1 + 2 * many))
    settle(user)
    kept, doomed = rest_of_them[:many], rest_of_them[many:]
    project.admit(origin, writer)
    project.mount(origin, writer, '/mnt/origin')
    writer.write_tree('/mnt/origin/tree', 8, 4, seed='a')
    writer.succeed('sync -f /mnt/origin')
    content = writer.checksum_tree('/mnt/origin/tree')
    snapshot, *spare = at_once(
        partial(user.snapshot, origin),
        *[partial(user.snapshot, share) for share in kept],
    )
    # While a share is extended, Manila takes nothing else for it.
    shared = [share if n % 2 else origin for n, share in enumerate(kept)]
    rules = at_once(
        *[
            partial(user.allow, share, f'10.88.9.{n}')
            for n, share in enumerate(shared)
        ]
    )
    settle(user)
    assert set(user.status('shares').values()) == {'available'}
    assert set(user.status('snapshots').values()) == {'available'}
    writer.succeed(
        'rm -f /run/enough; (setsid python3 -c "$(cat)" >/dev/null 2>&1 &)'
        f' <<"WRITER"\n{_WRITER}\nWRITER\n'
    )

    # All at once.
    one, two = manila.service(ONE), manila.service(TWO)
    marks = {one.name: one.bookmark(), two.name: two.bookmark()}
    user.asked.clear()
    jobs: list[Job] = []
    for n, share in enumerate(kept):
        jobs += [
            user.create,
            partial(user.create, 2, snapshot),
            partial(user.allow, shared[n], f'10.88.7.{n}'),
            partial(user.snapshot if n % 2 else user.extend, share),
            partial(user.delete, 'shares', doomed[n]),
            partial(user.create, 1, snapshot),
            partial(user.delete, 'snapshots', spare[n]),
            partial(user.deny, shared[n], rules[n]),
            partial(user.snapshot, origin),
            partial(user.allow, shared[n], f'10.88.6.{n}'),
            partial(user.allow, origin, f'10.88.8.{n}'),
            partial(user.snapshot, origin),
        ]
    jobs += [partial(user.snapshot, origin)] * 2
    asking = futures.ThreadPoolExecutor(1).submit(at_once, *jobs)

    # In the middle.
    wait_for(lambda: held_by(manila, ONE), 60, 0.05)
    time.sleep(1)
    wait_for(lambda: held_by(manila, ONE), 60, 0.01)
    one.kill()
    asking.result()
    assert sum(user.asked.values()) == len(jobs)
    wait_for(
        lambda: any(map(coordinator.break_lock, held_by(manila, TWO))), 60, 0
    )
    one.start()
    # Manila applies waiting rules before it is ready, and waits for the locks
    # of shares that the other host works on.
    one.wait_ready(600)

    lost = lost_requests(user)
    # What the driver had begun is settled, by whichever host.
    assert marks_left(manila) == 0
    admin = rest.Rest(lab.network, users.ADMIN)
    for kind, which in lost:
        assert kind != 'rules'
        admin.post(
            f'{rest.MANILA}/{kind}/{which}/action',
            {'reset_status': {'status': 'error'}},
        )
    shares, snapshots = user.status('shares'), user.status('snapshots')
    writer.succeed('touch /run/enough')
    print({**Counter(shares.values())}, {**Counter(snapshots.values())})

    # The one that goes on has served whatever it took up.
    wrong = [
        line
        for line in two.log(marks[TWO]).splitlines()
        if re.search(r' (ERROR|CRITICAL) manila', line)
    ]
    assert not wrong, '\n'.join(wrong)
    # Only what was being made may be in error, and can be deleted then.
    states = {**shares, **snapshots}
    assert set(states.values()) <= {'available', 'error'}
    before = {origin, snapshot, *kept} - {which for _, which in lost}
    assert {states[each] for each in before} == {'available'}
    assert not ({*doomed, *spare} & set(states)) - {which for _, which in lost}

    # Nobody was disturbed.
    written, failed, slow = writer.succeed('cat /run/writer').split()
    assert int(written) > 40
    assert failed == '0', writer.succeed('cat /run/writer-errors')
    assert float(slow) < 30

    # What is available is whole, and clones can be made as before: both of
    # those above may have been lost with the host.
    late = user.create(1, snapshot)
    settle(user)
    shares[late] = user.status('shares')[late]
    assert shares[late] == 'available'
    clones = [
        share
        for share, status in shares.items()
        if status == 'available' and share not in before
    ]
    checked = 0
    for share in clones:
        shown = user.api.get(f'{rest.MANILA}/shares/{share}')['share']
        if shown['snapshot_id'] != snapshot or checked == 2:
            continue
        project.admit(share, reader)
        project.mount(share, reader, '/mnt/clone')
        assert reader.checksum_tree('/mnt/clone/tree') == content
        reader.umount('/mnt/clone')
        checked += 1
    assert checked
    assert manila.leaks() == []

    at_once(
        *[
            partial(user.delete, kind, which)
            for kind, found in (('shares', shares), ('snapshots', snapshots))
            for which, status in found.items()
            if status == 'error'
        ]
    )
    wait_for(lambda: 'error' not in user.status('shares').values(), LONG)
    wait_for(lambda: 'error' not in user.status('snapshots').values(), LONG)
    settle(user)
    assert 'error_deleting' not in user.status('shares').values()
    assert manila.leaks() == []
