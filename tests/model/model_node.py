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
"""A model of one storage node: power, LVM, file systems, glusterd."""

from collections.abc import Callable, Sequence
import json
import math
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import verbs
from tests.model import clock
from tests.model import files
from tests.model import lvm
from tests.model import node_facts
from tests.model import shell

_GIB = 1 << 30

#: Seconds until the other nodes notice that one has lost its power: TCP
#: keepalive of 10 s and nine times 2 s.
UNNOTICED = 28.0
#: … or, if they wait for an answer of it, until TCP gives up sending.
RETRANSMISSION = 924.0
#: Seconds until brick processes end the connections of a silent node.
TCP_USER_TIMEOUT = 42.0

HOUR = 3600.0
#: Seconds that a command takes.
_COST = {'lvs': 0.1, 'lvcreate': 0.5, 'lvremove': 0.5, 'mkfs.xfs': 0.5}


class ModelNode:
    """A storage node, as its tools and its glusterd see it."""

    def __init__(
        self, number: int, uuid: str, release: str, time: clock.Clock
    ) -> None:
        self.name = f'gl{number}'
        self.address = f'10.88.0.{10 + number}'
        self.uuid = uuid
        #: Whether it finds its own name at 127.0.1.1, by its /etc/hosts.
        self.name_is_loopback = False
        self.release = release
        self.time = time
        #: The addresses that it resolves names to.
        self.names: dict[str, str] = {}
        self.lvm = lvm.Lvm(
            'gvg',
            [
                lvm.ThinPool('pool', 64 * _GIB),
                lvm.ThinPool('other', 64 * _GIB),
            ],
            log=release != '10.3',
        )
        self.files = files.Files(time, self.lvm)
        self.up = True
        #: How often it has been booted.
        self.boots = 1
        self.glusterd_up = True
        #: When it started.
        self.glusterd_since = -HOUR
        #: When it will have taken over what it missed.
        self.takes_over_at = math.inf
        #: When a glusterd that was killed starts again.
        self.restarts_at: float | None = None
        #: Why the driver cannot log in; None if it can.
        self.login_error: errors.Error | None = None
        #: Facts that differ from the usual ones.
        self.facts: dict[str, Any] = {}
        #: Whether the runner fails to read facts.
        self.facts_fail = False
        #: The volume groups that the runner allows.
        self.volume_groups = ['gvg']
        self.lvm_release = '2.03.16(2) (2022-05-18)'
        #: The state of the unit of glusterd.
        self.glusterd_unit = 'enabled'
        #: Programs that are not installed.
        self.absent: set[str] = set()
        #: Until when its glusterd is stopped (SIGSTOP), and then goes on.
        self.stopped_until = 0.0
        #: Whether bricks are mounted at boot by their tags.
        self.boot_unit = True
        #: LVs that an operator has mounted at boot, by mount point.
        self.fstab: dict[str, str] = {}
        #: Until when the others take it for connected though it is down.
        self.missed_at = 0.0
        self._awaited = False
        #: Until when bricks of the others list it as a client.
        self.listed_until = 0.0

    @property
    def serves(self) -> bool:
        return self.up and self.glusterd_up

    @property
    def seems_connected(self) -> bool:
        """Return whether the glusterds of the others take it as connected."""
        return self.serves or self.time.now < self.missed_at

    def await_answer(self) -> None:
        """Note that another node waits for an answer it cannot give."""
        if not self._awaited:
            self._awaited = True
            self.missed_at = self.time.now + RETRANSMISSION

    def execute(self, argv: Sequence[str]) -> shell.Answer:
        """Run a command other than gluster."""
        programs: dict[str, Callable[[Sequence[str]], shell.Answer]] = {
            'lvs': self._lvs,
            'lvcreate': self.lvm.lvcreate,
            'lvchange': self.lvm.lvchange,
            'lvextend': self.lvm.lvextend,
            'lvmconfig': self.lvm.lvmconfig,
            'lvremove': self.lvm.lvremove,
            'list_mounts': self.files.list_mounts,
            'mount': self.files.mount,
            'umount': self.files.umount,
            'mkfs.xfs': self.files.mkfs,
            'xfs_growfs': self.files.growfs,
            'sync': self.files.sync,
            'make_directory': self.files.make_directory,
            'remove_directories': self.files.remove_directories,
            'list_directory': self.files.list_directory,
            'is_directory': self.files.is_directory,
            'read_volume_id': self.files.read_volume_id,
            'write_volume_id': self.files.write_volume_id,
            'addresses': self._addresses,
            'resolve': self._resolve,
            'glusterd_age': self._age,
            'read_glusterd_log': self._log,
            'node_facts': self._facts,
            'systemctl': self._unit,
            'gluster': self._version,
        }
        self.time.advance(_COST.get(argv[0], 0.05))
        return programs[argv[0]](argv)

    def _addresses(self, argv: Sequence[str]) -> shell.Answer:
        return shell.Answer(json.dumps([self.address]))

    def _resolve(self, argv: Sequence[str]) -> shell.Answer:
        """Resolve a name from the addresses that this node has."""
        address = self.names.get(argv[1])
        return shell.Answer(json.dumps([address] if address else []))

    def _age(self, argv: Sequence[str]) -> shell.Answer:
        age = self.time.now - self.glusterd_since
        return shell.Answer(json.dumps(age if self.glusterd_up else None))

    def _log(self, argv: Sequence[str]) -> shell.Answer:
        """Return no log: the model writes none."""
        return shell.Answer('""')

    def _facts(self, argv: Sequence[str]) -> shell.Answer:
        if self.facts_fail:
            return shell.Answer('', 'Input/output error', 1)
        return node_facts.answer(self.time, self.facts)

    def _lvs(self, argv: Sequence[str]) -> shell.Answer:
        if list(argv[1:]) == ['--version']:
            return shell.Answer(f'  LVM version:     {self.lvm_release}\n')
        return self.lvm.lvs_command(argv)

    def _unit(self, argv: Sequence[str]) -> shell.Answer:
        state = self.glusterd_unit
        if argv[-1] == verbs.BOOT_UNIT:
            state = 'enabled' if self.boot_unit else 'disabled'
        return shell.Answer(f'{state}\n', '', int(state != 'enabled'))

    def _version(self, argv: Sequence[str]) -> shell.Answer:
        assert argv[1] == '--version'
        return shell.Answer(f'glusterfs {self.release} Repository: …')

    # -- power

    def cut(self) -> None:
        """Cut its power: what is not written back is lost."""
        self.up = self.glusterd_up = False
        self.restarts_at = None
        self.missed_at = self.time.now + UNNOTICED
        self._awaited = False
        self.listed_until = self.time.now + TCP_USER_TIMEOUT
        self.files.power_cut()

    def shut_down(self) -> None:
        """Shut it down in good order; the others notice at once."""
        self.up = self.glusterd_up = False
        self.restarts_at = None
        self.missed_at = 0.0
        self.files.sync_all()
        self.files.power_cut()

    def power_on(self) -> None:
        """Boot it, up to the start of glusterd."""
        self.up = True
        self.boots += 1
        for target, lv in self.fstab.items():
            self.files.make(target)
            self.files.attach(self.lvm.device(lv), target)
        if self.boot_unit:
            self.mount_bricks()

    def mount_bricks(self) -> None:
        """Mount every LV that is tagged as a brick where its tag says."""
        for lv in list(self.lvm.lvs.values()):
            if 'manila.brick' not in lv.tags:
                continue
            for tag in lv.tags:
                key, _, target = tag.partition('=')
                if key == 'manila.mount' and not self.files.is_mount_point(
                    target
                ):
                    self.files.make(target)
                    self.files.attach(self.lvm.device(lv.name), target)
