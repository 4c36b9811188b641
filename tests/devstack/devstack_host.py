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
"""A host on which DevStack is run: its files, and what its commands did."""

import configparser
import os
from pathlib import Path
import subprocess
import sys

from tests.devstack import sources

ADDRESS = '192.0.2.10'
RUN_PHASES = Path(__file__).with_name('run-phases')
FAKE = Path(__file__).with_name('fake-command')

#: The commands that would change the host, or would need it.
FAKED = (
    'apt-get chown curl dpkg findmnt getent git gluster hostname id install '
    'ip6tables iptables losetup lvcreate lvremove lvs modprobe mysql '
    'openstack pip pvs rabbitmqctl service ssh-keyscan sudo systemctl umount '
    'useradd userdel uwsgi vgchange vgcreate vgremove vgs visudo wget which '
    'zfs zpool'
).split()

_LOCAL_CONF = """\
[[local|localrc]]
DEST={box}/dest
DATA_DIR={box}/dest/data
MANILA_CONF_DIR={box}/host/etc/manila
HOST_IP={address}
SERVICE_HOST={address}
ADMIN_PASSWORD=secret
DATABASE_PASSWORD=secret
RABBIT_PASSWORD=secret
SERVICE_PASSWORD=secret
disable_all_services
enable_service key mysql rabbit tempest
enable_plugin manila https://opendev.org/openstack/manila
{more}
"""
PLUGIN = 'manila-glusterfs-clone'


class DevstackHost:
    """The host, in a directory.

    :param devstack: what to run: see :func:`sources.devstack`.
    :param settings: lines of local.conf.
    """

    def __init__(self, box: Path, devstack: str, *settings: str) -> None:
        self.box = box
        self.root = box / 'host'
        self.state = box / 'state'
        self.data = box / 'dest' / 'data'
        self._top = box / 'devstack'
        sources.devstack(devstack, self._top)
        for directory in (
            *('bin', 'dest', 'state', 'tmp', 'host/home/.ssh'),
            *('host/etc/apache2/sites-available', 'host/etc/manila'),
            *('host/etc/sudoers.d', 'host/etc/systemd/system'),
            'host/usr/local/bin',
        ):
            (box / directory).mkdir(parents=True)
        for name in FAKED:
            (box / 'bin' / name).symlink_to(FAKE)
        requirements = box / 'dest/requirements'
        (requirements / '.venv/bin').mkdir(parents=True)
        (requirements / '.venv/bin/edit-constraints').symlink_to(FAKE)
        (requirements / 'upper-constraints.txt').touch()
        (box / 'dest/manila').symlink_to(sources.manila())
        (box / f'dest/{PLUGIN}').symlink_to(sources.CHECKOUT)
        self.write('backends', 'glusterclone')
        self.configure(*settings)

    def configure(self, *settings: str) -> None:
        """Write local.conf.

        :param settings: lines to add to it.
        """
        enabled = f'enable_plugin {PLUGIN} https://opendev.org/x/{PLUGIN}'
        (self._top / 'local.conf').write_text(
            _LOCAL_CONF.format(
                box=self.box,
                address=ADDRESS,
                more='\n'.join([*settings, enabled]),
            )
        )

    def stack(self) -> None:
        """Run the phases of stack.sh, which must succeed."""
        bin_directory = self.data / 'venv/bin'
        bin_directory.mkdir(parents=True, exist_ok=True)
        for name in ('manila-manage', 'pip', 'python3'):
            if not (bin_directory / name).exists():
                (bin_directory / name).symlink_to(FAKE)
        # What "pip install" makes.
        command = bin_directory / 'manila-glusterfs-clone'
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH={sources.CHECKOUT} exec {sys.executable} '
            f'-m manila_glusterfs_clone.cmd.main "$@"\n'
        )
        command.chmod(0o755)
        self.succeed('stack')

    def succeed(self, mode: str) -> None:
        """Run the phases of one of DevStack's scripts; none may fail."""
        status, output = self.run(mode)
        assert status == 0, f'{mode} ended with {status}: {output[-4000:]}'
        assert self.read('ended') == [mode]
        refused = self.read('refused')
        assert not refused, refused

    def run(self, mode: str) -> tuple[int, str]:
        """Run the phases of one of DevStack's scripts.

        Return the exit status and the output.
        """
        ended = subprocess.run(
            [RUN_PHASES, mode],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={
                'HOME': str(self.root / 'home'),
                'HOST': str(self.root),
                'LC_ALL': 'C.UTF-8',
                'PATH': f'{self.box}/bin:{os.environ["PATH"]}:/usr/sbin:/sbin',
                'STATE': str(self.state),
                'TMPDIR': str(self.box / 'tmp'),
                'TOP_DIR': str(self._top),
                'USER': 'stack',
            },
        )
        (self.box / f'{mode}.log').write_text(ended.stdout)
        return ended.returncode, ended.stdout

    def read(self, name: str) -> list[str]:
        """Return the lines of a file of the faked commands' state."""
        path = self.state / name
        return path.read_text().splitlines() if path.exists() else []

    def write(self, name: str, *lines: str) -> None:
        """Write a file of the faked commands' state."""
        text = ''.join(f'{line}\n' for line in lines)
        (self.state / name).write_text(text)

    def commands(self, name: str) -> list[str]:
        """Return the arguments of each call of a faked command."""
        return [
            line[len(name) + 1 :]
            for line in self.read('journal')
            if line.startswith(f'{name} ')
        ]

    def cluster_calls(self) -> list[str]:
        """Return the calls that make a cluster."""
        return [
            line
            for name in ('losetup', 'vgcreate', 'lvcreate', 'useradd')
            for line in self.commands(name)
            if not line.startswith('-j')
        ]

    @property
    def manila_conf(self) -> Path:
        return self.root / 'etc/manila/manila.conf'

    def tempest(self) -> dict[str, str]:
        """Return the section ``[share]`` of tempest.conf."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.box / 'dest/tempest/etc/tempest.conf')
        return dict(parser['share'])

    def files(self) -> set[str]:
        """Return the files and directories below the host's root."""
        return {
            str(path.relative_to(self.root)) for path in self.root.rglob('*')
        }
