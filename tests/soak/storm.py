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
"""Faults, one at a time, each ended after a while.

After the fault of a node all bricks must be online and all copies healed
before the next fault: a second node that fails could take the last good copy.
"""

from collections.abc import Callable
import contextlib
import random
import threading
import time

from tests import lab as lab_module
from tests.lab.errors import LabError, Unexpected
from tests.lab import manila as manila_module
from tests.lab.network import HOST
from tests.soak.ledger import Ledger

#: Seconds until the copies agree again.
HEALED = 600.0

#: Print the number of entries that are not healed, of each volume with any.
#: Start a heal there, as an operator would: by itself, the self-heal daemon
#: waits up to ten minutes before it tries an entry again.
_HEAL = """\
for volume in $(gluster --mode=script volume list); do
    pending=$(gluster --mode=script volume heal $volume info summary \
        2>/dev/null |
        sed -nE 's/^Number of entries in (heal pending|split-brain): //p' |
        grep -v '^0$') || continue
    echo "$pending"
    gluster --mode=script volume heal $volume >/dev/null 2>&1
done
:
"""


class Storm(threading.Thread):
    """Brings faults about until it is told that it is enough."""

    def __init__(
        self,
        lab: lab_module.Lab,
        manila: manila_module.Manila,
        ledger: Ledger,
        seed: str,
    ) -> None:
        super().__init__(name='storm')
        self.enough = threading.Event()
        self._lab = lab
        self._manila = manila
        self._ledger = ledger
        self._random = random.Random(f'{seed}-storm')

    def run(self) -> None:
        kinds: list[Callable[[], None]] = []
        while not self.enough.wait(self._random.uniform(5, 15)):
            # Each of them once before any comes again.
            if not kinds:
                kinds = [
                    *(self.power, self.network, self.glusterd_killed),
                    *(self.glusterd_stopped, self.killed, self.restarted),
                ]
                self._random.shuffle(kinds)
            kind = kinds.pop()
            try:
                kind()
            except Exception as error:
                self._ledger.violation('storm', f'{kind.__name__}: {error!r}')

    # -- of nodes

    def power(self) -> None:
        node = self._node()
        with self._ledger.fault('power cut', node.name):
            node.crash()
            self._hold(5, 40)
            node.boot()
            self._mended()

    def network(self) -> None:
        """Cut a node off from everybody."""
        node = self._node()
        ports = [HOST, *(each.port for each in self._lab.machines)]
        with self._ledger.fault('network cut', node.name):
            for port in ports:
                if port != node.port:
                    self._lab.network.cut(node.port, port)
            self._hold(5, 40)
            for port in ports:
                if port != node.port:
                    self._lab.network.heal(node.port, port)
            node.link.close()
            self._mended()

    def glusterd_killed(self) -> None:
        node = self._node()
        with self._ledger.fault('glusterd killed', node.name):
            node.kill_glusterd()
            self._hold(2, 30)
            node.start_glusterd()
            self._mended()

    def glusterd_stopped(self) -> None:
        """Have glusterd hang for up to half a minute."""
        node = self._node()
        with self._ledger.fault('glusterd stopped', node.name):
            node.succeed('kill -STOP $(cat /run/glusterd.pid)')
            self._hold(5, 30)
            node.succeed('kill -CONT $(cat /run/glusterd.pid)')
            self._mended()

    # -- of the service

    def killed(self) -> None:
        service = self._manila.service()
        with self._ledger.fault('service killed'):
            service.kill()
            self._hold(0, 10)
            service.start()
            service.wait_ready(300)

    def restarted(self) -> None:
        service = self._manila.service()
        with self._ledger.fault('service restarted'):
            service.restart()

    # -- how

    def _node(self) -> lab_module.StorageNode:
        return self._random.choice(self._lab.nodes)

    def _hold(self, least: float, most: float) -> None:
        self.enough.wait(self._random.uniform(least, most))

    def _mended(self) -> None:
        """Wait until all nodes serve, and all copies agree."""
        self._lab.wait_connected(240)
        down = self._lab.nodes[0].wait_for_bricks(HEALED)
        deadline = time.monotonic() + HEALED
        pending = ''
        while time.monotonic() < deadline:
            with contextlib.suppress(LabError, Unexpected):
                pending = self._lab.nodes[0].succeed(_HEAL, 120).strip()
                if not pending:
                    break
            time.sleep(5)
        if down or pending:
            # The next fault could take the only good copy away.
            self._ledger.violation(
                'storm', f'not healed: {down} {pending.split()}'
            )
