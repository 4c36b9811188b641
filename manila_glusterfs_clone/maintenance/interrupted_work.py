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
"""Resume or end the work that a killed service left behind.

manila-share removes a request from the message queue before it starts the
work. If the service is killed during the work, the request is lost. The share
or snapshot stays in ``creating``, ``extending``, ``deleting`` or
``unmanage_starting``: at the next start, Manila skips instances in these
statuses (``ensure_driver_resources`` in manila/share/manager.py). Manila
refuses all requests of users for such an instance.

Work that no process is doing counts as *interrupted* in two cases: the
instance has a work mark (:mod:`~manila_glusterfs_clone.locking.work_marks`),
or the work is complete on the cluster but Manila did not write the status. In
all other cases the request may still be in the queue, and the driver changes
nothing for a while. But a service that is stopped can also lose a request
before the driver sets the mark. So a request counts as lost if manila-share
has been running for :func:`.instances.lost_after_seconds` and has not begun
the work.

The driver resumes interrupted work at service start and in each pass:

* Creating: the status becomes ``available`` if the share or snapshot is
  complete, else ``error``. In ``error``, the user has to delete the share or
  snapshot and create it again.
* Extending: the driver completes the extension, because clients may already
  see the new size.
* Failed extension (``extending_error``): the driver grows all bricks to the
  size of the largest. The status becomes ``available`` with the actual size.
  Until then, Manila refuses even to delete the share.
* Deleting: the driver asks manila-share to delete the instance again.
* Failed deletion (``error_deleting``): the driver asks again when all nodes
  are connected.
* Deferred deletion (``deferred_deleting``): the status becomes
  ``error_deferred_deleting``, in which Manila deletes it again. If the
  request was lost, the driver asks manila-share to delete the instance.
* Unmanaging: the status becomes ``unmanage_error``. An administrator can then
  unmanage the share or snapshot again.

Later Manila releases have the option ``startup_reconciliation_enabled``. If it
is set, Manila resumes interrupted work itself, and this module only retries
failed deletions.
"""

from collections.abc import Iterable
import contextlib
from typing import Any

from manila import context as manila_context
from manila import exception
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import instances
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.operations import status_after_interruption

LOG = log.getLogger(__name__)
CONF = cfg.CONF


#: The operation that a work mark names, by the status of the instance.
OPERATION_BY_STATUS = {
    instances.CREATING: work_marks.CREATE,
    instances.EXTENDING: work_marks.EXTEND,
    instances.EXTENDING_ERROR: work_marks.EXTEND,
    instances.DELETING: work_marks.DELETE,
    instances.DEFERRED_DELETING: work_marks.DELETE,
    instances.UNMANAGING: work_marks.UNMANAGE,
}

#: The statuses in which the driver completes the work if possible.
_COMPLETABLE_STATUSES = frozenset(
    {instances.CREATING, instances.EXTENDING, instances.EXTENDING_ERROR}
)


class InterruptedWork:
    """Resumes the interrupted work of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        the_backoff: backoff.Backoff,
        *,
        service_host: str,
    ) -> None:
        self._locks = the_services.locks
        self._statuses = status_after_interruption.Statuses(the_services)
        self._marks = the_services.marks
        self._backoff = the_backoff
        self._service_host = service_host

    def resume(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
        *,
        is_starting: bool,
        is_requested: bool = False,
    ) -> None:
        """Resume or end interrupted work; log each failure once.

        Work can look interrupted for a moment: before Manila writes the
        status, or while Manila revokes the access rules of a share that it
        then deletes. So resume work only in the second pass that finds it
        interrupted. Two kinds of work do not wait for a second pass: a failed
        extension, and, at service start, work with a mark.

        :param shares: all shares of this back end.
        :param snapshots: all snapshots of this back end.
        :param is_starting: whether the service is starting.
        :param is_requested: whether an operator wants this now. Then a request
            to delete counts as lost in the second pass that finds no progress.
        """
        if getattr(CONF, 'startup_reconciliation_enabled', False):
            return
        for api, rows in instances.apis_with_rows(
            self._service_host, shares, snapshots
        ):
            for row in rows:
                if row.status not in OPERATION_BY_STATUS:
                    continue
                backoff_key = ('interrupted', row.id)
                try:
                    self._resume(api, row, is_starting, is_requested)
                except Exception as error:
                    LOG.debug(
                        '%s %s: resuming interrupted work failed',
                        api.kind_name,
                        row.id,
                        exc_info=True,
                    )
                    self._backoff.warn_once(
                        backoff_key,
                        f'{api.kind_name} {row.id}: its work in status '
                        f'{row.status} could not be checked or resumed; the '
                        f'next maintenance pass or start of manila-share '
                        f'retries: {error}',
                    )

    def retry_deletions(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
    ) -> None:
        """Ask manila-share to retry failed deletions."""
        # Snapshots first: a share with snapshots cannot be deleted.
        for api, rows in reversed(
            instances.apis_with_rows(self._service_host, shares, snapshots)
        ):
            for row in rows:
                if (
                    row.status != instances.ERROR_DELETING
                    or not self._backoff.is_retry_due(('delete', row.id))
                ):
                    continue
                with self._locked_if_idle(
                    api, row.id, instances.ERROR_DELETING
                ) as instance:
                    if instance is not None:
                        LOG.warning(
                            '%s %s: its deletion failed, and all nodes are '
                            'connected now; asking manila-share to delete it '
                            'again',
                            api.kind_name,
                            row.id,
                        )
                        self._request_deletion(api, instance)

    def _resume(
        self,
        api: instances.InstanceApi,
        row: manila_db.Row,
        is_starting: bool,
        is_requested: bool,
    ) -> None:
        with self._locked_if_idle(api, row.id, row.status) as instance:
            if instance is None:
                return
            # Read the mark under the lock: before that, another host may
            # remove it.
            work = self._marks.find(row.id)
            is_marked = (
                work is not None
                and work.operation == OPERATION_BY_STATUS[row.status]
            )
            was_idle_before = self._backoff.came_up_before(
                ('idle', row.id, is_marked)
            )
            if is_marked and not (was_idle_before or is_starting):
                return
            is_lost = not is_marked and (
                self._is_lost(row)
                or (
                    is_requested
                    and was_idle_before
                    and row.status == instances.DELETING
                )
            )
            if row.status in _COMPLETABLE_STATUSES:
                is_interrupted = self._complete(
                    api, row, instance, is_interrupted=is_marked or is_lost
                )
            else:
                is_interrupted = is_marked or is_lost
            if not is_interrupted:
                if was_idle_before:
                    self._backoff.warn_once(
                        ('waiting', row.id),
                        instances.describe_waiting(
                            api, row, self._service_host
                        ),
                    )
                return
            if row.status == instances.DELETING or (
                # The share counts against the quota until its deletion begins.
                is_lost and row.status == instances.DEFERRED_DELETING
            ):
                if is_lost and not self._backoff.is_retry_due(
                    ('lost', row.id)
                ):
                    return
                LOG.warning(
                    '%s %s: a service restart interrupted its deletion; '
                    'asking manila-share to delete it again',
                    api.kind_name,
                    row.id,
                )
                # Keep the mark: the deletion removes it.
                self._request_deletion(api, instance)
                return
            if row.status in instances.ERROR_STATUSES:
                new_status, message = instances.ERROR_STATUSES[row.status]
                LOG.warning('%s %s: %s', api.kind_name, row.id, message)
                self._write(api, row.id, status=new_status)
            if is_marked:
                self._marks.remove(row.id)

    def _is_lost(self, row: manila_db.Row) -> bool:
        """Return whether the request for an idle instance counts as lost."""
        key = ('not begun', row.id, row.status)
        idle_seconds = self._backoff.seconds_since_first(key)
        return idle_seconds >= instances.lost_after_seconds(row.status)

    def _complete(
        self,
        api: instances.InstanceApi,
        row: manila_db.Row,
        instance: Any,
        *,
        is_interrupted: bool,
    ) -> bool:
        """Complete a creation or extension, and write the status.

        :param is_interrupted: whether the work was certainly interrupted. If
            false, write the status only after a failed extension, or in the
            second pass that finds the work complete.
        :return: whether the status was written.
        """
        instance_state = (
            self._statuses.share(row.id, row.status, instance['size'])
            if api.is_share
            else self._statuses.snapshot(row.id, row.share_id)
        )
        is_available = instance_state['status'] == instances.AVAILABLE
        is_complete = (
            instance_state.get('size', 0) > instance['size']
            if row.status == instances.EXTENDING
            else is_available
        )
        is_interrupted = (
            is_interrupted
            or row.status == instances.EXTENDING_ERROR
            or (
                is_complete
                and self._backoff.came_up_before(('complete', row.id))
            )
        )
        if not is_interrupted:
            return False
        LOG.warning(
            '%s %s: %s',
            api.kind_name,
            row.id,
            instances.describe_end(row.status, instance_state),
        )
        instances.record_end(api, instance, row.status, instance_state)
        return True

    @contextlib.contextmanager
    def _locked_if_idle(
        self, api: instances.InstanceApi, instance_id: str, status: str
    ) -> Any:
        """Hold the work lock of an instance, if no other process holds it.

        :return: the instance; None if another process holds the lock, or if
            the instance was deleted or has another status.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._locks.work(instance_id, timeout=0))
                instance = api.read(
                    manila_context.get_admin_context(), instance_id
                )
            except (errors.Held, exception.NotFound):
                yield None
                return
            yield instance if instance['status'] == status else None

    def _request_deletion(
        self, api: instances.InstanceApi, instance: Any
    ) -> None:
        if not api.is_deleted_alone(instance):
            return
        context = manila_context.get_admin_context()
        previous_status = instance['status']
        self._write(api, instance['id'], status=instances.DELETING)
        try:
            api.ask_to_delete(context, instance)
        except Exception:
            LOG.exception(
                '%s %s: manila-share could not be asked to delete it; '
                'setting its status back to %s',
                api.kind_name,
                instance['id'],
                previous_status,
            )
            self._write(api, instance['id'], status=previous_status)

    def _write(
        self, api: instances.InstanceApi, instance_id: str, **values: Any
    ) -> None:
        api.write(manila_context.get_admin_context(), instance_id, values)
