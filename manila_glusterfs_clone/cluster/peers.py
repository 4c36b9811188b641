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
"""The peers of the trusted storage pool, before they are all needed."""

import collections
from collections.abc import Iterable, Mapping, Sequence
import time

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds that glusterd takes to start, amply, and those for each volume: on a
#: slow machine 7 were too few with 2 volumes, and 17 with 21.
_STARTING, _EACH = 15.0, 0.5


def require_all_connected(nodes: cluster.Cluster) -> None:
    """Make sure that every peer is there, as most writes need it.

    :raises errors.NotPossible: one is not, and which.
    """
    away = [
        peer.hostname
        for peer in nodes.read(lambda line: line.peers())
        if not peer.connected
    ]
    if away:
        raise errors.NotPossible(
            f'glusterd has no connection to {", ".join(sorted(away))}; '
            f'bring the node back ("gluster peer status" tells what it is '
            f'taken for) and try again'
        )
    # A node that was down may be back: its peers see it.
    nodes.forget_failures()


def compare_views(
    nodes: Sequence[str], views: Mapping[str, Sequence[gluster.Peer]]
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Compare the configured nodes with the peers that glusterd knows.

    :param nodes: the names of all configured nodes.
    :param views: the peers as each node that answered knows them.
    :return: the mistakes and the faults.
    """
    mistakes: list[findings.Finding] = []
    faults: list[findings.Finding] = []
    own = {
        name: peer.uuid
        for name, peers in views.items()
        for peer in peers
        if peer.hostname == 'localhost'
    }
    sets = {
        name: frozenset(peer.uuid for peer in peers)
        for name, peers in views.items()
    }
    # What most of them know, and among equals the larger one.
    count = collections.Counter(sets.values())
    common = max(count, key=lambda uuids: (count[uuids], len(uuids)))
    known = {
        peer.uuid: peer
        for name, peers in views.items()
        if sets[name] == common
        for peer in peers
        if peer.hostname != 'localhost'
    }
    #: Peers that no node that answered is: they may be nodes that are down.
    absent = {uuid: known[uuid] for uuid in known.keys() - {*own.values()}}
    outside = [name for name in views if own.get(name) not in common]
    lost = [peer for peer in absent.values() if not peer.connected]
    for name in outside:
        finding = findings.Finding(
            f'node {name}',
            'no peer',
            f'it is no peer of {", ".join(n for n in views if n != name)} in '
            f'one trusted storage pool; "gluster peer probe {name}" on one '
            f'of them makes it one, or, if it was installed anew, restore '
            f'its /var/lib/glusterd/glusterd.info',
            name,
        )
        # A node that was installed anew has another UUID than it had.
        (faults if len(outside) <= len(lost) else mistakes).append(finding)
    for name in views:
        if name not in outside and sets[name] != common:
            faults.append(
                findings.Finding(
                    f'node {name}',
                    'other peers',
                    'glusterd there knows other peers than on most nodes; '
                    'see "gluster peer status" on each',
                    name,
                )
            )
    for uuid in {u for u in own.values() if [*own.values()].count(u) > 1}:
        same = [name for name in own if own[name] == uuid]
        mistakes.append(
            findings.Finding(
                'glusterfs_clone_nodes',
                'same node',
                f'{", ".join(same)} are the same node',
            )
        )
    silent = {*nodes} - views.keys()
    strangers = sorted(
        peer.hostname
        for peer in absent.values()
        if peer.connected and peer.hostname not in silent
    )
    # Nodes may be configured by other names than the peers have.
    if len(strangers) > len(silent - {p.hostname for p in absent.values()}):
        mistakes.append(
            findings.Finding(
                'glusterfs_clone_nodes',
                'strangers',
                f'it does not name {", ".join(strangers)}, connected peers '
                f'of the trusted storage pool',
            )
        )
    if numeric := sorted(
        {p.hostname for ps in views.values() for p in ps if ':' in p.hostname}
    ):
        mistakes.append(
            findings.Finding(
                'trusted storage pool',
                'ipv6',
                f'peers are known by IPv6 addresses: {", ".join(numeric)}; '
                f'this driver does not support them, probe the peers by '
                f'names or IPv4 addresses',
            )
        )
    return mistakes, faults


def _age(node: cluster.Node) -> int | None:
    """Give the seconds for which glusterd has run; None if it does not.

    :raises errors.Garbled: the answer is no number.
    """
    result = node.remote.run(
        ['ps', '-C', 'glusterd', '-o', 'etimes='],
        timeout=60.0,
        accept=(0, 1),
        as_root=False,
    )
    ages = result.stdout.split()
    if not all(age.isdecimal() for age in ages):
        raise errors.Garbled(node.name, result.argv, result.stdout)
    # A child that is about to become something else is younger.
    return max(map(int, ages), default=None)


def seconds_until_started(
    nodes: cluster.Cluster, asked: Iterable[cluster.Node] | None = None
) -> dict[str, float]:
    """Give the seconds until glusterd has started to its end, by node.

    Nodes that it runs on for longer are left out, and those that cannot be
    asked.

    :param asked: some of the nodes; all if None.
    """
    volumes = nodes.read(lambda line: line.volume_names())
    needed = _STARTING + _EACH * len(volumes)
    ages, failed = nodes.try_everywhere(_age, asked)
    for node, error in failed.items():
        if not isinstance(error, errors.Error):
            raise error
        LOG.warning('How long glusterd has run on %s: %s', node, error)
    return {
        node: needed - age
        for node, age in ages.items()
        if age is not None and age < needed
    }


def await_started(nodes: cluster.Cluster) -> None:
    """Wait until glusterd has not just started on any node.

    As it starts, it goes through all volumes to have them healed, and lets
    others work meanwhile. If they delete the volume that is next, it crashes,
    or goes round and round it for ever: it answers nothing any more, its peers
    take it for connected, and each transaction waits for it in vain
    (``glusterd_shdsvc_restart`` of 10.3 and 11.1; seen on 11.1, by deleting a
    volume within four seconds of a start).
    """
    left = seconds_until_started(nodes)
    if left:
        LOG.info('Waiting, as glusterd has just started: %s', left)
        time.sleep(max(left.values()))
