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
"""Check the cluster for problems that do not prevent a start."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import datetime
import time

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import node_advice
from manila_glusterfs_clone.preflight import pool_advice
from manila_glusterfs_clone.preflight import severity
from manila_glusterfs_clone.preflight import startup_checks
from manila_glusterfs_clone.tools import host
from manila_glusterfs_clone.tools import node_facts

Level = severity.Level
Problem = severity.Problem


def find(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    views: Sequence[startup_checks.NodeView],
) -> Iterator[Problem]:
    """Yield the problems of the nodes and of the cluster.

    Omit the problems that :mod:`.startup_checks` reports.

    :param views: the views of all nodes that :mod:`.startup_checks` has read;
        empty if the driver cannot log in.
    """
    if not views:
        return
    yield from _find_on_nodes(settings, the_cluster, views)
    yield from _find_different_releases(views)
    yield from _find_in_gluster(settings, the_cluster, views)
    yield from pool_advice.find(
        settings.pools,
        the_cluster,
        {
            view.node.name: view.pools
            for view in views
            if isinstance(view.pools, thin_pools.NodePools)
        },
    )


def _find_on_nodes(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    views: Sequence[startup_checks.NodeView],
) -> Iterator[Problem]:
    reports = {
        view.node.name: view.report
        for view in views
        if isinstance(view.report, host.Report)
        # A runner with a problem reports nothing else.
        and not view.report.greeting.problem
    }

    def read(
        node: cluster.Node,
    ) -> tuple[node_facts.Facts, float] | errors.Error:
        try:
            return _read_facts(node, reports[node.name])
        except errors.Error as error:
            return error

    answers = the_cluster.everywhere(
        read, [view.node for view in views if view.node.name in reports]
    )
    now = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc)
    are_up = {view.node.name: isinstance(view.peers, tuple) for view in views}
    for name, answer in answers.items():
        if isinstance(answer, errors.Error):
            yield severity.node_problem(
                Level.FAULT, name, 'facts', f'some checks not run: {answer}'
            )
            continue
        facts, clock_difference = answer
        yield from node_advice.find(
            settings, name, facts, clock_difference, now, are_up[name]
        )


def _read_facts(
    node: cluster.Node, report: host.Report
) -> tuple[node_facts.Facts, float]:
    """Return the facts about a node, and the difference of its clock.

    The difference is in seconds. It is positive if the clock of the node is
    ahead.
    """
    before = time.time()
    facts = node_facts.read(node.commands, report.missing_programs)
    after = time.time()
    # The node read its clock between these two times.
    if facts.clock > after:
        return facts, facts.clock - after
    return facts, min(0.0, facts.clock - before)


def _find_different_releases(
    views: Sequence[startup_checks.NodeView],
) -> Iterator[Problem]:
    releases = {
        view.node.name: '.'.join(map(str, view.report.release))
        for view in views
        if isinstance(view.report, host.Report) and view.report.release
    }
    if len(set(releases.values())) > 1:
        described = ', '.join(f'{n}: {r}' for n, r in releases.items())
        yield Problem(
            Level.WARNING,
            findings.Finding(
                'GlusterFS',
                'releases',
                f'nodes have different releases ({described}); complete the '
                f'upgrade of all nodes',
            ),
        )


def _find_in_gluster(
    settings: options.Settings,
    the_cluster: cluster.Cluster,
    views: Sequence[startup_checks.NodeView],
) -> Iterator[Problem]:
    count = sum(isinstance(view.peers, tuple) for view in views)
    if 0 < 2 * count <= len(settings.nodes):
        yield Problem(
            Level.FAULT,
            findings.Finding(
                'trusted storage pool',
                'quorum',
                f'glusterd answers on {count} of {len(settings.nodes)} nodes, '
                f'and no change is possible without more than half of them; '
                f'start the other nodes and their glusterd',
            ),
        )
    global_options: Mapping[str, str] = {}
    with contextlib.suppress(errors.Error):
        global_options = the_cluster.read(
            lambda gluster: gluster.global_options()
        )
    current = global_options.get('cluster.op-version', '')
    highest = global_options.get('cluster.max-op-version', '')
    if (
        current.isdecimal()
        and highest.isdecimal()
        and int(current) < int(highest)
    ):
        yield Problem(
            Level.ADVICE,
            findings.Finding(
                'trusted storage pool',
                'op-version',
                f'cluster.op-version is {current}, but all nodes support '
                f'{highest}; run "gluster volume set all cluster.op-version '
                f'{highest}" when no client is older',
            ),
        )
