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
"""Users with random operations, and clients that write all the time."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import itertools
import random
import threading
import time

from tests import lab as lab_module
from tests.lab.errors import LabError, Unexpected
from tests.lab.manila import rest
from tests.lab.writer import Writer
from tests.soak import api
from tests.soak.ledger import Ledger

#: Shares and clones, and snapshots, that a user has at most.
SHARES, SNAPSHOTS = 3, 2
#: Seconds between two writes of a client.
PACE = 1.0
#: Seconds until a client that is denied must be disconnected.
EVICTED = 60.0

#: Seconds until a share of one brick can be read again after a fault.
READABLE = 240.0

_NUMBER = itertools.count(1)


@dataclasses.dataclass
class Share:
    """A share that is available, and who writes to it."""

    id: str
    name: str
    copies: int
    size: int
    #: The snapshot it is a clone of, and whose writes it must have.
    origin: 'Snapshot | None' = None
    rule: str = ''
    writer: Writer | None = None


@dataclasses.dataclass
class Snapshot:
    """A snapshot, and what was confirmed when it was asked for."""

    id: str
    share: Share
    writer: Writer | None
    confirmed: int = 0


class Gone(Exception):
    """Something failed, and was noted."""


def _lost_writes(
    share: Share,
    writer: Writer,
    at: str | None = None,
    first: int = 1 << 40,
) -> int:
    """Return how many confirmed writes are not in a share.

    A share of one brick cannot be read while the node of the brick is away.
    """
    deadline = time.monotonic() + READABLE
    while True:
        try:
            return writer.lost(at, first)
        except Unexpected:
            if share.copies > 1 or time.monotonic() > deadline:
                raise
        time.sleep(5)


class Worker(threading.Thread):
    """A user with shares of its own.

    :param types: share types, each with the number of copies.
    """

    def __init__(
        self,
        name: str,
        lab: lab_module.Lab,
        user: api.User,
        ledger: Ledger,
        types: dict[str, int],
        seed: str,
    ) -> None:
        super().__init__(name=name)
        self.enough = threading.Event()
        self.shares: list[Share] = []
        self.snapshots: list[Snapshot] = []
        self._lab = lab
        self._user = user
        self._ledger = ledger
        self._types = types
        self._random = random.Random(f'{seed}-{name}')

    def run(self) -> None:
        while not self.enough.wait(self._random.uniform(0, 2)):
            act = self._random.choice(list(self._possible()))
            try:
                act()
            except Gone:
                continue
            except Exception as error:
                self._ledger.violation(self.name, f'{act.__name__}: {error!r}')

    def _possible(self) -> Iterator[Callable[[], None]]:
        """Name what can be done; what is wanted more, more often."""
        if len(self.shares) < SHARES:
            yield from (self.create, self.create)
            if self.snapshots:
                yield from (self.clone, self.clone, self.clone)
        if len(self.shares) > 1:
            yield self.delete
        for share in self.shares:
            if not share.writer:
                yield from (self.allow, self.allow, self.allow)
            elif len(self.snapshots) < SNAPSHOTS:
                yield self.snapshot
        if any(share.writer for share in self.shares):
            yield self.deny
        if any(share.size < 4 for share in self.shares):
            yield self.extend
        if self.snapshots:
            yield self.delete_snapshot

    # -- what a user does

    def create(self) -> None:
        self._make('create', 1, None)

    def clone(self) -> None:
        origin = self._random.choice(self.snapshots)
        more = self._random.randint(0, 1)
        self._make('clone', origin.share.size + more, origin)

    def _make(self, what: str, size: int, origin: Snapshot | None) -> None:
        kind = self._random.choice(list(self._types))
        if origin:
            kind = next(
                name
                for name, copies in self._types.items()
                if copies == origin.share.copies
            )
        name = f'{self.name}-{next(_NUMBER)}'
        with self._operation(what, f'{name} {kind} {size} GiB'):
            made = self._user.create(
                name, kind, size, origin.id if origin else None
            )
            with self._given_up_by(lambda: self._user.delete('shares', made)):
                self._await(made, self._user.status, 'available')
        copies = self._types[kind]
        share = Share(made, name, copies, size, origin)
        self.shares.append(share)
        self._mount(share)

    def allow(self) -> None:
        self._mount(
            self._random.choice([s for s in self.shares if not s.writer])
        )

    def _mount(self, share: Share) -> None:
        """Allow a client, mount the share there, and write to it."""
        client = self._random.choice(self._lab.clients)
        if share.origin and share.origin.writer:
            # It knows what was confirmed.
            client = share.origin.writer.client
        with self._operation('allow', f'{share.name} {client.name}'):
            rule = self._user.allow(share.id, client.address)
            with self._given_up_by(lambda: self._user.deny(share.id, rule)):
                self._await(
                    rule,
                    lambda rule: self._user.rule_status(share.id, rule),
                    'active',
                )
        share.rule = rule
        name = f'{share.name}-{next(_NUMBER)}'
        writer = Writer(client, f'/mnt/{name}', name, PACE)
        with self._operation('mount', f'{share.name} {client.name}'):
            paths = self._user.locations(share.id)
            hosts = [path.partition(':/')[0] for path in paths]
            options = f'backup-volfile-servers={":".join(hosts[1:])}'
            volume = paths[0].partition(':/')[2]
            client.mount(hosts[0], volume, writer.at, options)
            self._require_origin(share, writer.at)
            writer.start()
        share.writer = writer

    def _require_origin(self, share: Share, at: str) -> None:
        """Verify that a clone has what was written before its snapshot."""
        if share.origin and share.origin.writer:
            lost = _lost_writes(
                share, share.origin.writer, at, share.origin.confirmed
            )
            if lost:
                self._ledger.violation(
                    self.name, f'{share.name} lacks {lost} confirmed writes'
                )

    def deny(self) -> None:
        share = self._random.choice([s for s in self.shares if s.writer])
        assert share.writer
        self._require_undisturbed(share)
        writer, share.writer = share.writer, None
        try:
            with self._operation('deny', share.name):
                self._user.deny(share.id, share.rule)
                self._await(
                    share.rule,
                    lambda rule: self._user.rule_status(share.id, rule),
                    api.GONE,
                )
            self._require_evicted(share, writer)
        finally:
            self._leave(writer)

    def _require_evicted(self, share: Share, writer: Writer) -> None:
        """Verify that a client that was denied is disconnected soon."""
        deadline = time.monotonic() + EVICTED
        while not writer.failures():
            if time.monotonic() > deadline:
                self._ledger.violation(
                    self.name, f'{share.name}: denied, and still writes'
                )
                return
            time.sleep(1)

    def extend(self) -> None:
        share = self._random.choice([s for s in self.shares if s.size < 4])
        size = share.size + 1
        with self._operation('extend', f'{share.name} {size} GiB'):
            self._user.extend(share.id, size)
            self._await(share.id, self._user.status, 'available')
        share.size = size

    def snapshot(self) -> None:
        share = self._random.choice([s for s in self.shares if s.writer])
        writer = share.writer
        assert writer
        made = Snapshot('', share, writer, writer.confirmed())
        with self._operation('snapshot', share.name):
            made.id = self._user.snapshot(share.name, share.id)
            with self._given_up_by(
                lambda: self._user.delete('snapshots', made.id)
            ):
                self._await(made.id, self._user.snapshot_status, 'available')
        self.snapshots.append(made)

    def delete_snapshot(self) -> None:
        snapshot = self._random.choice(self.snapshots)
        self.snapshots.remove(snapshot)
        with self._operation('delete snapshot', snapshot.share.name):
            self._user.delete('snapshots', snapshot.id)
            self._await(snapshot.id, self._user.snapshot_status, api.GONE)

    def delete(self) -> None:
        free = [
            share
            for share in self.shares
            if share not in [each.share for each in self.snapshots]
        ]
        if not free:
            return
        share = self._random.choice(free)
        self.finish(share)
        self.shares.remove(share)
        with self._operation('delete', share.name):
            self._user.delete('shares', share.id)
            self._await(share.id, self._user.status, api.GONE)

    # -- and what must hold

    def finish(self, share: Share) -> None:
        """End the writer of a share; verify what it saw, and wrote."""
        if not share.writer:
            return
        self._require_undisturbed(share)
        writer, share.writer = share.writer, None
        writer.stop()
        lost = _lost_writes(share, writer)
        self._ledger.note(
            self.name, f'{share.name}', f'{writer.confirmed()} writes'
        )
        if lost:
            self._ledger.violation(
                self.name, f'{share.name} lost {lost} confirmed writes'
            )
        self._leave(writer)

    def _leave(self, writer: Writer) -> None:
        writer.stop()
        writer.client.umount(writer.at)

    def _require_undisturbed(self, share: Share) -> None:
        """Verify that a client saw no error but what a fault explains.

        Of one brick each fault of a node may be felt; of several copies none.
        """
        assert share.writer
        failures = share.writer.failures()
        for failure in failures:
            if share.copies > 1 or not self._ledger.during(
                failure.begun, failure.ended, nodes_only=True
            ):
                self._ledger.violation(
                    self.name,
                    f'{share.name} ({share.copies} copies) on '
                    f'{share.writer.client.name}: {len(failures)} writes '
                    f'failed, such as {failure}',
                )
                return

    @contextlib.contextmanager
    def _given_up_by(self, action: Callable[[], None]) -> Iterator[None]:
        """Ask for the deletion of what ends in error."""
        try:
            yield
        except api.Stuck:
            raise
        except api.Failed:
            action()
            raise

    def _await(
        self, thing: str, status: Callable[[str], str], wanted: str
    ) -> None:
        self._user.wait(thing, lambda: status(thing), wanted)

    @contextlib.contextmanager
    def _operation(self, what: str, of: str) -> Iterator[None]:
        """Note how an operation ends; only a fault may make it fail.

        :raises Gone: it failed.
        """
        begun = time.time()
        self._ledger.note(self.name, f'{what} {of}')
        try:
            yield
        except (api.Failed, rest.Refused, LabError, Unexpected) as error:
            faults = self._ledger.during(begun, time.time())
            kinds = ', '.join(sorted({fault.kind for fault in faults}))
            message = str(error).partition('\n')[0]
            self._note(what, of, begun, f'failed during {kinds}', message)
            if not faults or isinstance(error, api.Stuck):
                self._ledger.violation(self.name, f'{what} {of}: {message}')
            raise Gone from error
        self._note(what, of, begun, 'done')

    def _note(
        self, what: str, of: str, begun: float, outcome: str, more: str = ''
    ) -> None:
        self._ledger.counts[what, outcome] += 1
        took = f'{outcome} in {time.time() - begun:.0f} s {more}'
        self._ledger.note(self.name, f'{what} {of}', took.strip())
