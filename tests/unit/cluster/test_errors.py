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
        cluster.NoReachableMember('u-9'),
        'peer u-9: no reachable node of glusterfs_clone_nodes has this UUID; '
        'add the node to glusterfs_clone_nodes, or make it reachable over SSH',
    ),
    (
        cluster.NoNodes(),
        'glusterfs_clone_nodes: empty; list the storage nodes',
    ),
    (
        cluster.GlusterdHangs('gl3'),
        'glusterd on node gl3: does not answer, and blocks changes on all '
        'nodes; run "systemctl kill -s KILL glusterd" and "systemctl start '
        'glusterd" there, and retry',
    ),
    (
        peers.PeersDisconnected(('gl2', 'gl3')),
        'peers gl2, gl3: disconnected; start glusterd there, or repair the '
        'network, and retry when "gluster peer status" reports all peers as '
        'connected',
    ),
    (
        volume_options.NotConfirmed('v', ('gl2',), ('busy',)),
        'volume v: options were set, but glusterd on gl2 did not confirm them '
        '(busy); start glusterd there, or restart it if it runs, and retry',
    ),
    (
        deletion_on_nodes.StillKnown('volume v', 'gl2'),
        'volume v: deleted, but glusterd on node gl2 still has it; retry the '
        'deletion in a minute; if this error occurs again, restart glusterd '
        'on node gl2, and retry',
    ),
    (
        deletion_on_nodes.StillKnown('snapshot s', 'gl2', 'gvg/x_0'),
        'snapshot s: deleted, but glusterd on node gl2 still has it and its '
        'logical volume gvg/x_0; run "fuser -vm /dev/gvg/x_0" there, and end '
        'the processes that it lists; retry the deletion in a minute; if this '
        'error occurs again, restart glusterd on node gl2, and retry',
    ),
    (
        deletion_on_nodes.MissingOnNodes('snapshot s', ('gl3',), ('a', 'gl2')),
        'snapshot s: not deleted, because glusterd on a, gl2 has it, and '
        'glusterd on gl3 does not; retry the deletion in a minute; if this '
        'error occurs again, restart glusterd on a, and retry',
    ),
    (
        bricks.PoolsNotVisible('gl1', ('gvg/pool',)),
        'node gl1: LVM does not list thin pool gvg/pool; check the disk with '
        '"pvs" and "dmesg" there, reboot the node if needed, and retry when '
        '"lvs" lists the thin pool',
    ),
    (
        bricks.NotThin('gl1', '/b/brick', 'gvg/fat'),
        'brick /b/brick on node gl1: logical volume gvg/fat is not thin, so '
        'GlusterFS did not create it; check what is mounted at the parent '
        'directory of the brick',
    ),
    (
        bricks.WrongVolumeId('gl1', '/b/brick', None, 'abc'),
        'brick /b/brick on node gl1: its volume id is missing, expected abc; '
        'mount the right file system at the parent directory of the brick',
    ),
    (
        brick_ownership.RenamedBrick('gl1', 'gvg/x', 'v', '/b/brick'),
        'logical volume gvg/x on node gl1: renamed; it is possibly the '
        'missing logical volume of brick /b/brick of volume v; mount the '
        'brick, or give gvg/x its old name, and retry',
    ),
    (
        placement.InsufficientSpace('gvg/pool', {'gl1': 'not active'}),
        'thin pool gvg/pool: not usable: node gl1: not active',
    ),
    (
        placement.TooFewNodesWithSpace(
            'gvg/pool', {'gl1': 'not active'}, 'replica-3', 3, 2
        ),
        'thin pool gvg/pool: layout replica-3 needs 3 nodes with space, '
        'available: 2; nodes that cannot be used: node gl1: not active',
    ),
    (
        placement.TooFewNodesAnswer(
            'replica-3', 3, 2, {'gl1': 'node gl1: no SSH session'}
        ),
        'layout replica-3: needs 3 nodes, available: 2; repair these nodes, '
        'and retry: node gl1: no SSH session',
    ),
    (
        replica_heal.CopiesDiffer('v', (), 2, 0, 'busy'),
        'volume v: its copies possibly differ, so no snapshot can be taken: 2 '
        'entries are not healed yet (busy); wait until "gluster volume heal v '
        'info summary" reports no entries, and retry',
    ),
    (
        replica_heal.CopiesDiffer('v', (), 2, 1),
        'volume v: its copies possibly differ, so no snapshot can be taken: 1 '
        'entries are in split-brain; resolve the split-brain ("gluster volume '
        'heal v info split-brain" lists the entries), and retry',
    ),
    (
        replica_heal.CopiesDiffer('v', ('gl1:/b',), 0, 0),
        'volume v: its copies possibly differ, so no snapshot can be taken: '
        'bricks do not answer: gl1:/b; start them with "gluster volume start '
        'v force", and retry',
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
