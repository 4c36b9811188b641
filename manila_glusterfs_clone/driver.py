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
"""Manila's contract, and nothing else.

Manila's dictionaries come in, one service is called, and our errors go out
as Manila's.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
import contextlib
import time
from typing import Any

from manila import exception
from manila.share import driver
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone import backend
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.locking import work_marks
from manila_glusterfs_clone.manila_api import arguments
from manila_glusterfs_clone.manila_api import exceptions
from manila_glusterfs_clone.manila_api import stats
from manila_glusterfs_clone.manila_api import user_messages
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.operations import statuses
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)
CONF = cfg.CONF

VERSION = '0.1.0'

Data = Mapping[str, Any]

_CREATE = work_marks.Work(work_marks.CREATE)
_DELETE = work_marks.Work(work_marks.DELETE)
_UNMANAGE = work_marks.Work(work_marks.UNMANAGE)
_NOTHING = contextlib.nullcontext()


class GlusterfsCloneShareDriver(driver.ShareDriver):  # type: ignore[misc]
    """Shares on a GlusterFS cluster whose bricks are LVM thin volumes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Runs before the fork: nothing here may open, start or lock anything.
        super().__init__(False, *args, config_opts=[options.OPTS], **kwargs)
        self._private_storage = kwargs.get('private_storage')
        self._backend: backend.Backend | None = None

    @property
    def _opened(self) -> backend.Backend:
        if self._backend is None:
            raise exception.ShareBackendException(
                msg='the driver has not been set up yet'
            )
        return self._backend

    @property
    def _services(self) -> services.Services:
        return self._opened.services

    @contextlib.contextmanager
    def _working(
        self,
        verb: str,
        instance_id: str,
        work: work_marks.Work,
        into: Callable[[str], Exception] = exceptions.failure,
    ) -> Iterator[None]:
        """Mark an instance during a verb, and translate its errors."""
        with (
            exceptions.translated(verb, instance_id, into),
            self._services.marks.during(instance_id, work),
        ):
            yield

    # -- set-up

    def do_setup(self, context: Any) -> None:
        """Read the configuration; may be called again."""
        if self._backend:
            self._backend.close()
        self._backend = backend.Backend.open(
            options.read(self.configuration, self._backend_name()),
            self._private_storage,
            self._host(),
        )

    def check_for_setup_error(self) -> None:
        """Refuse to serve, with every problem in one message."""
        with exceptions.translated('Setting up', self._backend_name()):
            self._opened.check()
        self._opened.start()

    def _backend_name(self) -> str:
        return str(
            self.configuration.safe_get('share_backend_name')
            or 'glusterfs_clone'
        )

    def _host(self) -> str:
        """What Manila calls this service (manila/cmd/share.py)."""
        return f'{CONF.host}@{self.configuration.config_group}'

    def get_backend_info(self, context: Any) -> dict[str, Any]:
        """Differ at each start, so that Manila has the shares looked at.

        Manila leaves them alone, access rules that a crash left half-made
        included, when this is what it was the last time.
        """
        settings = self._services.settings
        return {
            'driver_version': VERSION,
            'nodes': ','.join(settings.nodes),
            'tls': settings.tls,
            'started': time.time_ns(),
        }

    def get_configured_ip_versions(self) -> list[int]:
        """IPv4: GlusterFS matches IPv6 addresses by their letters only."""
        return [4]

    # -- shares

    def create_share(
        self, context: Any, share: Data, share_server: Any = None
    ) -> list[dict[str, Any]]:
        """Make an empty share."""
        with self._working('Creating share', share['id'], _CREATE):
            the_services = self._services
            arguments.require_protocol(share, the_services.protocol)
            volume = the_services.shares.create(
                share['id'],
                arguments.pool(share, the_services.settings),
                share['size'] * placement.GIB,
                the_services.layout(arguments.layout(share)),
            )
        return the_services.protocol.export_locations(volume)

    def create_share_from_snapshot(
        self,
        context: Any,
        share: Data,
        snapshot: Data,
        share_server: Any = None,
        parent_share: Any = None,
    ) -> list[dict[str, Any]]:
        """Make a share that is a clone of a snapshot."""
        with self._working(
            'Creating share from a snapshot', share['id'], _CREATE
        ):
            the_services = self._services
            arguments.require_protocol(share, the_services.protocol)
            volume = the_services.clones.create(
                share['id'],
                arguments.pool(share, the_services.settings),
                share['size'] * placement.GIB,
                snapshot['id'],
            )
        return the_services.protocol.export_locations(volume)

    def delete_share(
        self, context: Any, share: Data, share_server: Any = None
    ) -> None:
        """Delete a share, to the last LV on every node."""
        with self._working('Deleting share', share['id'], _DELETE):
            self._services.shares.delete(
                share['id'], is_clone=arguments.is_cloned(share)
            )

    def unmanage(self, share: Data) -> None:
        """Leave a share as it is, with no mark of ours on it."""
        with self._working(
            'Unmanaging share',
            share['id'],
            _UNMANAGE,
            lambda text: exception.UnmanageInvalidShare(reason=text),
        ):
            self._services.shares.unmanage(share['id'])

    def extend_share(
        self, share: Data, new_size: int, share_server: Any = None
    ) -> None:
        """Grow a share, in use."""
        work = work_marks.Work(work_marks.EXTEND, new_size)
        with self._working('Extending share', share['id'], work):
            with user_messages.extending(share):
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
        """Allow exactly these rules; return the state of each.

        Without a change Manila wants all of them verified, and others may
        have been in force. A deletion begins with taking all rules away.
        """
        of, marks = share['id'], self._services.marks
        is_deletion = share.get('status') == 'deleting'
        added = {rule['access_id'] for rule in add_rules}
        rules = [arguments.rule(rule) for rule in access_rules]
        with (
            exceptions.translated('Changing the access to share', of),
            marks.begun(of, _DELETE) if is_deletion else _NOTHING,
        ):
            refused = self._services.shares.update_access(
                share['id'],
                [rule for rule in rules if rule.access_id not in added],
                [rule for rule in rules if rule.access_id in added],
                revoking=bool(delete_rules or not (add_rules or update_rules)),
            )
        tls = self._services.settings.tls
        user_messages.rules_refused(context, share, add_rules, refused, tls)
        return arguments.rule_states(rules, refused)

    def ensure_shares(
        self, context: Any, shares: Sequence[Data]
    ) -> dict[str, dict[str, Any]]:
        """Bring shares back on line; answers for each and never raises.

        Access lists that differ from Manila's rules are set here. Were
        Manila asked to apply the rules again, it would call all of them new,
        and a failure would put rules into error that hold.
        """
        found: dict[str, gluster.Volume | errors.Error] = {}
        waiting: Collection[str] = ()
        try:
            if shares and self._backend:
                maintenance = self._backend.maintenance
                waiting = maintenance.shares_with_waiting_rules()
                found = maintenance.ensure_shares([s['id'] for s in shares])
        except errors.Error as error:
            LOG.error(
                'Back end %s: the state of the shares could not be read; they '
                'stay as they are: %s',
                self._backend_name(),
                error,
            )
        except Exception:
            LOG.exception('The state of the shares could not be read')
        return {
            s['id']: self._ensured(found.get(s['id']), s['id'] in waiting)
            for s in shares
        }

    def _ensured(
        self, state: gluster.Volume | errors.Error | None, waiting: bool
    ) -> dict[str, Any]:
        """Return what Manila writes of a share that was looked at.

        Manila never looks at a share in error again by itself. One that could
        not be looked at, as a node is down, stays what it was.
        """
        gone = isinstance(state, errors.Missing)
        found: dict[str, Any] = {
            'status': 'error' if gone else 'available',
            'reapply_access_rules': waiting,
        }
        if isinstance(state, gluster.Volume):
            found['export_locations'] = (
                self._services.protocol.export_locations(state)
            )
        return found

    def get_share_status(
        self, share: Data, share_server: Any = None
    ) -> dict[str, Any]:
        """Return the state of a share that Manila does not know."""
        with exceptions.translated('Reading the state of share', share['id']):
            return statuses.Statuses(self._services).share(
                share['id'], share['status']
            )

    # -- snapshots

    def create_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Take a snapshot of a share, in use."""
        with self._working('Creating snapshot', snapshot['id'], _CREATE):
            self._services.snapshots.create(
                snapshot['id'], snapshot['share_instance_id']
            )

    def delete_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Delete a snapshot; clones of it live on."""
        with self._working('Deleting snapshot', snapshot['id'], _DELETE):
            self._services.snapshots.delete(
                snapshot['id'], snapshot['share_instance_id']
            )

    def unmanage_snapshot(self, snapshot: Data) -> None:
        """Leave a snapshot as it is, with no mark of ours on it."""
        with self._working(
            'Unmanaging snapshot',
            snapshot['id'],
            _UNMANAGE,
            lambda text: exception.UnmanageInvalidShareSnapshot(reason=text),
        ):
            self._services.snapshots.unmanage(snapshot['id'])

    def get_snapshot_status(
        self, snapshot: Data, share_server: Any = None
    ) -> dict[str, Any]:
        """Return the state of a snapshot that Manila does not know."""
        with exceptions.translated(
            'Reading the state of snapshot', snapshot['id']
        ):
            return statuses.Statuses(self._services).snapshot(
                snapshot['id'], snapshot['share_instance_id']
            )

    # -- statistics

    def _update_share_stats(self, data: Any = None) -> None:
        super()._update_share_stats(
            {
                'vendor_name': 'Gluster',
                'driver_version': VERSION,
                'storage_protocol': self._services.protocol.share_proto,
                'snapshot_support': True,
                'create_share_from_snapshot_support': True,
                **stats.of(self._services, self.configuration),
            }
        )
