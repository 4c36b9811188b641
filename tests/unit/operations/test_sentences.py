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
"""The sentences of the errors that the operations raise."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import clones
from manila_glusterfs_clone.operations import share_removal
from manila_glusterfs_clone.operations import snapshot_limits
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone.operations import volumes

SENTENCES = [
    (
        clone_sources.SnapshotNotFound('s'),
        'snapshot s does not exist on the cluster',
    ),
    (
        clone_sources.SnapshotWithoutData('s'),
        'snapshot s: no node has a logical volume of it, and its data is '
        'lost; delete it',
    ),
    (
        clone_sources.SnapshotPartlyActive('s', ('gl1', 'gl2')),
        'snapshot s: active on gl1, gl2, but not on the other nodes; run '
        '"gluster snapshot activate s force" and then "gluster snapshot '
        'deactivate s"',
    ),
    (
        clones.SnapshotInOtherPool('id', 'vg/a', 'vg/b'),
        'snapshot id is in the thin pool vg/a, so a share made from it cannot '
        'be in vg/b',
    ),
    (
        share_removal.ShareHasSnapshots('v', 2),
        'volume v has 2 snapshots; delete them first ("gluster snapshot list '
        'v" lists them)',
    ),
    (
        snapshot_limits.AutoDeleteEnabled('v'),
        'the snapshot option auto-delete of the cluster is enabled, so '
        'glusterd would delete the oldest snapshots of volume v by itself; '
        'run "gluster snapshot config auto-delete disable"',
    ),
    (
        snapshot_limits.SnapshotLimitReached('v', 3, 2),
        'volume v has 3 snapshots, and glusterd allows 2; delete some, or '
        'raise the limit, to 256 at most: "gluster snapshot config v '
        'snap-max-hard-limit NUMBER" for the volume, and without its name '
        'for the cluster',
    ),
    (
        snapshots.SnapshotVanished('s'),
        'snapshot s: it does not exist just after it was taken; take another '
        'one',
    ),
    (
        snapshots.SnapshotIncomplete('s', 3, (('gl1', 1), ('gl2', 0))),
        'snapshot s: it has 1 logical volumes for the 3 bricks of its volume '
        '(gl1: 1, gl2: 0); delete it and take another one',
    ),
    (volumes.VolumeNotFound('v'), 'volume v does not exist'),
    (
        volumes.VolumeUnfinished('v'),
        'volume v is not marked as finished, and may admit the clients of its '
        'origin',
    ),
    (
        volumes.VolumeUnmanaged('v'),
        "volume v was unmanaged, and is not Manila's",
    ),
    (
        volumes.VolumeOfOtherShare('v', 'id', 'other'),
        'volume v is marked as the volume of share other; if that is wrong, '
        'run "gluster volume set v user.manila.share id"',
    ),
    (
        volumes.BricksOffline('v', ('gl1:/b', 'gl2:/b'), 120.0),
        'volume v: bricks are offline 120 s after it was started: gl1:/b, '
        'gl2:/b; check that glusterd runs on their nodes, and read the logs '
        'in /var/log/glusterfs/bricks there',
    ),
]


@pytest.mark.parametrize(
    ('error', 'sentence'), SENTENCES, ids=lambda part: type(part).__name__
)
def test_sentence(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence
