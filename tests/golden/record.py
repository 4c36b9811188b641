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
"""Record the output of real tools, which unit tests parse.

``python3 -m tests.golden.record NAME`` runs the life of a volume, a snapshot
and a clone on the running lab of that name. It writes the output of each
command to ``tests/golden/<release>/<step>``. The lab should be fresh, with
three storage nodes. It is left as it was.
"""

from collections.abc import Callable
import pathlib
import shlex
import sys

from manila_glusterfs_clone.node.runner import verbs

#: Has a script run on a node; gives status, stdout and stderr.
Execute = Callable[[str], tuple[int, str, str]]

HERE = pathlib.Path(__file__).parent

_LVS = shlex.join(verbs.list_lvs([]))
_MOUNT = '/srv/golden/manila-golden'
_BRICKS = ' '.join(f'gl{n}:{_MOUNT}/brick' for n in (1, 2, 3))

#: What is recorded: a name, and a gluster command or, with ``!``, another.
STEPS: tuple[tuple[str, str], ...] = (
    ('version', '!gluster --version'),
    ('pool-list', 'pool list'),
    ('volume-list-none', 'volume list'),
    ('volume-info-none', 'volume info'),
    ('volume-info-missing', 'volume info nosuch'),
    ('snapshot-info-none', 'snapshot info'),
    ('snapshot-info-missing', 'snapshot info nosuch'),
    ('snapshot-config', 'snapshot config'),
    ('', 'make bricks'),
    ('volume-create', f'volume create golden replica 3 {_BRICKS}'),
    ('volume-create-exists', f'volume create golden replica 3 {_BRICKS}'),
    ('volume-info-created', 'volume info golden'),
    (
        'volume-set',
        'volume set golden auth.allow 0.0.0.0 user.manila.share u1',
    ),
    ('volume-set-refused', 'volume set golden no.such-option 1'),
    ('volume-reset', 'volume reset golden auth.allow'),
    ('volume-reset-unset', 'volume reset golden auth.reject'),
    ('volume-status-stopped', 'volume status golden'),
    ('volume-heal-stopped', 'volume heal golden'),
    ('volume-heal-missing', 'volume heal nosuch'),
    ('volume-start', 'volume start golden'),
    ('volume-start-again', 'volume start golden'),
    ('', '!sleep 3'),
    ('volume-info', 'volume info golden'),
    ('volume-status', 'volume status golden'),
    ('volume-status-clients', 'volume status golden clients'),
    ('volume-heal-summary', 'volume heal golden info summary'),
    ('volume-heal', 'volume heal golden'),
    ('', 'kill a brick'),
    ('', '!sleep 3'),
    ('volume-heal-brick-down', 'volume heal golden'),
    ('volume-heal-summary-brick-down', 'volume heal golden info summary'),
    ('', 'volume start golden force'),
    ('', '!sleep 3'),
    ('', 'snapshot config golden snap-max-hard-limit 2'),
    ('snapshot-config-volume', 'snapshot config golden'),
    ('', 'snapshot config golden snap-max-hard-limit 256'),
    (
        'snapshot-create',
        'snapshot create golden-snap golden no-timestamp',
    ),
    (
        'snapshot-create-exists',
        'snapshot create golden-snap golden no-timestamp',
    ),
    ('snapshot-info', 'snapshot info'),
    ('snapshot-info-one', 'snapshot info golden-snap'),
    ('snapshot-clone-inactive', 'snapshot clone golden-clone golden-snap'),
    ('snapshot-clone-missing', 'snapshot clone golden-clone nosuch'),
    ('snapshot-activate', 'snapshot activate golden-snap'),
    ('snapshot-activate-again', 'snapshot activate golden-snap'),
    ('snapshot-info-active', 'snapshot info golden-snap'),
    ('snapshot-clone', 'snapshot clone golden-clone golden-snap'),
    ('snapshot-clone-exists', 'snapshot clone golden-clone golden-snap'),
    ('snapshot-deactivate', 'snapshot deactivate golden-snap'),
    ('snapshot-deactivate-again', 'snapshot deactivate golden-snap'),
    ('volume-info-clone', 'volume info golden-clone'),
    ('volume-set-clone', 'volume set golden-clone auth.allow 0.0.0.0'),
    ('volume-profile-start', 'volume profile golden-clone start'),
    ('volume-profile-start-again', 'volume profile golden-clone start'),
    ('volume-profile-stop', 'volume profile golden-clone stop'),
    ('volume-profile-stop-again', 'volume profile golden-clone stop'),
    (
        'volume-set-clone-profiled',
        'volume set golden-clone auth.allow 0.0.0.0',
    ),
    ('volume-info-all', 'volume info'),
    ('volume-list', 'volume list'),
    ('lvs', f'!{_LVS}'),
    ('lvs-no-such-tag', f'!{_LVS} @no.such'),
    ('lvs-no-such-lv', f'!{_LVS} gvg/nosuch'),
    ('lvmconfig', f'!{shlex.join(verbs.lvm_settings(""))}'),
    (
        'lvmconfig-no-such-profile',
        f'!{shlex.join(verbs.lvm_settings("nosuch"))}',
    ),
    ('', 'make a profile'),
    ('lvmconfig-profile', f'!{shlex.join(verbs.lvm_settings("golden"))}'),
    (
        'lvcreate-exists',
        '!lvcreate --yes --type=thin --virtualsize=1g --thinpool=pool '
        '--name=manila-golden gvg',
    ),
    ('lvremove-in-use', '!lvremove --force --yes gvg/manila-golden'),
    ('umount-busy', f'!cd {_MOUNT} && umount {_MOUNT}'),
    ('volume-start-clone', 'volume start golden-clone'),
    ('volume-delete-started', 'volume delete golden-clone'),
    ('volume-stop', 'volume stop golden-clone force'),
    ('volume-stop-again', 'volume stop golden-clone force'),
    ('volume-stop-missing', 'volume stop nosuch force'),
    ('volume-delete', 'volume delete golden-clone'),
    ('volume-delete-missing', 'volume delete nosuch'),
    ('volume-reset-all', 'volume reset golden'),
    ('volume-info-reset', 'volume info golden'),
    ('', f'volume create golden-one gl2:{_MOUNT}/one'),
    ('', 'volume start golden-one'),
    ('', '!sleep 3'),
    ('volume-status-one', 'volume status golden-one'),
    ('volume-status-clients-one', 'volume status golden-one clients'),
    ('', 'volume stop golden-one force'),
    ('', 'volume delete golden-one'),
    ('', 'volume stop golden force'),
    ('volume-delete-snapshots', 'volume delete golden'),
    ('snapshot-delete', 'snapshot delete golden-snap'),
    ('snapshot-delete-missing', 'snapshot delete golden-snap'),
    ('', 'volume start golden'),
    ('', '!sleep 3'),
    ('', 'snapshot create golden-other golden no-timestamp'),
    ('snapshot-restore-started', 'snapshot restore golden-other'),
    ('', 'volume stop golden force'),
    ('snapshot-restore-missing', 'snapshot restore nosuch'),
    ('snapshot-restore', 'snapshot restore golden-other'),
    ('volume-info-restored', 'volume info golden'),
    ('snapshot-info-restored', 'snapshot info'),
    ('', 'volume delete golden'),
    ('volume-unknown-command', 'volume nosuch'),
)

#: The settings of LVM in the profile, and how to make it.
PROFILE = {
    'thin_pool_autoextend_threshold': 77,
    'thin_pool_autoextend_percent': 30,
}
_PROFILE_PATH = '/etc/lvm/profile/golden.profile'
_MAKE_PROFILE = (
    'echo "activation {'
    + ''.join(f' {name}={value}' for name, value in PROFILE.items())
    + f' }}" >{_PROFILE_PATH}'
)
_MAKE = (
    'lvcreate --yes --type=thin --virtualsize=1g --thinpool=pool '
    '--name=manila-golden --addtag=manila.brick --addtag=manila.share=u1 '
    f'--addtag=manila.mount={_MOUNT} gvg && '
    f'mkfs.xfs -q -K -i size=512 /dev/gvg/manila-golden && '
    f'mkdir -p {_MOUNT} && '
    f'mount -o nouuid,noatime /dev/gvg/manila-golden {_MOUNT}'
)
_UNMAKE = (
    'for t in $(findmnt -rno TARGET -t xfs | grep -E "/srv/golden|snaps"); '
    'do umount $t; done; sleep 1; '
    'lvs --noheadings -o lv_full_name -S pool_lv=pool '
    '| xargs -r lvremove -fy; '
    f'rm -rf {_PROFILE_PATH} /srv/golden '
    '/run/gluster/vols/golden* /run/gluster/shd/golden* '
    '/run/gluster/snaps/*'
)


def record(nodes: dict[str, Execute], directory: pathlib.Path) -> None:
    """Walk through :data:`STEPS` and write what was printed.

    :param nodes: how to have a script run, by the name of the node.
    """
    first = nodes['gl1']
    directory.mkdir(parents=True, exist_ok=True)
    for name, command in STEPS:
        if command == 'make bricks':
            for execute in nodes.values():
                status, out, err = execute(_MAKE)
                if status:
                    raise RuntimeError(out + err)
            continue
        if command == 'make a profile':
            first(_MAKE_PROFILE)
            continue
        if command == 'kill a brick':
            first("kill -9 $(pgrep -f '[g]lusterfsd.*golden')")
            continue
        shown = (
            command[1:]
            if command.startswith('!')
            else f'gluster --mode=script --xml {command}'
        )
        status, out, err = first(shown)
        if name:
            (directory / name).write_text(
                f'$ {shown}\n[status {status}]\n[stdout]\n{out}[stderr]\n{err}'
            )
    for execute in nodes.values():
        execute(_UNMAKE)


def main() -> None:
    """Record from the lab that is named on the command line."""
    from tests import lab

    running = lab.Lab.attach(sys.argv[1])

    def on(node: lab.Machine) -> Execute:
        def execute(script: str) -> tuple[int, str, str]:
            done = node.execute(script)
            return done.status, done.out, done.err

        return execute

    record(
        {node.name: on(node) for node in running.nodes},
        HERE / running.release,
    )


if __name__ == '__main__':
    main()
