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
"""The upkeep of a back end: what is amiss is put right, again and again.

One pass looks at the whole cluster once, and then at Manila's database: in
this order, so that what was made meanwhile is known to the database, and
what was deleted meanwhile is too young to be touched. Where all is well that
is all, and nothing is logged.

What is to be changed is looked at again with its lock held. What cannot be
helped is said once, and tried again after ever longer times.
"""

from collections.abc import Collection, Iterator
import contextlib
import threading

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tags
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone.maintenance import periodic_thread
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


class Maintenance:
    """Passes over one back end.

    :param host: whose shares are seen to: ``HOST@BACKEND``.
    """

    def __init__(self, the_services: services.Services, host: str) -> None:
        self._services = the_services
        self._host = host
        self._interval = the_services.settings.reconcile_interval
        self._thread: periodic_thread.Periodic | None = None
        #: Held during a pass: what is remembered is of one at a time.
        self._guard = threading.RLock()
        self._memory = backoff.Backoff()
        #: How many parts of the current pass failed.
        self._failed_parts = 0
        self._healer = healing.Healer(the_services)
        self._audit = access_audit.AccessAudit(
            the_services, self._memory, host=host
        )
        self._adoption = brick_tags.BrickTags(
            the_services.cluster, the_services.locks, self._memory
        )
        self._orphans = orphans.Orphans(
            the_services.shares,
            the_services.snapshots,
            the_services.locks,
            self._memory,
            host=host,
            grace=the_services.settings.orphan_grace,
            removes=the_services.settings.orphans == options.REMOVE,
        )
        self._interrupted = interrupted_work.InterruptedWork(
            the_services, self._memory, host=host
        )

    def start(self) -> None:
        """Settle interrupted work, and begin the passes; never raises.

        The first pass comes after one interval: when the service starts,
        Manila has all shares looked at (:meth:`ensure`).
        """
        try:
            self._settle_interrupted(starting=True)
        except Exception:
            LOG.exception(
                'Back end %s: interrupted work could not be looked for; '
                'shares and snapshots may stay in a transitional status '
                'until the next pass of maintenance',
                self._host,
            )
        if self._interval and self._thread is None:
            self._thread = periodic_thread.Periodic(
                self.run, self._interval, f'maintenance of {self._host}'
            )
            self._thread.start()

    def stop(self) -> None:
        """Begin no further pass; one under way is not waited for."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    def shares_to_synchronise(self) -> frozenset[str]:
        """Return the shares whose waiting rules Manila has to be told of."""
        return manila_db.shares_with_waiting_rules(self._host)

    def ensure(
        self, share_ids: Collection[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares on line, with the access lists of Manila's rules.

        One look at the cluster for all shares; more only where one differs
        from what it should be.

        :return: for each share its volume, or what is wrong with it.
        :raises errors.Error: the cluster could not be read.
        """
        with self._guard:
            return self._ensure(share_ids)

    def _ensure(
        self, share_ids: Collection[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        seen = cluster_state.read(
            self._services.cluster, self._services.settings.mark
        )
        with self._part('access lists'):
            rules = manila_db.rules(self._host)
            self._audit.audit(
                seen,
                {each: rules[each] for each in rules if each in share_ids},
            )
        with self._part('tags of bricks'):
            self._adoption.run(seen, manila_db.shares(self._host))
        unwell = [each for each in share_ids if seen.wrong_with(each)]
        healed = self._healer.heal(unwell) if unwell else {}
        found: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in share_ids:
            volume = seen.share(share_id)
            if share_id in healed:
                found[share_id] = healed[share_id]
            elif volume is not None:
                found[share_id] = volume
        with self._part('snapshots of clones'):
            self._tidy_snapshots(seen, share_ids)
        return found

    def run(self) -> None:
        """Make one pass; never raises, and never runs beside another."""
        try:
            with self._guard, self._services.locks.maintenance(self._host):
                self._memory.begin()
                self._failed_parts = 0
                self._pass()
                if not self._failed_parts:
                    self._memory.end()
        except errors.Held as error:
            LOG.debug('No upkeep of %s now: %s', self._host, error)
        except Exception as error:
            LOG.debug('The upkeep has ended early', exc_info=True)
            self._memory.warn(
                'pass',
                f'Maintenance of {self._host} failed; next attempt in '
                f'{self._interval:g} s: {error}',
            )

    def _pass(self) -> None:
        until = self._orphans.until()
        seen = cluster_state.read(
            self._services.cluster, self._services.settings.mark
        )
        shares = manila_db.shares(self._host)
        snapshots = manila_db.snapshots(self._host)
        with self._part('access lists'):
            # First: a volume that is started must not admit strangers.
            self._audit.audit(seen, manila_db.rules(self._host))
        with self._part('tags of bricks'):
            # Nodes and healing find bricks by their tags.
            self._adoption.run(seen, shares)
        with self._part('healing'):
            self._heal(seen, shares)
        with self._part('interrupted work'):
            self._settle_interrupted(starting=False)
        if not seen.is_whole:
            return  # nothing can be deleted now
        with self._part('snapshots of clones'):
            self._tidy_snapshots(seen, shares)
        with self._part('failed deletions'):
            self._interrupted.delete_again(shares.values(), snapshots.values())
        with self._part('orphans'):
            self._orphans.collect(seen, shares, snapshots, until)

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Do one part of a pass; a failure does not keep the next from it."""
        try:
            yield
        except Exception as error:
            self._failed_parts += 1
            LOG.debug('Maintenance failed in part', exc_info=True)
            self._memory.warn(
                ('part', name),
                f'Maintenance of {self._host}, {name}: failed; next attempt '
                f'in {self._interval:g} s: {error}',
            )

    def _settle_interrupted(self, *, starting: bool) -> None:
        shares = manila_db.shares(self._host)
        snapshots = manila_db.snapshots(self._host)
        self._interrupted.settle(
            shares.values(), snapshots.values(), starting=starting
        )

    def _tidy_snapshots(
        self, seen: cluster_state.ClusterState, share_ids: Collection[str]
    ) -> None:
        """Deactivate the snapshots that clones have left active."""
        # Not those of another Manila that calls its back end the same.
        own = seen.own_volumes() & set(map(names.volume, share_ids))
        snapshots = {
            name: snapshot
            for name, snapshot in seen.snapshots.items()
            if snapshot.origin in own
        }
        if clone_sources.unsettled(snapshots, seen.lvs.values()):
            self._services.sources.tidy(own)

    def _heal(
        self,
        seen: cluster_state.ClusterState,
        shares: dict[str, manila_db.Row],
    ) -> None:
        """Have shares brought on line that are not."""
        off = [
            share_id
            for share_id, row in shares.items()
            if row.status in manila_db.IN_USE
            and (wrong := seen.wrong_with(share_id))
            and self._memory.is_due((share_id, wrong))
        ]
        # Unless they were deleted while the cluster was looked at.
        still = manila_db.what_became_of_shares(off)
        if found := [i for i in off if still[i].status in manila_db.IN_USE]:
            self._healer.heal(found)
