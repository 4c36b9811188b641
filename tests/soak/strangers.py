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
"""Foreign objects on the cluster, and whether they changed.

An operator's volume, to which a client writes all the time, and LVs in the
thin pool of the shares. None of it may change.
"""

from tests import lab as lab_module
from tests.lab.writer import Writer
from tests.soak.ledger import Ledger

VOLUME, AT = 'archive', '/mnt/archive'
_BRICK = '/data/archive/brick'

_LVS = (
    'lvs --noheadings -o lv_name,lv_size,pool_lv,origin,lv_tags '
    '-S "lv_tags=keep" gvg'
)


class Strangers:
    """An operator's own things on three nodes of a lab."""

    def __init__(self, lab: lab_module.Lab, ledger: Ledger) -> None:
        self._lab = lab
        self._ledger = ledger
        self._nodes = lab.nodes[:3]
        self._writer = Writer(lab.clients[0], AT, 'archive')
        self._before: dict[str, str] = {}

    def settle_in(self) -> None:
        """Make it all; the lab takes it for what was always there."""
        for node in self._nodes:
            node.succeed(
                'lvcreate -q -y -V 1g --thinpool gvg/pool -n backup '
                '--addtag keep; '
                'lvcreate -q -y -s gvg/backup -n backup-old --addtag keep; '
                'mkdir -p /data/archive'
            )
        first = self._nodes[0]
        bricks = ' '.join(f'{node.name}:{_BRICK}' for node in self._nodes)
        client = self._lab.clients[0]
        first.gluster(f'volume create {VOLUME} replica 3 {bricks} force')
        first.gluster(f'volume set {VOLUME} auth.allow {client.address}')
        first.gluster(f'volume start {VOLUME}')
        backups = ':'.join(node.address for node in self._nodes[1:])
        client.mount(
            first.address, VOLUME, AT, f'backup-volfile-servers={backups}'
        )
        self._writer.start()
        self._before = self._look()
        self._lab.record_baseline()

    def check(self) -> None:
        """Note what has changed, and what its client saw."""
        for what, now in self._look().items():
            if now != self._before[what]:
                self._ledger.violation(
                    'strangers',
                    f'{what} was {self._before[what]!r}, and is {now!r}',
                )
        self._writer.stop()
        if failures := self._writer.failures():
            self._ledger.violation(
                'strangers',
                f'{len(failures)} writes failed, such as {failures[0]}',
            )
        if lost := self._writer.lost():
            self._ledger.violation('strangers', f'{lost} writes are lost')
        self._ledger.note(
            'strangers', 'archive', f'{self._writer.confirmed()} writes'
        )
        self._lab.clients[0].umount(AT)

    def _look(self) -> dict[str, str]:
        found = {f'LVs of {n.name}': n.succeed(_LVS) for n in self._nodes}
        info = self._nodes[0].gluster(f'volume info {VOLUME}')
        # After a restart, glusterd lists the options in another order, and
        # glusterd 11.1 no longer lists nfs.disable, which it does not store.
        properties, _, options = info.partition('Options Reconfigured:\n')
        kept = [o for o in options.splitlines() if 'nfs.disable' not in o]
        found[VOLUME] = '\n'.join([properties, *sorted(kept)])
        return found
