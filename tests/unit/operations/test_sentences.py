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
from manila_glusterfs_clone.operations import snapshot_lvs
from manila_glusterfs_clone.operations import snapshots
from manila_glusterfs_clone.operations import volume_start
from manila_glusterfs_clone.operations import volumes

SENTENCES = [
    (
        clone_sources.SnapshotNotFound('s'),
        'snapshot s: does not exist on the cluster; check "gluster snapshot '
        'list", and delete the snapshot in Manila',
    ),
    (
        clone_sources.SnapshotWithoutData('s'),
        'snapshot s: no node has a logical volume of it, so its data is lost; '
        'delete the snapshot in Manila',
    ),
    (
        clone_sources.SnapshotStillActive('s', ('gl1', 'gl2')),
        'snapshot s: still active on gl1, gl2 after its deactivation; run '
        '"gluster snapshot activate s force" and then "gluster snapshot '
        'deactivate s"',
    ),
    (
        clones.SnapshotInOtherPool('id', 'vg/a', ('vg/b', 'vg/c')),
        'snapshot id: in thin pool vg/a, but this back end uses only vg/b, '
        'vg/c; add the pool to glusterfs_clone_pools, or if the pool belongs '
        'to another back end, enable CreateFromSnapshotFilter in '
        'scheduler_default_filters',
    ),
    (
        share_removal.ShareHasSnapshots('v', 2),
        'volume v: has snapshots (2); delete the snapshots that "gluster '
        'snapshot list v" lists, and retry',
    ),
    (
        snapshot_limits.AutoDeleteEnabled('v'),
        'volume v: glusterd could delete its oldest snapshots, because '
        'auto-delete is enabled; run "gluster snapshot config auto-delete '
        'disable"',
    ),
    (
        snapshot_limits.SnapshotLimitReached('v', 3, 2),
        'volume v: has 3 snapshots, and glusterd allows 2; delete snapshots, '
        'or raise the limits to at most 256: "gluster snapshot config v '
        'snap-max-hard-limit NUMBER" for the volume, "gluster snapshot config '
        'snap-max-hard-limit NUMBER" for the cluster',
    ),
    (
        snapshots.SnapshotVanished('s'),
        'snapshot s: was taken, but does not exist any more; take another '
        'snapshot',
    ),
    (
        snapshot_lvs.SnapshotIncomplete('s', 3, (('gl1', 1), ('gl2', 0))),
        'snapshot s: has 1 logical volumes for the 3 bricks of its volume '
        '(gl1: 1, gl2: 0); delete the snapshot and take another one',
    ),
    (
        volumes.VolumeNotFound('v'),
        'volume v: does not exist; check "gluster volume list", and delete '
        'the share if the volume was removed',
    ),
    (
        volumes.VolumeUnfinished('v'),
        'volume v: option user.manila.share is not the id of its share, so '
        'the volume may admit clients of its origin; delete the share if its '
        'creation failed',
    ),
    (
        volumes.VolumeUnmanaged('v'),
        'volume v: marked as unmanaged; unmanage the share in Manila',
    ),
    (
        volumes.VolumeOfOtherShare('v', 'id', 'other'),
        'volume v: marked as the volume of share other; if that is wrong, '
        'run "gluster volume set v user.manila.share id"',
    ),
    (
        volume_start.BricksOffline('v', ('gl1:/b', 'gl2:/b'), 120.0),
        'volume v: bricks are offline 120 s after its start: gl1:/b, gl2:/b; '
        'check glusterd and /var/log/glusterfs/bricks on the nodes of these '
        'bricks',
    ),
]


@pytest.mark.parametrize(
    ('error', 'sentence'), SENTENCES, ids=lambda part: type(part).__name__
)
def test_sentence(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence
