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
"""Run operations on a real cluster, each with a fault at one remote step.

After each fault the cluster is recovered as in production: nodes boot, a
killed manila-share starts again, the user deletes what could not be created
and creates it again, and repeats what could not be finished. Then the hosts
are checked for leaks, every write that was confirmed to a client must be
there, and the next operation continues with the result.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import datetime
import functools
import time
from typing import Any

from manila import exception

from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import nodes
from manila_glusterfs_clone import errors
from tests.fault_table import kinds
from tests.fault_table import table
from tests.functional import fault_plans
from tests.functional import injector
from tests.functional import lifecycle
from tests.functional import manila_stand_in
from tests.functional import shapes
from tests import lab as lab_module
from tests.lab import writer as lab_writer

#: Seconds that an operation and the recovery from its fault may take.
LONGEST = 600.0
#: Where the client mounts a share whose access level changes.
LEVELED = '/mnt/leveled'


def node_to_restart(error: BaseException) -> str | None:
    """Return the node whose glusterd the remedy of an error restarts."""
    cause = error.__cause__
    causes = (
        cause.errors.values()
        if isinstance(cause, errors.SeveralFailed)
        else (cause,)
    )
    for failure in causes:
        if isinstance(failure, deletion_on_nodes.StillKnown):
            return failure.node
        if isinstance(failure, deletion_on_nodes.MissingOnNodes):
            return failure.node_to_restart
    return None


class Campaign:
    """One scene on one lab, and the operations with faults there.

    A share with a client that writes all the time, and a snapshot that clones
    are created from, live through it all. The snapshot is one of this share.
    If shares have one brick only, it is one of another share, whose brick is
    on gl2: there the faults are, and gl4 has the brick that is written to.
    """

    def __init__(
        self, lab: lab_module.Lab, conf: str, shape: shapes.Shape
    ) -> None:
        self.lab = lab
        self.shape = shape
        self.conf = conf
        self.client = lab.clients[0]
        self._tried = 0
        self.process = injector.Injector(lab)
        self.manila = manila_stand_in.ManilaStandIn(
            self.process.open_driver(conf), manila_stand_in.IP
        )

    # -- the scene

    @contextlib.contextmanager
    def scene(self) -> Iterator[None]:
        """Make the scene, and remove all of it at the end."""
        manila, client = self.manila, self.client
        fillers = shapes.Fillers(self.lab, self.shape)
        fillers.create()
        if self.shape.is_single:
            fillers.prefer('gl2', 'gl4')
            fillers.prefer('gl4')
        else:
            fillers.prefer('gl1', 'gl2', 'gl3')
        self.stable = self._filled_share('/mnt/stable')
        self.written = client.checksum_tree('/mnt/stable/tree')
        self.origin = self.stable
        if self.shape.is_single:
            fillers.prefer('gl2')
            fillers.prefer('gl2')
            self.origin = self._filled_share('/mnt/origin')
            client.umount('/mnt/origin')
        self.life = lifecycle.Life(
            manila, client, manila.snapshot(self.origin)
        )
        self._writer = lab_writer.Writer(client, '/mnt/stable', 'stable')
        self._writer.start()
        yield
        self._writer.stop()
        lost = self._writer.lost()
        assert lost == 0, f'{lost} writes were confirmed and lost'
        assert client.checksum_tree('/mnt/stable/tree') == self.written
        client.umount('/mnt/stable')
        manila.clean()
        fillers.remove()
        manila_stand_in.end_stray_self_heal(self.lab)
        manila.driver._services.close()

    def _filled_share(self, path: str) -> manila_stand_in.Share:
        """Create a share, and mount it at a path with a tree of files."""
        share = self.manila.create(1)
        self.manila.allow(share, self.client.address)
        self.client.mount(share.host, share.volume, path, share.options)
        self.client.write_tree(f'{path}/tree', 1, 4, seed='stable')
        return share

    def leaks(self, settle: float = 15) -> list[str]:
        """Return the objects on the nodes that no share or snapshot owns."""
        return [
            str(leak)
            for leak in self.lab.leaks(
                [*self.manila.shares],
                [*self.manila.snapshots],
                settle=settle,
                age=manila_stand_in.CONSOLES,
            )
        ]

    # -- operations

    def record(self, operation: str) -> list[fault_plans.Plan]:
        """Run an operation, and return its steps."""
        self._wait_for_deactivation()
        self.process.begin()
        self.life.act(operation)
        self._wait_for_deactivation()
        return [
            fault_plans.Plan(step, kinds.Fault.REFUSED, took)
            for step, took in self.process.seen.items()
        ]

    def _wait_for_deactivation(self) -> None:
        """Wait until the driver has deactivated the snapshot of the clones.

        The driver does this some seconds after the answer of a clone. These
        steps belong to the clone, and not to the operation that follows it.
        """
        uses = self.manila.driver._services.clone_cleanup.uses
        deadline = time.monotonic() + LONGEST
        while not self.process.dead and uses.is_used(self.life.taken.id):
            if time.monotonic() > deadline:
                raise lab_module.LabError(
                    f'snapshot {self.life.taken.id}: still not deactivated'
                )
            time.sleep(0.2)

    def prepare(self, operation: str) -> None:
        """Create what an operation needs, where faults can reach it.

        A share with one brick that is created while gl2 is off has its brick
        on another node.
        """
        share = self.life.share
        if self.shape.is_single and share and share.host != 'gl2':
            self.life.prepare(lifecycle.CREATE)
        self.life.prepare(operation)
        if operation in lifecycle.LEVELS:
            share = self.life.share
            assert share
            # It stays mounted while its level changes.
            self.client.mount(share.host, share.volume, LEVELED, share.options)

    # -- faults

    def attempt(self, operation: str, plan: fault_plans.Plan) -> table.Cell:
        """Run an operation with a fault, and recover."""
        begun = time.monotonic()
        before = len(self._writer.failures())
        try:
            outcome, detail = self._attempt(operation, plan)
        except Exception as error:
            outcome, detail = table.BROKEN, f'{type(error).__name__}: {error}'
        self.client.umount(LEVELED)
        took = time.monotonic() - begun
        if took > LONGEST and outcome != table.BROKEN:
            outcome, detail = table.BROKEN, f'it took {took:.0f} s'
        failures = self._writer.failures()[before:]
        if failures:
            detail = '; '.join([detail, *map(str, failures)])
        print(
            f'{took:5.1f} s {operation}: {plan.step}: {plan.fault.name}: '
            f'{outcome} {detail}',
            flush=True,
        )
        disturbed = int(bool(failures))
        return self.cell(operation, plan, outcome, detail, disturbed)

    def cell(
        self,
        operation: str,
        plan: fault_plans.Plan,
        outcome: str,
        detail: str,
        disturbed: int = 0,
    ) -> table.Cell:
        return table.Cell(
            tier=self.shape.tier,
            release=self.lab.release,
            operation=operation,
            step=plan.step.name,
            fault=plan.fault.name,
            outcome=outcome,
            detail=detail,
            disturbed=disturbed,
        )

    def _attempt(
        self, operation: str, plan: fault_plans.Plan
    ) -> tuple[str, str]:
        # One that failed before is the writer again: steps are its.
        self.manila.driver._services.cluster._unresponsive = (
            nodes.UnresponsiveNodes()
        )
        self._wait_for_deactivation()
        self.process.begin(plan)
        failure: BaseException | None = None
        try:
            self.life.act(operation)
        except (exception.ManilaException, injector.Killed) as error:
            failure = error
        self._wait_for_deactivation()
        struck = self.process.struck
        self.process.settle()
        if self.process.dead:
            self._start_anew(operation)
        said = str(failure or '').partition('\n')[0]
        found: list[str] = []
        if failure is None:
            outcome = table.DONE
            if operation == lifecycle.CLONE and self._admits_parents():
                found.append("the clone admits its origin's clients")
        elif operation in (
            lifecycle.CREATE,
            lifecycle.SNAPSHOT,
            lifecycle.CLONE,
        ):
            outcome = self._make_again(operation, failure)
        else:
            told = self._as_told(lambda: self.life.act(operation))
            outcome = table.REMEDIED if told else table.REPEATED
        # What heals by itself has its time first: then nothing may be left.
        found += self._damage(operation)
        left = self.leaks()
        if left and operation == lifecycle.CLONE and outcome == table.DONE:
            # A snapshot that stayed active is left to maintenance.
            self.manila.driver._services.clone_cleanup.clean_up_volumes(
                {self.origin.volume}
            )
            said = f'left to maintenance: {"; ".join(left)}'
            left = self.leaks()
        found += left
        # One that was made anew is looked into now and then.
        self._tried += 1
        if operation == lifecycle.CLONE and (
            outcome == table.DONE or self._tried % 5 == 0
        ):
            found += self._look_into()
        if found:
            return table.BROKEN, '; '.join([said, *found])
        if not struck:
            return table.BROKEN, 'the step was not reached'
        return outcome, said

    def ends_by_itself(self, operation: str, plan: fault_plans.Plan) -> bool:
        """Run an operation with a fault, without any recovery.

        :return: whether it succeeded; if not, nothing is left of it.
        """
        self._wait_for_deactivation()
        self.process.begin(plan)
        made = True
        try:
            self.life.act(operation)
        except exception.ShareBackendException as error:
            print(error, flush=True)
            made = False
        self._wait_for_deactivation()
        assert self.process.struck
        self.process.settle()
        found = [*self._damage(operation), *self.leaks()]
        if made:
            found += self._look_into()
        assert not found, '; '.join(found)
        return made

    def _start_anew(self, operation: str) -> None:
        """Start manila-share, which checks the state of all shares.

        But none that was being deleted: Manila leaves those out. All nodes
        are up, and so each share can be looked at.
        """
        self.process = injector.Injector(self.lab)
        self.manila.driver = self.process.open_driver(self.conf)
        deleted = (
            self.life.concerned(operation)
            if operation in (lifecycle.DELETE, lifecycle.DELETE_CLONE)
            else None
        )
        states = self.manila.driver.ensure_shares(
            None,
            [
                self.manila.model(share)
                for share in self.manila.shares.values()
                if share is not deleted
            ],
        )
        assert all(
            state['status'] == 'available' and 'export_locations' in state
            for state in states.values()
        ), states

    def _make_again(self, operation: str, failure: BaseException) -> str:
        """Delete what could not be made, and make it again."""
        undone = isinstance(failure, Exception) and not self.leaks(settle=3)
        half = self.life.concerned(operation)
        assert half is not None
        told = self._as_told(lambda: self.manila.delete(half))
        self.life.act(operation)
        if told:
            return table.REMEDIED
        return table.UNDONE if undone else table.DELETED

    def _as_told(self, action: Callable[[], object]) -> bool:
        """Run an action again after the remedy that its error names.

        If the writer loses power while it takes a snapshot, its glusterd can
        receive the snapshot from each of its peers, and list it twice. A
        deletion then leaves one entry, until glusterd is restarted.

        :return: whether the error said so.
        """
        try:
            action()
            return False
        except exception.ShareBackendException as error:
            if node_to_restart(error) is None:
                raise
        time.sleep(60.0)
        try:
            action()
            return True
        except exception.ShareBackendException as error:
            address = node_to_restart(error)
            if address is None:
                raise
        for node in self.lab.nodes:
            if node.address == address:
                node.stop_glusterd()
                node.start_glusterd()
        self.lab.wait_connected(240)
        action()
        return True

    def _damage(self, operation: str) -> list[str]:
        """Return what clients find wrong, and bricks that stay down."""
        client, life = self.client, self.life
        found = self.lab.nodes[0].wait_for_bricks()
        if client.checksum_tree('/mnt/stable/tree') != self.written:
            found.append('a share that was not concerned has other data')
        if operation in (lifecycle.ACCESS, lifecycle.EXTEND) and life.share:
            size = self._size(life.share)
            if not 0.9 < size / life.share.size <= 1:
                found.append(f'clients see a size of {size:.2f} GiB')
        if operation in lifecycle.LEVELS:
            found += self._wrong_level(lifecycle.LEVELS[operation][1])
        return found

    def _wrong_level(self, level: str) -> Iterator[str]:
        """Yield what a client notices that was mounted all the time."""
        # It takes some seconds to connect to bricks that were down.
        until = f'until ls {LEVELED}; do sleep 1; done'
        if self.client.execute(f'timeout 30 sh -c "{until}"').status:
            yield 'a client was disconnected by a change of its level'
        said = self.client.execute(f'LC_ALL=C touch {LEVELED}/written')
        if level == 'ro' and 'Read-only file system' not in said.err:
            yield f'a client can write to a read-only share: {said}'
        if level == 'rw' and said.status:
            yield f'a client cannot write: {said}'

    def _admits_parents(self) -> bool:
        clone = self.life.clone
        return clone is not None and self.client.can_mount(
            clone.host, clone.volume, clone.options
        )

    def _look_into(self) -> list[str]:
        clone = self.life.clone
        assert clone
        found = []
        self.manila.allow(clone, self.client.address)
        at = '/mnt/clone'
        self.client.mount(clone.host, clone.volume, at, clone.options)
        if self.client.checksum_tree(f'{at}/tree') != self.written:
            found.append('the clone has other data than its snapshot')
        size = self.client.df(at)[0] / (1 << 30)
        if not 1.8 < size <= 2:
            found.append(f'clients see a size of {size:.2f} GiB')
        self.client.umount(at)
        return found

    def _size(self, share: manila_stand_in.Share) -> float:
        at = '/mnt/sized'
        self.client.mount(share.host, share.volume, at, share.options)
        size = self.client.df(at)[0] / (1 << 30)
        self.client.umount(at)
        return size

    def left_out(
        self,
        operation: str,
        recorded: Sequence[fault_plans.Plan],
        planned: Sequence[fault_plans.Plan],
    ) -> Iterator[table.Cell]:
        """Yield the cells of faults that do not apply or are not tried."""
        tried = {(plan.step, plan.fault) for plan in planned}
        for plan in recorded:
            for fault in kinds.Fault:
                if (plan.step, fault) not in tried:
                    why = fault_plans.reason(plan.step, fault, self.shape)
                    skipped = dataclasses.replace(plan, fault=fault)
                    yield self.cell(
                        operation,
                        skipped,
                        table.NOT_APPLICABLE if why else table.NOT_TRIED,
                        why or '',
                    )

    def run(self) -> table.Run:
        """Return the date and the versions of this run."""
        versions = self.lab.nodes[0].succeed(
            'gluster --version | head -n 1; '
            "lvs --version | sed -n 's/ *LVM version: */LVM /p'; "
            'echo "Linux $(uname -r)"'
        )
        return table.Run(
            tier=self.shape.tier,
            release=self.lab.release,
            date=datetime.date.today().isoformat(),
            versions=', '.join(versions.splitlines()),
        )

    def mend(self) -> None:
        """Remove everything but the scene, after something was broken."""
        self.process.settle()
        self.process = injector.Injector(self.lab)
        self.manila.driver = self.process.open_driver(self.conf)
        life = self.life
        keep = {self.stable.id, self.origin.id, life.taken.id}
        things: list[Any] = [
            *self.manila.snapshots.values(),
            *self.manila.shares.values(),
            *filter(None, (life.snapshot, life.share, life.clone)),
        ]
        for thing in things:
            if thing.id not in keep:
                self._as_told(functools.partial(self.manila.delete, thing))
        self.life = lifecycle.Life(self.manila, self.client, life.taken)
        if found := self.leaks():
            raise lab_module.LabError('; '.join(found))
