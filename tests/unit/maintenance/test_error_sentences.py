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
"""The sentences of the errors of maintenance, each with its remedy."""

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import brick_repair
from manila_glusterfs_clone.maintenance import healing

BRICK = '/srv/manila-x/brick', 'gl1'
CAUSE = errors.CommandFailed('gl1', ('mount',), 32, '', 'bad superblock')
SENTENCES: dict[errors.Error, str] = {
    brick_repair.ForeignMount(*BRICK, '/srv/manila-x'): (
        'brick /srv/manila-x/brick on node gl1: /srv/manila-x is the mount '
        'point of something that is no logical volume; the logical volume of '
        'the share is not mounted over it, as either may have the newer '
        'data. Remove the one that is not needed'
    ),
    brick_repair.BrickLost(*BRICK, ('manila.mount=y', 'manila.share=x')): (
        'brick /srv/manila-x/brick on node gl1: lost: no logical volume has '
        'its tags (manila.mount=y, manila.share=x). The volume works with '
        'its other copies; replace the brick with "gluster volume '
        'reset-brick"'
    ),
    brick_repair.ForeignLogicalVolume(
        *BRICK, 'gvg/other', ('manila.mount=y', 'manila.share=x')
    ): (
        'brick /srv/manila-x/brick on node gl1: gvg/other is mounted in its '
        'place but does not have the tags of the share (manila.mount=y, '
        'manila.share=x); it is left alone. If it is not the brick, unmount '
        'it; if it is, add the tags with "lvchange --addtag"'
    ),
    brick_repair.NotMountable(*BRICK, 'gvg/manila-x', CAUSE): (
        f'brick /srv/manila-x/brick on node gl1: its file system cannot be '
        f'mounted: {CAUSE}; look for disk errors in the output of "dmesg" on '
        f'the node. If the disk failed, reboot the node when it works again; '
        f'else repair the file system with "xfs_repair /dev/gvg/manila-x"'
    ),
    brick_repair.BrickEmpty(*BRICK): (
        'brick /srv/manila-x/brick on node gl1: it has no volume id and no '
        '.glusterfs: it is empty, or is not a brick. Look at it, and if its '
        'data is lost, replace it with "gluster volume reset-brick"'
    ),
    brick_repair.ForeignVolumeId(
        *BRICK, 'gvg/manila-x', 'manila-x', 'ab12', 'other'
    ): (
        'brick /srv/manila-x/brick on node gl1: it has the id of other and '
        'is left alone; volume manila-x cannot start while it is mounted. If '
        'gvg/manila-x has the data of manila-x, run "setfattr -n '
        'trusted.glusterfs.volume-id -v 0xab12 /srv/manila-x/brick"'
    ),
    healing.HealingFailed('x', 'no more'): 'share x: healing failed: no more',
    healing.OptionsReset('manila-x'): (
        'volume manila-x: stopped, and its options were reset; it is started '
        'when maintenance has set its access lists'
    ),
}


@pytest.mark.parametrize(
    'error', SENTENCES, ids=lambda error: type(error).__name__
)
def test_sentence(error: errors.Error) -> None:
    assert str(error) == SENTENCES[error]
