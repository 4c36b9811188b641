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
"""A program: the DevStack plugin on a real host, which has device-mapper.

Arguments: the release of GlusterFS, and a directory for files.

The host is a guest of the lab. It has no OpenStack: the commands in
:data:`ABSENT` are faked there, and the driver runs here, with the back end
section that the plugin wrote there. Everything else is real.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from importlib import metadata
import pathlib
import sys
from typing import Any

from packaging import requirements
from packaging import utils

from manila_glusterfs_clone import node as node_files
from tests.devstack import sources
from tests.functional import manila_stand_in
from tests import lab as lab_module

BACKEND = 'glusterclone'
POOL = 'glusterclone/pool'
STACK = '/opt/stack'
FAKES = f'{STACK}/bin'
STATE = f'{STACK}/state'
CONF_DIR = '/etc/manila'

#: The commands of services and networks that a guest does not have.
ABSENT = (
    'apt-get curl git ip6tables iptables mysql openstack pip rabbitmqctl '
    'service uwsgi wget zfs zpool'
).split()

_LOCAL_CONF = """\
[[local|localrc]]
DEST={stack}
DATA_DIR={stack}/data
HOST_IP={address}
SERVICE_HOST={address}
ADMIN_PASSWORD=secret
DATABASE_PASSWORD=secret
RABBIT_PASSWORD=secret
SERVICE_PASSWORD=secret
disable_all_services
enable_service key mysql rabbit
GLUSTERFS_CLONE_LOOP_SIZE=12G
enable_plugin manila https://opendev.org/openstack/manila
enable_plugin manila-glusterfs-clone \
https://opendev.org/x/manila-glusterfs-clone
"""

#: A user as DevStack asks for, whose sudo finds the fakes.
_SUDOERS = f"""\
stack ALL=(ALL) NOPASSWD: ALL
Defaults:stack secure_path="{FAKES}:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults:stack env_keep+="STATE"
"""

#: What the guest has no service for; the stand-in for DevStack starts these.
_SERVICE = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""

#: What "pip install" makes: the command, and the libraries that it imports.
_COMMAND = f"""\
#!/bin/sh
PYTHONPATH={STACK}/manila-glusterfs-clone:{STACK}/libraries exec python3 \
-m manila_glusterfs_clone.cmd.main "$@"
"""
_LIBRARIES = ('cliff', 'oslo.config')

#: The state of a host, as lines. Left out: what LVM, useradd and userdel keep
#: of former versions, and what Manila's own plugin leaves.
_LIST_STATE = """\
echo "VGs:"; vgs --noheadings -o vg_name,pv_name
echo "LVs:"; lvs -a --noheadings -o lv_full_name
echo "device-mapper:"; dmsetup ls | sort
echo "loop devices:"; losetup -a
echo "mounts:"; findmnt -rn -o SOURCE,TARGET | sort
echo "gluster:"; cd /var/lib/glusterd; ls -d vols/* snaps/* 2>/dev/null || :
echo "mount points:"; ls -A /run/gluster/snaps 2>/dev/null || :
echo "enabled:"; systemctl list-unit-files --no-legend --state enabled
echo "users:"; getent passwd; getent group
echo "processes:"; ps -e -o user=,comm= | grep manila || :
echo "files:"
find /etc /home /srv /usr/local \\( -path /etc/lvm/archive \
-o -path /etc/lvm/backup -o -name 'passwd-' -o -name 'group-' \
-o -name 'shadow-' -o -name 'gshadow-' -o -path /usr/local/bin/manila \
-o -path /etc/sudoers.d/manila-rootwrap \\) -prune \
-o -printf '%y %m %u %p %l\\n' -type f -exec sha256sum {} + | sort
"""


class Host:
    """A guest on which DevStack's phases are run, as user ``stack``."""

    def __init__(self, node: lab_module.StorageNode) -> None:
        self.node = node

    def prepare(self) -> None:
        """Make a guest what it is before DevStack: no storage node."""
        node = self.node
        node.remove_boot_unit()
        node.stop_glusterd()
        node.succeed(
            f'rm -r {pathlib.PurePath(node_files.RUNNER_PATH).parent} '
            f'{pathlib.PurePath(node_files.SETTINGS_PATH).parent} '
            f'{node_files.SUDOERS_PATH}; userdel -r manila 2>&1; '
            # The guest's filter has only the disks of the lab.
            f"sed -i 's#global_filter = .#& \"a|^/dev/loop|\",#' "
            f'/etc/lvm/lvmlocal.conf; '
            f'useradd --home-dir {STACK} --create-home --shell /bin/bash '
            f'stack'
        )
        node.put(_SUDOERS, '/etc/sudoers.d/stack', 0o440)
        node.put(_SERVICE, '/etc/systemd/system/devstack@.service')
        node.put_files(dict(self._files()))
        node.succeed(
            f'mkdir -p {STATE} {FAKES}; cd {FAKES}; '
            f'for name in {" ".join(ABSENT)}; '
            f'do ln -s fake-command $name; done; '
            f'echo {BACKEND} >{STATE}/backends; touch {STATE}/journal; '
            f'chown -R stack: {STACK}; systemctl daemon-reload'
        )
        self.load_modules()

    def load_modules(self) -> None:
        """Load what a guest does not load at boot."""
        self.node.succeed('modprobe loop; udevadm settle')

    def _files(self) -> Iterator[tuple[str, tuple[bytes, int]]]:
        """Return the files to put on the host."""
        devstack = sources.CHECKOUT / 'tests/devstack'
        checkout = f'{STACK}/manila-glusterfs-clone'
        for source, target in (
            (sources.CHECKOUT / 'devstack', f'{checkout}/devstack'),
            (sources.CHECKOUT / 'setup.cfg', f'{checkout}/setup.cfg'),
            (
                sources.CHECKOUT / 'manila_glusterfs_clone',
                f'{checkout}/manila_glusterfs_clone',
            ),
            (sources.manila(), f'{STACK}/manila'),
            (devstack / 'stand_in', f'{STACK}/devstack'),
            (devstack / 'run-phases', f'{STACK}/run-phases'),
            (devstack / 'fake-command', f'{FAKES}/fake-command'),
        ):
            for path in [source, *sorted(source.rglob('*'))]:
                if path.is_file() and path.suffix != '.pyc':
                    name = str(path.relative_to(source))
                    yield (
                        f'{target}/{name}' if name != '.' else target,
                        (path.read_bytes(), path.stat().st_mode & 0o777),
                    )
        for name, content in _library_files(_LIBRARIES):
            yield f'{STACK}/libraries/{name}', (content, 0o644)
        text = _LOCAL_CONF.format(stack=STACK, address=self.node.address)
        yield f'{STACK}/devstack/local.conf', (text.encode(), 0o644)

    def run(self, mode: str) -> str:
        """Run the phases of one of DevStack's scripts; return the output."""
        if mode == 'stack':
            where = f'{STACK}/data/venv/bin'
            self.node.put(_COMMAND, f'{where}/manila-glusterfs-clone', 0o755)
            self.node.succeed(
                f'ln -sf {FAKES}/fake-command {where}/manila-manage; '
                f'chown -R stack: {STACK}/data'
            )
        done = self.node.execute(
            f'su - stack -c "env STATE={STATE} USER=stack '
            f'TOP_DIR={STACK}/devstack PATH={FAKES}:/usr/sbin:/usr/bin '
            f'{STACK}/run-phases {mode}" </dev/null 2>&1',
            timeout=300,
        )
        ended = self.node.succeed(f'cat {STATE}/ended || :').strip()
        assert (done.status, ended) == (0, mode), done.out[-6000:]
        return done.out

    def state(self) -> list[str]:
        return self.node.succeed(_LIST_STATE).splitlines()

    def open_driver(self, directory: pathlib.Path) -> Any:
        """Return the driver of the section that the plugin wrote."""
        directory.mkdir(exist_ok=True)
        for name in ('glusterfs_clone_key', 'glusterfs_clone_known_hosts'):
            path = directory / name
            path.touch(0o600)
            path.write_text(self.node.succeed(f'cat {CONF_DIR}/{name}'))
        conf = directory / 'manila.conf'
        text = self.node.succeed(f'cat {CONF_DIR}/manila.conf')
        # The same file, for a manila-share that runs here.
        for there in (CONF_DIR, STACK):
            text = text.replace(f'{there}/', f'{directory}/')
        conf.write_text(text)
        driver = manila_stand_in.open_driver(
            # There is no database here to compare the cluster with.
            *(str(conf), BACKEND),
            glusterfs_clone_reconcile_interval=0,
        )
        driver.check_for_setup_error()
        return driver


def _library_files(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Return the files of installed libraries, and of what they require."""
    waiting, found = [*names], set()
    while waiting:
        name = utils.canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        library = metadata.distribution(name)
        for requirement in map(
            requirements.Requirement, library.requires or ()
        ):
            if not requirement.marker or requirement.marker.evaluate():
                waiting.append(requirement.name)
        for file in library.files or ():
            path = pathlib.Path(str(library.locate_file(file)))
            if '..' not in file.parts and path.suffix != '.pyc':
                yield str(file), path.read_bytes()


def use(
    lab: lab_module.Lab, driver: Any
) -> tuple[manila_stand_in.ManilaStandIn, list[Any]]:
    """Make a share, a snapshot and a clone, and read the clone."""
    manila = manila_stand_in.ManilaStandIn(driver, BACKEND)
    client = lab.client('c1')
    share = manila.create(1, POOL)
    manila.allow(share, client.address, kind='ip')
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    client.write_tree('/mnt/share', 10, 10, seed=1)
    client.succeed('sync -f /mnt/share')
    wanted = client.checksum_tree('/mnt/share')
    client.umount('/mnt/share')
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot, 2)
    manila.allow(clone, client.address, kind='ip')
    client.mount(clone.host, clone.volume, '/mnt/clone', clone.options)
    assert client.checksum_tree('/mnt/clone') == wanted
    client.umount('/mnt/clone')
    return manila, [clone, snapshot, share]


def assert_packages(node: lab_module.StorageNode) -> None:
    """Verify that the plugin asks for packages that Debian has."""
    wanted = ''.join(
        line
        for line in node.succeed(f'cat {STATE}/journal').splitlines()
        if line.startswith('apt-get ') and 'glusterfs-server' in line
    ).partition(' install ')[2]
    assert wanted
    node.succeed(f'dpkg-query -W {wanted}')


def assert_same(before: list[str], after: list[str]) -> None:
    gone = [line for line in before if line not in after]
    added = [line for line in after if line not in before]
    assert before == after, '\n'.join(['gone:', *gone, 'added:', *added])


def main() -> None:
    """Bring a lab up, and run stack, unstack and clean on its node."""
    release, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    # The host's own network is out of reach later.
    sources.manila()
    with lab_module.Lab(release, nodes=1, clients=1) as lab:
        lab.enter()
        live(lab, directory)


def live(lab: lab_module.Lab, directory: pathlib.Path) -> None:
    """Run the phases on the node of a lab."""
    node = lab.nodes[0]
    host = Host(node)
    host.prepare()
    bare = host.state()

    host.run('stack')
    assert_packages(node)
    node.unit_is('glusterd')
    driver = host.open_driver(directory / 'first')
    manila, made = use(lab, driver)
    for thing in made:
        manila.delete(thing)
    driver._services.close()
    lvs = node.succeed('lvs --noheadings -o lv_name glusterclone').split()
    assert lvs == ['pool']
    stacked = host.state()

    # unstack.sh while there are shares; clones too, whose origins are gone.
    driver = host.open_driver(directory / 'second')
    use(lab, driver)
    manila, (_clone, snapshot, share) = use(lab, driver)
    manila.delete(snapshot, share)
    driver._services.close()
    for _ in range(2):
        host.run('unstack')
        node.unit_is('glusterd', 'inactive')
        assert_same(stacked, host.state())

    # A reboot detaches the disk below bricks, and starts glusterd.
    host.run('stack')
    driver = host.open_driver(directory / 'third')
    use(lab, driver)
    manila, (_clone, snapshot, share) = use(lab, driver)
    manila.delete(snapshot, share)
    driver._services.close()
    node.succeed('sync')
    node.crash()
    node.boot(expect_glusterd=False)
    host.load_modules()
    for _ in range(2):
        host.run('clean')
        assert_same(bare, host.state())


if __name__ == '__main__':
    main()
