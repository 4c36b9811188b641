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

Manila takes a request from the message queue before it works on it. So the
request of a killed service is never delivered again, and Manila leaves the
share or snapshot in ``creating``, ``extending``, ``deleting`` or
``unmanage_starting`` for ever (``ensure_driver_resources`` in
manila/share/manager.py skips it). Its user can do nothing, as Manila refuses
all requests for it.

Work is *interrupted* if the service had begun it: the instance has a mark
(:mod:`~manila_glusterfs_clone.locking.work_marks`), or the work is complete on
the cluster and only the status was not written. A request that still waits in
the message queue is neither, and is left alone. Interrupted work is handled
when the service starts, and in each pass of maintenance until that succeeds:

* Creating: the status becomes ``available`` if the share or snapshot is
  complete, else ``error``. Its user deletes it, which removes all parts, and
  tries again.
* Extending: it is completed. It cannot be undone, as clients may see the new
  size already.
* An extension that failed (``extending_error``): it is completed where a brick
  has grown already. The share becomes ``available`` with the size that it has.
  A user cannot leave this status, not even by deleting the share.
* Deleting: manila-share is asked to delete it again. The same holds for a
  deletion that failed, say as a node was down, once all nodes are connected.
* Unmanaging: the status becomes ``unmanage_error``. It can be unmanaged again.

A later Manila handles interrupted work itself when it starts, and asks the
driver for the states of shares and snapshots
(``startup_reconciliation_enabled``). Then this module does nothing.
"""

from collections.abc import Iterable, Mapping
import contextlib
from typing import Any

from manila import context as manila_context
from manila import db
from manila import exception
from manila import quota
from oslo_config import cfg
from oslo_log import log
from oslo_utils import timeutils

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import instances
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.operations import statuses

LOG = log.getLogger(__name__)
CONF = cfg.CONF

_AVAILABLE = 'available'
_CREATING = 'creating'
_DELETING = 'deleting'
_ERROR_DELETING = 'error_deleting'
_EXTENDING = 'extending'
_EXTENDING_ERROR = 'extending_error'

#: The operation that sets each status.
_OPERATIONS = {
    _CREATING: work_marks.CREATE,
    _EXTENDING: work_marks.EXTEND,
    _EXTENDING_ERROR: work_marks.EXTEND,
    _DELETING: work_marks.DELETE,
    'unmanage_starting': work_marks.UNMANAGE,
}


class InterruptedWork:
    """The interrupted work of one back end.

    :param host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        the_backoff: backoff.Backoff,
        *,
        host: str,
    ) -> None:
        self._locks = the_services.locks
        self._statuses = statuses.Statuses(the_services)
        self._marks = the_services.marks
        self._backoff = the_backoff
        self._host = host

    def resume(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
        *,
        starting: bool,
    ) -> None:
        """Resume or end interrupted work; failures are logged once.

        :param shares: all of this back end, as are the snapshots.
        :param starting: whether the service starts: then marked instances
            are handled at once. All others are handled only if an earlier
            pass has seen them idle in the same status. The driver removes
            the mark a moment before Manila writes the status, and there is
            a moment between the two operations of a deletion.
        """
        if getattr(CONF, 'startup_reconciliation_enabled', False):
            return
        for kind, rows in instances.by_kind(self._host, shares, snapshots):
            for row in rows:
                if row.status not in _OPERATIONS:
                    continue
                key = ('interrupted', row.id)
                try:
                    self._resume(kind, row, starting)
                except Exception as error:
                    LOG.debug(
                        '%s %s: not resumed',
                        kind.name,
                        row.id,
                        exc_info=True,
                    )
                    self._backoff.warn_once(
                        key,
                        f'{kind.name} {row.id}: its work was interrupted in '
                        f'status {row.status} and could not be resumed; '
                        f'next attempt in the next pass: {error}',
                    )

    def retry_deletions(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
    ) -> None:
        """Ask manila-share again for deletions that failed."""
        # Snapshots first: a share with snapshots cannot be deleted.
        for kind, rows in reversed(
            instances.by_kind(self._host, shares, snapshots)
        ):
            for row in rows:
                if (
                    row.status != _ERROR_DELETING
                    or not self._backoff.is_retry_due(('delete', row.id))
                ):
                    continue
                with self._idle(kind, row.id, _ERROR_DELETING) as instance:
                    if instance is not None:
                        LOG.warning(
                            '%s %s: its deletion failed, and all nodes are '
                            'connected now; deleting it again',
                            kind.name,
                            row.id,
                        )
                        self._delete(kind, instance)

    def _resume(
        self, kind: instances.Kind, row: manila_db.Row, starting: bool
    ) -> None:
        with self._idle(kind, row.id, row.status) as instance:
            if instance is None:
                return
            # Read under the lock, as another host may have completed it.
            work = self._marks.find(row.id)
            is_marked = (
                work is not None and work.operation == _OPERATIONS[row.status]
            )
            was_seen = self._backoff.was_seen_before(
                ('idle', row.id, is_marked)
            )
            has_failed = row.status == _EXTENDING_ERROR
            if not (was_seen or has_failed or (starting and is_marked)):
                return
            if row.status in (_CREATING, _EXTENDING, _EXTENDING_ERROR):
                self._complete(kind, row, instance, is_marked)
            elif not is_marked:
                self._warn_not_begun(kind, row)
            elif row.status == _DELETING:
                LOG.warning(
                    '%s %s: its deletion was interrupted by a service '
                    'restart; deleting it again',
                    kind.name,
                    row.id,
                )
                # The mark stays until the deletion removes it.
                self._delete(kind, instance)
                return
            else:
                LOG.warning(
                    'Unmanaging %s %s was interrupted by a service restart; '
                    'status set to unmanage_error, unmanage it again',
                    kind.name.lower(),
                    row.id,
                )
                self._write(kind, row.id, status='unmanage_error')
            if is_marked:
                self._marks.remove(row.id)

    def _complete(
        self,
        kind: instances.Kind,
        row: manila_db.Row,
        instance: Any,
        is_marked: bool,
    ) -> None:
        """Complete a creation or extension, and write the status.

        :param is_marked: whether it has a mark. If not, the status is written
            only if an earlier pass has seen the work complete as well.
        """
        if kind.is_share:
            state = self._statuses.share(row.id, row.status)
        else:
            state = self._statuses.snapshot(row.id, row.share_id)
        is_available = state['status'] == _AVAILABLE
        is_complete = (
            state.get('size', 0) > instance['size']
            if row.status == _EXTENDING
            else is_available
        )
        was_begun = (
            is_marked
            or row.status == _EXTENDING_ERROR
            or (
                is_complete
                and self._backoff.was_seen_before(('complete', row.id))
            )
        )
        if not was_begun:
            self._warn_not_begun(kind, row)
            return
        LOG.warning(
            '%s %s: %s', kind.name, row.id, _describe(row.status, state)
        )
        context = manila_context.get_admin_context()
        if 'export_locations' in state:
            db.export_locations_update(
                context, row.id, state['export_locations']
            )
        if 'size' in state:
            db.share_update(
                context, instance['share_id'], {'size': state['size']}
            )
            # Its quota reservation expires by itself.
            context.project_id = instance['project_id']
            context.user_id = instance['user_id']
            quota.QUOTAS.usage_reset(context, ['gigabytes'])
        values = {'status': state['status']}
        if is_available and row.status == _CREATING:
            values['progress'] = '100%'
            if kind.is_share:
                values['launched_at'] = timeutils.utcnow()
        self._write(kind, row.id, **values)

    def _warn_not_begun(
        self, kind: instances.Kind, row: manila_db.Row
    ) -> None:
        noun = 'share' if kind.is_share else 'share snapshot'
        command = f'openstack {noun} instance set --status error {row.id}'
        self._backoff.warn_once(
            ('waiting', row.id),
            f'{kind.name} {row.id}: no service works on it, and its status '
            f'is {row.status}. Its request waits in the message queue, or was '
            f'lost with a killed service. If the queue of {self._host} is '
            f'empty, run "{command}", and delete it or retry',
        )

    @contextlib.contextmanager
    def _idle(
        self, kind: instances.Kind, instance_id: str, status: str
    ) -> Any:
        """Hold the lock of an instance that no operation is working on.

        :return: the instance; None if an operation is working on it, or if
            its status has changed.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._locks.work(instance_id, timeout=0))
                instance = kind.read(
                    manila_context.get_admin_context(), instance_id
                )
            except (errors.Held, exception.NotFound):
                yield None
                return
            yield instance if instance['status'] == status else None

    def _delete(self, kind: instances.Kind, instance: Any) -> None:
        if not kind.is_deleted_alone(instance):
            return
        context = manila_context.get_admin_context()
        before = instance['status']
        self._write(kind, instance['id'], status=_DELETING)
        try:
            kind.ask_to_delete(context, instance)
        except Exception:
            LOG.exception(
                '%s %s: manila-share could not be asked to delete it; '
                'status set back',
                kind.name,
                instance['id'],
            )
            self._write(kind, instance['id'], status=before)

    def _write(
        self, kind: instances.Kind, instance_id: str, **values: Any
    ) -> None:
        kind.write(manila_context.get_admin_context(), instance_id, values)


def _describe(status: str, state: Mapping[str, Any]) -> str:
    """Return what is logged about a creation or extension that has ended.

    :param status: in Manila's database.
    :param state: on the cluster.
    """
    is_available = state['status'] == _AVAILABLE
    if status == _CREATING:
        if is_available:
            return (
                'a service restart interrupted its creation, which is '
                'complete; status set to available'
            )
        return (
            'a service restart interrupted its creation; status set to '
            'error, delete it and create it again'
        )
    cause = (
        'its extension failed'
        if status == _EXTENDING_ERROR
        else 'a service restart interrupted its extension'
    )
    if is_available:
        return f'{cause}; it has {state["size"]} GiB, status set to available'
    return (
        f'{cause}, and the cluster has no volume that is its own; status set '
        f'to error, look for its volume with "gluster volume info"'
    )
