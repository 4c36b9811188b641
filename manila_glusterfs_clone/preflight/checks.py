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
"""What must be right before a back end serves, and what is broken today.

*Mistakes* are in the configuration, or in how nodes were set up: somebody
has to correct them, and a back end with one does not start. All of them are
in one message. *Faults* are broken today and well again tomorrow: a node or
its glusterd that is down, a pool that is full, a disk that failed. The back
end starts, serves what does not need them, and reports them to
:mod:`~manila_glusterfs_clone.findings`.

Where evidence is not clear it is taken for a fault.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import os

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import thin_pools
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import node_programs
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster
from manila_glusterfs_clone.tools import lvm

_OLDEST = (10, 0)
#: glusterd of these crashes (glusterfs issues 4085 and 4192).
_BROKEN = frozenset({(11, 0)})
#: Seconds for LVM on one node: on a disk that hangs it waits for ever.
_LVM_SECONDS = 30.0
_INSTALLER = (
    'run on it as root what "manila-glusterfs-clone node-installer" prints'
)
#: What does not pass by itself: the configuration names the wrong thing.
_MISTAKES = (
    errors.HostKeyRejected,
    errors.LoginRefused,
    errors.NoSuchHost,
)

Finding = findings.Finding


@dataclasses.dataclass
class View:
    """What was seen of one node; an error in place of what was not."""

    node: cluster.Node
    probe: node_programs.Probe | errors.Error
    peers: tuple[gluster.Peer, ...] | errors.Error
    lvs: tuple[lvm.LogicalVolume, ...] | errors.Error


@dataclasses.dataclass
class Findings:
    """What is wrong, sorted by who can end it."""

    mistakes: list[Finding] = dataclasses.field(default_factory=list)
    services: list[Finding] = dataclasses.field(default_factory=list)
    storage: list[Finding] = dataclasses.field(default_factory=list)


def run(
    settings: options.Settings,
    nodes: cluster.Cluster,
    state: findings.Health,
    protocol: type[protocols.Protocol],
) -> None:
    """Check the configuration and, where it allows, the cluster.

    :param state: told of the faults.
    :param protocol: whose settings are checked.
    :raises health.Misconfigured: with every mistake; also where no node
        answers, as there is nothing to serve with.
    """
    found = Findings(mistakes=list(_configuration(settings, protocol)))
    # Without these there is nothing to ask, or nothing to ask it with.
    if settings.nodes and _is_readable(settings):
        views = _look(settings, nodes)
        _judge(settings, views, found)
        state.report(
            {
                findings.SERVICES: found.services,
                findings.STORAGE: found.storage,
            }
        )
        if not any(isinstance(view.peers, tuple) for view in views):
            found.mistakes += found.services + found.storage
    if found.mistakes:
        raise findings.Misconfigured(settings.backend, found.mistakes)


def _configuration(
    settings: options.Settings, protocol: type[protocols.Protocol]
) -> Iterator[Finding]:
    for value, problem in options.problems(settings):
        yield Finding(value, 'invalid', problem)
    for option, path in (
        ('glusterfs_clone_ssh_private_key', settings.ssh_private_key),
        ('glusterfs_clone_ssh_known_hosts', settings.ssh_known_hosts),
    ):
        if not os.access(path, os.R_OK):
            yield Finding(
                option,
                'unreadable',
                f'{path} does not exist or cannot be read',
            )
    try:
        layouts.choose(settings.layout, len(settings.nodes))
    except errors.NotPossible as error:
        yield Finding('glusterfs_clone_layout', 'invalid', str(error))
    yield from protocol.problems(settings)
    if not locks.have_a_path():
        yield Finding(
            '[oslo_concurrency] lock_path',
            'empty',
            'it is not set: without it operations on one share cannot be '
            'kept from each other',
        )


def _is_readable(settings: options.Settings) -> bool:
    return all(
        os.access(path, os.R_OK)
        for path in (settings.ssh_private_key, settings.ssh_known_hosts)
    )


def _look(settings: options.Settings, nodes: cluster.Cluster) -> list[View]:
    """Look at all nodes side by side; one that is down costs one time-out."""

    def look(node: cluster.Node) -> View:
        try:
            found = node_programs.ask(
                node.remote, sudo=settings.ssh_user != 'root'
            )
        except errors.Unreachable as error:
            return View(node, error, error, error)
        except errors.Error as error:
            view = View(node, error, error, error)
        else:
            view = View(node, found, (), ())
        try:
            view.peers = node.gluster.peers()
        except errors.Error as error:
            view.peers = error
        try:
            view.lvs = node.lvm.lvs(timeout=_LVM_SECONDS)
            node.file_systems.mounts()
        except errors.Error as error:
            view.lvs = error
        return view

    views = nodes.everywhere(look)
    return [views[node.name] for node in nodes.nodes]


def _judge(
    settings: options.Settings, views: list[View], found: Findings
) -> None:
    for view in views:
        if isinstance(view.peers, errors.Unreachable) and (
            view.peers is view.probe
        ):
            continue
        _programs(view, found)
        if isinstance(view.peers, errors.Error) and not _is_known(
            view, 'gluster'
        ):
            found.services.append(_of_node(view, 'glusterd', str(view.peers)))
    answered = {
        view.node.name: view.peers
        for view in views
        if isinstance(view.peers, tuple)
    }
    if answered:
        mistakes, faults = peers.compare_views(settings.nodes, answered)
        found.mistakes.extend(mistakes)
        found.services.extend(faults)
        _snapshot_policy([v for v in views if v.node.name in answered], found)
    _thin_pools(settings, views, found)


def _of_node(view: View, kind: str, message: str) -> Finding:
    name = view.node.name
    return Finding(f'node {name}', kind, message, name)


def _is_known(view: View, program: str) -> bool:
    """Return whether it was found already that a program does not run."""
    seen = view.probe
    return isinstance(seen, node_programs.Probe) and program not in seen.ran


def _programs(view: View, found: Findings) -> None:
    """Judge what a node has installed."""
    seen = view.probe
    if isinstance(seen, errors.CommandFailed):
        # Its login shell runs no commands at all.
        found.mistakes.append(_of_node(view, 'shell', str(seen)))
        return
    if isinstance(seen, errors.Error):
        found.services.append(_of_node(view, 'programs', str(seen)))
        return
    if seen.missing:
        packages = ', '.join(node_programs.packages_of(seen.missing))
        found.mistakes.append(
            _of_node(
                view,
                'missing',
                f'it has no {", ".join(seen.missing)}; install '
                f'{packages or "it"} there (names of Debian\'s packages)',
            )
        )
    for said, programs in _grouped(seen.refused).items():
        found.mistakes.append(
            _of_node(
                view,
                'sudo',
                f'sudo does not run {", ".join(programs)}: {said}; '
                f'{_INSTALLER}',
            )
        )
    for said, programs in _grouped(seen.failed).items():
        found.services.append(
            _of_node(
                view,
                'programs',
                f'{", ".join(programs)} could not be tried: {said}',
            )
        )
    _release(view, seen, found)
    _boot_unit(view, seen, found)


def _grouped(said: Mapping[str, str]) -> dict[str, list[str]]:
    """Turn what programs said into who said it."""
    found: dict[str, list[str]] = {}
    for program, text in said.items():
        found.setdefault(text, []).append(program)
    return found


def _release(view: View, seen: node_programs.Probe, found: Findings) -> None:
    if 'gluster' not in seen.ran:
        return
    if seen.release is None:
        problem = 'it does not tell its release of GlusterFS'
    elif seen.release in _BROKEN:
        problem = (
            'its GlusterFS {}.{} crashes when it is asked for snapshots; '
            'upgrade it'.format(*seen.release)
        )
    elif seen.release < _OLDEST:
        problem = (
            'it has GlusterFS {}.{}; 10.0 is the oldest that this driver '
            'supports'.format(*seen.release)
        )
    else:
        return
    found.mistakes.append(_of_node(view, 'release', problem))


def _boot_unit(view: View, seen: node_programs.Probe, found: Findings) -> None:
    if seen.boot_unit == 'enabled' or _is_known(view, 'systemctl'):
        return
    where = found.mistakes if seen.boot_unit else found.services
    where.append(
        _of_node(
            view,
            'boot unit',
            f'it may not mount bricks at boot, and glusterd may not start '
            f'then: {node_files.UNIT} is '
            f'{seen.boot_unit or "in no state that systemd can tell"}, not '
            f'enabled; {_INSTALLER}',
        )
    )


def _snapshot_policy(well: list[View], found: Findings) -> None:
    failure: errors.Error | None = None
    for view in well:
        try:
            config = view.node.gluster.snapshot_config()
        except errors.Error as error:
            failure = error
            continue
        if config.auto_delete:
            found.mistakes.append(
                Finding(
                    'snapshot option auto-delete of the cluster',
                    'enabled',
                    'glusterd deletes old snapshots by itself; "gluster '
                    'snapshot config auto-delete disable" ends that',
                )
            )
        return
    found.services.append(
        Finding('snapshot options of the cluster', 'unreadable', str(failure))
    )


def _thin_pools(
    settings: options.Settings, views: list[View], found: Findings
) -> None:
    reports = {}
    failed: dict[str, errors.Error] = {}
    for view in views:
        if isinstance(view.lvs, tuple):
            reports[view.node.name] = view.lvs
        elif isinstance(view.lvs, _MISTAKES):
            found.mistakes.append(_of_node(view, 'unreachable', str(view.lvs)))
        elif not (_is_known(view, 'lvs') or _is_known(view, 'findmnt')):
            failed[view.node.name] = view.lvs
    mistakes, faults = thin_pools.examine(
        settings.pools, reports, failed, settings.limits
    )
    found.mistakes += mistakes
    found.storage += faults
