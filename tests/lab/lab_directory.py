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
"""The directory of a lab on the host's disk, and its removal.

A lab is a directory below :func:`root`. It holds ``lab.json`` from before the
first object is made until after the last one is gone. A lab whose owner has
died, and that was not detached, is removed by the next process that makes a
lab.
"""

from dataclasses import asdict, dataclass, replace
import itertools
import json
import os
from pathlib import Path
import re
import shutil

from tests.lab.errors import LabError
from tests.lab import guest
from tests.lab import host
from tests.lab.network import Network, client_port, storage_port
from tests.lab.ssh import Link

#: Allowed names: they become part of namespace names and socket paths.
_NAME = re.compile(r'[a-z0-9][a-z0-9-]{0,23}')


@dataclass(frozen=True)
class Record:
    """The stored description of a lab.

    :param owner: pid of the process that ends with the lab, or the lab
        with it.
    :param born: when that process was started; see host.started().
    :param detached: it lives on without its owner.
    :param turn: a number that no other lab has, as small as can be: it tells
        on which CPU of the host its first guest runs, so that labs that are
        up together do not crowd one.
    """

    name: str
    release: str
    nodes: int
    clients: int
    node_memory: int
    client_memory: int
    image: str
    owner: int
    born: int
    detached: bool = False
    turn: int = 0

    @property
    def directory(self) -> Path:
        return root() / self.name

    @property
    def namespace(self) -> str:
        return f'mgc-{self.name}'

    def abandoned(self) -> bool:
        """Return whether no process can take the lab down any more."""
        return not self.detached and host.started(self.owner) != self.born

    def users(self) -> tuple[Path, ...]:
        """Return the file that marks cache entries as used; see cache.py."""
        image = Path(self.image)
        return image / 'users', image / 'kernel' / 'users'

    def save(self) -> None:
        host.write_atomically(
            self.directory / 'lab.json', json.dumps(asdict(self), indent=1)
        )


def root() -> Path:
    """Return the directory of the directories of all labs."""
    return Path(
        os.environ.get(
            'MANILA_GLUSTERFS_CLONE_LAB_STATE',
            '/var/tmp/manila-glusterfs-clone-lab',
        )
    )


def load(name: str) -> Record:
    """Return the record of a lab.

    :raises LabError: when there is no such lab.
    """
    path = root() / name / 'lab.json'
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise LabError(f'there is no lab {name!r}') from None
    except (TypeError, ValueError) as error:
        raise LabError(f'{path} cannot be understood: {error}') from error


def every() -> list[Record]:
    """Return the records of all labs, sorted by name."""
    return [
        load(path.parent.name) for path in sorted(root().glob('*/lab.json'))
    ]


def claim(record: Record) -> Record:
    """Make a lab's directory and record; remove abandoned labs first.

    :return: the record, with the lab's turn.
    :raises LabError: when the name is not allowed, or taken.
    """
    if not _NAME.fullmatch(record.name):
        raise LabError(f'{record.name!r} is no name for a lab')
    with host.locked(root() / '.lock'):
        for other in every():
            if other.abandoned():
                destroy(other)
        if (record.directory / 'lab.json').exists():
            raise LabError(f'lab {record.name!r} is up already')
        # Left where a lab died before it had a record: nothing is in use.
        shutil.rmtree(record.directory, ignore_errors=True)
        taken = {other.turn for other in every()}
        turn = next(n for n in itertools.count() if n not in taken)
        record = replace(record, turn=turn)
        record.directory.mkdir(mode=0o755)
        record.save()
    for users in record.users():
        users.mkdir(exist_ok=True)
        (users / record.name).write_text(str(record.directory))
    return record


def destroy(record: Record) -> None:
    """Remove everything of a lab that still exists."""
    directory = record.directory
    # The services of a control plane: see tests/lab/manila.
    host.kill_all_marked(str(directory))
    guest.kill_all(directory)
    network = Network(record.namespace)
    ports = [storage_port(i + 1) for i in range(record.nodes)]
    ports += [client_port(i + 1) for i in range(record.clients)]
    for port in ports:
        Link(port.name, port.address, network, directory).close()
    network.delete()
    for users in record.users():
        (users / record.name).unlink(missing_ok=True)
    # The record last: until then the lab can be found and removed.
    for path in directory.iterdir() if directory.exists() else ():
        if path.name == 'lab.json':
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
