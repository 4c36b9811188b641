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
"""Clusters that also hold objects of another Manila and of an operator.

The other Manila has a share with a client, an active and an inactive
snapshot of it, a clone, and an incomplete share. The operator has a volume
with a client, its snapshot, and an LV that nothing uses.
"""

import contextlib
import functools
import pickle
import uuid

from tests.model import foreign_objects
from tests.model import invariants
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import model_node
from tests.model import turns

#: The name of the other back end.
BACKEND = 'another'
CLIENT = '10.9.9.9'

SHARE, ACTIVE, INACTIVE, CLONE, HALF_MADE = (
    str(uuid.UUID(int=number << 64)) for number in range(1, 6)
)
#: The operator's volume, where its bricks are, and its LVs.
VOLUME, PLACE = 'archive', '/data/archive'
BRICK_LV, SPARE_LV = 'archive', 'backup'


def pool(release: str = '11.1', count: int = 3) -> model_cluster.ModelCluster:
    """Return a new cluster of so many nodes with foreign objects."""
    made: model_cluster.ModelCluster = pickle.loads(_pickled(release, count))
    return made


@functools.cache
def _pickled(release: str, count: int) -> bytes:
    made = model_cluster.ModelCluster(count, release)
    with model_backend.in_time_of(made), turns.in_turn():
        _another_manila(made)
        _an_operator(made)
    made.time.advance(60.0)
    made.glusterd.settle()
    made.state.opened_early.clear()
    for node in made.nodes.values():
        node.files.sync_all()
        node.files.directories.add(invariants.BRICK_ROOT)
        node.fstab = {mount.target: mount.lv for mount in node.files.mounts}
    made.others = foreign_objects.ForeignObjects.of(made)
    return pickle.dumps(made)


def _another_manila(made: model_cluster.ModelCluster) -> None:
    manila = model_backend.ModelBackend(link.Process(made), backend=BACKEND)
    manila.create(SHARE)
    manila.allow(SHARE, CLIENT)
    manila.write(SHARE, 'of others')
    manila.snapshot(ACTIVE, SHARE)
    manila.snapshot(INACTIVE, SHARE)
    manila.clone(CLONE, INACTIVE, 2)
    made.time.run_deferred()
    _ask(made, 'snapshot', 'activate', f'manila-snap-{ACTIVE}')
    manila.process.fail_when(link.Fault.KILLED_BEFORE, 'start')
    with contextlib.suppress(link.Killed):
        manila.create(HALF_MADE)
    assert f'manila-{HALF_MADE}' in made.state.volumes


def _an_operator(made: model_cluster.ModelCluster) -> None:
    for node in made.nodes.values():
        for name in (BRICK_LV, SPARE_LV):
            _run(
                *(node, 'lvcreate', '--type=thin', '--virtualsize=1g'),
                *('--thinpool=pool', f'--name={name}', '--addtag=keep'),
                node.lvm.vg,
            )
        _run(node, 'mkfs.xfs', '-i', 'size=512', f'/dev/gvg/{BRICK_LV}')
        _run(node, 'make_directory', PLACE)
        device = node.lvm.device(BRICK_LV)
        _run(node, 'mount', '--options=nouuid', device, PLACE)
    bricks = [f'{name}:{PLACE}/brick' for name in made.nodes]
    copies = ['replica', str(len(bricks))] if len(bricks) > 1 else []
    _ask(made, 'volume', 'create', VOLUME, *copies, *bricks)
    _ask(made, 'volume', 'set', VOLUME, 'auth.allow', CLIENT)
    _ask(made, 'volume', 'start', VOLUME)
    made.time.advance(5.0)
    assert made.mount(CLIENT, VOLUME)
    made.write(VOLUME, 'archived')
    _ask(made, 'snapshot', 'create', 'nightly', VOLUME, 'no-timestamp')


def _run(node: model_node.ModelNode, *argv: str) -> None:
    answer = node.execute(argv)
    assert answer.status == 0, answer


def _ask(made: model_cluster.ModelCluster, *words: str) -> None:
    answer = made.glusterd.ask(made.nodes['gl1'], words)
    assert '<opRet>0</opRet>' in answer, answer
