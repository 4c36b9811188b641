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

from oslo_log import log

from manila_glusterfs_clone import adoption
from manila_glusterfs_clone import backend
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import interrupted
from manila_glusterfs_clone import memory
from manila_glusterfs_clone import names
from manila_glusterfs_clone import options
from manila_glusterfs_clone import orphans
from manila_glusterfs_clone import periodic
from manila_glusterfs_clone import records
from manila_glusterfs_clone import sources
from manila_glusterfs_clone import survey

LOG = log.getLogger(__name__)

#: Seconds to wait for a share that somebody is at work on.
_PATIENCE = 1.0


def begin(ours: backend.Backend, host: str) -> periodic.Periodic:
    """Begin the upkeep of a back end that was found well.

    The first pass comes after one interval: when the service starts Manila
    has all shares looked at.

    :param host: whose shares are seen to: ``HOST@BACKEND``.
    """
    interval = ours.settings.reconcile_interval
    found = periodic.Periodic(
        Upkeep(ours, host).run, interval, f'upkeep of {host}'
    )
    if interval:
        found.start()
    return found


class Upkeep:
    """Passes over one back end.

    :param host: whose shares are seen to: ``HOST@BACKEND``.
    """

    def __init__(self, ours: backend.Backend, host: str) -> None:
        self._ours = ours
        self._host = host
        self._memory = memory.Memory()
        #: Shares whose access lists were set, and whose clients that no
        #: rule lets in were not seen to be gone.
        self._unproved: set[str] = set()
        self._adoption = adoption.Adoption(
            ours.cluster, ours.locks, self._memory
        )
        self._orphans = orphans.Orphans(
            ours.shares,
            ours.snapshots,
            ours.locks,
            self._memory,
            host=host,
            grace=ours.settings.orphan_grace,
            removes=ours.settings.orphans == options.REMOVE,
        )

    def run(self) -> None:
        """Make one pass; never raises, and never runs beside another."""
        try:
            with self._ours.locks.upkeep(self._host):
                self._memory.begin()
                self._pass()
                self._memory.end()
        except errors.Held as error:
            LOG.debug('No upkeep of %s now: %s', self._host, error)
        except Exception as error:
            LOG.debug('The upkeep has ended early', exc_info=True)
            self._memory.warn(
                'pass',
                f'The upkeep of {self._host} could not go to its end, and is '
                f'tried again in {self._ours.settings.reconcile_interval:g} '
                f's: {error}',
            )

    def _pass(self) -> None:
        ours = self._ours
        until = self._orphans.until()
        seen = survey.take(ours.cluster, ours.settings.mark)
        shares = records.shares(self._host)
        snapshots = records.snapshots(self._host)
        # Nodes and healing find bricks by their tags.
        self._adoption.run(seen, shares)
        self._heal(seen, shares)
        for share_id, rules in records.rules(self._host).items():
            volume = seen.share(share_id)
            if volume is None or (
                volume.options.get(names.OPTION_SHARE) != share_id
            ):
                continue
            # A node that missed a change admits by what was before.
            views = (volume, *seen.views_of(share_id))
            if (
                share_id in self._unproved
                or not all(ours.access.holds(view, rules) for view in views)
            ) and self._memory.is_due(('rules', share_id)):
                self._set_rules(share_id)
        if not seen.is_whole:
            return  # nothing can be deleted now
        # Not those of another Manila that calls its back end the same.
        own = seen.own_volumes() & set(map(names.volume, shares))
        snapshots_of_own = {
            name: snapshot
            for name, snapshot in seen.snapshots.items()
            if snapshot.origin in own
        }
        if sources.unsettled(snapshots_of_own, seen.lvs.values()):
            ours.sources.tidy(own)
        interrupted.delete_again(
            self._host,
            ours.locks,
            self._failed(shares),
            self._failed(snapshots),
        )
        self._orphans.collect(seen, shares, snapshots, until)

    def _heal(
        self, seen: survey.Survey, shares: dict[str, records.Row]
    ) -> None:
        """Have shares brought on line that are not."""
        off = [
            share_id
            for share_id, row in shares.items()
            if row.status in records.IN_USE
            and (wrong := seen.wrong_with(share_id))
            and self._memory.is_due((share_id, wrong))
        ]
        # Unless they were deleted while the cluster was looked at.
        still = records.what_became_of_shares(off)
        if found := [i for i in off if still[i].status in records.IN_USE]:
            self._ours.reconciler.heal(found)

    def _failed(self, rows: dict[str, records.Row]) -> list[str]:
        """Give those whose deletion failed, and is to be asked for again."""
        return [
            row.id
            for row in rows.values()
            if row.status == 'error_deleting'
            and self._memory.is_due(('delete', row.id))
        ]

    def _set_rules(self, share_id: str) -> None:
        """Let exactly those in that Manila's rules let in."""
        ours = self._ours
        name = names.volume(share_id)
        try:
            with ours.locks.share(share_id, timeout=_PATIENCE):
                # A change that was under way may have come to its end.
                rules = records.rules(self._host, share_id).get(share_id)
                views = [ours.volumes.finished(share_id)]
                seen, _ = ours.cluster.try_everywhere(
                    lambda node: node.gluster.volume(name)
                )
                views += filter(None, seen.values())
                if rules is None or (
                    share_id not in self._unproved
                    and all(ours.access.holds(view, rules) for view in views)
                ):
                    return
                self._unproved.add(share_id)
                ours.access.apply(name, rules, revoking=True)
        except errors.Held as error:
            LOG.info('Volume %s is being worked on: %s', name, error)
        except errors.Error as error:
            self._memory.warn(
                ('rules', share_id),
                f'The access lists of volume {name} are not those of '
                f'Manila\'s rules, and could not be made so: {error}',
            )
        else:
            self._unproved.discard(share_id)
            wanted = ours.access.plan(rules).options
            LOG.warning(
                'Set the access lists of volume %s to those of Manila\'s '
                'rules; they had %s',
                name,
                ', '.join(
                    sorted(
                        {
                            f'{option} {view.options.get(option, "not set")}'
                            for view in views
                            for option, value in wanted.items()
                            if view.options.get(option) != value
                        }
                    )
                ),
            )
