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
"""Everything that keeps a back end from serving, in one message.

A node that is down is no mistake in the configuration: as long as glusterd
on the others misses it too, it is left to be, and the back end serves what
it can.
"""

from collections.abc import Iterator, Sequence
import os
import re

from oslo_log import log

from manila_glusterfs_clone.access import native
from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import locks
from manila_glusterfs_clone import lvm
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import options
from manila_glusterfs_clone import pools

LOG = log.getLogger(__name__)

_OLDEST = (10, 0)
#: glusterd of these crashes (glusterfs issues 4085 and 4192).
_BROKEN = frozenset({(11, 0)})
_VERSION = re.compile(r'glusterfs (\d+)\.(\d+)')


def run(settings: options.Settings, nodes: cluster.Cluster) -> None:
    """Look at the configuration and, where it allows, at the cluster.

    :raises errors.Misconfigured: with every problem.
    """
    problems = list(_configuration(settings))
    # Without these there is nothing to ask, or nothing to ask it with.
    if settings.nodes and _is_readable(settings):
        problems.extend(_cluster(settings, nodes))
    if problems:
        raise errors.Misconfigured(settings.backend, problems)


def _configuration(settings: options.Settings) -> Iterator[str]:
    if not settings.nodes:
        yield 'glusterfs_clone_nodes is empty: name the storage nodes'
    if len(set(settings.nodes)) != len(settings.nodes):
        yield 'glusterfs_clone_nodes names a node twice'
    if not settings.pools:
        yield 'glusterfs_clone_pools is empty: name a thin pool, vg/thinpool'
    for pool in settings.pools:
        try:
            names.split_pool(pool)
        except errors.NotPossible as error:
            yield f'glusterfs_clone_pools: {error}'
    for option, path in (
        ('glusterfs_clone_ssh_private_key', settings.ssh_private_key),
        ('glusterfs_clone_ssh_known_hosts', settings.ssh_known_hosts),
    ):
        if not os.access(path, os.R_OK):
            yield f'{option}: {path} does not exist or cannot be read'
    if not names.is_plain_path(settings.brick_root):
        yield (
            f'glusterfs_clone_brick_root: {settings.brick_root!r} is not an '
            f'absolute path of letters, digits and "_+.-"'
        )
    try:
        layouts.choose(settings.layout, len(settings.nodes))
    except errors.NotPossible as error:
        yield f'glusterfs_clone_layout: {error}'
    if settings.tls and not settings.tls_server_names:
        yield (
            'glusterfs_clone_tls is set and glusterfs_clone_tls_server_names '
            'is empty: without the common names of the nodes\' certificates '
            'the nodes lock themselves out of every share'
        )
    for name in settings.tls_server_names:
        if not native.is_common_name(name):
            yield (
                f'glusterfs_clone_tls_server_names: {name!r} cannot be put '
                f'into a GlusterFS access list'
            )
    if not locks.have_a_path():
        yield (
            '[oslo_concurrency] lock_path is not set: without it operations '
            'on one share cannot be kept from each other'
        )


def _is_readable(settings: options.Settings) -> bool:
    return all(
        os.access(path, os.R_OK)
        for path in (settings.ssh_private_key, settings.ssh_known_hosts)
    )


def _cluster(
    settings: options.Settings, nodes: cluster.Cluster
) -> Iterator[str]:
    """Look at every node that can be reached."""
    views, failed = nodes.try_everywhere(lambda node: node.gluster.peers())
    away = {
        peer.hostname
        for peers in views.values()
        for peer in peers
        if not peer.connected
    }
    for name, error in failed.items():
        if isinstance(error, errors.HostKeyRejected) or not away:
            yield str(error)
        else:
            LOG.warning(
                'Node %s is left out for now, glusterd misses %s too: %s',
                name,
                ', '.join(sorted(away)),
                error,
            )
    if not views:
        return
    yield from _peers(views)
    well = [node for node in nodes.nodes if node.name in views]
    yield from _releases(nodes, well)
    yield from _boot_units(nodes, well)
    yield from _thin_pools(settings.pools, nodes, well)
    try:
        config = nodes.read(lambda line: line.snapshot_config())
    except errors.Error as error:
        yield f'the snapshot options of the cluster cannot be read: {error}'
    else:
        if config.auto_delete:
            yield (
                'the cluster deletes old snapshots by itself; "gluster '
                'snapshot config auto-delete disable" ends that'
            )


def _peers(views: dict[str, tuple[gluster.Peer, ...]]) -> Iterator[str]:
    """Compare who the nodes are with who they say their peers are."""
    own = {
        name: peer.uuid
        for name, peers in views.items()
        for peer in peers
        if peer.hostname == 'localhost'
    }
    pools_seen = {
        frozenset(peer.uuid for peer in peers) for peers in views.values()
    }
    if len(pools_seen) > 1:
        yield (
            f'the nodes {", ".join(views)} are not peers of one trusted '
            f'storage pool'
        )
        return
    if len(set(own.values())) < len(own):
        yield 'two entries of glusterfs_clone_nodes are the same node'
    strangers = {
        peer.hostname
        for peers in views.values()
        for peer in peers
        if peer.connected
        and peer.uuid not in own.values()
        and peer.hostname != 'localhost'
    }
    if strangers:
        yield (
            f'{", ".join(sorted(strangers))}: connected peers that '
            f'glusterfs_clone_nodes does not name, or that it names and that '
            f'do not answer over SSH'
        )


def _releases(
    nodes: cluster.Cluster, well: Sequence[cluster.Node]
) -> Iterator[str]:
    versions, failed = nodes.try_everywhere(
        lambda node: node.remote.run(['gluster', '--version']).stdout, well
    )
    for error in failed.values():
        yield str(error)
    for name, text in versions.items():
        match = _VERSION.match(text)
        if match is None:
            yield f'node {name} does not tell its release of GlusterFS'
            continue
        release = int(match[1]), int(match[2])
        if release in _BROKEN:
            yield (
                f'node {name} has GlusterFS {match[1]}.{match[2]}, which '
                f'crashes when it is asked for snapshots; upgrade it'
            )
        elif release < _OLDEST:
            yield (
                f'node {name} has GlusterFS {match[1]}.{match[2]}; 10.0 is '
                f'the oldest that this driver knows'
            )


def _boot_units(
    nodes: cluster.Cluster, well: Sequence[cluster.Node]
) -> Iterator[str]:
    """Look for the service that mounts bricks before glusterd starts."""
    answers, failed = nodes.try_everywhere(
        lambda node: node.remote.run(
            ['systemctl', 'is-enabled', node_files.UNIT],
            # Any state but "enabled" has another status.
            accept=(0, 1, 4),
        ),
        well,
    )
    for error in failed.values():
        yield str(error)
    for name, answer in answers.items():
        if answer.stdout.strip() != 'enabled':
            said = answer.stdout.strip() or answer.stderr.strip()
            yield (
                f'node {name} does not mount bricks at boot, and glusterd '
                f'may not even start there: {node_files.UNIT} is not enabled '
                f'({said or "no state"}); run on it as root what '
                f'"manila-glusterfs-clone node-installer" prints'
            )


def _thin_pools(
    wanted: Sequence[str],
    nodes: cluster.Cluster,
    well: Sequence[cluster.Node],
) -> Iterator[str]:
    def look(
        node: cluster.Node,
    ) -> tuple[tuple[lvm.LogicalVolume, ...], str]:
        # The mounts too, so that a missing command or sudo rule shows now.
        node.mounts.all()
        return node.lvm.volumes(), node.name

    reports, failed = nodes.try_everywhere(look, well)
    for error in failed.values():
        yield str(error)
    for name in wanted:
        for lvs, node in reports.values():
            pool = pools.find(lvs, name)
            if pool is None:
                yield f'node {node} has no thin pool {name}'
                continue
            if pool.health:
                yield (
                    f'thin pool {name} on node {node}: LVM says of its '
                    f'health: {pool.health}'
                )
            if not pool.zeroes:
                yield (
                    f'thin pool {name} on node {node} does not zero new '
                    f'blocks, so that a share could show the data of a '
                    f'deleted one; "lvchange --zero y {name}" ends that'
                )
