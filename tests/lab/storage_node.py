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
"""A storage node: glusterd, thin pools, and the operator's set-up."""

from pathlib import Path
import re
import time

from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options
from tests.lab import disks
from tests.lab.errors import LabError, Unexpected
from tests.lab.machine import Machine

#: The files that the project ships for its storage nodes.
SHIPPED = Path(__file__).parents[2] / 'manila_glusterfs_clone' / 'node'

BOOT_SCRIPT = '/usr/local/lib/manila-glusterfs-clone/mount-bricks'
BOOT_UNIT = 'manila-glusterfs-clone-bricks.service'
DROP_IN = '/etc/systemd/system/glusterd.service.d/manila-glusterfs-clone.conf'


def offline_bricks(said: str) -> list[str]:
    """Return the bricks that are not online in ``volume status all detail``.

    It says ``Brick : Brick NODE:PATH``, and later ``Online : Y`` or ``N``,
    with spaces before the colon.
    """
    found = []
    brick = ''
    for line in said.splitlines():
        key, _, value = (word.strip() for word in line.partition(' : '))
        if key == 'Brick':
            brick = value
        elif key == 'Online' and value != 'Y':
            found.append(f'{brick} is not online')
    return found


class StorageNode(Machine):
    """A guest that holds bricks."""

    # -- power

    def boot(self, *, expect_glusterd: bool = True) -> None:
        """Switch the node on and wait until it is ready.

        :param expect_glusterd: whether it is Unexpected that glusterd does
            not run in the end.
        """
        super().boot()
        if expect_glusterd:
            self.unit_is('glusterd')

    # -- glusterd

    def start_glusterd(self) -> None:
        """Start glusterd, even for the seventh time within an hour.

        systemd does not start the unit more often without a reset.
        """
        self.succeed(
            'systemctl reset-failed glusterd || :; systemctl start glusterd',
            timeout=120,
        )

    def stop_glusterd(self) -> None:
        """Stop glusterd as Debian's unit does: its bricks end with it."""
        self.succeed('systemctl stop glusterd', timeout=120)

    def kill_glusterd(self) -> None:
        """Kill glusterd at once, in the middle of its work.

        systemd then ends what is left in its control group, bricks too, and
        starts it again after a minute, if :meth:`start_glusterd` does not.
        """
        self.succeed('kill -9 $(cat /run/glusterd.pid)')

    def gluster(self, command: str, timeout: float = 130) -> str:
        """Run one command of the gluster CLI that must succeed."""
        return self.succeed(f'gluster --mode=script {command}', timeout)

    def connected_peers(self) -> int:
        """Return how many nodes this one lists as connected, with itself."""
        said = self.succeed('gluster --mode=script pool list')
        return len(re.findall(r'\bConnected\b', said))

    def wait_for_bricks(self, timeout: float = 120) -> list[str]:
        """Wait until gluster lists every brick of started volumes as online.

        :param timeout: seconds.
        :return: in the end: the bricks that are not, and why gluster does
            not tell if it does not.
        """
        deadline = time.monotonic() + timeout
        while True:
            done = self.execute(
                'gluster --mode=script volume status all detail',
                max(5.0, deadline - time.monotonic()),
            )
            down = offline_bricks(done.out)
            if done.status != 0:
                why = ' '.join((done.err or done.out).split()) or 'no answer'
                down.append(f'{self.name}: gluster volume status: {why}')
            if not down or time.monotonic() > deadline:
                return down
            time.sleep(1)

    # -- the operator's set-up

    def install_runner(self) -> None:
        """Install the runner, and allow the user manila to start it."""
        program = archive.build(archive.sources())
        settings = node_files.settings(
            [options.DEFAULT_BRICK_ROOT], ['gvg', 'tight']
        )
        # What runs keeps the old file.
        self.put_files(
            {
                f'{node_files.RUNNER_PATH}.new': (
                    b'#!/usr/bin/python3 -IS\n' + program,
                    0o755,
                ),
                node_files.SETTINGS_PATH: (settings, 0o644),
                node_files.SUDOERS_PATH: (node_files.sudoers('manila'), 0o440),
            }
        )
        path = node_files.RUNNER_PATH
        self.succeed(f'mv -f {path}.new {path}; sync -f /etc /usr/local')
        done = self.execute('visudo -c')
        if done.status != 0:
            raise LabError(f'sudo does not accept the rule: {done.err}')

    def install_boot_unit(self) -> None:
        """Install the service that mounts bricks before glusterd starts."""
        script, unit = SHIPPED / 'mount-bricks', SHIPPED / BOOT_UNIT
        drop_in = SHIPPED / 'glusterd.conf'
        if not (script.exists() and unit.exists() and drop_in.exists()):
            return
        self.put_files(
            {
                BOOT_SCRIPT: (script.read_bytes(), 0o755),
                f'/etc/systemd/system/{BOOT_UNIT}': (unit.read_bytes(), 0o644),
                DROP_IN: (drop_in.read_bytes(), 0o644),
            }
        )
        # It must outlive a power cut one second later.
        self.succeed(
            f'systemctl daemon-reload; systemctl -q enable {BOOT_UNIT}; '
            f'sync -f /etc'
        )

    def remove_boot_unit(self) -> None:
        """Undo :meth:`install_boot_unit`, if it was installed."""
        self.succeed(
            f'systemctl -q disable {BOOT_UNIT} 2>/dev/null || :; '
            f'rm -f {BOOT_SCRIPT} /etc/systemd/system/{BOOT_UNIT} {DROP_IN}; '
            f'systemctl daemon-reload; systemctl reset-failed; sync -f /etc'
        )

    # -- the disk below VG gvg

    def slow_disk(self, milliseconds: int) -> None:
        """Delay every request to the disk."""
        self.succeed(disks.table('delay', milliseconds))

    def fail_disk(self) -> None:
        """Make every request to the disk end in an I/O error.

        File systems and pools on it may need a reboot after the healing.
        """
        self.succeed(disks.table('error'))

    def flaky_disk(self, up: int, down: int) -> None:
        """Make the disk work for *up* and fail for *down* seconds, in turn."""
        self.succeed(disks.table('flakey', up, down))

    def heal_disk(self) -> None:
        """Undo slow_disk, fail_disk and flaky_disk."""
        self.succeed(disks.linear())

    # -- thin pools

    def fill_pool(
        self, pool: str = 'tight/pool', percent: float = 100
    ) -> None:
        """Fill a pool's data up to a percentage, as another tenant would.

        Nothing is written past it, so that the pool stays well until
        someone else wants a chunk.
        """
        self.succeed(disks.fill(pool, percent), timeout=300)

    def drain_pool(self, pool: str = 'tight/pool') -> None:
        """Undo :meth:`fill_pool`."""
        self.succeed(disks.drain(pool), timeout=120)

    def fill_pool_metadata(
        self, pool: str = 'tight/pool', percent: float = 95
    ) -> None:
        """Fill a pool's metadata up to a percentage, at most 99.

        A pool whose metadata is quite full goes read-only and asks for a
        repair, which :meth:`drain_pool_metadata` is not.
        """
        if not 0 <= percent <= 99:
            raise ValueError(f'{percent} is not from 0 to 99')
        self.succeed(disks.fill_metadata(pool, percent), timeout=120)

    def drain_pool_metadata(self, pool: str = 'tight/pool') -> None:
        """Undo :meth:`fill_pool_metadata`."""
        self.succeed(disks.fill_metadata(pool, -1), timeout=120)

    def set_autoextend_threshold(self, percent: int) -> None:
        """Set above which usage LVM creates no thin LV; 100 for no limit."""
        name = 'thin_pool_autoextend_threshold'
        self.succeed(
            f"sed -i 's/\\({name}\\) = .*/\\1 = {percent}/' "
            f'/etc/lvm/lvmlocal.conf'
        )

    def pool_usage(self, pool: str) -> tuple[float, float]:
        """Return how full a pool's data and metadata are, in percent."""
        said = self.succeed(
            f'lvs --noheadings -o data_percent,metadata_percent {pool}'
        )
        try:
            data, metadata = (float(word) for word in said.split())
        except ValueError:
            raise Unexpected(
                f'{pool} on {self.name} does not say how full it is: {said}'
            ) from None
        return data, metadata
