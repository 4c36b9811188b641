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
"""The driver class that Manila loads, with the methods that Manila calls.

Each method reads Manila's dictionaries, calls one service of the back end, and
converts the driver's errors to Manila's exceptions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import time
from typing import Any

from manila import exception
from manila.share import driver

from manila_glusterfs_clone import backend
from manila_glusterfs_clone.cluster import glusterd_turns
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.manila_api import arguments
from manila_glusterfs_clone.manila_api import exceptions
from manila_glusterfs_clone.manila_api import manila_options
from manila_glusterfs_clone.manila_api import share_hosts
from manila_glusterfs_clone.manila_api import share_metadata
from manila_glusterfs_clone.manila_api import stats
from manila_glusterfs_clone.manila_api import updates
from manila_glusterfs_clone.manila_api import user_messages
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.operations import status_after_interruption
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import gluster

Data = Mapping[str, Any]
_Location = dict[str, Any]

_CREATE = work_marks.Work(work_marks.CREATE)
_DELETE = work_marks.Work(work_marks.DELETE)
_UNMANAGE = work_marks.Work(work_marks.UNMANAGE)
_NO_MARK = contextlib.nullcontext()


class GlusterfsCloneShareDriver(driver.ShareDriver):  # type: ignore[misc]
    """Shares on a GlusterFS cluster with bricks on LVM thin pools."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Manila forks after this call: do not connect, lock or start threads.
        super().__init__(False, *args, config_opts=[options.OPTS], **kwargs)
        self._private_storage = kwargs.get('private_storage')
        self._backend: backend.Backend | None = None

    @property
    def driver_handles_share_servers(self) -> bool:
        # Set-up checks the option: an error in __init__ stops all back ends.
        return False

    @property
    def _opened_backend(self) -> backend.Backend:
        if self._backend is None:
            raise exception.ShareBackendException(
                msg=f'back end {self._backend_name()}: not set up yet'
            )
        return self._backend

    @property
    def _services(self) -> services.Services:
        return self._opened_backend.services

    def _export_locations(self, volume: gluster.Volume) -> list[_Location]:
        return self._services.protocol.export_locations(volume)

    @contextlib.contextmanager
    def _operation(
        self,
        name: str,
        instance_id: str,
        work: work_marks.Work,
        make_error: Callable[[str], Exception] = exceptions.backend_failure,
    ) -> Iterator[None]:
        """Lock and mark an instance during the body; translate errors."""
        with (
            exceptions.translated(name, instance_id, make_error),
            glusterd_turns.operation(),
            self._services.marks.locked_and_marked(instance_id, work),
        ):
            yield

    # -- set-up

    def do_setup(self, context: Any) -> None:
        """Read the configuration; Manila may call this method again."""
        name = self._backend_name()
        with exceptions.translated('Setting up', name):
            manila_options.require_readable(self.configuration, name)
        if self._backend:
            self._backend.close()
        self._backend = backend.Backend.open(
            options.read(self.configuration, name),
            self._private_storage,
            manila_options.service_host(self.configuration),
        )

    def check_for_setup_error(self) -> None:
        """Check and start the back end; raise one error for all mistakes."""
        problems = manila_options.find_problems(self.configuration)
        with exceptions.translated('Setting up', self._backend_name()):
            self._opened_backend.check(*problems)
        self._opened_backend.start()

    def _backend_name(self) -> str:
        return str(
            self.configuration.safe_get('share_backend_name')
            or 'glusterfs_clone'
        )

    def get_backend_info(self, context: Any) -> dict[str, Any]:
        """Return information that differs at each start.

        If it differs, Manila calls :meth:`ensure_shares`, which completes
        changes of access rules that a crash interrupted.
        """
        settings = self._services.settings
        return {
            'driver_version': stats.VERSION,
            'nodes': ','.join(settings.nodes),
            'tls': settings.tls,
            'started': time.time_ns(),
        }

    def get_configured_ip_versions(self) -> list[int]:
        """Return only IPv4: GlusterFS compares IPv6 addresses as text."""
        return [4]

    # -- shares

    def create_share(
        self, context: Any, share: Data, share_server: Any = None
    ) -> list[_Location]:
        """Create an empty share, and return its export locations."""
        with self._operation('Creating share', share['id'], _CREATE):
            arguments.require_protocol(share, self._services.protocol)
            volume = self._services.shares.create(
                share['id'],
                arguments.pool(share, self._services.settings),
                share['size'] * placement.GIB,
                self._services.layout(arguments.layout(share)),
            )
        return self._export_locations(volume)

    def create_share_from_snapshot(
        self,
        context: Any,
        share: Data,
        snapshot: Data,
        share_server: Any = None,
        parent_share: Any = None,
    ) -> list[_Location]:
        """Create a share from a snapshot; return its export locations.

        A clone is always in the pool of its snapshot, whichever pool the
        scheduler chose. The target of a migration is created empty.
        """
        with exceptions.translated('Creating share', share['id']):
            if share_hosts.is_migration_target(context, share):
                return self.create_share(context, share)
        with self._operation('Creating clone', share['id'], _CREATE):
            the_services = self._services
            arguments.require_protocol(share, the_services.protocol)
            volume = the_services.clones.create(
                share['id'],
                the_services.settings.pools,
                share['size'] * placement.GIB,
                snapshot['id'],
                lambda pool: share_hosts.record_pool(context, share, pool),
            )
        return self._export_locations(volume)

    def get_optional_share_creation_data(
        self, share: Any, share_server: Any = None
    ) -> dict[str, dict[str, str]]:
        """Return the metadata of a new share."""
        return share_metadata.of_new_share(self._services, share)

    def delete_share(
        self, context: Any, share: Data, share_server: Any = None
    ) -> None:
        """Delete a share and its logical volumes on every node."""
        with self._operation('Deleting share', share['id'], _DELETE):
            self._services.shares.delete(
                share['id'], is_clone=arguments.is_cloned(share)
            )

    def unmanage(self, share: Data) -> None:
        """Mark a share as unmanaged on the cluster; keep its data."""
        with self._operation(
            'Unmanaging share',
            share['id'],
            _UNMANAGE,
            lambda message: exception.UnmanageInvalidShare(reason=message),
        ):
            self._services.shares.unmanage(share['id'])

    def extend_share(
        self, share: Data, new_size: int, share_server: Any = None
    ) -> None:
        """Extend a share while clients use it."""
        work = work_marks.Work(work_marks.EXTEND, new_size)
        with self._operation('Extending share', share['id'], work):
            with user_messages.insufficient_space_reported(share):
                self._services.shares.extend(
                    share['id'], new_size * placement.GIB
                )

    def update_access(
        self,
        context: Any,
        share: Data,
        access_rules: Sequence[Data],
        add_rules: Sequence[Data],
        delete_rules: Sequence[Data],
        update_rules: Sequence[Data] = (),
        share_server: Any = None,
    ) -> dict[str, dict[str, str]]:
        """Admit exactly the clients of the rules; return the rules' states.

        If Manila passes no added, deleted or updated rule, the volume may
        still grant rules that Manila has deleted; revoke these, too.
        """
        share_id, marks = share['id'], self._services.marks
        is_deletion = share.get('status') in ('deleting', 'deferred_deleting')
        is_revoking = bool(delete_rules or update_rules or not add_rules)
        changed_ids = {
            rule['access_id'] for rule in (*add_rules, *update_rules)
        }
        rules = [arguments.rule(rule) for rule in access_rules]
        with (
            exceptions.translated('Changing the access to share', share_id),
            glusterd_turns.operation(is_urgent=True),
            marks.mark_begin(share_id, _DELETE) if is_deletion else _NO_MARK,
        ):
            refusals = self._services.shares.update_access(
                share_id,
                [rule for rule in rules if rule.access_id not in changed_ids],
                [rule for rule in rules if rule.access_id in changed_ids],
                is_revoking=is_revoking,
            )
        user_messages.report_refused_rules(
            context, share, changed_ids, refusals
        )
        return updates.of_rules(rules, refusals)

    def _get_access_mapping(
        self, context: Any, share: Data, share_server: Any
    ) -> dict[str, list[str]]:
        """Return the access type of the rules that manila-data needs."""
        return self._services.protocol.access_mapping

    def ensure_shares(
        self, context: Any, shares: Sequence[Data]
    ) -> dict[str, dict[str, Any]]:
        """Bring shares online, and return the state of each; never raise.

        Also correct access lists. If Manila has not finished a change of the
        rules of a share, ask Manila to apply all rules of this share again.
        If that fails, Manila sets active rules to error, too.
        """
        ensured = backend.EnsuredShares()
        if shares and self._backend:
            ensured = self._backend.ensure_shares([s['id'] for s in shares])
        return {
            share['id']: updates.of_share(
                ensured.states.get(share['id']),
                self._export_locations,
                reapply_rules=share['id'] in ensured.waiting_share_ids,
            )
            for share in shares
        }

    def get_share_status(
        self, share: Data, share_server: Any = None
    ) -> dict[str, Any]:
        """Complete an interrupted operation; return the state of the share."""
        with exceptions.translated('Reading the state of share', share['id']):
            return status_after_interruption.Statuses(self._services).share(
                share['id'], share['status'], share['size']
            )

    # -- snapshots

    def create_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Take a snapshot of a share while clients use the share."""
        with self._operation('Creating snapshot', snapshot['id'], _CREATE):
            self._services.snapshots.create(
                snapshot['id'], snapshot['share_instance_id']
            )

    def delete_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Delete a snapshot; shares that were created from it stay."""
        with self._operation('Deleting snapshot', snapshot['id'], _DELETE):
            self._services.snapshots.delete(
                snapshot['id'], snapshot['share_instance_id']
            )

    def unmanage_snapshot(self, snapshot: Data) -> None:
        """Mark a snapshot as unmanaged on the cluster; keep its data."""
        with self._operation(
            'Unmanaging snapshot',
            snapshot['id'],
            _UNMANAGE,
            lambda message: exception.UnmanageInvalidShareSnapshot(
                reason=message
            ),
        ):
            self._services.snapshots.unmanage(snapshot['id'])

    def get_snapshot_status(
        self, snapshot: Data, share_server: Any = None
    ) -> dict[str, Any]:
        """Complete an interrupted snapshot; return the snapshot's state."""
        with exceptions.translated(
            'Reading the state of snapshot', snapshot['id']
        ):
            return status_after_interruption.Statuses(self._services).snapshot(
                snapshot['id'], snapshot['share_instance_id']
            )

    # -- statistics

    def _update_share_stats(self, data: Any = None) -> None:
        super()._update_share_stats(
            stats.read(
                self._services,
                self.configuration,
                filter_function=self.get_filter_function(),
                goodness_function=self.get_goodness_function(),
            )
        )
