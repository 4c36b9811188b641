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
"""A lab: bring a GlusterFS cluster of guests up, use it, take it down."""

from collections.abc import Callable, Iterable, Iterator
import contextlib
import dataclasses
import itertools
import os
from pathlib import Path
import subprocess
import sys
import time
from types import TracebackType

from tests.lab.client import Client
from tests.lab.errors import LabError
from tests.lab.guest import Guest, Spec
from tests.lab import host
from tests.lab import identity
from tests.lab import images
from tests.lab import lab_directory
from tests.lab import leaks
from tests.lab.machine import Machine, side_by_side
from tests.lab.network import Network, Port, client_port, storage_port
from tests.lab.ssh import Link
from tests.lab.storage_node import StorageNode

_COUNTER = itertools.count(1)


def _silent(_text: str) -> None:
    pass


class Lab:
    """A cluster of storage nodes ``gl1``… and clients ``c1``….

    A context manager: up at its start, down at its end. Side by side with
    others it needs nothing but a name of its own, which it finds by itself
    when it is given none.

    :param release: of GlusterFS: '10.3' or '11.1'.
    :param node_memory: MiB; *client_memory* too.
    :param say: what is called with a line about each step.
    """

    def __init__(
        self,
        release: str = '10.3',
        nodes: int = 3,
        clients: int = 2,
        name: str | None = None,
        *,
        node_memory: int = 768,
        client_memory: int = 448,
        say: Callable[[str], None] = _silent,
    ) -> None:
        if not 1 <= nodes <= 9 or not 0 <= clients <= 9:
            raise LabError('a lab has 1 to 9 nodes and 0 to 9 clients')
        self.release = release
        self.name = name or f'lab-{os.getpid()}-{next(_COUNTER)}'
        self.directory = lab_directory.root() / self.name
        #: The private key of the nodes' user ``manila``.
        self.manila_key = self.directory / 'manila_key'
        #: The private key of root on every guest.
        self.root_key = self.directory / 'root_key'
        #: The true host keys of all guests, by address and by name.
        self.known_hosts = self.directory / 'known_hosts'
        self.network = Network(f'mgc-{self.name}')
        self.nodes: list[StorageNode] = []
        self.clients: list[Client] = []
        self._sizes = nodes, clients, node_memory, client_memory
        self._say = say
        self._record: lab_directory.Record | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    # -- up and down

    def __enter__(self) -> 'Lab':
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def up(self) -> None:
        """Make the cluster, and return when it is ready.

        :raises LabError: when that fails; nothing is left then.
        """
        host.check()
        begun = time.monotonic()
        image = images.ensure(self.release, self._say)
        nodes, clients, node_memory, client_memory = self._sizes
        pid = os.getpid()
        record = lab_directory.Record(
            *(self.name, self.release, nodes, clients),
            *(node_memory, client_memory, str(image.directory)),
            *(pid, host.started(pid) or 0),
        )
        self._record = record = lab_directory.claim(record)
        try:
            self._keep()
            self._furnish(record, image)
            self._boot()
            self._join()
            self.record_baseline()
        except BaseException:
            self.down()
            raise
        self._say(f'lab {self.name} is up: {time.monotonic() - begun:.0f} s')

    def down(self) -> None:
        """Remove everything; do nothing if the lab is down."""
        if self._record is not None:
            lab_directory.destroy(self._record)
            self._record = None
        if self._keeper is not None:
            # It then finds nothing to do.
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper = None

    @classmethod
    def attach(cls, name: str) -> 'Lab':
        """Return a lab that another process has brought up.

        :raises LabError: when there is none of that name.
        """
        record = lab_directory.load(name)
        lab = cls(
            *(record.release, record.nodes, record.clients, name),
            node_memory=record.node_memory,
            client_memory=record.client_memory,
        )
        lab._record = record
        lab._machines(record, images.Image(Path(record.image)))
        return lab

    def detach(self) -> None:
        """Keep the lab running when this process ends."""
        if self._record is None:
            raise LabError(f'lab {self.name} is not up')
        self._record = dataclasses.replace(self._record, detached=True)
        self._record.save()

    # -- what is in it

    def __getitem__(self, name: str) -> Machine:
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise LabError(f'lab {self.name} has no guest {name!r}')

    @property
    def machines(self) -> list[Machine]:
        """Return all guests."""
        return [*self.nodes, *self.clients]

    def node(self, name: str) -> StorageNode:
        """Return a storage node by its name."""
        machine = self[name]
        if not isinstance(machine, StorageNode):
            raise LabError(f'{name} is no storage node')
        return machine

    def client(self, name: str) -> Client:
        """Return a client by its name."""
        machine = self[name]
        if not isinstance(machine, Client):
            raise LabError(f'{name} is no client')
        return machine

    # -- words

    def enter(self) -> None:
        """Move the calling thread into the lab's network.

        So do all threads and processes that it starts later: those of a
        test reach the nodes by their addresses then. The host's own network
        is out of reach from there, also for building an image.
        """
        self.network.enter()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the lab's network for a ``with``."""
        with self.network.inside_here():
            yield

    def heal_network(self) -> None:
        """Undo all network cuts."""
        self.network.heal_all([machine.port for machine in self.machines])
        for machine in self.machines:
            machine.link.close()

    def wait_connected(self, timeout: float = 60) -> None:
        """Wait until every node lists every other one as connected."""
        wanted = len(self.nodes)
        script = (
            f'test "$(gluster --mode=script pool list | '
            f'grep -cw Connected)" = {wanted}'
        )
        side_by_side(
            lambda node: node.wait_until_succeeds(script, timeout),
            self.nodes,
        )

    def record_baseline(self) -> None:
        """Record the objects on the nodes as no leaks."""
        leaks.record_baseline(self.nodes, self._baseline)

    def leaks(
        self,
        shares: Iterable[str] = (),
        snapshots: Iterable[str] = (),
        *,
        activated: Iterable[str] = (),
        settle: float = 15,
        age: float = 60,
    ) -> list[leaks.Leak]:
        """Return what on the nodes belongs to no share; see leaks.py.

        :param shares: instance ids of the shares that live.
        :param snapshots: instance ids of the snapshots that live.
        :param activated: of those, the snapshots that may be active.
        :param settle: seconds that what is on its way out may take.
        :param age: seconds after which a command of the user manila is
            one that was left over.
        """
        return leaks.find(
            *(self.nodes, self._baseline, shares, snapshots, activated),
            settle=settle,
            age=age,
        )

    @property
    def _baseline(self) -> Path:
        return self.directory / 'baseline.json'

    # -- the steps of up()

    def _keep(self) -> None:
        """Start the process that takes the lab down if this one is killed.

        It learns of it from its stdin, which the kernel closes.
        """
        self._keeper = subprocess.Popen(
            [sys.executable, '-m', 'tests.lab', 'keep', self.name],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _machines(
        self, record: lab_directory.Record, image: images.Image
    ) -> None:
        usable = sorted(os.sched_getaffinity(0))
        first = record.turn % len(usable)
        cpus = itertools.cycle(usable[first:] + usable[:first])

        def guest(port: Port, role: str, memory: int) -> Guest:
            files = {3: self.directory / f'{port.name}.seed'}
            if role == 'storage':
                files[1] = self.directory / f'{port.name}.labdisk'
                files[2] = self.directory / f'{port.name}.tightdisk'
            cpu = next(cpus)
            spec = Spec(
                *(port, role, memory, image.kernel, image.root, files, cpu)
            )
            return Guest(spec, self.network, self.directory)

        def link(port: Port) -> Link:
            return Link(port.name, port.address, self.network, self.directory)

        for index in range(1, record.nodes + 1):
            port = storage_port(index)
            made = guest(port, 'storage', record.node_memory)
            self.nodes.append(StorageNode(made, link(port), self.network))
        for index in range(1, record.clients + 1):
            port = client_port(index)
            made = guest(port, 'client', record.client_memory)
            self.clients.append(Client(made, link(port), self.network))

    def _furnish(
        self, record: lab_directory.Record, image: images.Image
    ) -> None:
        """Make everything that a guest needs before it is switched on."""
        self._machines(record, image)
        ports = [machine.port for machine in self.machines]
        self.network.create(ports)
        identity.create(self.directory, ports)
        for machine in self.machines:
            spec = machine.guest.spec
            identity.write_seed(self.directory, spec.port, ports, spec.role)
        for node in self.nodes:
            disks = node.guest.spec.disks
            host.copy_sparse(image.labdisk, disks[1])
            host.copy_sparse(image.tightdisk, disks[2])

    def _boot(self) -> None:
        """Boot all guests, and set the nodes up as the manual asks."""
        begun = time.monotonic()
        self._say(f'switching on {len(self.machines)} guests')

        def wait(machine: Machine) -> None:
            machine.wait_ready()
            if isinstance(machine, StorageNode):
                machine.unit_is('glusterd')
                machine.install_runner()
                machine.install_boot_unit()
            self._say(
                f'{machine.name} is ready: {time.monotonic() - begun:.0f} s'
            )

        for machine in self.machines:
            machine.switch_on()
        side_by_side(wait, self.machines)

    def _join(self) -> None:
        """Make the nodes one trusted storage pool."""
        first, *others = self.nodes
        if others:
            self._say('making the trusted storage pool')
            first.succeed(
                ''.join(
                    f'gluster --mode=script peer probe {node.name};'
                    for node in others
                ),
                timeout=180,
            )
            self.wait_connected(120)
