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
"""The glusterds of a trusted storage pool: transactions, and starting up.

A command that changes something locks its object in the whole cluster. It is
refused at once while another command has the lock. Reads take no lock. While a
node has lost power and the others have not noticed, commands that need all
peers end after 120 s without an answer, and their locks stay for 180 s.
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import math
import threading

from tests.model import answers
from tests.model import clock
from tests.model import glusterd_state
from tests.model import model_node
from tests.model import snapshots
from tests.model import volumes

#: Seconds that the command line waits for glusterd.
CLI_TIMEOUT = 120.0
#: Seconds until a glusterd that was killed is there again.
RESTART = 60.0
#: Seconds until a glusterd that starts has taken over what it missed.
TAKEOVER = 12.0
#: Seconds that each phase of a transaction takes when it is slow.
SLOW = 20.0

Verb = Callable[[str, Sequence[str]], volumes.Phases]


class Stopped(Exception):
    """glusterd did not answer in time."""


@dataclasses.dataclass
class Transaction:
    """A running transaction."""

    asked: str
    keys: tuple[str, ...]
    phases: volumes.Phases
    #: The nodes that took part when it began.
    nodes: tuple[str, ...]
    due: float = 0.0


class Glusterd:
    """All glusterds of a cluster."""

    def __init__(
        self, state: glusterd_state.GlusterdState, time: clock.Clock
    ) -> None:
        self.state = state
        self.time = time
        self.slow: list[Transaction] = []
        self._lock = threading.RLock()
        volume = self._volume = volumes.Volumes(state)
        self._snapshot = snapshots.Snapshots(state)
        self._verbs: dict[tuple[str, str], Verb] = {
            ('volume', 'create'): volume.create,
            ('volume', 'start'): volume.start,
            ('volume', 'stop'): volume.stop,
            ('volume', 'delete'): volume.delete,
            ('volume', 'set'): volume.set,
            ('volume', 'reset'): volume.reset,
            ('volume', 'status'): volume.status,
            ('volume', 'heal'): volume.heal,
            ('volume', 'profile'): volume.profile,
            ('snapshot', 'create'): self._snapshot.create,
            ('snapshot', 'activate'): self._snapshot.activate,
            ('snapshot', 'deactivate'): self._snapshot.deactivate,
            ('snapshot', 'clone'): self._snapshot.clone,
            ('snapshot', 'config'): self._snapshot.config,
            ('snapshot', 'delete'): self._snapshot.delete,
            ('snapshot', 'restore'): self._snapshot.restore,
        }

    def __getstate__(self) -> tuple[glusterd_state.GlusterdState, clock.Clock]:
        assert not self.slow, 'a running transaction cannot be copied'
        return self.state, self.time

    def __setstate__(
        self, kept: tuple[glusterd_state.GlusterdState, clock.Clock]
    ) -> None:
        self.__init__(*kept)  # type: ignore[misc]

    # -- what is asked

    def ask(
        self,
        node: model_node.ModelNode,
        words: Sequence[str],
        *,
        phases: int | None = None,
        timeout: float = CLI_TIMEOUT,
    ) -> str:
        """Run one command; return what the command line prints.

        :param phases: leave it under way after so many; the answer is then
            of no use.
        """
        with self._lock:
            self.settle()
            if not node.glusterd_up:
                self.time.advance(1.0)
                return answers.DOWN
            self._wait_for([node], timeout)
            if (report := self._report(node, words)) is not None:
                self.time.advance(0.005)
                return report
            verb = self._verbs[words[0], words[1]]
            keys = self._keys(words)
            if self.state.conflict(keys):
                self.time.advance(0.2)
                return answers.refusal(_busy(words))
            if silent := [
                other
                for other in self.state.nodes.values()
                if not other.serves and other.seems_connected
            ]:
                for other in silent:
                    other.await_answer()
                return self._no_answer(keys)
            # Each peer takes part, and all wait for it.
            self._wait_for(self.state.nodes.values(), timeout)
            self.state.hold(keys)
            transaction = Transaction(
                node.name,
                keys,
                verb(node.name, words[2:]),
                tuple(n.name for n in self.state.nodes.values() if n.serves),
            )
        if phases:
            return self._leave(transaction, phases)
        while True:
            with self._lock:
                answer = self._proceed(transaction)
            if answer is not None:
                return answer
            clock.let_others_run()

    def _wait_for(
        self, nodes: Iterable[model_node.ModelNode], timeout: float
    ) -> None:
        """Wait until all glusterds run again.

        :raises Stopped: that is later than the caller waits.
        """
        until = max(node.stopped_until for node in nodes if node.serves)
        if until <= self.time.now:
            return
        if until - self.time.now > timeout:
            self.time.advance(timeout)
            raise Stopped
        self.time.advance(until - self.time.now)

    def _proceed(self, transaction: Transaction) -> str | None:
        """Run one phase; return the answer if it was the last."""
        if not all(
            self.state.nodes[name].serves for name in transaction.nodes
        ):
            # What is done is not taken back.
            transaction.phases.close()
            return self._no_answer(transaction.keys)
        try:
            seconds = next(transaction.phases)
        except StopIteration as end:
            self.state.release_locks(transaction.keys)
            return str(end.value)
        except glusterd_state.Refusal as refusal:
            self.state.release_locks(transaction.keys)
            self.time.advance(0.1)
            return answers.refusal(refusal)
        except BaseException:
            self.state.release_locks(transaction.keys)
            raise
        self.time.advance(seconds)
        return None

    def _no_answer(self, keys: Sequence[str]) -> str:
        self.state.hold(keys)
        self.time.advance(CLI_TIMEOUT)
        return answers.TIMED_OUT

    def _leave(self, transaction: Transaction, phases: int) -> str:
        with self._lock:
            for _ in range(phases):
                if (answer := self._proceed(transaction)) is not None:
                    return answer
            transaction.due = self.time.now + SLOW
            self.slow.append(transaction)
        return ''

    def settle(self) -> None:
        """Run all pending background changes up to the current time."""
        with self._lock:
            for node in self.state.nodes.values():
                if node.restarts_at is not None and (
                    node.restarts_at <= self.time.now
                ):
                    since = node.restarts_at
                    node.restarts_at = None
                    self._start(node)
                    node.glusterd_since = since
            for node in self.state.nodes.values():
                if node.serves and self.time.now >= node.takes_over_at:
                    node.takes_over_at = math.inf
                    for known in self.state.volumes.values():
                        known.take_over(node.name)
                        self._volume.reauthenticate(known)
                    for snapshot in self.state.snapshots.values():
                        snapshot.lacking.discard(node.name)
            for transaction in list(self.slow):
                while transaction.due <= self.time.now:
                    now = self.time.now
                    answer = self._proceed(transaction)
                    self.time.now = now
                    if answer is not None:
                        self.slow.remove(transaction)
                        break
                    transaction.due += SLOW
            self.state.settle_clients()

    def _keys(self, words: Sequence[str]) -> tuple[str, ...]:
        what, verb, first, *rest = words
        if what == 'volume':
            return (f'{first}_vol',)
        if verb == 'config':
            return (f'{first}_vol',)
        if verb == 'create':
            return (f'{rest[0]}_vol', f'{first}_snap')
        if verb == 'clone':
            return (f'{first}_vol', f'{rest[0]}_snap')
        if verb in ('delete', 'restore') and first in self.state.snapshots:
            origin = self.state.snapshots[first].origin
            return (f'{origin}_vol', f'{first}_snap')
        return (f'{first}_snap',)

    def _report(
        self, node: model_node.ModelNode, words: Sequence[str]
    ) -> str | None:
        """Answer a read; return None if the command is not a read."""
        state = self.state
        match tuple(words):
            case ('pool', 'list'):
                return answers.pool_list(state, node.name)
            case ('volume', 'get', 'all', 'all'):
                return answers.global_options(state)
            case ('volume', 'list'):
                return answers.volume_list(state)
            case ('volume', 'info'):
                return answers.volume_info(
                    state, [v.as_on(node.name) for v in state.volumes.values()]
                )
            case ('volume', 'info', name):
                if name not in state.volumes:
                    return answers.no_volume_info()
                found = state.volumes[name].as_on(node.name)
                return answers.volume_info(state, [found])
            case ('snapshot', 'info'):
                return answers.snapshot_info(
                    state, state.snapshots_on(node.name).values()
                )
            case ('snapshot', 'info', name):
                if name not in state.snapshots_on(node.name):
                    return answers.refusal(
                        glusterd_state.Refusal(
                            glusterd_state.INTERNAL,
                            f'Snapshot ({name}) does not exist',
                        )
                    )
                found_snapshot = state.snapshots_on(node.name)[name]
                return answers.snapshot_info(state, [found_snapshot])
            case ('snapshot', 'config'):
                return answers.snapshot_config(state, state.volumes.values())
            case ('snapshot', 'config', name) if name in state.volumes:
                return answers.snapshot_config(state, [state.volumes[name]])
        return None

    # -- starting up

    def start(self, node: model_node.ModelNode) -> None:
        """Start glusterd on a node that has booted.

        It mounts the bricks of clones and active snapshots that are not
        mounted. 10.3 knows their devices; 11.1 works them out from where
        the brick of the origin is mounted, and if that is not mounted it
        does not start at all.
        """
        with self._lock:
            self.settle()
            self._start(node)

    def kill(self, node: model_node.ModelNode) -> None:
        """Kill glusterd on a node; systemd starts it again.

        Brick processes go on without it, and the others notice at once.
        """
        with self._lock:
            self.settle()
            if node.serves:
                node.glusterd_up = False
                node.restarts_at = self.time.now + RESTART

    def _start(self, node: model_node.ModelNode) -> None:
        node.glusterd_up = True
        node.glusterd_since = self.time.now
        self.state.receive_remembered(node.name)
        node.takes_over_at = self.time.now + TAKEOVER
        for known in self.state.volumes.values():
            known.tell(node.name)
            self._volume.reauthenticate(known)
        wanted = [
            volume for volume in self.state.volumes.values() if volume.is_clone
        ] + [s.volume for s in self.state.snapshots.values() if s.active]
        for volume in wanted:
            brick = volume.brick_on(node.name)
            if brick is None or node.files.exists(brick.path):
                continue
            if self.state.release != '10.3' and (
                node.files.where(brick.origin)[0] is None
            ):
                node.glusterd_up = False
                return
            self._snapshot.mount(node, volume, brick)
        for volume in wanted + list(self.state.volumes.values()):
            brick = volume.brick_on(node.name)
            if brick is None or volume.status != 'Started':
                continue
            self.state.start_brick(volume, brick)
        for snapshot in self.state.snapshots.values():
            brick = snapshot.volume.brick_on(node.name)
            if snapshot.active and brick is not None:
                node.files.users[brick.path] = None
                node.files.begun[brick.path] = self.time.now


def _busy(words: Sequence[str]) -> glusterd_state.Refusal:
    if words[0] == 'snapshot' or words[1] in ('start', 'stop'):
        return glusterd_state.Refusal(
            glusterd_state.BUSY,
            'Another transaction is in progress. Please try again after '
            'some time.',
        )
    return glusterd_state.Refusal(
        glusterd_state.BUSY,
        f'Another transaction is in progress for {words[2]}. Please try '
        f'again after some time.',
    )
