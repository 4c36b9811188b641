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
"""What is in an image: packages, files, units.

Raise :data:`VERSION` when something changes here that :func:`identity`
does not see; everything else makes a new image by itself.
"""

from collections.abc import Iterator
from pathlib import Path
import shutil

from tests.lab import host

VERSION = '2'

#: Which Debian suite brings which release of GlusterFS.
SUITES = {'10.3': 'bookworm', '11.1': 'trixie'}

PACKAGES = (
    'attr',
    'dmsetup',
    'glusterfs-client',
    'glusterfs-server',
    'iproute2',
    'kmod',
    'lvm2',
    'openssh-server',
    'openssl',
    'procps',
    'python3',
    'sudo',
    'systemd-sysv',
    'thin-provisioning-tools',
    'udev',
    'util-linux',
    'xfsprogs',
)

#: Programs that a node can use in place of others; see tests/lab/dresses.py.
ALTERNATIVES = {
    'bookworm': ('busybox', 'rust-coreutils', 'tcsh'),
    'trixie': ('busybox', 'rust-coreutils', 'sudo-rs', 'tcsh'),
}

#: Files of packages that no guest needs.
EXCLUDED = (
    '/usr/share/man/*',
    '/usr/share/doc/*',
    '/usr/share/locale/*',
    '/usr/share/info/*',
)

ROOT_BYTES = 3 << 30
LABDISK_BYTES = 24 << 30
TIGHTDISK_BYTES = 3200 << 20

#: The files that go into an image.
GUEST = Path(__file__).parent / 'guest'
LIBRARY = Path('usr/local/lib/lab')

ENABLED = ('lab-seed', 'lab-disks', 'glusterd', 'ssh')

#: Starting a process is slow in these guests, so units that a test cluster
#: does not need are not started.
MASKED = (
    'apt-daily-upgrade.timer',
    'apt-daily.timer',
    'blk-availability.service',
    'console-getty.service',
    'dev-hugepages.mount',
    'dev-mqueue.mount',
    'dm-event.socket',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
    'fstrim.timer',
    'getty-static.service',
    'getty.target',
    'getty@tty1.service',
    'kmod-static-nodes.service',
    'lvm2-lvmpolld.socket',
    'lvm2-monitor.service',
    'proc-sys-fs-binfmt_misc.automount',
    'sys-kernel-config.mount',
    'sys-kernel-debug.mount',
    'sys-kernel-tracing.mount',
    'systemd-ask-password-console.path',
    'systemd-ask-password-wall.path',
    'systemd-binfmt.service',
    'systemd-firstboot.service',
    'systemd-hwdb-update.service',
    'systemd-journal-flush.service',
    'systemd-logind.service',
    'systemd-modules-load.service',
    'systemd-pcrlock-make-policy.service',
    'systemd-pstore.service',
    'systemd-random-seed.service',
    'systemd-repart.service',
    'systemd-resolved.service',
    'systemd-sysusers.service',
    'systemd-tmpfiles-clean.timer',
    'systemd-update-utmp-runlevel.service',
    'systemd-update-utmp.service',
    'tmp.mount',
)

_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
UseDNS no
UsePAM no
# The lab's own logins share one connection; those of the code under test
# find sshd's defaults.
Match User root
    MaxSessions 500
"""

#: Additions to units of Debian's.
_DROP_INS = {
    # There are some 600 ttys and the like in a guest, and nothing asks udev
    # about them.
    'systemd-udev-trigger.service': """\
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --subsystem-match=block \
--subsystem-match=net --subsystem-match=misc --subsystem-match=mem
""",
    'glusterd.service': """\
[Unit]
ConditionKernelCommandLine=lab.role=storage
""",
}


def identity() -> Iterator[str]:
    """Return the texts that define the result of this recipe."""
    yield VERSION
    yield ' '.join(PACKAGES + EXCLUDED)
    yield f'{ALTERNATIVES}'
    yield ' '.join(ENABLED + MASKED)
    yield f'{_SSHD} {_DROP_INS}'
    yield f'{ROOT_BYTES} {LABDISK_BYTES} {TIGHTDISK_BYTES}'
    for path in sorted(GUEST.iterdir()):
        if path.is_file():
            yield f'{path.name} {path.read_text()}'


def customise(root: Path) -> None:
    """Turn a fresh Debian tree into the tree of a guest."""
    library = root / LIBRARY
    library.mkdir(parents=True)
    for path in GUEST.iterdir():
        if path.suffix == '.service':
            shutil.copy(path, root / 'etc/systemd/system')
        elif path.suffix == '.conf':
            shutil.copy(path, root / 'etc/lvm')
        elif path.is_file():
            shutil.copy(path, library)
            (library / path.name).chmod(0o755)

    (root / 'etc/ssh/sshd_config.d/lab.conf').write_text(_SSHD)
    for key in root.glob('etc/ssh/ssh_host_*'):
        key.unlink()
    for unit, text in _DROP_INS.items():
        directory = root / 'etc/systemd/system' / f'{unit}.d'
        directory.mkdir()
        (directory / 'lab.conf').write_text(text)
    # gluster finds a brick's device in here.
    mtab = root / 'etc/mtab'
    mtab.unlink(missing_ok=True)
    mtab.symlink_to('../proc/self/mounts')
    # Every start of glusterd runs this about ten times, for geo-replication,
    # which takes a guest 20 s; without it glusterd does without.
    for path in root.glob('usr/**/glusterfs/gsyncd'):
        path.unlink()
    (root / 'etc/resolv.conf').unlink(missing_ok=True)
    (root / 'etc/machine-id').write_text('')
    for path in root.glob('etc/apt/sources.list.d/*'):
        path.unlink()

    # '*': no password, and yet not a locked account. Its shell is the one
    # that is started with the least effort.
    host.run(
        [
            *('chroot', str(root), 'useradd', '--create-home'),
            *('--uid', '1000', '--shell', '/bin/sh'),
            *('--password', '*', 'manila'),
        ]
    )
    _units(root, 'enable', ENABLED)
    _units(root, 'mask', MASKED)


def _units(root: Path, verb: str, units: tuple[str, ...]) -> None:
    host.run(['chroot', str(root), 'systemctl', '--quiet', verb, *units])
