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
"""Interface of a share protocol: access rules and export locations.

A protocol converts Manila's access rules to volume options, sets these
options, and returns the paths from which clients mount a share. Code outside
this package uses only :class:`Protocol`. To add a protocol, add a module with
a subclass, and an entry in
:data:`~manila_glusterfs_clone.protocols.registry.PROTOCOLS`.
"""

import abc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.tools import gluster


#: The access level of rules whose clients may write.
RW = 'rw'


@dataclasses.dataclass(eq=False)
class AccessNotSupported(errors.NotPossible):
    """The back end cannot grant the type or the level of a rule."""


@dataclasses.dataclass(eq=False)
class AccessTypeNotSupported(AccessNotSupported):
    """The back end does not support the access type of a rule."""

    access_type: str
    supported_type: str

    def __str__(self) -> str:
        return (
            f'access type "{self.access_type}": not supported by this back '
            f'end; use "{self.supported_type}"'
        )


@dataclasses.dataclass(frozen=True)
class Rule:
    """One access rule, with Manila's field names."""

    access_id: str
    access_type: str
    access_to: str
    access_level: str


def writable_first(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules, those with the access level ``rw`` first."""
    return sorted(rules, key=lambda rule: rule.access_level != RW)


@dataclasses.dataclass(frozen=True)
class Rules:
    """The access rules of one share, grouped by their state in Manila."""

    #: Rules in the state ``active``: access lists must admit their clients.
    active: tuple[Rule, ...] = ()
    #: Rules that Manila is applying, updating or denying: access lists may or
    #: may not admit their clients.
    changing: tuple[Rule, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """The volume options for a set of access rules."""

    options: Mapping[str, str]
    #: By access id of a refused rule: why the protocol cannot grant the rule.
    refusals: Mapping[str, errors.NotPossible]


@dataclasses.dataclass(frozen=True)
class ExportLocation:
    """One path from which clients mount a share."""

    path: str
    preferred: bool
    #: Options for the client's mount command; may be empty.
    mount_options: str

    def as_manila(self) -> dict[str, Any]:
        """Return the dictionary that Manila expects from a driver."""
        metadata: dict[str, Any] = {'preferred': self.preferred}
        if self.mount_options:
            metadata['mount_options'] = self.mount_options
        return {
            'path': self.path,
            'is_admin_only': False,
            'metadata': metadata,
        }


class Protocol(abc.ABC):
    """Access rules and export locations of the shares of one back end."""

    #: Manila's name of the protocol: the value of a share's ``share_proto``.
    share_proto: ClassVar[str]

    @property
    @abc.abstractmethod
    def access_type(self) -> str:
        """Return the access type that the protocol supports."""

    @classmethod
    @abc.abstractmethod
    def from_settings(
        cls, the_cluster: cluster.Cluster, settings: options.Settings
    ) -> 'Protocol':
        """Create the protocol from the settings of a back end."""

    @staticmethod
    @abc.abstractmethod
    def find_mistakes(
        settings: options.Settings,
    ) -> Iterator[findings.Finding]:
        """Yield the mistakes in the settings of the protocol."""

    @abc.abstractmethod
    def deny_all_options(
        self, volume: gluster.Volume | None = None
    ) -> dict[str, str]:
        """Return the volume options that deny all clients.

        :param volume: a new volume or clone. Also return the options that
            overwrite the inherited options, if GlusterFS can overwrite them.
        """

    @abc.abstractmethod
    def options_not_inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        """Return the names of options that a clone must not inherit.

        Omit the options in :meth:`deny_all_options`: the driver sets these
        options on every clone.

        :param volume: the clone, with the options of its origin.
        """

    @abc.abstractmethod
    def plan(self, rules: Iterable[Rule]) -> Plan:
        """Return the options that grant rules, and the refused rules.

        The result contains every option that controls access, even if the
        volume already has the value. A volume cannot grant all rules if the
        access list has no room, or if the rules have different levels. Then
        the rules that come first in ``rules`` take precedence.
        """

    @abc.abstractmethod
    def apply(
        self,
        volume_name: str,
        rules: Sequence[Rule],
        *,
        is_revoking: bool,
        extra_options: Mapping[str, str] | None = None,
        node_uuids: Collection[str] = (),
    ) -> Mapping[str, errors.NotPossible]:
        """Set the volume options that grant rules, and verify them.

        During this call, a client can write only if its rule before the call,
        or its rule in ``rules``, has the level ``rw``. Clients with a rule
        before and after the call stay connected.

        :param volume_name: the name of the volume.
        :param rules: all rules to grant. The volume denies other clients.
        :param is_revoking: whether this call can end the access of clients. If
            true, wait until no running brick admits these clients.
        :param extra_options: other options to set in the same transaction.
        :param node_uuids: UUIDs of nodes that must confirm the options, in
            addition to the nodes with a brick.
        :return: by access id of a refused rule: why the protocol cannot grant
            the rule.
        :raises errors.NotPossible: there are rules, but no volume.
        :raises errors.Unsettled: a node did not confirm the options, or
            clients without a rule are still connected.
        """

    def options_to_change(
        self,
        volume: gluster.Volume,
        rules: Sequence[Rule],
        extra_options: Mapping[str, str],
    ) -> frozenset[str]:
        """Return the names of the options that :meth:`apply` would change."""
        planned = {**self.plan(rules).options, **extra_options}
        return frozenset(
            option
            for option, value in planned.items()
            if volume.options.get(option) != value
        )

    @abc.abstractmethod
    def has_rules(
        self,
        volume: gluster.Volume,
        active: Iterable[Rule],
        changing: Iterable[Rule] = (),
    ) -> bool:
        """Return whether the options of a volume match its access rules.

        :param active: rules whose clients the volume must admit.
        :param changing: rules whose clients the volume may or may not admit.
        """

    @abc.abstractmethod
    def granted_rules(
        self, volume: gluster.Volume, rules: Iterable[Rule]
    ) -> tuple[Rule, ...]:
        """Return the rules that the current options of a volume grant.

        Return each rule with the access level of the volume. This level
        differs from the level in ``rules`` while Manila changes the level.
        """

    @abc.abstractmethod
    def find_export_locations(
        self, volume: gluster.Volume
    ) -> tuple[ExportLocation, ...]:
        """Return the export locations of a share, the preferred one first."""

    @property
    def access_mapping(self) -> dict[str, list[str]]:
        """Return the share protocol by access type, as Manila expects it."""
        return {self.access_type: [self.share_proto.lower()]}

    def export_locations(self, volume: gluster.Volume) -> list[dict[str, Any]]:
        """Return the export locations as Manila expects them."""
        return [
            location.as_manila()
            for location in self.find_export_locations(volume)
        ]
