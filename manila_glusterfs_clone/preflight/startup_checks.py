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
report faults to :class:`fault_log.FaultLog`. A problem that can be a mistake
or a fault counts as a fault.
"""

from collections.abc import Collection, Iterable
import dataclasses

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import thin_pool_faults
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import configuration
from manila_glusterfs_clone.preflight import node_requirements
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import host

#: Time limit for LVM, in seconds. LVM never answers while a disk hangs.
_LVM_TIMEOUT = 30.0
#: Errors of a runner that is missing, or does not fit this driver.
_RUNNER_ERRORS = (greetings.NoRunner, greetings.WrongRelease)
#: Connection errors that last until somebody corrects the configuration.
_CONFIGURATION_ERRORS = (
    errors.HostKeyRejected,
    errors.LoginRefused,
    errors.NoSuchHost,
)

Finding = findings.Finding


@dataclasses.dataclass
class NodeView:
    """The data that was read from a node, or the errors of the reads."""

    node: cluster.Node
    report: host.Report | errors.Error
    peers: tuple[gluster.Peer, ...] | errors.Error
    pools: thin_pools.NodePools | errors.Error


@dataclasses.dataclass
class Results:
    """The results of the checks."""

    mistakes: list[Finding] = dataclasses.field(default_factory=list)
    service_faults: list[Finding] = dataclasses.field(default_factory=list)
    storage_faults: list[Finding] = dataclasses.field(default_factory=list)
    #: What was read from the nodes; empty if the driver cannot log in.
    views: list[NodeView] = dataclasses.field(default_factory=list)


def run(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    health: fault_log.FaultLog,
    protocol: type[protocols.Protocol],
    mistakes: Iterable[Finding] = (),
) -> None:
    """Check a back end before it starts; see :func:`examine`.

    :raises findings.Misconfigured: there are mistakes.
    """
    found = examine(settings, the_cluster, health, protocol, mistakes)
    if found.mistakes:
        raise findings.Misconfigured(settings.backend, found.mistakes)


def examine(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    health: fault_log.FaultLog,
    protocol: type[protocols.Protocol],
    mistakes: Iterable[Finding] = (),
) -> Results:
    """Check the configuration and, if the driver can log in, the cluster.

    If glusterd answers on no node, no operation can work, so faults count as
    mistakes, too.

    :param health: receives the faults.
    :param protocol: the protocol whose settings are checked.
    :param mistakes: the mistakes that were already found.
    """
    key_mistakes = list(configuration.check_key_files(settings))
    results = Results(
        [*configuration.check(settings, protocol), *key_mistakes, *mistakes]
    )
    # Without nodes and usable keys, the driver cannot log in.
    if settings.nodes and not key_mistakes:
        results.views = _read_nodes(settings, the_cluster)
        _check_nodes(settings, results)
        health.report(
            {
                fault_log.SERVICES: results.service_faults,
                fault_log.STORAGE: results.storage_faults,
            }
        )
        if not any(isinstance(view.peers, tuple) for view in results.views):
            results.mistakes += results.service_faults + results.storage_faults
    return results


def _read_nodes(
    settings: options.Settings, the_cluster: cluster.Cluster
) -> list[NodeView]:
    """Read all nodes in parallel, so that time-outs do not add up."""

    def read(node: cluster.Node) -> NodeView:
        try:
            report = node.host.report()
        except errors.Unreachable as error:
            return NodeView(node, error, error, error)
        except errors.Error as error:
            view = NodeView(node, error, error, error)
        else:
            view = NodeView(node, report, (), thin_pools.NO_POOLS)
        try:
            view.peers = node.gluster.peers()
        except errors.Error as error:
            view.peers = error
        try:
            view.pools = thin_pools.read(node, settings.pools, _LVM_TIMEOUT)
        except errors.Error as error:
            view.pools = error
        return view

    views = the_cluster.everywhere(read)
    return [views[node.name] for node in the_cluster.nodes]


def _check_nodes(settings: options.Settings, results: Results) -> None:
    views = results.views
    for view in views:
        if isinstance(view.peers, errors.Unreachable) and (
            view.peers is view.report
        ):
            continue
        _check_report(settings, view, results)
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
    """Return whether a finding already reports why a program is unusable."""
    report = view.report
    return isinstance(report, host.Report) and (
        program in report.missing_programs or bool(report.greeting.problem)
    )


def _check_report(
    settings: options.Settings, view: NodeView, results: Results
) -> None:
    """Check a node's runner, programs, GlusterFS release and boot unit."""
    report = view.report
    if isinstance(report, errors.Error):
        finding = _node_finding(view, 'programs', str(report))
        results.service_faults.append(finding)
        return
    groups: Collection[str] = ()
    if isinstance(view.pools, thin_pools.NodePools):
        groups = view.pools.vg_names
    results.mistakes += node_requirements.find_mistakes(
        settings, view.node.name, report, groups
    )
    if not report.boot_unit and not _is_reported(view, 'systemctl'):
        # If systemd did not report a state, the unit is possibly enabled.
        results.service_faults.append(
            _node_finding(
                view,
                'boot unit',
                node_requirements.boot_unit_problem(settings, report),
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
        elif isinstance(view.pools, _RUNNER_ERRORS):
            message = node_requirements.start_problem(settings, view.pools)
            results.mistakes.append(_node_finding(view, 'runner', message))
        elif isinstance(view.pools, _CONFIGURATION_ERRORS):
            message = str(view.pools)
            results.mistakes.append(
                _node_finding(view, 'unreachable', message)
            )
        elif not _is_reported(view, 'lvs'):
            errors_by_node[view.node.name] = view.pools
    mistakes, faults = thin_pool_faults.find_problems(
        settings.pools, pools_by_node, errors_by_node, settings.limits
    )
    results.mistakes += mistakes
    results.storage_faults += faults
