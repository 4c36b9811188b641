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
"""Run the maintenance passes of a back end.

A pass first reads the whole cluster, and then Manila's database. Manila writes
the row of an object before the driver creates the object. So in this order,
the pass finds the row of every new object. An object that Manila deletes
between the two reads is no orphan in this pass: its deletion is too recent. If
the cluster and the database agree, the pass changes nothing and logs nothing.

Before a pass changes an object, it takes the object's lock and reads its state
again. A pass logs a lasting problem once, and retries at growing intervals.
"""

from collections.abc import Collection, Iterator
import contextlib
import threading

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import clone_cleanup_candidates
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import components
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import pass_records
from manila_glusterfs_clone.maintenance import periodic_thread
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


class Maintenance:
    """Runs the maintenance of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    :param records: where to record the passes; None to keep no records.
    """

    def __init__(
        self,
        the_services: services.Services,
        service_host: str,
        records: pass_records.PassRecords | None = None,
    ) -> None:
        self._services = the_services
        self._service_host = service_host
        self.records = records or pass_records.PassRecords(None, service_host)
        self._interval_seconds = the_services.settings.reconcile_interval
        #: Log text: when a failed step is tried again.
        self._next_attempt = (
            f'in {self._interval_seconds:g} s'
            if self._interval_seconds
            else 'when manila-share starts'
        )
        self._thread: periodic_thread.PeriodicThread | None = None
        #: Held by run_pass and ensure_shares, which both use the backoff.
        self._pass_lock = threading.RLock()
        self._backoff = backoff.Backoff()
        #: The names of the failed steps in the current pass.
        self._failed_steps: list[str] = []
        self._components = components.open_components(
            the_services, self._backoff, service_host
        )

    @property
    def differences(self) -> differences.Differences:
        return self._components.differences

    def start(self) -> None:
        """Resume interrupted work, and start the maintenance thread.

        Errors are logged and not raised. The first pass runs one interval
        later: at service start, Manila calls :meth:`ensure_shares` for all
        shares instead.
        """
        try:
            self._components.lost_rule_changes.queue_interrupted()
            self._resume_interrupted_work(is_starting=True)
        except Exception:
            LOG.exception(
                'Back end %s: looking for interrupted work failed; shares and '
                'snapshots may stay in creating, extending or deleting until '
                'the next maintenance pass or start of manila-share',
                self._service_host,
            )
        if self._interval_seconds and self._thread is None:
            self._thread = periodic_thread.PeriodicThread(
                self.run_pass,
                self._interval_seconds,
                f'Maintenance of {self._service_host}',
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop the maintenance thread; do not wait for a pass in progress."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    def shares_with_waiting_rules(self) -> frozenset[str]:
        """Return the ids of shares whose rules Manila has to apply again.

        See :func:`.manila_db.shares_with_waiting_rules`.
        """
        return manila_db.shares_with_waiting_rules(self._service_host)

    def ensure_shares(
        self, share_ids: Collection[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares online, and correct access lists and brick tags.

        Also clean up the snapshots of these shares after interrupted clones.
        Read the cluster once for all shares, and again for each share that
        needs a correction.

        :return: by share id: the volume, or the error of its healing.
        :raises errors.Error: the cluster could not be read.
        """
        with (
            self._pass_lock,
            pass_records.recording(pass_records.START) as record,
        ):
            self._failed_steps = []
            results = self._ensure_shares(share_ids)
            record.end(True, self._failed_steps)
        self.records.write(record)
        return results

    def _ensure_shares(
        self, share_ids: Collection[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        state = self._read_cluster()
        with self._step('correct access lists'):
            rules = manila_db.rules(self._service_host)
            self._components.access_audit.audit(
                state,
                {
                    share_id: rules[share_id]
                    for share_id in rules
                    if share_id in share_ids
                },
            )
        with self._step('correct brick tags'):
            self._components.brick_tags.correct(
                state, manila_db.shares(self._service_host)
            )
        offline_share_ids = [
            share_id for share_id in share_ids if state.offline_parts(share_id)
        ]
        heal_results = (
            self._components.healer.heal(offline_share_ids)
            if offline_share_ids
            else {}
        )
        volumes_or_errors: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in share_ids:
            volume = state.volume(share_id)
            if share_id in heal_results:
                volumes_or_errors[share_id] = heal_results[share_id]
            elif volume is not None:
                volumes_or_errors[share_id] = volume
        with self._step('deactivate snapshots'):
            clone_cleanup_candidates.clean_up(self._services, state, share_ids)
        return volumes_or_errors

    def run_pass(
        self, *, is_requested: bool = False
    ) -> pass_records.PassRecord:
        """Run one pass, unless another process is running one.

        Errors are logged and not raised.

        :param is_requested: whether an operator wants the pass now: see
            :meth:`.orphans.Orphans.remove_or_report`.
        """
        with pass_records.recording(pass_records.PASS) as record:
            self._run_pass(record, is_requested)
        self.records.write(record)
        return record

    def _run_pass(
        self, record: pass_records.PassRecord, is_requested: bool
    ) -> None:
        try:
            with (
                self._pass_lock,
                self._services.locks.maintenance(self._service_host),
            ):
                self._backoff.begin_pass()
                self._failed_steps = []
                is_complete = self._run_steps(is_requested)
                record.end(is_complete, self._failed_steps)
                if not self._failed_steps:
                    self._backoff.end_pass()
        except errors.Held as error:
            record.outcome = pass_records.SKIPPED
            LOG.debug(
                'Back end %s: maintenance pass skipped, because another '
                'process runs one: %s',
                self._service_host,
                error,
            )
        except Exception as error:
            record.fail(str(error))
            LOG.debug(
                'Back end %s: maintenance pass failed',
                self._service_host,
                exc_info=True,
            )
            self._backoff.warn_once(
                'pass',
                f'Back end {self._service_host}: maintenance pass failed; '
                f'next pass {self._next_attempt}: {error}',
            )

    def _run_steps(self, is_requested: bool) -> bool:
        """Run the steps; return whether the cluster is complete."""
        deleted_before = self._components.orphans.deleted_before()
        state = self._read_cluster()
        shares = manila_db.shares(self._service_host)
        snapshots = manila_db.snapshots(self._service_host)
        with self._step('correct access lists'):
            # Before healing: a started volume must not admit clients without a
            # rule.
            self._components.access_audit.audit(
                state, manila_db.rules(self._service_host)
            )
        with self._step('correct brick tags'):
            # Before healing, which finds bricks by their tags.
            self._components.brick_tags.correct(state, shares)
        with self._step('heal shares'):
            self._heal(state, shares)
        with self._step('resume interrupted work'):
            self._resume_interrupted_work(
                is_starting=False, is_requested=is_requested
            )
        with self._step('repeat lost changes of access rules'):
            self._components.lost_rule_changes.repeat(
                is_requested=is_requested
            )
        with self._step('correct the status of access rules'):
            self._components.lost_rule_changes.correct_statuses(
                is_requested=is_requested
            )
        if not state.is_complete:
            return False  # The remaining steps need all nodes.
        with self._step('deactivate snapshots'):
            clone_cleanup_candidates.clean_up(self._services, state, shares)
        with self._step('retry failed deletions'):
            self._components.interrupted_work.retry_deletions(
                shares.values(), snapshots.values()
            )
        with self._step('handle orphans'):
            self._components.orphans.remove_or_report(
                state,
                shares,
                snapshots,
                deleted_before,
                is_requested=is_requested,
            )
        return True

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Log the error of one step, so that the next step runs."""
        try:
            yield
        except Exception as error:
            self._failed_steps.append(name)
            LOG.debug(
                'Back end %s: maintenance step "%s" failed',
                self._service_host,
                name,
                exc_info=True,
            )
            self._backoff.warn_once(
                ('step', name),
                f'Back end {self._service_host}: maintenance step "{name}" '
                f'failed; next attempt {self._next_attempt}: {error}',
            )

    def _read_cluster(self) -> cluster_state.ClusterState:
        return cluster_state.read(
            self._services.cluster, self._services.settings.backend_mark
        )

    def _resume_interrupted_work(
        self, *, is_starting: bool, is_requested: bool = False
    ) -> None:
        shares = manila_db.shares(self._service_host)
        snapshots = manila_db.snapshots(self._service_host)
        self._components.interrupted_work.resume(
            shares.values(),
            snapshots.values(),
            is_starting=is_starting,
            is_requested=is_requested,
        )

    def _heal(
        self,
        state: cluster_state.ClusterState,
        shares: dict[str, manila_db.Row],
    ) -> None:
        """Heal the shares that are fully or partially offline."""
        offline_parts = {
            share_id: parts
            for share_id in shares
            if (parts := state.offline_parts(share_id))
        }
        self._components.healer.forget_errors_except_of(offline_parts)
        offline_share_ids = [
            share_id
            for share_id, parts in offline_parts.items()
            if shares[share_id].status in manila_db.IN_USE
            and self._backoff.is_retry_due((share_id, parts))
        ]
        # Manila may have deleted shares since their rows were read.
        rows = manila_db.shares_by_id(offline_share_ids)
        share_ids_in_use = [
            share_id
            for share_id in offline_share_ids
            if rows[share_id].status in manila_db.IN_USE
        ]
        if share_ids_in_use:
            self._components.healer.heal(share_ids_in_use)
