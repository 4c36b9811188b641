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
"""The bare commands of each operation, as an operator would type them.

They check nothing and clean up after no failure. They wait only until a denied
client is disconnected. All of them are typed as root: gluster commands on the
first node, LVM commands on all nodes at the same time.
"""

import re

from tests import lab as lab_module
from tests.lab.machine import side_by_side

_POOL = 'gvg/pool'
_ROOT = '/bench'
_SNAPSHOT_BRICK = re.compile(r'(/run/gluster/snaps/[0-9a-f]+/brick\d+)/')


class ByHand:
    """Operates a cluster with its own commands."""

    def __init__(self, lab: lab_module.Lab) -> None:
        self._lab = lab

    def gluster(self, *commands: str) -> str:
        """Run gluster commands on the first node, in one login."""
        script = '\n'.join(
            f'gluster --mode=script {each}' for each in commands
        )
        return self._lab.nodes[0].succeed(script, timeout=600)

    def everywhere(self, *commands: str) -> None:
        """Run commands on all nodes at the same time."""
        script = '\n'.join(commands)
        side_by_side(
            lambda node: node.succeed(script, timeout=600), self._lab.nodes
        )

    # -- shares

    def create(self, volume: str, gib: int = 1) -> None:
        """Create a replicated volume on new logical volumes, and start it."""
        mount = f'{_ROOT}/{volume}'
        self.everywhere(
            f'lvcreate -q -y -V {gib}G -T {_POOL} -n {volume}',
            f'mkfs.xfs -q -K /dev/gvg/{volume}',
            f'mkdir -p {mount}',
            f'mount /dev/gvg/{volume} {mount}',
            f'mkdir {mount}/brick',
        )
        bricks = ' '.join(
            f'{node.name}:{mount}/brick' for node in self._lab.nodes
        )
        count = len(self._lab.nodes)
        self.gluster(
            f'volume create {volume} replica {count} {bricks}',
            f'volume set {volume} auth.allow 192.0.2.1',
            f'volume start {volume}',
        )

    def extend(self, volume: str, gib: int) -> None:
        """Extend the bricks of a volume that :meth:`create` made."""
        self.everywhere(
            f'lvextend -q -L {gib}G gvg/{volume}',
            f'xfs_growfs {_ROOT}/{volume}',
        )

    def set_option(self, volume: str, option: str, value: str) -> None:
        self.gluster(f'volume set {volume} {option} {value}')

    def deny(self, volume: str, client: str) -> None:
        """Deny all clients, and wait until a mounted client is disconnected.

        :param client: the IP address of the client.
        """
        clients = f'gluster --mode=script volume status {volume} clients'
        self._lab.nodes[0].succeed(
            f'gluster --mode=script volume set {volume} auth.allow 192.0.2.1\n'
            f'while {clients} | grep -qwF {client}; do sleep 0.1; done',
            timeout=600,
        )

    def delete(self, volume: str) -> None:
        """Delete a volume that :meth:`create` made."""
        self.gluster(f'volume stop {volume}', f'volume delete {volume}')
        self.everywhere(
            f'umount {_ROOT}/{volume}',
            f'lvremove -q -f gvg/{volume}',
            f'rmdir {_ROOT}/{volume}',
        )

    # -- snapshots

    def create_snapshot(self, name: str, volume: str) -> None:
        self.gluster(f'snapshot create {name} {volume} no-timestamp')

    def activate(self, snapshot: str) -> None:
        self.gluster(f'snapshot activate {snapshot}')

    def deactivate(self, snapshot: str) -> None:
        self.gluster(f'snapshot deactivate {snapshot}')

    def is_active(self, snapshot: str) -> bool:
        info = self.gluster(f'snapshot info {snapshot}')
        return re.search(r'Status\s*: Started', info) is not None

    def delete_snapshot(self, name: str) -> None:
        self.gluster(f'snapshot delete {name}')

    # -- clones

    def clone(self, volume: str, snapshot: str, gib: int = 0) -> None:
        """Clone an active snapshot, close the clone to clients, and start it.

        The logical volumes of the clone are tagged and its file systems
        synced, so that it outlives a power cut.

        :param gib: the size of the clone's bricks; 0: that of the origin's.
        """
        # Without volume files, options cannot be set before the start. A
        # profile that is started and stopped creates them.
        self.gluster(
            f'snapshot clone {volume} {snapshot}',
            f'volume profile {volume} start',
            f'volume profile {volume} stop',
            f'volume set {volume} auth.allow 192.0.2.1',
            f'volume start {volume}',
        )
        mount = self._clone_mount(volume)
        grow = [
            f'lvextend -q -L {gib}G "$device"',
            f'xfs_growfs {mount}* >/dev/null',
        ]
        self.everywhere(
            f'device=$(findmnt -n -o SOURCE {mount}*)',
            *(grow if gib else ()),
            'lvchange -q --addtag bench "$device"',
            f'sync -f {mount}*',
        )

    def delete_clone(self, volume: str) -> None:
        """Delete a clone, whoever made it, with its logical volumes."""
        mount = self._clone_mount(volume)
        self.gluster(f'volume stop {volume}', f'volume delete {volume}')
        self.everywhere(
            f'for path in $(findmnt -rn -o TARGET | grep "^{mount}"); do '
            'device=$(findmnt -n -o SOURCE "$path"); umount "$path"; '
            'lvremove -q -f "$device"; done',
            f'rm -rf --one-file-system $(dirname {mount})',
        )

    def _clone_mount(self, volume: str) -> str:
        """Return where the bricks of a clone are mounted, without a number."""
        found = _SNAPSHOT_BRICK.search(self.gluster(f'volume info {volume}'))
        if found is None:
            raise ValueError(f'volume {volume} is not a clone')
        return found[1].rstrip('0123456789')
