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
"""The options of a back end section in manila.conf: definition and checks."""

from collections.abc import Iterator
import copy
import dataclasses
import re
from typing import Any

from oslo_config import cfg

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import names

#: The default of glusterfs_clone_brick_root.
DEFAULT_BRICK_ROOT = '/srv/manila-glusterfs-clone'

#: The values of glusterfs_clone_orphans.
REMOVE, REPORT = 'remove', 'report'

OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        'glusterfs_clone_nodes',
        default=[],
        sample_default='gl1,gl2,gl3',
        help='The storage nodes: all peers of one trusted storage pool, as '
        'names or addresses that the host of manila-share reaches over SSH. '
        'Commands that change the cluster run on the first node whose '
        'glusterd answers and is connected to most of its peers. So list the '
        'nodes in the same order on every host.',
    ),
    cfg.PortOpt(
        'glusterfs_clone_ssh_port',
        default=22,
        help='The TCP port of sshd on the storage nodes.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_ssh_user',
        default='manila',
        help='The user to log in as. A user other than root needs the sudo '
        'rule that "manila-glusterfs-clone node-installer" installs.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_ssh_private_key',
        default='/etc/manila/glusterfs_clone_key',
        help='Path of the private key to log in with: an Ed25519, RSA or '
        'ECDSA key without a passphrase, in the format of OpenSSH, PEM or '
        'PKCS#8. Users outside the group of the file must not be able to read '
        'it. The driver uses neither passwords nor SSH agents.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_ssh_known_hosts',
        default='/etc/manila/glusterfs_clone_known_hosts',
        help='Path of a known_hosts file. It contains a host key of each '
        'storage node, under the name in glusterfs_clone_nodes, or an '
        'authority (@cert-authority) that signs the keys. The driver does not '
        'connect to a node whose key is missing or differs. "ssh-keyscan" '
        'creates such a file; compare its keys with the keys on the nodes.',
    ),
    cfg.ListOpt(
        'glusterfs_clone_pools',
        default=[],
        sample_default='gvg/pool',
        help='The LVM thin pools for bricks, each as vg/thinpool. Each thin '
        'pool is one pool in Manila, and must exist under the same name on '
        'every storage node.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_layout',
        default='auto',
        choices=[
            ('auto', 'replica-3 on three nodes or more, else single'),
            *((layout.name, layout.summary) for layout in layouts.LAYOUTS),
        ],
        help='The layout of the volume of a new share. The extra spec '
        '"glusterfs_clone:layout" of a share type overrides this option. A '
        'share created from a snapshot always has the layout of its origin.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_brick_root',
        default=DEFAULT_BRICK_ROOT,
        help='The directory on the storage nodes in which the driver mounts '
        'the bricks of new shares. For shares created from snapshots, '
        'glusterd chooses another directory.',
    ),
    cfg.BoolOpt(
        'glusterfs_clone_tls',
        default=False,
        help='Whether clients authenticate with TLS certificates. If true, '
        'GlusterFS encrypts all traffic of shares, and access rules have the '
        'type "cert" (the common name in the client\'s certificate). If '
        'false, access rules have the type "ip". TLS needs the files '
        'glusterfs.pem, glusterfs.key and glusterfs.ca on every node and '
        'client. Their directory is /usr/lib/ssl on Debian and Ubuntu, and '
        '/etc/ssl or /etc/pki/tls on other systems.',
    ),
    cfg.ListOpt(
        'glusterfs_clone_tls_server_names',
        default=[],
        sample_default='gl1,gl2,gl3',
        help='The common names in the certificates of the storage nodes. '
        'Required if glusterfs_clone_tls is true. The driver allows these '
        'names on every share, because the GlusterFS daemons on the nodes '
        'are clients of the bricks. The driver refuses access rules with '
        'these names.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_max_data_percent',
        default=95,
        min=1,
        max=100,
        help='The limit for the used data space of a thin pool, in percent. '
        'If a thin pool on a node has reached the limit, the driver creates '
        'no share or snapshot in it, and extends no share in it. LVM creates '
        'no logical volume in a pool that is fuller than '
        'thin_pool_autoextend_threshold; the lower limit applies.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_max_metadata_percent',
        default=85,
        min=1,
        max=100,
        help='The limit for the used metadata space of a thin pool, in '
        'percent. At this limit, the driver refuses the same operations as at '
        'glusterfs_clone_max_data_percent. A thin pool with full metadata '
        'becomes read-only and needs repair, so set a value well below 100. '
        'LVM has two limits for metadata, too: it creates no logical volume '
        'above thin_pool_autoextend_threshold, or if less than 4 MiB and less '
        'than a quarter of the metadata space is free. The lowest limit '
        'applies.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_settle_timeout',
        default=600,
        min=30,
        help='How long, in seconds, the driver retries a gluster command. It '
        'retries if no node can run the command, or if glusterd refuses the '
        'command because another transaction is in progress. It also retries '
        'after a time-out or a broken connection, until the command has taken '
        'effect.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_lock_timeout',
        default=900,
        min=1,
        help='How long, in seconds, an operation waits for another operation '
        'on the same share or snapshot. After this time, the waiting '
        'operation fails.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_reconcile_interval',
        default=600,
        min=0,
        help='Seconds between two passes of maintenance. A pass starts bricks '
        'that are down, corrects access lists that differ from the access '
        'rules, and retries deletions that failed. It also handles orphans '
        '(see glusterfs_clone_orphans). 0 disables periodic passes; the '
        'driver still checks the shares when manila-share starts. Each pass '
        'reads the state of all bricks. This briefly delays other gluster '
        'commands, so set 0 or at least 60.',
    ),
    cfg.StrOpt(
        'glusterfs_clone_orphans',
        default=REMOVE,
        choices=[
            (REMOVE, 'remove them after glusterfs_clone_orphan_grace'),
            (REPORT, 'log each once, with the commands that remove it'),
        ],
        help='What to do with orphans: shares and snapshots that Manila '
        'deleted and the cluster still has. This option has no effect if '
        'glusterfs_clone_reconcile_interval is 0.',
    ),
    cfg.IntOpt(
        'glusterfs_clone_orphan_grace',
        default=3600,
        min=3600,
        help='How long, in seconds, an orphan stays on the cluster before the '
        'driver removes it. The time starts when Manila has deleted the share '
        'or snapshot, and this service has found the orphan. Operators can '
        'use this time to check objects that were deleted by force. The time '
        'must exceed the difference between the clocks of the hosts.',
    ),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options in the form that oslo-config-generator needs."""
    return [('glusterfs_clone', copy.deepcopy(OPTS))]


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits for the use of a thin pool."""

    #: The driver creates and extends nothing in a pool if at least this
    #: percentage of its data space is used.
    data_percent: int
    #: The same limit for the metadata space.
    metadata_percent: int
    #: The maximum provisioned size of a pool, as a multiple of the size of the
    #: pool. See :mod:`manila_glusterfs_clone.cluster.thin_pools`.
    oversubscription: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options of one back end section, with unchecked values."""

    backend: str
    nodes: tuple[str, ...]
    ssh_port: int
    ssh_user: str
    ssh_private_key: str
    ssh_known_hosts: str
    pools: tuple[str, ...]
    layout: str
    brick_root: str
    tls: bool
    tls_server_names: tuple[str, ...]
    limits: Limits
    settle_timeout: float
    lock_timeout: float
    reconcile_interval: float
    orphan_grace: float
    orphans: str

    @property
    def backend_mark(self) -> str:
        """Return the mark that the volumes of this back end have."""
        return names.backend_mark(self.backend)


def read(configuration: Any, backend: str) -> Settings:
    """Return the options of a back end section, without checking them.

    :param configuration: the oslo.config section of the back end.
    """
    return Settings(
        backend=backend,
        nodes=tuple(configuration.glusterfs_clone_nodes),
        ssh_port=configuration.glusterfs_clone_ssh_port,
        ssh_user=configuration.glusterfs_clone_ssh_user,
        ssh_private_key=configuration.glusterfs_clone_ssh_private_key,
        ssh_known_hosts=configuration.glusterfs_clone_ssh_known_hosts,
        pools=tuple(configuration.glusterfs_clone_pools),
        layout=configuration.glusterfs_clone_layout,
        brick_root=configuration.glusterfs_clone_brick_root.rstrip('/'),
        tls=configuration.glusterfs_clone_tls,
        tls_server_names=tuple(configuration.glusterfs_clone_tls_server_names),
        limits=Limits(
            data_percent=configuration.glusterfs_clone_max_data_percent,
            metadata_percent=(
                configuration.glusterfs_clone_max_metadata_percent
            ),
            oversubscription=float(configuration.max_over_subscription_ratio),
        ),
        settle_timeout=configuration.glusterfs_clone_settle_timeout,
        lock_timeout=configuration.glusterfs_clone_lock_timeout,
        reconcile_interval=configuration.glusterfs_clone_reconcile_interval,
        orphan_grace=configuration.glusterfs_clone_orphan_grace,
        orphans=configuration.glusterfs_clone_orphans,
    )


#: A host name or an address; an IPv6 address may have a zone.
_HOST = re.compile(r'[A-Za-z0-9_]([A-Za-z0-9_.:%-]{0,252})')
_USER = re.compile(r'[^\s\0:-][^\s\0:]{0,254}')


def find_mistakes(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name of each option with an unusable value, and the reason.

    Without this check, operations that use such a value would fail later.
    """
    for option, values, example in (
        ('glusterfs_clone_nodes', settings.nodes, 'the storage nodes'),
        ('glusterfs_clone_pools', settings.pools, 'thin pools (vg/thinpool)'),
    ):
        if not values:
            yield option, f'empty; list {example}'
        for value in sorted({v for v in values if values.count(v) > 1}):
            yield option, f'lists {value} twice; list {value} once'
    for node in settings.nodes:
        if not _HOST.fullmatch(node):
            yield (
                'glusterfs_clone_nodes',
                f'{node!r} is no host name or address; correct it',
            )
    for pool in settings.pools:
        try:
            names.split_pool(pool)
        except errors.NotPossible as error:
            yield 'glusterfs_clone_pools', str(error)
    if not names.is_plain_path(settings.brick_root):
        yield (
            'glusterfs_clone_brick_root',
            f'{settings.brick_root!r} cannot be used; set an absolute path of '
            f'letters, digits and "_+.-"',
        )
    if not _USER.fullmatch(settings.ssh_user):
        yield (
            'glusterfs_clone_ssh_user',
            f'{settings.ssh_user!r} is no user name; correct it',
        )
    if len(settings.backend_mark) > names.MAX_MARK_LENGTH:
        yield (
            'share_backend_name',
            f'{settings.backend!r} needs {len(settings.backend_mark)} '
            f'characters in the marks of volumes, but {names.MAX_MARK_LENGTH} '
            f'are allowed; choose a shorter name',
        )
