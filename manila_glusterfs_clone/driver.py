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

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import time
from typing import Any

from manila import exception
from manila.share import driver
from manila.share import share_types
from oslo_config import cfg
from oslo_log import log

from manila_glusterfs_clone.access import native
from manila_glusterfs_clone import backend
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import exports
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import interrupted
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import options
from manila_glusterfs_clone import periodic
from manila_glusterfs_clone import pools
from manila_glusterfs_clone import statistics
from manila_glusterfs_clone import upkeep

LOG = log.getLogger(__name__)
CONF = cfg.CONF

VERSION = '0.1.0'
PROTOCOL = 'GLUSTERFS'
EXTRA_SPEC_LAYOUT = 'glusterfs_clone:layout'

Data = Mapping[str, Any]


def _failure(text: str) -> Exception:
    return exception.ShareBackendException(msg=text)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _translated(
    verb: str, of: str, into: Callable[[str], Exception] = _failure
) -> Iterator[None]:
    try:
        yield
    except errors.Error as error:
        LOG.error('%s %s: %s', verb, of, error)
        raise into(f'{verb} {of}: {error}') from error


class GlusterfsCloneShareDriver(driver.ShareDriver):  # type: ignore[misc]
    """Shares on a GlusterFS cluster whose bricks are LVM thin volumes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Runs in the parent of the processes that serve: nothing here may
        # open a connection, start a thread or take a lock.
        super().__init__(False, *args, config_opts=[options.OPTS], **kwargs)
        self._backend: backend.Backend | None = None
        self._settled = False
        self._upkeep: periodic.Periodic | None = None

    @property
    def _ours(self) -> backend.Backend:
        if self._backend is None:
            raise exception.ShareBackendException(
                msg='the driver has not been set up yet'
            )
        return self._backend

    # -- set-up

    def do_setup(self, context: Any) -> None:
        """Read the configuration; may be called again."""
        if self._upkeep is not None:
            self._upkeep.stop()
            self._upkeep = None
        if self._backend is not None:
            self._backend.close()
        self._backend = backend.open_backend(
            options.read(self.configuration, self._backend_name())
        )
        if not self._settled:
            # Once, since from its end on requests are worked on.
            self._settled = interrupted.settle(
                context, self._host(), self._backend.locks
            )

    def check_for_setup_error(self) -> None:
        """Refuse to serve, with every problem in one message."""
        with _translated('Setting up', self._backend_name()):
            self._ours.check()
        if self._upkeep is None:
            self._upkeep = upkeep.begin(self._ours, self._host())

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
        settings = self._ours.settings
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
        with _translated('Creating share', share['id']):
            self._require_protocol(share)
            volume = self._ours.shares.create(
                share['id'],
                self._pool(share),
                share['size'] * pools.GIB,
                self._layout(share),
            )
        return _export_locations(volume)

    def create_share_from_snapshot(
        self,
        context: Any,
        share: Data,
        snapshot: Data,
        share_server: Any = None,
        parent_share: Any = None,
    ) -> list[dict[str, Any]]:
        """Make a share that is a clone of a snapshot."""
        with _translated('Creating share from a snapshot', share['id']):
            self._require_protocol(share)
            volume = self._ours.cloner.create(
                share['id'],
                self._pool(share),
                share['size'] * pools.GIB,
                snapshot['id'],
            )
        return _export_locations(volume)

    def delete_share(
        self, context: Any, share: Data, share_server: Any = None
    ) -> None:
        """Delete a share, to the last LV on every node."""
        with _translated('Deleting share', share['id']):
            ours = self._ours
            (ours.cloner if _is_cloned(share) else ours.shares).delete(
                share['id']
            )

    def unmanage(self, share: Data) -> None:
        """Leave a share as it is, with no mark of ours on it."""
        with _translated(
            'Unmanaging share',
            share['id'],
            lambda text: exception.UnmanageInvalidShare(reason=text),
        ):
            self._ours.shares.disown(share['id'])

    def extend_share(
        self, share: Data, new_size: int, share_server: Any = None
    ) -> None:
        """Grow a share, in use."""
        with _translated('Extending share', share['id']):
            self._ours.shares.extend(share['id'], new_size * pools.GIB)

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
        """Make exactly these rules hold; what cannot hold is told by rule.

        Where no change is told Manila wants all of it made sure of, and what
        is not in the list may have held.
        """
        added = {rule['access_id'] for rule in add_rules}
        rules = [_rule(rule) for rule in access_rules]
        with _translated('Changing the access to share', share['id']):
            refused = self._ours.shares.update_access(
                share['id'],
                [rule for rule in rules if rule.access_id not in added],
                [rule for rule in rules if rule.access_id in added],
                revoking=bool(delete_rules or not (add_rules or update_rules)),
            )
        return {
            rule.access_id: {
                'state': 'error' if rule.access_id in refused else 'active'
            }
            for rule in rules
        }

    def ensure_shares(
        self, context: Any, shares: Sequence[Data]
    ) -> dict[str, dict[str, Any]]:
        """Bring shares back on line; answers for each and never raises."""
        found: dict[str, dict[str, Any]] = {}
        try:
            healed = self._ours.reconciler.heal(s['id'] for s in shares)
        except Exception:
            LOG.exception('The shares could not be looked at')
            healed = {}
        for share in shares:
            state = healed.get(share['id'])
            if isinstance(state, gluster.Volume):
                found[share['id']] = {
                    'status': 'available',
                    'export_locations': _export_locations(state),
                    'reapply_access_rules': True,
                }
            else:
                # Manila never looks at a share in error again by itself.
                # One that cannot be looked at now, since a node is down,
                # stays what it was.
                gone = isinstance(state, errors.Missing)
                found[share['id']] = {
                    'status': 'error' if gone else 'available',
                    'reapply_access_rules': False,
                }
        return found

    # -- snapshots

    def create_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Take a snapshot of a share, in use."""
        with _translated('Creating snapshot', snapshot['id']):
            self._ours.snapshots.create(
                snapshot['id'], snapshot['share_instance_id']
            )

    def delete_snapshot(
        self, context: Any, snapshot: Data, share_server: Any = None
    ) -> None:
        """Delete a snapshot; clones of it live on."""
        with _translated('Deleting snapshot', snapshot['id']):
            self._ours.snapshots.delete(
                snapshot['id'], snapshot['share_instance_id']
            )

    def unmanage_snapshot(self, snapshot: Data) -> None:
        """Leave a snapshot as it is, with no mark of ours on it."""
        with _translated(
            'Unmanaging snapshot',
            snapshot['id'],
            lambda text: exception.UnmanageInvalidShareSnapshot(reason=text),
        ):
            self._ours.snapshots.disown(snapshot['id'])

    # -- statistics

    def _update_share_stats(self, data: Any = None) -> None:
        super()._update_share_stats(
            {
                'vendor_name': 'Gluster',
                'driver_version': VERSION,
                'storage_protocol': PROTOCOL,
                'snapshot_support': True,
                'create_share_from_snapshot_support': True,
                **statistics.of(self._ours, self.configuration),
            }
        )

    # -- Manila's values, checked

    def _require_protocol(self, share: Data) -> None:
        if share['share_proto'].upper() != PROTOCOL:
            raise errors.NotPossible(
                f'this back end makes shares of the protocol {PROTOCOL}, '
                f'not {share["share_proto"]}'
            )

    def _pool(self, share: Data) -> str:
        pool = str(share['host']).partition('#')[2]
        if pool not in self._ours.settings.pools:
            raise errors.NotPossible(
                f'{share["host"]} names none of the pools '
                f'{", ".join(self._ours.settings.pools)}'
            )
        return pool

    def _layout(self, share: Data) -> layouts.Layout:
        specs = (
            share_types.get_extra_specs_from_share(share)
            if share.get('share_type_id')
            else {}
        )
        return self._ours.layout(specs.get(EXTRA_SPEC_LAYOUT))


def _export_locations(volume: gluster.Volume) -> list[dict[str, Any]]:
    return [place.as_manila() for place in exports.locations(volume)]


def _is_cloned(share: Data) -> bool:
    return bool(
        share.get('snapshot_id')
        or share.get('source_share_group_snapshot_member_id')
    )


def _rule(rule: Data) -> native.Rule:
    return native.Rule(
        access_id=rule['access_id'],
        access_type=rule['access_type'],
        access_to=rule['access_to'],
        access_level=rule['access_level'],
    )
