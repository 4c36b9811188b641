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
"""The stand-in for Manila: call the driver without Manila's services.

A :class:`ManilaStandIn` calls the driver as the share manager of Manila does.
It records which shares and snapshots exist, so that a test can find leaks.
"""

from collections.abc import Iterable, Sequence
from concurrent import futures
import dataclasses
import itertools
import pathlib
import threading
from typing import Any
import uuid

from manila.common import config  # registers what a back end section has
from manila.share import configuration
from manila.share import driver as share_driver
from manila.share import share_types
from oslo_log import log

from manila_glusterfs_clone import driver as driver_module
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone.manila_api import share_hosts
from manila_glusterfs_clone import protocols
from tests import lab as lab_module
from tests.lab.manila import backends
from tests.lab.manila import ini
from tests.lab import self_heal

CONF = config.CONF

POOL = 'gvg/pool'

#: A script that succeeds where a client lost /mnt/share: its process ends,
#: and may or may not unmount before.
OUT = '! findmnt -n -t fuse.glusterfs /mnt/share || ! ls /mnt/share'

#: Seconds; a driver that is in use has gluster consoles open on the nodes,
#: and these are no leaks until it is closed.
CONSOLES = 1e9

end_stray_self_heal = self_heal.end_stray

#: The back ends of the test: one per kind of access rule.
IP, TLS = backends.IP, backends.CERT


def write_configuration(
    lab: lab_module.Lab,
    directory: pathlib.Path,
    layout: str = 'auto',
    addresses: Sequence[str] = (),
) -> str:
    """Write a manila.conf for a lab; return its path.

    :param addresses: where the driver reaches the nodes, if not at their first
        addresses.
    """
    path = directory / 'manila.conf'
    sections: dict[str, dict[str, object]] = {
        'DEFAULT': {
            'state_path': directory,
            'enabled_share_backends': f'{IP},{TLS}',
            'enabled_share_protocols': backends.PROTOCOL,
            'debug': True,
            'log_file': directory / 'driver.log',
        },
        'oslo_concurrency': {'lock_path': directory / 'locks'},
        **backends.sections(
            addresses or [node.address for node in lab.nodes],
            [node.name for node in lab.nodes],
            lab.manila_key,
            lab.known_hosts,
        ),
    }
    for backend in (IP, TLS):
        # There is no database here to compare the cluster with; and the steps
        # of an operation are counted.
        sections[backend]['glusterfs_clone_reconcile_interval'] = 0
        sections[backend]['glusterfs_clone_layout'] = layout
    path.write_text(ini.text(sections))
    return str(path)


def open_driver(path: str, backend: str, **changes: Any) -> Any:
    """Make the driver of a back end section, as manila-share does.

    :param changes: options of the section to be had otherwise.
    """
    CONF(['--config-file', path], project='manila', default_config_files=[])
    log.setup(CONF, 'manila')
    settings = configuration.Configuration(
        share_driver.share_opts, config_group=backend
    )
    made = driver_module.GlusterfsCloneShareDriver(
        private_storage=None, configuration=settings
    )
    for option, value in changes.items():
        CONF.set_override(option, value, group=backend)
    try:
        made.do_setup(None)
    finally:
        for option in changes:
            CONF.clear_override(option, group=backend)
    return made


# The types of shares are rows of Manila's database; here a share carries
# its extra specs itself.
share_types.get_extra_specs_from_share = lambda share: share['extra_specs']
# What the driver reads of that database stands in the accounts.
interrupted_work.InterruptedWork.resume = (  # type: ignore[method-assign]
    lambda *args, **kwargs: None
)
manila_db.shares = lambda service_host: {
    share_id: manila_db.Row(
        share_id, service_host, 'available', None, share_id
    )
    for share_id in _account(service_host).shares
}
manila_db.snapshots = lambda service_host: {}
manila_db.rules = lambda service_host, share_id=None: {
    each: protocols.Rules(active=_account(service_host).wanted(each))
    for each in _account(service_host).shares
    if share_id in (None, each)
}
manila_db.shares_with_waiting_rules = lambda service_host: frozenset()
manila_db.updating_rules = lambda service_host: []
share_hosts.is_migration_target = lambda context, share: False

#: The last share manager of each back end.
_accounts: dict[str, 'ManilaStandIn'] = {}


def _account(host: str) -> 'ManilaStandIn':
    return _accounts[host.partition('@')[2]]


@dataclasses.dataclass(frozen=True)
class Share:
    """A share that the driver made."""

    id: str
    size: int
    pool: str
    locations: Sequence[dict[str, Any]] = ()
    cloned: bool = False

    @property
    def volume(self) -> str:
        return f'manila-{self.id}'

    @property
    def host(self) -> str:
        """Return the node of the preferred export location."""
        return self.export(0).partition(':')[0]

    @property
    def options(self) -> str:
        """Return the mount options of the preferred export location."""
        return str(self.locations[0]['metadata'].get('mount_options', ''))

    def export(self, number: int) -> str:
        return str(self.locations[number]['path'])


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot that the driver made."""

    id: str
    share: Share


class ManilaStandIn:
    """Calls the driver of one back end, and records shares and snapshots."""

    def __init__(self, driver: Any, backend: str) -> None:
        self.driver = driver
        self.backend = backend
        self.shares: dict[str, Share] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.rules: dict[str, dict[str, dict[str, str]]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        _accounts[backend] = self

    # -- what Manila hands to a driver

    def model(self, share: Share, **more: Any) -> dict[str, Any]:
        return {
            'id': share.id,
            'share_id': share.id,
            'name': f'share-{share.id}',
            'host': f'host@{self.backend}#{share.pool}',
            'size': share.size,
            'share_proto': 'GLUSTERFS',
            'extra_specs': {},
            'share_type_id': 'a-type',
            # Of Manila's snapshot, not of the instance that the driver
            # knows: never the same.
            'snapshot_id': str(uuid.uuid4()) if share.cloned else None,
            **more,
        }

    @staticmethod
    def snapshot_model(snapshot: Snapshot) -> dict[str, Any]:
        return {
            'id': snapshot.id,
            'snapshot_id': str(uuid.uuid4()),
            'share_id': snapshot.share.id,
            'share_instance_id': snapshot.share.id,
            'size': snapshot.share.size,
        }

    # -- verbs

    def create(
        self,
        size: int = 1,
        pool: str = POOL,
        layout: str | None = None,
        share_id: str | None = None,
    ) -> Share:
        share = Share(share_id or str(uuid.uuid4()), size, pool)
        specs = {'glusterfs_clone:layout': layout} if layout else {}
        return self._made(
            share,
            self.driver.create_share(
                None, self.model(share, extra_specs=specs)
            ),
        )

    def clone(
        self,
        snapshot: Snapshot,
        size: int | None = None,
        share_id: str | None = None,
    ) -> Share:
        share = Share(
            share_id or str(uuid.uuid4()),
            size or snapshot.share.size,
            snapshot.share.pool,
            cloned=True,
        )
        return self._made(
            share,
            self.driver.create_share_from_snapshot(
                None, self.model(share), self.snapshot_model(snapshot)
            ),
        )

    def _made(self, share: Share, locations: Any) -> Share:
        share = dataclasses.replace(share, locations=locations)
        self.adopt(share)
        return share

    def adopt(self, share: Share) -> None:
        """Record a share that another process made."""
        with self._lock:
            self.shares[share.id] = share

    def snapshot(
        self, share: Share, snapshot_id: str | None = None
    ) -> Snapshot:
        snapshot = Snapshot(snapshot_id or str(uuid.uuid4()), share)
        self.driver.create_snapshot(None, self.snapshot_model(snapshot))
        with self._lock:
            self.snapshots[snapshot.id] = snapshot
        return snapshot

    def delete(self, *things: Share | Snapshot) -> None:
        for thing in things:
            if isinstance(thing, Share):
                self.driver.delete_share(None, self.model(thing))
                with self._lock:
                    self.shares.pop(thing.id, None)
            else:
                self.driver.delete_snapshot(None, self.snapshot_model(thing))
                with self._lock:
                    self.snapshots.pop(thing.id, None)

    def extend(self, share: Share, size: int) -> Share:
        self.driver.extend_share(self.model(share), size)
        share = dataclasses.replace(share, size=size)
        self.adopt(share)
        return share

    def allow(self, share: Share, *wanted: str, **how: str) -> dict[str, str]:
        """Add rules for these clients; return the state of each."""
        rules = self.rules.setdefault(share.id, {})
        added = []
        for who in wanted:
            rule = {
                'access_id': f'access-{next(self._numbers)}',
                'access_type': how.get('kind', self.backend),
                'access_to': who,
                'access_level': how.get('level', 'rw'),
            }
            rules[who] = rule
            added.append(rule)
        states = self._update(share, added, [])
        return {who: states[rules[who]['access_id']] for who in wanted}

    def wanted(self, share_id: str) -> tuple[protocols.Rule, ...]:
        """Return the rules of a share, as the driver reads them."""
        rules = self.rules.get(share_id, {}).values()
        return tuple(protocols.Rule(**rule) for rule in rules)

    def deny(self, share: Share, *unwanted: str) -> None:
        """Remove rules."""
        rules = self.rules[share.id]
        self._update(share, [], [rules.pop(who) for who in unwanted])

    def set_level(self, share: Share, who: str, level: str) -> str:
        """Change the access level of a rule; return its state."""
        rules = self.rules[share.id]
        rules[who] = {**rules[who], 'access_level': level}
        states = self._update(share, [], [], [rules[who]])
        return states[rules[who]['access_id']]

    def deny_all(self, share: Share) -> None:
        """Set no rules at all, as a recovery of Manila does."""
        self.rules[share.id] = {}
        self._update(share, [], [])

    def _update(
        self,
        share: Share,
        added: Iterable[dict[str, str]],
        deleted: Iterable[dict[str, str]],
        changed: Iterable[dict[str, str]] = (),
    ) -> dict[str, str]:
        states = self.driver.update_access(
            None,
            self.model(share),
            list(self.rules[share.id].values()),
            list(added),
            list(deleted),
            list(changed),
        )
        return {key: value['state'] for key, value in states.items()}

    # -- at the end

    def clean(self) -> None:
        """Delete everything that exists, side by side."""
        self.delete_side_by_side(*self.snapshots.values())
        self.delete_side_by_side(*self.shares.values())

    def delete_side_by_side(self, *things: Share | Snapshot) -> None:
        with futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(self.delete, things))
