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
"""Work that a killed service left behind.

A request is taken from the message queue before it is worked on, so that
what a killed service was at work on is never asked for again, and Manila
leaves the share or snapshot in ``creating``, ``extending``, ``deleting`` or
``unmanage_starting`` for ever (manila/share/manager.py,
``ensure_driver_resources``, passes over it). Its user can do nothing about
it: all requests are refused.

Only work that a service had picked up is settled: it has a mark
(:mod:`.work_marks`), or is finished on the cluster and was killed before
Manila wrote that. A request that still waits in the queue is neither. Work is
settled when the service starts, and in each pass of maintenance until that
has succeeded:

* What is found finished becomes available. What is not becomes ``error``:
  its user deletes it, and with it all that was made of it, and tries again.
* An extension is carried out to its end. It cannot be taken back where
  clients see the new size already.
* An extension that failed is completed where a brick has grown already. The
  share becomes available again, with the size that it has: out of
  ``extending_error`` no user can get it, not even to delete it.
* A deletion is asked for again, as is one that failed before (a node was
  away, say) once all nodes are there.
* What was being unmanaged becomes ``unmanage_error``: it can be unmanaged
  again.

A later Manila does this by itself when it starts, and asks the driver for
the states of shares and snapshots (``startup_reconciliation_enabled``). Then
nothing is settled here.
"""

from collections.abc import Iterable
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

#: The verb that is at work on what has such a status.
_VERBS = {
    _CREATING: work_marks.CREATE,
    _EXTENDING: work_marks.EXTEND,
    _EXTENDING_ERROR: work_marks.EXTEND,
    _DELETING: work_marks.DELETE,
    'unmanage_starting': work_marks.UNMANAGE,
}


class InterruptedWork:
    """The interrupted work of one back end.

    :param host: whose shares and snapshots they are: ``HOST@BACKEND``.
    """

    def __init__(
        self,
        the_services: services.Services,
        remembered: backoff.Backoff,
        *,
        host: str,
    ) -> None:
        self._locks = the_services.locks
        self._statuses = statuses.Statuses(the_services)
        self._marks = the_services.marks
        self._memory = remembered
        self._host = host

    def settle(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
        *,
        starting: bool,
    ) -> None:
        """Settle interrupted work; what fails is logged once.

        :param shares: all of this back end, as are the snapshots.
        :param starting: whether the service starts: then what has a mark is
            settled at once. All else is settled only if an earlier look has
            found the same, and no verb at work: a verb removes its mark a
            moment before Manila writes the status, and the two verbs of a
            deletion have a moment between them.
        """
        if getattr(CONF, 'startup_reconciliation_enabled', False):
            return
        for kind, rows in self._kinds(shares, snapshots):
            for row in rows:
                if row.status not in _VERBS:
                    continue
                key = ('interrupted', row.id)
                try:
                    self._settle(kind, row, starting)
                except Exception as error:
                    LOG.debug('Could not be settled', exc_info=True)
                    self._memory.warn(
                        key,
                        f'{kind.name} {row.id}: interrupted by a service '
                        f'restart while {row.status}, and could not be '
                        f'settled yet; next attempt in the next pass of '
                        f'maintenance: {error}',
                    )

    def delete_again(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
    ) -> None:
        """Ask manila-share again for deletions that failed."""
        # A share can be deleted when its snapshots are gone.
        for kind, rows in reversed(self._kinds(shares, snapshots)):
            for row in rows:
                if row.status != _ERROR_DELETING or not self._memory.is_due(
                    ('delete', row.id)
                ):
                    continue
                with self._at_rest(kind, row.id, _ERROR_DELETING) as instance:
                    if instance is not None:
                        LOG.warning(
                            '%s %s: could not be deleted before, and all '
                            'nodes are connected now; deleting it again',
                            kind.name,
                            row.id,
                        )
                        self._delete(kind, instance)

    def _settle(
        self, kind: instances.Kind, row: manila_db.Row, starting: bool
    ) -> None:
        with self._at_rest(kind, row.id, row.status) as instance:
            if instance is None:
                return
            # Under the lock: another host may have ended it meanwhile.
            work = self._marks.find(row.id)
            marked = work is not None and work.verb == _VERBS[row.status]
            seen_before = self._memory.is_old(('at rest', row.id, marked))
            has_failed = row.status == _EXTENDING_ERROR
            if not (seen_before or has_failed or (starting and marked)):
                return
            if row.status in (_CREATING, _EXTENDING, _EXTENDING_ERROR):
                self._finish(kind, row, instance, marked)
            elif not marked:
                self._warn_of_waiting(kind, row)
            elif row.status == _DELETING:
                LOG.warning(
                    '%s %s: its deletion was interrupted by a service '
                    'restart; deleting it again',
                    kind.name,
                    row.id,
                )
                # The mark stays: the deletion sets it, and removes it.
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
            if marked:
                self._marks.remove(row.id)

    def _finish(
        self,
        kind: instances.Kind,
        row: manila_db.Row,
        instance: Any,
        marked: bool,
    ) -> None:
        """Write the state of what was being made or extended.

        :param marked: whether it bears a mark. If not, it is written only
            where an earlier look has found the work finished as well.
        """
        if kind.is_share:
            found = self._statuses.share(row.id, row.status)
        else:
            found = self._statuses.snapshot(row.id, row.share_id)
        done = found['status'] == _AVAILABLE
        finished = (
            found['size'] > instance['size']
            if row.status == _EXTENDING
            else done
        )
        picked_up = (
            marked
            or row.status == _EXTENDING_ERROR
            or (finished and self._memory.is_old(('finished', row.id)))
        )
        if not picked_up:
            self._warn_of_waiting(kind, row)
            return
        LOG.warning(
            '%s %s %s %s; %s',
            'Creating' if row.status == _CREATING else 'Extending',
            kind.name.lower(),
            row.id,
            'failed'
            if row.status == _EXTENDING_ERROR
            else 'was interrupted by a service restart',
            'it is whole, and its status is set to available'
            if done
            else 'its status is set to error, delete it and try again',
        )
        context = manila_context.get_admin_context()
        if 'export_locations' in found:
            db.export_locations_update(
                context, row.id, found['export_locations']
            )
        if 'size' in found:
            db.share_update(
                context, instance['share_id'], {'size': found['size']}
            )
            # What was reserved for it expires by itself.
            context.project_id = instance['project_id']
            context.user_id = instance['user_id']
            quota.QUOTAS.usage_reset(context, ['gigabytes'])
        values = {'status': found['status']}
        if done and row.status == _CREATING:
            values['progress'] = '100%'
            if kind.is_share:
                values['launched_at'] = timeutils.utcnow()
        self._write(kind, row.id, **values)

    def _warn_of_waiting(
        self, kind: instances.Kind, row: manila_db.Row
    ) -> None:
        what = 'share' if kind.is_share else 'share snapshot'
        self._memory.warn(
            ('waiting', row.id),
            f'{kind.name} {row.id}: still {row.status}, and no service is at '
            f'work on it; its request waits in the message queue, or was '
            f'lost with a service that was killed before it began (if the '
            f'queue of {self._host} is empty, run "openstack {what} set '
            f'--status error" on it, and delete it or try again)',
        )

    @contextlib.contextmanager
    def _at_rest(
        self, kind: instances.Kind, instance_id: str, status: str
    ) -> Any:
        """Hold the work on an instance, if no verb is at work on it.

        :return: the instance; None if somebody is at work on it, or its
            status is another one by now.
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
                '%s %s: manila-share could not be asked to delete it',
                kind.name,
                instance['id'],
            )
            self._write(kind, instance['id'], status=before)

    def _write(
        self, kind: instances.Kind, instance_id: str, **values: Any
    ) -> None:
        kind.write(manila_context.get_admin_context(), instance_id, values)

    def _kinds(
        self,
        shares: Iterable[manila_db.Row],
        snapshots: Iterable[manila_db.Row],
    ) -> tuple[tuple[instances.Kind, Iterable[manila_db.Row]], ...]:
        return (
            (instances.shares(), shares),
            (instances.snapshots(self._host), snapshots),
        )
