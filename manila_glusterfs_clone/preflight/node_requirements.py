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
"""Check the programs and the runner of one node."""

from collections.abc import Collection, Iterator, Mapping
import contextlib

from manila_glusterfs_clone import findings
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone import options
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.tools import host

#: The packages of Debian and Ubuntu that contain the programs.
PACKAGES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            'lvs',
            'lvcreate',
            'lvchange',
            'lvextend',
            'lvmconfig',
            'lvremove',
        ),
        'lvm2',
    ),
    **dict.fromkeys(('mkfs.xfs', 'xfs_growfs'), 'xfsprogs'),
    **dict.fromkeys(('mount', 'umount'), 'mount'),
    'gluster': 'glusterfs-cli',
    'systemctl': 'systemd',
}

#: The oldest release of GlusterFS that the driver supports.
_OLDEST_RELEASE = (10, 0)
#: Releases whose glusterd crashes (glusterfs issues 4085 and 4192).
_BROKEN_RELEASES = frozenset({(11, 0)})

Finding = findings.Finding


def find_mistakes(
    settings: options.Settings,
    node_name: str,
    report: host.Report,
    vg_names: Collection[str],
) -> Iterator[Finding]:
    """Return the mistakes in the set-up of a node.

    :param vg_names: the volume groups on the node.
    """

    def finding(kind: str, message: str) -> Finding:
        return Finding(f'node {node_name}', kind, message, node_name)

    if message := _runner_problem(settings, report.greeting, vg_names):
        yield finding('runner', message)
    if missing := report.missing_programs:
        packages = ', '.join(packages_of(missing))
        yield finding(
            'missing',
            f'programs are missing: {", ".join(missing)}; install '
            f'{packages or "them"} on the node (Debian package names)',
        )
    if report.greeting.problem:
        return  # the runner reported nothing else
    if 'gluster' not in missing and (message := _release_problem(report)):
        yield finding('release', message)
    if report.boot_unit not in ('', 'enabled'):
        yield finding('boot unit', boot_unit_problem(settings, report))


def boot_unit_problem(settings: options.Settings, report: host.Report) -> str:
    return (
        f'{node_files.UNIT} is {report.boot_unit or "in an unknown state"} '
        f'instead of enabled, so bricks may not be mounted at boot, and '
        f'glusterd may not start; {installer_remedy(settings)}'
    )


def installer_remedy(settings: options.Settings) -> str:
    """Return the remedy to prepare a node for a back end, with all options."""
    arguments = [
        *(f'--pool={pool}' for pool in settings.pools),
        f'--brick-root={settings.brick_root}',
        f'--user={settings.ssh_user}',
    ]
    return (
        f'{greetings.installer_remedy(" ".join(arguments))} (repeat the '
        f'options for the other back ends on the node)'
    )


def start_problem(
    settings: options.Settings,
    error: greetings.NoRunner | greetings.WrongRelease,
) -> str:
    """Return why the runner is unusable, and the remedy."""
    if isinstance(error, greetings.WrongRelease) and not error.is_too_old:
        return str(error)
    return f'{error.problem}; {installer_remedy(settings)}'


def _runner_problem(
    settings: options.Settings,
    greeting: greetings.Greeting,
    vg_names: Collection[str],
) -> str:
    """Return why the runner does not serve a back end; empty if it does."""
    if greeting.problem:
        return (
            f'the runner cannot use its settings: {greeting.problem}; '
            f'{installer_remedy(settings)}'
        )
    groups = set()
    for pool in settings.pools:
        # The check of the options reports a name that is not valid.
        with contextlib.suppress(names.NotAPoolName):
            groups.add(names.split_pool(pool)[0])
    # Another check reports a volume group that does not exist on the node.
    groups.intersection_update(vg_names)
    missing_groups = sorted(groups - greeting.volume_groups)
    roots = {settings.brick_root}
    roots = {root for root in roots if names.is_plain_path(root)}
    missing_roots = sorted(roots - greeting.brick_roots)
    if not missing_groups and not missing_roots:
        return ''
    denied = [f'volume group {group}' for group in missing_groups]
    denied += [f'brick root {root}' for root in missing_roots]
    return (
        f'the runner does not allow {", ".join(denied)}; '
        f'{installer_remedy(settings)}'
    )


def _release_problem(report: host.Report) -> str:
    """Return why GlusterFS is not supported; empty if it is."""
    if report.release is None:
        return 'GlusterFS release unknown; check "gluster --version" there'
    if report.release in _BROKEN_RELEASES:
        return (
            'GlusterFS {}.{} is not supported, because its glusterd crashes '
            'when it lists snapshots; upgrade the node'.format(*report.release)
        )
    if report.release < _OLDEST_RELEASE:
        return (
            'GlusterFS {}.{} is not supported; upgrade the node to 10.0 or '
            'later'.format(*report.release)
        )
    return ''


def packages_of(programs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the packages of programs; omit unknown programs."""
    return tuple(
        dict.fromkeys(PACKAGES[name] for name in programs if name in PACKAGES)
    )
