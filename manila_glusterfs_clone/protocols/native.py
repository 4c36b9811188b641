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

All granted rules of a volume have the same access level
(:mod:`~manila_glusterfs_clone.protocols.access_levels`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import own_addresses
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.protocols import access_lists
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.protocols import mount_paths
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

ALLOW = 'auth.allow'
REJECT = 'auth.reject'
TLS_ALLOW = 'auth.ssl-allow'
TLS_OPTIONS = ('client.ssl', 'server.ssl')


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
        self._addresses = own_addresses.NodeAddresses(the_cluster)
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

    @property
    def access_type(self) -> str:
        """Return ``cert`` with TLS, otherwise ``ip``."""
        return 'cert' if self._uses_tls else 'ip'

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

    def deny_all_options(
        self, volume: gluster.Volume | None = None
    ) -> dict[str, str]:
        """Return the volume options that deny all clients."""
        writable = access_levels.writable_options(volume)
        return {**self.plan(()).options, **writable}

    def options_not_inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        """Return the names of options that a clone must not inherit."""
        return tuple(
            option
            for option in sorted(volume.options)
            if option == REJECT
            or (option == TLS_ALLOW and not self._uses_tls)
            # Current GlusterFS has no gNFS. If a volume has an option of gNFS,
            # glusterd refuses to change any option of the volume.
            or (option.startswith('nfs.') and option != 'nfs.disable')
        )

    def plan(self, rules: Iterable[protocols.Rule]) -> protocols.Plan:
        """Return the options that grant rules, and the refused rules."""
        entries: list[str] = list(self._server_names) if self._uses_tls else []
        level: str | None = None
        refusals: dict[str, errors.NotPossible] = {}
        for rule in rules:
            try:
                rule_entries = self._rule_entries(rule)
                access_levels.require_same(rule.access_level, level)
                entries = access_lists.extended(entries, rule_entries)
                level = rule.access_level
            except errors.NotPossible as error:
                refusals[rule.access_id] = error
        access_list = ','.join(sorted(entries))
        plan_options = access_levels.options(level)
        plan_options |= dict.fromkeys(
            TLS_OPTIONS, 'on' if self._uses_tls else 'off'
        )
        if self._uses_tls:
            # Bricks check only the common name of a client. List no addresses.
            plan_options |= {ALLOW: gluster.NO_CLIENT, TLS_ALLOW: access_list}
        else:
            plan_options[ALLOW] = access_list or gluster.NO_CLIENT
        return protocols.Plan(plan_options, refusals)

    def _rule_entries(self, rule: protocols.Rule) -> tuple[str, ...]:
        """Return the access list entries that grant a rule.

        :raises errors.NotPossible: the protocol cannot grant the rule.
        """
        if rule.access_type != self.access_type:
            raise protocols.AccessTypeNotSupported(
                rule.access_type, self.access_type
            )
        access_levels.require_supported(rule.access_level)
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
        """Set the access lists and the level of a volume, and verify them.

        If the level changes, first make the volume read-only, and disconnect
        the clients without a rule. Then admit new clients, or make the volume
        writable. So a client whose rule has the level ``ro`` can never write.

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
        volume = self._read(volume_name)
        if volume is None:
            if not rules:
                # An interrupted deletion may have removed the volume.
                return {}
            raise VolumeNotFound(volume_name)
        final_options = {**plan.options, **(extra_options or {})}
        node_uuids = {
            *node_uuids,
            *(brick.node_uuid for brick in volume.bricks),
        }
        if not access_levels.have_options(volume, plan.options):
            # Clients that the volume admits now could still write to a brick
            # with old options. So wait until no brick uses the old options.
            is_read_only = access_levels.is_read_only(volume)
            is_revoking |= is_read_only or bool(self._admitted(volume))
            first_options = self._most_restrictive(volume, final_options)
            if first_options != final_options:
                self._set(
                    volume, first_options, node_uuids, is_revoking=is_revoking
                )
                is_revoking = False
                volume = self._read(volume_name) or volume
        self._set(volume, final_options, node_uuids, is_revoking=is_revoking)
        if REJECT in volume.options:
            # Reset auth.reject only after auth.allow is set: the old
            # auth.allow may list clients that only auth.reject denies.
            self._cluster.change(
                lambda gluster: gluster.reset_option(volume_name, REJECT),
                lambda gluster: False,
            )
        return plan.refusals

    def _read(self, volume_name: str) -> gluster.Volume | None:
        return self._cluster.read(lambda gluster: gluster.volume(volume_name))

    def _most_restrictive(
        self, volume: gluster.Volume, final_options: Mapping[str, str]
    ) -> dict[str, str]:
        """Return options that admit no new client, and refuse all writes."""
        access_list = access_lists.kept(
            final_options[self._list_option],
            self._admitted(volume),
            self._server_names,
        )
        level = access_levels.options(access_levels.RO)
        return {**final_options, self._list_option: access_list, **level}

    def _set(
        self,
        volume: gluster.Volume,
        new_options: Mapping[str, str],
        node_uuids: Collection[str],
        *,
        is_revoking: bool,
    ) -> None:
        """Set options of a volume in one transaction, and verify them.

        :param is_revoking: wait until no brick uses the old options, and until
            clients without an entry in the access list are disconnected.
        """
        confirmation = volume_options.write(
            self._cluster,
            volume,
            new_options,
            must_last=is_revoking,
            node_uuids=node_uuids,
        )
        if is_revoking:
            admitted = None if self._uses_tls else new_options[ALLOW]
            eviction.verify(
                self._cluster, volume, confirmation, admitted, self._addresses
            )

    def options_to_change(
        self,
        volume: gluster.Volume,
        rules: Sequence[protocols.Rule],
        extra_options: Mapping[str, str],
    ) -> frozenset[str]:
        """Return the names of the options that :meth:`apply` would change."""
        changed = super().options_to_change(volume, rules, extra_options)
        if access_levels.have_options(volume, self.plan(rules).options):
            changed -= {access_levels.READ_ONLY}
        return changed | ({REJECT} & volume.options.keys())

    def has_rules(
        self,
        volume: gluster.Volume,
        active: Iterable[protocols.Rule],
        changing: Iterable[protocols.Rule] = (),
    ) -> bool:
        """Return whether the options of a volume match its access rules."""
        planned_options = dict(
            self.plan(protocols.writable_first(active)).options
        )
        has_level = access_levels.have_options(volume, planned_options)
        planned_options.pop(access_levels.READ_ONLY, None)
        required = access_lists.parse(planned_options.pop(self._list_option))
        permitted = set(required)
        for rule in changing:
            with contextlib.suppress(errors.NotPossible):
                permitted.update(self._rule_entries(rule))
        return (
            REJECT not in volume.options
            and has_level
            and volume_options.has_options(volume, planned_options)
            and required <= self._admitted(volume) <= permitted
        )

    def granted_rules(
        self, volume: gluster.Volume, rules: Iterable[protocols.Rule]
    ) -> tuple[protocols.Rule, ...]:
        """Return the rules in the access list, with the volume's level."""
        entries = self._admitted(volume)
        level = access_levels.of_volume(volume)
        granted = []
        for rule in rules:
            with contextlib.suppress(errors.NotPossible):
                if entries.issuperset(self._rule_entries(rule)):
                    granted.append(
                        dataclasses.replace(rule, access_level=level)
                    )
        return tuple(granted)

    def find_export_locations(
        self, volume: gluster.Volume
    ) -> tuple[protocols.ExportLocation, ...]:
        """Return one location for each node with a brick."""
        return mount_paths.of_volume(volume)

    @property
    def _list_option(self) -> str:
        """Return the name of the volume option with the access list."""
        return TLS_ALLOW if self._uses_tls else ALLOW

    def _admitted(self, volume: gluster.Volume) -> frozenset[str]:
        """Return the entries of the access list; ``*`` if it is not set."""
        return access_lists.parse(volume.options.get(self._list_option, '*'))
