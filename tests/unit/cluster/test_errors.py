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
"""The sentences of the errors of this package, with their remedies."""

import pickle

import pytest

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone.cluster import peers
from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors

SENTENCES: list[tuple[errors.Error, str]] = [
    (
        cluster.UnknownMember('u-9'),
        'no configured node that can be reached has the UUID u-9 in the '
        'trusted storage pool; check glusterfs_clone_nodes and the nodes',
    ),
    (
        cluster.NoNodes(),
        'no nodes are configured; set glusterfs_clone_nodes',
    ),
    (
        cluster.GlusterdHangs('gl3'),
        'glusterd on node gl3: it does not answer, and the other nodes wait '
        'for it; kill it (systemctl kill -s KILL glusterd), restart glusterd '
        'there, and try again',
    ),
    (
        peers.PeersDisconnected(('gl2', 'gl3')),
        'glusterd has no connection to gl2, gl3; start glusterd there or '
        'repair the network, until "gluster peer status" reports all peers '
        'as connected, and try again',
    ),
    (
        volume_options.NotConfirmed('v', ('gl2',), ('busy',)),
        'volume v: options were set, but glusterd on gl2 did not confirm them '
        '(busy); make sure that glusterd runs there, restart it if it does, '
        'and try again',
    ),
    (
        deletion_on_nodes.StillKnown('volume v', 'gl2'),
        'volume v: after its deletion glusterd on node gl2 still has it; '
        'delete it again in a minute, and if this error is repeated, restart '
        'glusterd there first',
    ),
    (
        deletion_on_nodes.StillKnown('snapshot s', 'gl2', 'gvg/x_0'),
        'snapshot s: after its deletion glusterd on node gl2 still has it '
        'and its logical volume gvg/x_0: stop the processes there that "fuser '
        '-vm /dev/gvg/x_0" lists; delete it again in a minute, and if this '
        'error is repeated, restart glusterd there first',
    ),
    (
        bricks.PoolsNotVisible('gl1', ('gvg/pool',)),
        'LVM on node gl1 does not list the thin pool gvg/pool; its disk may '
        'have failed: check with "pvs" and "dmesg" there, and try again when '
        '"lvs" lists the pool (a reboot may be needed)',
    ),
    (
        bricks.NotThin('gl1', '/b/brick', 'gvg/fat'),
        'brick /b/brick on node gl1: gvg/fat is not a thin volume, so '
        'GlusterFS did not create it; check what is mounted there',
    ),
    (
        bricks.WrongVolumeId('gl1', '/b/brick', None, 'abc'),
        'brick /b/brick on node gl1: it has no volume id instead of abc; make '
        'sure that the right file system is mounted there',
    ),
    (
        brick_ownership.RenamedBrick('gl1', 'gvg/x', 'v', '/b/brick'),
        'logical volume gvg/x on node gl1 was renamed and may be brick '
        '/b/brick of volume v, whose logical volume was not found; mount that '
        'brick, or give gvg/x its old name, and try again',
    ),
    (
        placement.InsufficientSpace('gvg/pool', {'gl1': 'it is full'}),
        'thin pool gvg/pool cannot be used: node gl1: it is full',
    ),
    (
        placement.TooFewNodesWithSpace(
            'gvg/pool', {'gl1': 'it is full'}, 'replica-3', 3, 2
        ),
        'layout replica-3 needs 3 nodes with space in thin pool gvg/pool, but '
        'only 2 have it (node gl1: it is full)',
    ),
    (
        placement.TooFewNodesAnswer('replica-3', 3, 2, {'gl1': 'no route'}),
        'layout replica-3 needs 3 nodes, but only 2 answer (node gl1: no '
        'route); bring the others back and try again',
    ),
    (
        replica_heal.CopiesDiffer('v', (), 2, 0, 'busy'),
        'volume v: no snapshot can be taken while its copies differ: 2 '
        'entries are not healed yet (busy); wait until "gluster volume heal v '
        'info summary" counts none, and try again',
    ),
    (
        replica_heal.CopiesDiffer('v', (), 2, 1),
        'volume v: no snapshot can be taken while its copies differ: 1 '
        'entries are in split-brain; choose their right copies ("gluster '
        'volume heal v info split-brain" lists them), and try again',
    ),
    (
        replica_heal.CopiesDiffer('v', ('gl1:/b',), 0, 0),
        'volume v: no snapshot can be taken while its copies differ: bricks '
        'do not answer: gl1:/b; start them with "gluster volume start v '
        'force", and try again',
    ),
]


@pytest.mark.parametrize(('error', 'sentence'), SENTENCES)
def test_sentences(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize('error', [error for error, _ in SENTENCES])
def test_an_error_can_be_pickled(error: errors.Error) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_the_remedy_for_a_brick_that_is_not_mounted() -> None:
    text = str(bricks.BrickNotMounted('gl1', '/b/brick'))
    assert text.startswith('brick /b/brick on node gl1: ')
    assert 'run "' in text
