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
"""The protocol ``GLUSTERFS``: mounts with the native GlusterFS client.

Without TLS, GlusterFS identifies a client by its address. Access rules have
the type ``ip``, and the volume option ``auth.allow`` lists the addresses.

With TLS, GlusterFS identifies a client by the common name in its certificate,
and does not check its address. Access rules have the type ``cert``, and the
volume option ``auth.ssl-allow`` lists the common names.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import node_addresses
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

ALLOW = 'auth.allow'
REJECT = 'auth.reject'
TLS_ALLOW = 'auth.ssl-allow'
TLS_OPTIONS = ('client.ssl', 'server.ssl')


@dataclasses.dataclass(eq=False)
class AccessTypeNotSupported(errors.NotPossible):
    """The back end does not support the access type of a rule."""

    access_type: str
    supported_type: str

    def __str__(self) -> str:
        return (
            f'access type "{self.access_type}": not supported by this back '
            f'end; use "{self.supported_type}"'
        )


@dataclasses.dataclass(eq=False)
class AccessLevelNotSupported(errors.NotPossible):
    """The access level of a rule is not ``rw``."""

    access_level: str

    def __str__(self) -> str:
        return (
            f'access level "{self.access_level}": GlusterFS cannot grant it '
            f'to single clients; use "rw"'
        )


@dataclasses.dataclass(eq=False)
class VolumeNotFound(errors.NotPossible):
    """The volume whose access rules should be set does not exist."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: does not exist; check "gluster volume '
            f'list", and delete the share if the volume was removed'
        )


class NativeProtocol(protocols.Protocol):
    """Access lists and mount paths of native GlusterFS clients.

    :param uses_tls: whether GlusterFS identifies clients by certificates.
    :param server_names: the common names in the certificates of the nodes.
    """

    share_proto = 'GLUSTERFS'

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        *,
        uses_tls: bool,
        server_names: Sequence[str] = (),
    ) -> None:
        self._cluster = the_cluster
        self._addresses = node_addresses.NodeAddresses(the_cluster)
        self._uses_tls = uses_tls
        self._server_names = tuple(server_names)

    @classmethod
    def from_settings(
        cls, the_cluster: cluster.Cluster, settings: options.Settings
    ) -> 'NativeProtocol':
        """Create the protocol from the settings of a back end."""
        return cls(
            the_cluster,
            uses_tls=settings.tls,
            server_names=settings.tls_server_names,
        )

    @staticmethod
    def find_mistakes(
        settings: options.Settings,
    ) -> Iterator[findings.Finding]:
        """Yield the mistakes in the TLS settings."""
        option = 'glusterfs_clone_tls_server_names'
        if settings.tls and not settings.tls_server_names:
            yield findings.Finding(
                option,
                'empty',
                'empty, but glusterfs_clone_tls is true; list the common '
                'names of the nodes\' certificates, otherwise every share '
                'denies the gluster daemons on the nodes',
            )
        for name in settings.tls_server_names:
            if not access_lists.is_common_name(name):
                yield findings.Finding(
                    option,
                    'invalid',
                    f'{name!r} has characters that a GlusterFS access list '
                    f'cannot contain; correct the common name',
                )

    def deny_all_options(self) -> dict[str, str]:
        """Return the volume options that deny all clients."""
        return dict(self.plan(()).options)

    def options_not_inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        """Return the names of options that a clone must not inherit."""
        return tuple(
            option
            for option in sorted(volume.options)
            if option == REJECT
            or (option == TLS_ALLOW and not self._uses_tls)
            # Current GlusterFS is built without gNFS. If a volume has a gNFS
            # option, glusterd refuses to change any option of the volume.
            or (option.startswith('nfs.') and option != 'nfs.disable')
        )

    def plan(self, rules: Iterable[protocols.Rule]) -> protocols.Plan:
        """Return the options that grant rules, and the refused rules."""
        entries: list[str] = list(self._server_names) if self._uses_tls else []
        refusals: dict[str, errors.NotPossible] = {}
        for rule in rules:
            try:
                entries = self._add_entries(rule, entries)
            except errors.NotPossible as error:
                refusals[rule.access_id] = error
        access_list = ','.join(sorted(entries))
        if not self._uses_tls:
            plan_options = {ALLOW: access_list or gluster.NOBODY}
            plan_options.update(dict.fromkeys(TLS_OPTIONS, 'off'))
        else:
            # A brick with TLS checks only the common name of a client. So list
            # no addresses.
            plan_options = {ALLOW: gluster.NOBODY, TLS_ALLOW: access_list}
            plan_options.update(dict.fromkeys(TLS_OPTIONS, 'on'))
        return protocols.Plan(plan_options, refusals)

    def _add_entries(
        self, rule: protocols.Rule, entries: list[str]
    ) -> list[str]:
        """Return the entries of an access list plus the entries of a rule.

        :raises access_lists.AccessListFull: the list would be too long.
        """
        extended_entries = entries + [
            entry for entry in self._rule_entries(rule) if entry not in entries
        ]
        if len(','.join(extended_entries)) > access_lists.MAX_BYTES:
            raise access_lists.AccessListFull(access_lists.MAX_BYTES)
        return extended_entries

    def _rule_entries(self, rule: protocols.Rule) -> tuple[str, ...]:
        """Return the access list entries that grant a rule.

        :raises errors.NotPossible: the protocol cannot grant the rule.
        """
        supported_type = 'cert' if self._uses_tls else 'ip'
        if rule.access_type != supported_type:
            raise AccessTypeNotSupported(rule.access_type, supported_type)
        if rule.access_level != 'rw':
            raise AccessLevelNotSupported(rule.access_level)
        if self._uses_tls:
            return access_lists.entries_of_common_name(
                rule.access_to, self._server_names
            )
        return access_lists.entries_of_address(rule.access_to)

    def apply(
        self,
        volume_name: str,
        rules: Sequence[protocols.Rule],
        *,
        is_revoking: bool,
        extra_options: Mapping[str, str] | None = None,
        node_uuids: Collection[str] = (),
    ) -> Mapping[str, errors.NotPossible]:
        """Set the access lists of a volume, and verify them.

        If ``is_revoking`` is true and TLS is off, wait until bricks have
        disconnected all clients without a rule. With TLS, do not wait for
        this: glusterd does not report the common names of clients.
        """
        plan = self.plan(rules)
        for access_id, refusal in plan.refusals.items():
            LOG.warning(
                'Access rule %s of volume %s: refused: %s',
                access_id,
                volume_name,
                refusal,
            )
        volume = self._cluster.read(
            lambda gluster: gluster.volume(volume_name)
        )
        if volume is None:
            if not rules:
                # An interrupted deletion may have removed the volume.
                return {}
            raise VolumeNotFound(volume_name)
        confirmation = volume_options.write(
            self._cluster,
            volume,
            {**plan.options, **(extra_options or {})},
            must_last=is_revoking,
            node_uuids={
                *node_uuids,
                *(brick.node_uuid for brick in volume.bricks),
            },
        )
        if REJECT in volume.options:
            # Reset auth.reject only after auth.allow is set: the old
            # auth.allow may list clients that only auth.reject denies.
            self._cluster.change(
                lambda gluster: gluster.reset_option(volume_name, REJECT),
                lambda gluster: False,
            )
        if is_revoking:
            eviction.require_no_outdated_bricks(
                self._cluster, volume, confirmation
            )
            if volume.is_started and not self._uses_tls:
                entries = plan.options[ALLOW].split(',')
                eviction.await_eviction(
                    self._cluster,
                    volume,
                    lambda address: access_lists.matches(address, entries),
                    confirmation.peers,
                    self._addresses,
                )
        return plan.refusals

    def options_to_change(
        self,
        volume: gluster.Volume,
        rules: Sequence[protocols.Rule],
        extra_options: Mapping[str, str],
    ) -> frozenset[str]:
        """Return the names of the options that :meth:`apply` would change."""
        reset = {REJECT} & volume.options.keys()
        return super().options_to_change(volume, rules, extra_options) | reset

    def has_rules(
        self,
        volume: gluster.Volume,
        active: Iterable[protocols.Rule],
        changing: Iterable[protocols.Rule] = (),
    ) -> bool:
        """Return whether the options of a volume match its access rules."""
        active = tuple(active)
        required_options = dict(self.plan(active).options)
        permitted_options = self.plan((*active, *changing)).options
        required = _parse_entries(required_options.pop(self._list_option))
        permitted = _parse_entries(permitted_options[self._list_option])
        return (
            REJECT not in volume.options
            and volume_options.has_options(volume, required_options)
            and required <= self._admitted_entries(volume) <= permitted
        )

    def granted_rules(
        self, volume: gluster.Volume, rules: Iterable[protocols.Rule]
    ) -> tuple[protocols.Rule, ...]:
        """Return the rules whose entries are all in the access list."""
        entries = self._admitted_entries(volume)
        granted = []
        for rule in rules:
            with contextlib.suppress(errors.NotPossible):
                if entries.issuperset(self._rule_entries(rule)):
                    granted.append(rule)
        return tuple(granted)

    def find_export_locations(
        self, volume: gluster.Volume
    ) -> tuple[protocols.ExportLocation, ...]:
        """Return one location for each node with a brick.

        A client fetches the volfile, which lists the bricks, from the node in
        the path. If this node is down, the client tries the nodes in
        ``backup-volfile-servers``.
        """
        hosts = list(dict.fromkeys(brick.host for brick in volume.bricks))
        locations = []
        for host in hosts:
            backups = ':'.join(other for other in hosts if other != host)
            locations.append(
                protocols.ExportLocation(
                    path=f'{host}:/{volume.name}',
                    preferred=host == hosts[0],
                    mount_options=(
                        f'backup-volfile-servers={backups}' if backups else ''
                    ),
                )
            )
        return tuple(locations)

    @property
    def _list_option(self) -> str:
        """Return the name of the volume option with the access list."""
        return TLS_ALLOW if self._uses_tls else ALLOW

    def _admitted_entries(self, volume: gluster.Volume) -> frozenset[str]:
        """Return the entries of the access list; ``*`` if it is not set."""
        return _parse_entries(volume.options.get(self._list_option, '*'))


def _parse_entries(access_list: str) -> frozenset[str]:
    return frozenset(access_list.split(',')) - {gluster.NOBODY}
