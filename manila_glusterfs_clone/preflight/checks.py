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
"""The checks before a back end starts: configuration, nodes, and cluster.

A *mistake* is an error in the configuration or in the set-up of a node, which
an operator must correct. A back end with mistakes does not start; one
exception lists all mistakes. A *fault* is a current failure: a node or its
glusterd is down, a thin pool is full, a disk failed. A back end with faults
starts, and operations that do not need the faulty part work. The checks
report faults to :class:`findings.Health`. A problem that can be a mistake or a
fault counts as a fault.
"""

from collections.abc import Iterable
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import configuration
from manila_glusterfs_clone.preflight import programs_and_sudo
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

#: The oldest release of GlusterFS that the driver supports.
_OLDEST_RELEASE = (10, 0)
#: Releases whose glusterd crashes (glusterfs issues 4085 and 4192).
_BROKEN_RELEASES = frozenset({(11, 0)})
#: Time limit for LVM, in seconds. LVM never answers while a disk hangs.
_LVM_TIMEOUT = 30.0
_INSTALLER_REMEDY = (
    'run the output of "manila-glusterfs-clone node-installer" on the node as '
    'root'
)
#: Connection errors that last until somebody corrects the configuration.
_CONFIGURATION_ERRORS = (
    errors.HostKeyRejected,
    errors.LoginRefused,
    errors.NoSuchHost,
)

Finding = findings.Finding
Probe = programs_and_sudo.Probe


@dataclasses.dataclass
class NodeView:
    """The data that was read from a node, or the errors of the reads."""

    node: cluster.Node
    probe: Probe | errors.Error
    peers: tuple[gluster.Peer, ...] | errors.Error
    pools: thin_pools.NodePools | errors.Error


@dataclasses.dataclass
class Results:
    """The mistakes of a back end; the faults of its services and storage."""

    mistakes: list[Finding] = dataclasses.field(default_factory=list)
    service_faults: list[Finding] = dataclasses.field(default_factory=list)
    storage_faults: list[Finding] = dataclasses.field(default_factory=list)


def run(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    health: findings.Health,
    protocol: type[protocols.Protocol],
    mistakes: Iterable[Finding] = (),
) -> None:
    """Check the configuration and, if the driver can log in, the cluster.

    :param health: receives the faults.
    :param protocol: the protocol whose settings are checked.
    :param mistakes: the mistakes that were already found.
    :raises findings.Misconfigured: there are mistakes. If glusterd answers on
        no node, no operation can work, so faults count as mistakes.
    """
    key_mistakes = list(configuration.check_key_files(settings))
    results = Results(
        [*configuration.check(settings, protocol), *key_mistakes, *mistakes]
    )
    # Without nodes and usable keys, the driver cannot log in.
    if settings.nodes and not key_mistakes:
        views = _read_nodes(settings, the_cluster)
        _check_nodes(settings, views, results)
        health.report(
            {
                findings.SERVICES: results.service_faults,
                findings.STORAGE: results.storage_faults,
            }
        )
        if not any(isinstance(view.peers, tuple) for view in views):
            results.mistakes += results.service_faults + results.storage_faults
    if results.mistakes:
        raise findings.Misconfigured(settings.backend, results.mistakes)


def _read_nodes(
    settings: options.Settings, the_cluster: cluster.Cluster
) -> list[NodeView]:
    """Read all nodes in parallel, so that time-outs do not add up."""

    def read(node: cluster.Node) -> NodeView:
        try:
            probe = programs_and_sudo.probe(
                node.commands, sudo=settings.ssh_user != 'root'
            )
        except errors.Unreachable as error:
            return NodeView(node, error, error, error)
        except errors.Error as error:
            view = NodeView(node, error, error, error)
        else:
            view = NodeView(node, probe, (), thin_pools.NO_POOLS)
        try:
            view.peers = node.gluster.peers()
        except errors.Error as error:
            view.peers = error
        try:
            view.pools = thin_pools.read(node, settings.pools, _LVM_TIMEOUT)
            node.file_systems.mounts()
        except errors.Error as error:
            view.pools = error
        return view

    views = the_cluster.everywhere(read)
    return [views[node.name] for node in the_cluster.nodes]


def _check_nodes(
    settings: options.Settings, views: list[NodeView], results: Results
) -> None:
    for view in views:
        if isinstance(view.peers, errors.Unreachable) and (
            view.peers is view.probe
        ):
            continue
        _check_programs(view, results)
        if isinstance(view.peers, errors.Error) and not _is_reported(
            view, 'gluster'
        ):
            results.service_faults.append(
                _node_finding(view, 'glusterd', str(view.peers))
            )
    peers_by_node = {
        view.node.name: view.peers
        for view in views
        if isinstance(view.peers, tuple)
    }
    if peers_by_node:
        mistakes, faults = peers.compare_views(settings.nodes, peers_by_node)
        results.mistakes.extend(mistakes)
        results.service_faults.extend(faults)
        _check_snapshot_options(
            [v for v in views if v.node.name in peers_by_node], results
        )
    _check_thin_pools(settings, views, results)


def _node_finding(view: NodeView, kind: str, message: str) -> Finding:
    name = view.node.name
    return Finding(f'node {name}', kind, message, name)


def _is_reported(view: NodeView, program: str) -> bool:
    """Return whether a finding already reports a program as unusable."""
    probe = view.probe
    return isinstance(probe, Probe) and program not in probe.working_programs


def _check_programs(view: NodeView, results: Results) -> None:
    """Check a node's programs, GlusterFS release, and unit for boot mounts."""
    probe = view.probe
    if isinstance(probe, errors.CommandFailed):
        message = f'{probe}; give the user a login shell that runs commands'
        results.mistakes.append(_node_finding(view, 'shell', message))
        return
    if isinstance(probe, errors.Error):
        finding = _node_finding(view, 'programs', str(probe))
        results.service_faults.append(finding)
        return
    if missing_programs := probe.missing_programs:
        packages = ', '.join(programs_and_sudo.packages_of(missing_programs))
        results.mistakes.append(
            _node_finding(
                view,
                'missing',
                f'programs are missing: {", ".join(missing_programs)}; '
                f'install {packages or "them"} on the node (Debian package '
                f'names)',
            )
        )
    for message, programs in programs_and_sudo.group_by_message(
        probe.sudo_refusals
    ).items():
        results.mistakes.append(
            _node_finding(
                view,
                'sudo',
                f'sudo does not run {", ".join(programs)}: {message}; '
                f'{_INSTALLER_REMEDY}',
            )
        )
    for message, programs in programs_and_sudo.group_by_message(
        probe.failures
    ).items():
        results.service_faults.append(
            _node_finding(
                view,
                'programs',
                f'{", ".join(programs)} could not be run: {message}; run the '
                f'same programs on the node to see the cause',
            )
        )
    _check_release(view, probe, results)
    _check_boot_unit(view, probe, results)


def _check_release(view: NodeView, probe: Probe, results: Results) -> None:
    if 'gluster' not in probe.working_programs:
        return
    if probe.release is None:
        problem = 'GlusterFS release unknown; check "gluster --version" there'
    elif probe.release in _BROKEN_RELEASES:
        problem = (
            'GlusterFS {}.{} is not supported, because its glusterd crashes '
            'when it lists snapshots; upgrade the node'.format(*probe.release)
        )
    elif probe.release < _OLDEST_RELEASE:
        problem = (
            'GlusterFS {}.{} is not supported; upgrade the node to 10.0 or '
            'later'.format(*probe.release)
        )
    else:
        return
    results.mistakes.append(_node_finding(view, 'release', problem))


def _check_boot_unit(view: NodeView, probe: Probe, results: Results) -> None:
    if probe.boot_unit == 'enabled' or _is_reported(view, 'systemctl'):
        return
    # If systemd did not report a state, the unit is possibly enabled: a fault.
    problems = results.mistakes if probe.boot_unit else results.service_faults
    problems.append(
        _node_finding(
            view,
            'boot unit',
            f'{node_files.UNIT} is {probe.boot_unit or "in an unknown state"} '
            f'instead of enabled, so bricks may not be mounted at boot, and '
            f'glusterd may not start; {_INSTALLER_REMEDY}',
        )
    )


def _check_snapshot_options(views: list[NodeView], results: Results) -> None:
    """Check the snapshot options; ask nodes in turn until one answers."""
    failure: errors.Error | None = None
    for view in views:
        try:
            config = view.node.gluster.snapshot_config()
        except errors.Error as error:
            failure = error
            continue
        if config.has_auto_delete:
            results.mistakes.append(
                Finding(
                    'snapshot option auto-delete of the cluster',
                    'enabled',
                    'enabled, so glusterd deletes the oldest snapshots; run '
                    '"gluster snapshot config auto-delete disable"',
                )
            )
        return
    results.service_faults.append(
        Finding('snapshot options of the cluster', 'unreadable', str(failure))
    )


def _check_thin_pools(
    settings: options.Settings, views: list[NodeView], results: Results
) -> None:
    pools_by_node = {}
    errors_by_node: dict[str, errors.Error] = {}
    for view in views:
        if isinstance(view.pools, thin_pools.NodePools):
            pools_by_node[view.node.name] = view.pools
        elif isinstance(view.pools, _CONFIGURATION_ERRORS):
            results.mistakes.append(
                _node_finding(view, 'unreachable', str(view.pools))
            )
        elif not (_is_reported(view, 'lvs') or _is_reported(view, 'findmnt')):
            errors_by_node[view.node.name] = view.pools
    mistakes, faults = thin_pool_faults.find_problems(
        settings.pools, pools_by_node, errors_by_node, settings.limits
    )
    results.mistakes += mistakes
    results.storage_faults += faults
