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
"""An origin, a snapshot and a clone, and the operations on them.

:meth:`Scene.attempt` runs one operation with a fault at one step, recovers as
in production, and returns the outcome.
"""

from collections.abc import Callable, Iterator
import copy
import dataclasses
import pickle
import uuid

from manila_glusterfs_clone import errors
from tests.fault_table import table
from tests.model import budgets
from tests.model import fault_injection
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import neighbours
from tests.model import turns


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


ORIGIN, SNAPSHOT, OTHER, NEW, NEXT, READERS = map(_id, range(1, 7))
#: Its rule stays, whatever is done; a new rule; one that goes.
KEPT, ALLOWED, REVOKED = '10.0.0.5', '10.0.0.7', '10.0.0.9'

#: Seconds after which all that goes on by itself has come to its end.
SETTLED = 300.0


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation, and the recovery from its failure."""

    name: str
    act: Callable[[model_backend.ModelBackend], object]
    recover: Callable[[model_backend.ModelBackend], object]
    #: What recovering is called.
    recovered: str


def _delete_new_snapshot(manila: model_backend.ModelBackend) -> None:
    manila.snapshots.pop(NEW, None)
    manila.services.snapshots.delete(NEW, OTHER)


def _delete_origin(manila: model_backend.ModelBackend) -> None:
    # The snapshots go first, as Manila sees to it.
    if SNAPSHOT in manila.snapshots:
        manila.delete_snapshot(SNAPSHOT)
    manila.delete(ORIGIN)


def _repeated(
    name: str, act: Callable[[model_backend.ModelBackend], object]
) -> Operation:
    return Operation(name, act, act, table.REPEATED)


OPERATIONS = [
    Operation(
        'create share',
        lambda m: m.create(NEW),
        lambda m: m.delete(NEW),
        table.DELETED,
    ),
    Operation(
        'create snapshot',
        lambda m: m.snapshot(NEW, OTHER),
        _delete_new_snapshot,
        table.DELETED,
    ),
    Operation(
        'clone and grow',
        lambda m: m.clone(NEW, SNAPSHOT, 2),
        lambda m: m.delete(NEW),
        table.DELETED,
    ),
    _repeated('extend', lambda m: m.extend(OTHER, 3)),
    _repeated('allow access', lambda m: m.allow(OTHER, KEPT, ALLOWED)),
    _repeated('deny access', lambda m: m.allow(ORIGIN, KEPT)),
    _repeated('make read-only', lambda m: m.set_rules(OTHER, {KEPT: 'ro'})),
    # One client can write again, and a read-only client loses access.
    _repeated('make writable', lambda m: m.set_rules(READERS, {KEPT: 'rw'})),
    _repeated('delete snapshot', lambda m: m.delete_snapshot(SNAPSHOT)),
    _repeated('delete a clone', lambda m: m.delete(OTHER)),
    _repeated('delete an origin', _delete_origin),
]


def restart(
    manila: model_backend.ModelBackend,
    pool: model_cluster.ModelCluster,
    fault: tuple[int, fault_injection.AnyFault] | None = None,
) -> model_backend.ModelBackend:
    """Start manila-share again; the expected objects are kept."""
    new = model_backend.ModelBackend(link.Process(pool, fault))
    new.shares = copy.deepcopy(manila.shares)
    new.snapshots = dict(manila.snapshots)
    return new


class Scene:
    """A cluster with an origin, a snapshot and a clone, with clients.

    :param late: the order of what the driver does side by side; see
        :func:`turns.in_turn`.
    """

    def __init__(self, release: str, *, late: bool = False) -> None:
        self._late = late
        pool = neighbours.pool(release)
        with model_backend.in_time_of(pool), turns.in_turn():
            manila = model_backend.ModelBackend(link.Process(pool))
            manila.create(ORIGIN)
            manila.allow(ORIGIN, KEPT, REVOKED)
            manila.write(ORIGIN, 'in the snapshot')
            manila.snapshot(SNAPSHOT, ORIGIN)
            manila.write(ORIGIN, 'after the snapshot')
            manila.clone(OTHER, SNAPSHOT, 2)
            manila.allow(OTHER, KEPT)
            manila.create(READERS)
            manila.allow(READERS, KEPT, REVOKED, level='ro')
            manila.check()
        self.release = release
        self._manila = manila
        self._pool = pickle.dumps(pool)
        self._steps: dict[str, list[fault_injection.Step]] = {}

    def again(
        self, fault: tuple[int, fault_injection.AnyFault] | None = None
    ) -> model_backend.ModelBackend:
        """Return the unchanged scene, with a fault planned."""
        return restart(self._manila, pickle.loads(self._pool), fault)

    def steps(self, operation: Operation) -> list[fault_injection.Step]:
        """Return the remote steps of an operation, recorded from a run."""
        if operation.name not in self._steps:
            manila = self.again()
            with (
                model_backend.in_time_of(manila.pool),
                turns.in_turn(late=self._late),
            ):
                operation.act(manila)
                manila.check()
            self._steps[operation.name] = manila.process.steps
        return self._steps[operation.name]

    def attempt(
        self, operation: Operation, index: int, fault: fault_injection.AnyFault
    ) -> tuple[str, str, int]:
        """Run an operation with a fault at a step, and recover.

        :return: the outcome, what is wrong if it is broken, and how many
            clients were disturbed.
        """
        manila = self.again((index, fault))
        outcome, detail = self._attempt(manila, operation, fault)
        return outcome, detail, len(manila.pool.observer.disturbances)

    def _attempt(
        self,
        manila: model_backend.ModelBackend,
        operation: Operation,
        fault: fault_injection.AnyFault,
    ) -> tuple[str, str]:
        pool = manila.pool
        with (
            model_backend.in_time_of(pool),
            turns.in_turn(late=self._late),
        ):
            said = ''
            begun = pool.time.now
            try:
                operation.act(manila)
                # A fault can also occur in what is done after the answer.
                pool.time.run_deferred()
                if manila.process.dead:
                    raise link.Killed
                if strangers := list(_strangers(manila)):
                    return table.BROKEN, '\n'.join(strangers)
            except (link.Killed, errors.Error) as error:
                said = f'{type(error).__name__}: {error}'
            except Exception as error:
                return table.BROKEN, f'it ended with {error!r}'
            took = pool.time.now - begun
            if took > budgets.with_fault(
                operation.name, fault, manila.process.timeout
            ):
                return table.BROKEN, f'it took {took:.0f} s; {said}'
            manila.process.fail_no_more()
            # What goes on for a caller that was killed is met on its way.
            wait = (
                0.0
                if fault is fault_injection.Variant.KILLED_SLOW
                else SETTLED
            )
            try:
                return _recover(manila, operation, said, wait)
            except (errors.Error, AssertionError) as error:
                return table.BROKEN, (
                    f'after {said or "success"}, recovering: {error!r}'
                )


def _recover(
    manila: model_backend.ModelBackend,
    operation: Operation,
    said: str,
    wait: float,
) -> tuple[str, str]:
    pool = manila.pool
    was_off = not all(node.up for node in pool.nodes.values())
    if was_off:
        pool.boot()
    killed = manila.process.dead
    if killed:
        manila = restart(manila, pool)
    if killed or was_off:
        manila.heal_all()
    pool.time.advance(wait)
    outcome = table.DONE
    if said:
        outcome = operation.recovered
        if not killed and not list(_problems(manila)):
            outcome = table.UNDONE
        operation.recover(manila)
    if SNAPSHOT in manila.snapshots:
        # It also deactivates a snapshot that was left active.
        manila.clone(NEXT, SNAPSHOT, 3)
        manila.delete(NEXT)
    pool.time.run_deferred()
    pool.time.advance(SETTLED)
    found = list(_problems(manila))
    if found:
        return table.BROKEN, '\n'.join([f'after {said or "success"}:', *found])
    return outcome, said


def _problems(manila: model_backend.ModelBackend) -> Iterator[str]:
    yield from manila.problems()
    yield from _strangers(manila)


def _strangers(manila: model_backend.ModelBackend) -> Iterator[str]:
    """Return the clients that are connected and may not be."""
    for share in manila.shares.values():
        writers = manila.pool.state.writers()
        for address in manila.pool.mounted(share.volume):
            if (address, share.volume) in writers and address in share.readers:
                yield f'{address} can write to {share.volume}'
            if address not in share.allow.split(','):
                yield f'{address} is connected to {share.volume}'
