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
"""Who may mount a share with the GlusterFS client.

Without TLS a client is known by its address (rules of the type ``ip``,
option ``auth.allow``); with TLS by the common name of its certificate
(``cert``, ``auth.ssl-allow``), and then its address does not matter.

GlusterFS 10 and 11.1 understand ``/8``, ``/16`` and ``/24`` in
``auth.allow`` and misread any other prefix: ``10.0.0.9/32`` admits
everyone (glusterfs issue 4108, and seen). So no prefix is ever passed on: a
network becomes the addresses and octet patterns that are exactly it, 128 at
most.

glusterd writes an option as one line and overruns its buffer when that is
longer than 4,092 bytes (``glusterd-store.c``); rules that do not fit are
refused.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
import contextlib
import dataclasses
import ipaddress
import re

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import node_addresses
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.protocols import eviction
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

ALLOW = 'auth.allow'
REJECT = 'auth.reject'
TLS_ALLOW = 'auth.ssl-allow'
TLS_OPTIONS = ('client.ssl', 'server.ssl')

#: Longest value, in bytes, of an access list.
_LONGEST = 4000

_COMMON_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}')


@dataclasses.dataclass(frozen=True)
class Rule:
    """One access rule, as Manila has it."""

    access_id: str
    access_type: str
    access_to: str
    access_level: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """The access rules of a share, by what is certain of each."""

    #: In force: the access list must admit their clients.
    active: tuple[Rule, ...] = ()
    #: Being applied, updated or denied: the access list may admit them.
    changing: tuple[Rule, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the access lists are to be, and which rules cannot be in them."""

    options: Mapping[str, str]
    #: Why, by the access id of each rule that is refused.
    refused: Mapping[str, str]


def is_common_name(name: str) -> bool:
    """Whether a common name can be put into an access list as it is."""
    return bool(_COMMON_NAME.fullmatch(name))


def patterns(network: ipaddress.IPv4Network) -> tuple[str, ...]:
    """Give the addresses and patterns that are exactly this network."""
    octets, rest = divmod(network.prefixlen, 8)
    if rest:
        octets += 1
    if octets == 0:
        return ('*',)
    found = []
    for part in network.subnets(new_prefix=octets * 8):
        head = str(part.network_address).split('.')[:octets]
        found.append('.'.join(head) + ('' if octets == 4 else '.*'))
    return tuple(found)


class NativeAccess:
    """Access rules of the GLUSTERFS protocol.

    :param tls: whether clients are known by their certificates.
    :param server_names: common names of the nodes' own certificates.
    """

    def __init__(
        self,
        nodes: cluster.Cluster,
        *,
        tls: bool,
        server_names: Sequence[str] = (),
    ) -> None:
        self._cluster = nodes
        self._addresses = node_addresses.NodeAddresses(nodes)
        self._tls = tls
        self._server_names = tuple(server_names)

    def closed(self) -> dict[str, str]:
        """Give the options of a volume that admits nobody yet."""
        return dict(self.plan(()).options)

    def inherited(self, volume: gluster.Volume) -> tuple[str, ...]:
        """Name the options that a clone must not have from its origin.

        Those of :meth:`closed` need not be named: they are overwritten.
        """
        return tuple(
            option
            for option in sorted(volume.options)
            if option == REJECT
            or (option == TLS_ALLOW and not self._tls)
            # gNFS is not built any more, and an option of it makes every
            # later change of an option fail.
            or (option.startswith('nfs.') and option != 'nfs.disable')
        )

    def plan(self, rules: Iterable[Rule]) -> Plan:
        """Work out the access lists; of the rules the first have the room.

        A plan has every option that says who may mount, so that it does
        not matter what was set before.
        """
        names: list[str] = list(self._server_names) if self._tls else []
        refused = {}
        for rule in rules:
            try:
                wanted = self._entries(rule)
            except errors.NotPossible as error:
                refused[rule.access_id] = str(error)
                continue
            more = names + [name for name in wanted if name not in names]
            if len(','.join(more)) > _LONGEST:
                refused[rule.access_id] = (
                    f'the share has more rules than fit into the '
                    f'{_LONGEST} bytes of a GlusterFS access list'
                )
                continue
            names = more
        listed = ','.join(sorted(names))
        if not self._tls:
            options = {ALLOW: listed or gluster.NOBODY}
            options.update(dict.fromkeys(TLS_OPTIONS, 'off'))
        else:
            # A certificate that is allowed is enough: nobody needs to be
            # let in by the address.
            options = {ALLOW: gluster.NOBODY, TLS_ALLOW: listed}
            options.update(dict.fromkeys(TLS_OPTIONS, 'on'))
        return Plan(options, refused)

    def _entries(self, rule: Rule) -> tuple[str, ...]:
        """Give the entries of the access list that a rule asks for."""
        kind = 'cert' if self._tls else 'ip'
        if rule.access_type != kind:
            raise errors.NotPossible(
                f'this back end takes rules of the type {kind}, not '
                f'{rule.access_type}'
            )
        if rule.access_level != 'rw':
            raise errors.NotPossible(
                f'the access level {rule.access_level} is not to be had for '
                f'single GlusterFS clients, only rw'
            )
        return self._name(rule) if self._tls else self._network(rule)

    @staticmethod
    def _network(rule: Rule) -> tuple[str, ...]:
        try:
            network = ipaddress.ip_network(rule.access_to)
        except ValueError as error:
            raise errors.NotPossible(str(error)) from error
        if not isinstance(network, ipaddress.IPv4Network):
            raise errors.NotPossible('GlusterFS cannot match IPv6 networks')
        return patterns(network)

    def _name(self, rule: Rule) -> tuple[str, ...]:
        if not is_common_name(rule.access_to):
            raise errors.NotPossible(
                f'{rule.access_to!r} has characters that a common name in a '
                f'GlusterFS access list cannot have'
            )
        if rule.access_to.casefold() in {
            name.casefold() for name in self._server_names
        }:
            raise errors.NotPossible(
                f'{rule.access_to} is the name of a storage node'
            )
        return (rule.access_to,)

    def apply(
        self,
        name: str,
        rules: Sequence[Rule],
        *,
        revoking: bool,
        more: Mapping[str, str] | None = None,
        on: Collection[str] = (),
    ) -> Mapping[str, str]:
        """Make the access lists of a volume those of the rules; verify it.

        Addresses tell whether clients without a rule are disconnected. With
        TLS nothing does: gluster does not report the common names of its
        clients. Bricks disconnect them all the same, within seconds.

        :param revoking: whether clients lose their access by it, so that
            success must not be reported while a brick may still admit them.
        :param more: options to set in the same transaction.
        :param on: UUIDs of the nodes that must know the options, beside
            those with a brick.
        :return: why, by access id, for each rule that cannot hold.
        :raises errors.NotPossible: the volume does not exist, and there are
            rules for it.
        :raises errors.Unsettled: a node did not confirm the options, or
            clients without a rule stay connected.
        """
        plan = self.plan(rules)
        for access_id, reason in plan.refused.items():
            LOG.warning(
                'Access rule %s of volume %s cannot hold: %s',
                access_id,
                name,
                reason,
            )
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is None:
            if not rules:
                # An interrupted delete: the volume admits nobody any more.
                return {}
            raise errors.NotPossible(f'volume {name} does not exist')
        known = volume_options.write(
            self._cluster,
            volume,
            {**plan.options, **(more or {})},
            lasting=revoking,
            on={*on, *(brick.node_uuid for brick in volume.bricks)},
        )
        if REJECT in volume.options:
            # Last: until then it keeps out who must not come in.
            self._cluster.change(
                lambda gluster: gluster.reset_option(name, REJECT),
                lambda gluster: False,
            )
        if revoking:
            eviction.require_no_stray_bricks(self._cluster, volume, known)
            if volume.is_started and not self._tls:
                allowed = plan.options[ALLOW].split(',')
                eviction.await_eviction(
                    self._cluster,
                    volume,
                    lambda address: matches(address, allowed),
                    known.peers,
                    self._addresses,
                )
        return plan.refused

    def holds(
        self,
        volume: gluster.Volume,
        active: Iterable[Rule],
        changing: Iterable[Rule] = (),
    ) -> bool:
        """Return whether a volume admits exactly the clients of some rules.

        :param active: rules whose clients it must admit.
        :param changing: rules whose clients it may admit beside them.
        """
        active = tuple(active)
        wanted = dict(self.plan(active).options)
        most = self.plan((*active, *changing)).options
        least = _split(wanted.pop(self._list))
        return (
            REJECT not in volume.options
            and volume_options.has_options(volume, wanted)
            and least <= self._listed(volume) <= _split(most[self._list])
        )

    def admitted(
        self, volume: gluster.Volume, rules: Iterable[Rule]
    ) -> tuple[Rule, ...]:
        """Return those of some rules that are in the access list by name."""
        listed = self._listed(volume)
        found = []
        for rule in rules:
            with contextlib.suppress(errors.NotPossible):
                if listed.issuperset(self._entries(rule)):
                    found.append(rule)
        return tuple(found)

    @property
    def _list(self) -> str:
        """The option that has the entries of rules."""
        return TLS_ALLOW if self._tls else ALLOW

    def _listed(self, volume: gluster.Volume) -> frozenset[str]:
        """Return the entries of a volume's access list; "*" without one."""
        return _split(volume.options.get(self._list, '*'))


def _split(listed: str) -> frozenset[str]:
    return frozenset(listed.split(',')) - {gluster.NOBODY}


def matches(address: str, entries: Iterable[str]) -> bool:
    """Whether an address is admitted by entries that :func:`patterns` gave."""
    return any(
        entry == address
        or (entry.endswith('*') and address.startswith(entry[:-1]))
        for entry in entries
    )
