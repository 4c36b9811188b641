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
"""Misconfigurations and faults that the command ``check`` must find.

Each has the remedy that ``check`` must name, and what the operator does who
follows it.
"""

from collections.abc import Callable, Iterator
import dataclasses
import datetime
import functools
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography import x509

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.ssh import greetings
from tests.model import node_facts
from tests.model.operator_host import OperatorHost

_NODE = 'gl2'
#: The settings of LVM on a node without advice. The threshold is above the
#: limits of the driver.
AUTOEXTEND = {
    'thin_pool_autoextend_threshold': 99,
    'thin_pool_autoextend_percent': 20,
    'monitoring': 1,
}


@dataclasses.dataclass(frozen=True)
class Plant:
    """One misconfiguration or fault."""

    name: str
    #: Makes the problem, and returns what undoes it.
    make: Callable[[OperatorHost], Callable[[], object]]
    #: The level and the kind under which ``check`` reports it.
    level: str
    kind: str
    #: Words of the remedy.
    remedy: str
    #: What it spoils: plants with the same object are not tried together.
    spoils: str = ''

    def __str__(self) -> str:
        return self.name


def _attribute(
    get: Callable[[OperatorHost], object], name: str, value: object
) -> Callable[[OperatorHost], Callable[[], object]]:
    """Return what sets an attribute, and restores it."""

    def make(host: OperatorHost) -> Callable[[], object]:
        thing = get(host)
        former = getattr(thing, name)
        setattr(thing, name, value)
        return lambda: setattr(thing, name, former)

    return make


def _item(
    get: Callable[[OperatorHost], dict[str, Any]], name: str, value: Any
) -> Callable[[OperatorHost], Callable[[], object]]:
    """Return what sets an item, or removes it, and restores it.

    :param value: None to remove the item.
    """

    def make(host: OperatorHost) -> Callable[[], object]:
        things = get(host)
        former = dict(things)

        def undo() -> None:
            things.pop(name, None)
            if name in former:
                things[name] = former[name]

        things.pop(name, None)
        if value is not None:
            things[name] = value
        return undo

    return make


def _option(
    name: str, value: str | None
) -> Callable[[OperatorHost], Callable[[], object]]:
    return _item(lambda host: host.section, name, value)


def _fact(
    name: str, value: object
) -> Callable[[OperatorHost], Callable[[], object]]:
    return _item(lambda host: host.pool.nodes[_NODE].facts, name, value)


def _node(
    name: str, value: object
) -> Callable[[OperatorHost], Callable[[], object]]:
    return _attribute(lambda host: host.pool.nodes[_NODE], name, value)


def _pool(
    name: str, value: object
) -> Callable[[OperatorHost], Callable[[], object]]:
    return _attribute(
        lambda host: host.pool.nodes[_NODE].lvm.pools['pool'], name, value
    )


def _down(host: OperatorHost) -> Callable[[], object]:
    host.pool.cut(_NODE)
    host.pool.time.advance(300)
    return lambda: host.pool.boot(_NODE)


def _no_pool_anywhere(host: OperatorHost) -> Callable[[], object]:
    return _option('glusterfs_clone_pools', 'gvg/pool,gvg/nosuch')(host)


def _no_pool_on_one_node(host: OperatorHost) -> Callable[[], object]:
    pools = host.pool.nodes[_NODE].lvm.pools
    host.section['glusterfs_clone_pools'] = 'gvg/other'
    former = pools.pop('other')

    def undo() -> None:
        pools['other'] = former

    return undo


@functools.cache
def certificate(name: str, begins_in: int, ends_in: int) -> str:
    """Return a certificate in PEM, with times in days from model time."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    # The clock of the model begins here.
    now = datetime.datetime.fromtimestamp(1_000_000, datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=begins_in))
        .not_valid_after(now + datetime.timedelta(days=ends_in))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _tls(
    certificates: list[str] | None,
) -> Callable[[OperatorHost], Callable[[], object]]:
    """Return what makes a back end with TLS and one bad certificate.

    :param certificates: those in the file of one node; None for no file.
    """

    def make(host: OperatorHost) -> Callable[[], object]:
        host.section['glusterfs_clone_tls'] = 'True'
        host.section['glusterfs_clone_tls_server_names'] = 'storage'
        good = certificate('storage', -1, 900)
        files = {
            'directory': '/etc/ssl',
            'has_key': True,
            'certificates': [good],
            'authorities': [good],
        }
        for node in host.pool.nodes.values():
            node.facts['tls'] = files
        facts = host.pool.nodes[_NODE].facts
        facts['tls'] = {**files, 'certificates': certificates}
        return lambda: facts.update(tls=files)

    return make


def _absent(host: OperatorHost) -> Callable[[], object]:
    absent = host.pool.nodes[_NODE].absent
    absent.add('mkfs.xfs')
    return absent.clear


def _key_file(
    name: str, content: str | None
) -> Callable[[OperatorHost], Callable[[], object]]:
    """Return what makes an option name another file.

    :param content: that of the file; None for a file that does not exist.
    """

    def make(host: OperatorHost) -> Callable[[], object]:
        path = host.directory / 'nosuch'
        if content is not None:
            path = host.directory / name
            path.touch(0o600)
            path.write_text(content)
        return _option(name, str(path))(host)

    return make


def _lvm_settings(
    changes: dict[str, int], data_percent: float = 1.0
) -> Callable[[OperatorHost], Callable[[], object]]:
    """Return what changes the settings of LVM, and how full a pool is."""

    def make(host: OperatorHost) -> Callable[[], object]:
        lvm = host.pool.nodes[_NODE].lvm
        lvm.settings |= changes
        lvm.pools['pool'].data_percent = data_percent

        def undo() -> None:
            lvm.settings |= AUTOEXTEND
            lvm.pools['pool'].data_percent = 1.0

        return undo

    return make


def _plants() -> Iterator[Plant]:
    mistake, fault, warning, advice = 'mistake', 'fault', 'warning', 'advice'
    # -- the configuration
    yield Plant(
        'no nodes',
        _option('glusterfs_clone_nodes', ''),
        *(mistake, 'invalid', 'list the storage nodes', 'nodes'),
    )
    yield Plant(
        'a node twice',
        _option('glusterfs_clone_nodes', 'gl1,gl2,gl3,gl3'),
        *(mistake, 'invalid', 'list gl3 once', 'nodes'),
    )
    yield Plant(
        'a peer is not configured',
        _option('glusterfs_clone_nodes', 'gl1,gl2'),
        *(mistake, 'unknown peers', 'add gl3', 'nodes'),
    )
    yield Plant(
        'no pools',
        _option('glusterfs_clone_pools', ''),
        *(mistake, 'invalid', 'list thin pools', 'pools'),
    )
    yield Plant(
        'a pool of the wrong form',
        _option('glusterfs_clone_pools', 'gvg/pool,pool'),
        *(mistake, 'invalid', 'vg/thinpool', 'pools'),
    )
    yield Plant(
        'a pool that does not exist',
        _no_pool_anywhere,
        *(mistake, 'missing', 'correct glusterfs_clone_pools', 'pools'),
    )
    yield Plant(
        'a pool that is missing on one node',
        _no_pool_on_one_node,
        *(mistake, 'missing', 'create the pool on this node', 'pools'),
    )
    yield Plant(
        'a brick root that is no path',
        _option('glusterfs_clone_brick_root', 'srv'),
        *(mistake, 'invalid', 'set an absolute path'),
    )
    yield Plant(
        'a user that is no name',
        _option('glusterfs_clone_ssh_user', 'a b'),
        *(mistake, 'invalid', 'correct it'),
    )
    for name, content, kind, remedy in (
        ('private_key', None, 'missing', 'ssh-keygen'),
        ('private_key', 'no key', 'malformed', 'copy the whole file again'),
        ('known_hosts', None, 'missing', 'ssh-keyscan'),
        ('known_hosts', '', 'empty', 'ssh-keyscan'),
        ('known_hosts', 'gl1 ssh-rsa half', 'malformed', 'ssh-keyscan'),
    ):
        yield Plant(
            f'a file {name} that is {kind}',
            _key_file(f'glusterfs_clone_ssh_{name}', content),
            *(mistake, kind, remedy, 'all nodes'),
        )
    for name, value, remedy, spoils in (
        ('max_over_subscription_ratio', 'much', 'is not valid', 'all nodes'),
        (
            'glusterfs_clone_max_data_percent',
            '101',
            'is not valid',
            'all nodes',
        ),
        ('reserved_share_percentage', '101', 'set 0 to 100', 'invalid'),
        ('driver_handles_share_servers', 'True', 'set it to False', 'invalid'),
    ):
        yield Plant(
            f'{name} {value}',
            _option(name, value),
            *(mistake, 'invalid', remedy, spoils),
        )
    yield Plant(
        'a goodness function that cannot be evaluated',
        _option('goodness_function', 'nosuch(1)'),
        *(fault, 'invalid', 'rate this back end with 0', 'invalid'),
    )
    yield Plant(
        'TLS without names',
        _option('glusterfs_clone_tls', 'True'),
        *(mistake, 'empty', 'glusterfs_clone_tls', 'tls'),
    )
    yield Plant(
        'a protocol that is not enabled',
        _item(
            lambda host: host.options['DEFAULT'],
            'enabled_share_protocols',
            'NFS',
        ),
        *(mistake, 'no protocol', 'add GLUSTERFS'),
    )
    # -- logging in
    error: errors.Error
    for name, error, remedy in (
        (
            'a host key that changed',
            errors.HostKeyRejected(_NODE, 'the host key differs'),
            'add it to the known_hosts file',
        ),
        (
            'a login that is refused',
            errors.LoginRefused(_NODE, 'no login as manila'),
            'add the public key to the authorized_keys',
        ),
        (
            'a name without an address',
            errors.NoSuchHost(_NODE, 'Name or service not known'),
            'correct glusterfs_clone_nodes, or the DNS',
        ),
    ):
        yield Plant(
            name,
            _node('login_error', error),
            *(mistake, 'unreachable', remedy, _NODE),
        )
    yield Plant(
        'a node that is down',
        _down,
        *(fault, 'unreachable', 'start the node', _NODE),
    )
    # -- the runner, and programs
    for name, error, remedy in (
        (
            'sudo that refuses',
            greetings.NoRunner(_NODE, 'sudo: a password is required'),
            'node-installer',
        ),
        (
            'a runner that is too old',
            greetings.WrongRelease(_NODE, runner.RELEASE - 1, 1),
            'node-installer',
        ),
        (
            'a runner that is too new',
            greetings.WrongRelease(
                _NODE, runner.RELEASE + 9, runner.RELEASE + 1
            ),
            'update the driver',
        ),
    ):
        yield Plant(
            name,
            _node('login_error', error),
            *(mistake, 'runner', remedy, _NODE),
        )
    yield Plant(
        'a runner that does not allow a volume group',
        _node('volume_groups', ['tvg']),
        *(mistake, 'runner', 'node-installer --pool=gvg/pool', _NODE),
    )
    yield Plant(
        'facts that cannot be read',
        _node('facts_fail', True),
        *(fault, 'facts', 'Input/output error', _NODE),
    )
    yield Plant(
        'a program that is missing',
        _absent,
        *(mistake, 'missing', 'install xfsprogs', _NODE),
    )
    for release in ('11.0', '9.6'):
        yield Plant(
            f'GlusterFS {release}',
            _node('release', release),
            *(mistake, 'release', 'upgrade the node', _NODE),
        )
    yield Plant(
        'a boot unit that is disabled',
        _node('boot_unit', False),
        *(mistake, 'boot unit', 'node-installer', _NODE),
    )
    yield Plant(
        'LVM 2.02',
        _node('lvm_release', '2.02.187(2) (2020-03-24)'),
        *(warning, 'lvm release', 'upgrade lvm2', _NODE),
    )
    yield Plant(
        'a kernel without thin pools',
        _fact('has_dm_thin_pool', False),
        *(mistake, 'kernel dm_thin_pool', 'modprobe dm_thin_pool', _NODE),
    )
    yield Plant(
        'a kernel without XFS',
        _fact('has_xfs', False),
        *(mistake, 'kernel xfs', 'modprobe xfs', _NODE),
    )
    # -- the system
    yield Plant(
        'a clock that is ahead',
        _fact(node_facts.AHEAD, 90),
        *(warning, 'clock', 'chrony', _NODE),
    )
    yield Plant(
        'a clock that is behind',
        _fact(node_facts.AHEAD, -90),
        *(warning, 'clock', 'chrony', _NODE),
    )
    yield Plant(
        '/etc/mtab that is a file',
        _fact('mtab', ''),
        *(mistake, 'mtab', 'ln -sf ../proc/self/mounts', _NODE),
    )
    yield Plant(
        'glusterd that is disabled',
        _node('glusterd_unit', 'disabled'),
        *(warning, 'glusterd unit', 'systemctl enable', _NODE),
    )
    yield Plant(
        'glusterd that listens on the loopback address',
        _fact('glusterd_addresses', ['127.0.0.1']),
        *(fault, 'port', 'transport.socket.bind-address', _NODE),
    )
    yield Plant(
        'a full state directory',
        _fact('state_percent', 97),
        *(warning, 'state directory', 'free space', _NODE),
    )
    for setting, number, remedy in (
        ('thin_pool_autoextend_threshold', 100, 'set a threshold'),
        ('thin_pool_autoextend_percent', 0, 'set the size'),
        ('monitoring', 0, 'set it to 1'),
    ):
        yield Plant(
            f'LVM with {setting} {number}',
            _lvm_settings({setting: number}),
            *(advice, 'autoextend', remedy, 'pools'),
        )
    yield Plant(
        'a pool above the threshold of LVM',
        _lvm_settings({'thin_pool_autoextend_threshold': 70}, 80.0),
        *(fault, 'lvm limit', 'vgextend', 'pools'),
    )
    # -- TLS
    yield Plant(
        'no certificate',
        _tls(None),
        *(mistake, 'tls files', 'create the files', 'tls'),
    )
    for name, certificates, level, kind, remedy in (
        (
            'a certificate that has expired',
            [certificate('storage', -90, -1)],
            fault,
            'dates of /etc/ssl/glusterfs.pem',
            'has expired on 1970-01-11',
        ),
        (
            'a certificate that will expire',
            [certificate('storage', -90, 10)],
            warning,
            'dates of /etc/ssl/glusterfs.pem',
            'will expire on 1970-01-22',
        ),
        (
            'a certificate that is not valid yet',
            [certificate('storage', 10, 90)],
            fault,
            'dates of /etc/ssl/glusterfs.pem',
            'correct the clock',
        ),
        (
            'a certificate with another name',
            [certificate('elsewhere', -1, 900)],
            mistake,
            'name in /etc/ssl/glusterfs.pem',
            'add it to glusterfs_clone_tls_server_names',
        ),
        (
            'a certificate that is damaged',
            [
                certificate('storage', -1, 900)[:200]
                + '\n-----END CERTIFICATE-----'
            ],
            mistake,
            'unusable /etc/ssl/glusterfs.pem',
            'replace it',
        ),
        (
            'a file without a certificate',
            [],
            mistake,
            'unusable /etc/ssl/glusterfs.pem',
            'replace it',
        ),
    ):
        yield Plant(name, _tls(certificates), level, kind, remedy, 'tls')
    # -- glusterd
    yield Plant(
        'glusterd that is down',
        _node('glusterd_up', False),
        *(fault, 'glusterd', 'start', _NODE),
    )
    yield Plant(
        'snapshots that glusterd deletes',
        _attribute(lambda host: host.pool.state, 'auto_delete', 'enable'),
        *(mistake, 'enabled', 'auto-delete disable'),
    )
    yield Plant(
        'an old op-version',
        _attribute(lambda host: host.pool.state, 'op_version', '90000'),
        *(advice, 'op-version', 'cluster.op-version 100000'),
    )
    # -- thin pools
    for attribute, state, level, kind, remedy in (
        ('zero', False, mistake, 'not zeroing', 'lvchange --zero y'),
        ('data_percent', 99.0, fault, 'full', 'lvextend'),
        (
            'metadata_percent',
            99.0,
            fault,
            'metadata full',
            'lvextend --poolmetadatasize',
        ),
        ('health', 'out_of_data', fault, 'out_of_data', 'lvextend'),
        (
            'health',
            'metadata_read_only',
            fault,
            'metadata_read_only',
            'lvconvert --repair',
        ),
        ('health', 'failed', fault, 'failed', 'kernel log'),
        ('active', False, fault, 'inactive', 'lvchange --activate y'),
    ):
        yield Plant(
            f'a pool with {attribute} {state}',
            _pool(attribute, state),
            *(level, kind, remedy, 'pools'),
        )
    yield Plant(
        'a disk that cannot be read',
        _attribute(
            lambda host: host.pool.nodes[_NODE].lvm, 'unreadable', True
        ),
        *(fault, 'not visible', 'pvs', 'pools'),
    )


PLANTS = tuple(_plants())


def pairs() -> list[tuple[Plant, Plant]]:
    """Return the pairs of plants that do not hide each other."""
    return [
        (one, other)
        for number, one in enumerate(PLANTS)
        for other in PLANTS[:number]
        if not _hides(one, other) and not _hides(other, one)
    ]


def _hides(one: Plant, other: Plant) -> bool:
    """Return whether one plant keeps ``check`` from seeing the other."""
    if one.spoils and one.spoils == other.spoils:
        # Facts about one node can all be seen together.
        return (
            one.kind in _LAST_WORDS
            or other.kind in _LAST_WORDS
            or (one.spoils != _NODE or one.kind == other.kind)
        )
    if one.spoils in ('all nodes', 'nodes'):
        return True
    if one.kind in _LAST_WORDS:
        return other.spoils in (_NODE, 'tls', 'pools')
    return False


#: After these, less is read of a node, or nothing.
_LAST_WORDS = ('unreachable', 'runner', 'facts')
