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

A protocol decides which options of a volume grant access, turns Manila's
access rules into them, and names the paths from which clients mount a share.
All other packages use :class:`Protocol` only. A new protocol is one new module
with a subclass, and one entry in
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


@dataclasses.dataclass(frozen=True)
class Rule:
    """One access rule, with Manila's field names."""

    access_id: str
    access_type: str
    access_to: str
    access_level: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """The access rules of one share, grouped by their state in Manila."""

    #: In force: the access list must admit their clients.
    active: tuple[Rule, ...] = ()
    #: Being applied, updated or denied: the access list may admit them.
    changing: tuple[Rule, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """The volume options for a set of access rules."""

    options: Mapping[str, str]
    #: Why rules cannot be granted, by access id.
    refused: Mapping[str, errors.NotPossible]


@dataclasses.dataclass(frozen=True)
class ExportLocation:
    """One path from which clients mount a share."""

    path: str
    preferred: bool
    #: Options for the client's mount command; may be empty.
    mount_options: str

    def as_manila(self) -> dict[str, Any]:
        """Return the location in the form that Manila takes from drivers."""
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

    #: Manila's name of the protocol, the ``share_proto`` of a share.
    share_proto: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def from_settings(
        cls, nodes: cluster.Cluster, settings: options.Settings
    ) -> 'Protocol':
        """Return the protocol as one back end is configured for it."""

    @staticmethod
    @abc.abstractmethod
    def problems(settings: options.Settings) -> Iterator[findings.Finding]:
        """Return the mistakes in the settings that concern the protocol."""

    @abc.abstractmethod
    def deny_all_options(self) -> dict[str, str]:
        """Return the options of a volume that denies all clients."""

    @abc.abstractmethod
    def options_not_inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        """Return the names of options that a clone must not inherit.

        Options in :meth:`deny_all_options` are omitted: they are overwritten.

        :param volume: the clone, with the options of its origin.
        """

    @abc.abstractmethod
    def plan(self, rules: Iterable[Rule]) -> Plan:
        """Return the options that grant exactly these rules.

        A plan contains every option that decides on access, whatever its
        value was before. If the rules do not all fit, the first ones win.
        """

    @abc.abstractmethod
    def apply(
        self,
        name: str,
        rules: Sequence[Rule],
        *,
        revoking: bool,
        more: Mapping[str, str] | None = None,
        on: Collection[str] = (),
    ) -> Mapping[str, errors.NotPossible]:
        """Grant exactly these rules on a volume, and verify it.

        :param name: of the volume.
        :param revoking: whether clients may lose access, so that success must
            not be reported while a brick may still admit them.
        :param more: options to set in the same transaction.
        :param on: UUIDs of nodes that must confirm the options, in addition
            to the nodes with a brick.
        :return: why rules cannot be granted, by access id.
        :raises errors.NotPossible: the volume does not exist, and the list
            of rules is not empty.
        :raises errors.Unsettled: a node did not confirm the options, or
            clients without a rule are still connected.
        """

    @abc.abstractmethod
    def holds(
        self,
        volume: gluster.Volume,
        active: Iterable[Rule],
        changing: Iterable[Rule] = (),
    ) -> bool:
        """Return whether a volume admits exactly the clients of some rules.

        :param active: rules whose clients it must admit.
        :param changing: rules whose clients it may admit in addition.
        """

    @abc.abstractmethod
    def admitted(
        self, volume: gluster.Volume, rules: Iterable[Rule]
    ) -> tuple[Rule, ...]:
        """Return those of some rules that a volume grants already."""

    @abc.abstractmethod
    def locations(self, volume: gluster.Volume) -> tuple[ExportLocation, ...]:
        """Return the export locations of a share, the preferred one first."""

    def export_locations(self, volume: gluster.Volume) -> list[dict[str, Any]]:
        """Return the export locations in the form that Manila takes."""
        return [location.as_manila() for location in self.locations(volume)]
