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
        'brick /srv/manila-x/brick on node gl1: a file system outside LVM is '
        'mounted at /srv/manila-x, so the driver does not mount the logical '
        'volume of the share there. Compare the data of both. If the logical '
        'volume has the newer data, unmount the file system; a later '
        'maintenance pass then mounts the logical volume'
    ),
    brick_repair.BrickLost(*BRICK, ('manila.mount=y', 'manila.share=x')): (
        'brick /srv/manila-x/brick on node gl1: lost, because no logical '
        'volume has its tags (manila.mount=y, manila.share=x); run "gluster '
        'volume reset-brick" to replace the brick. If the volume has other '
        'copies, the new brick receives their data'
    ),
    brick_repair.ForeignLogicalVolume(
        *BRICK, 'gvg/other', ('manila.mount=y', 'manila.share=x')
    ): (
        'brick /srv/manila-x/brick on node gl1: logical volume gvg/other is '
        'mounted as the brick, but does not have all tags of the brick '
        '(manila.mount=y, manila.share=x). So the driver does not repair the '
        'brick. If gvg/other has the data of the share, add the tags with '
        '"lvchange --addtag"; otherwise unmount gvg/other'
    ),
    brick_repair.NotMountable(*BRICK, 'gvg/manila-x', CAUSE): (
        f'brick /srv/manila-x/brick on node gl1: its file system cannot be '
        f'mounted: {CAUSE}; look for disk errors in the output of "dmesg" on '
        f'the node. If the disk failed, repair it and reboot the node; '
        f'otherwise run "xfs_repair /dev/gvg/manila-x"'
    ),
    brick_repair.BrickEmpty(*BRICK): (
        'brick /srv/manila-x/brick on node gl1: has no '
        '.glusterfs, so it is empty or not a brick; look into the directory. '
        'If its data is lost, run "gluster volume reset-brick" to replace the '
        'brick'
    ),
    brick_repair.ForeignVolumeId(
        *BRICK, 'gvg/manila-x', 'manila-x', 'ab12', 'other'
    ): (
        'brick /srv/manila-x/brick on node gl1: has the volume id of other, '
        'so volume manila-x cannot start while the brick is mounted. If '
        'gvg/manila-x has the data of manila-x, run "setfattr -n '
        'trusted.glusterfs.volume-id -v 0xab12 /srv/manila-x/brick"; '
        'otherwise unmount gvg/manila-x'
    ),
    healing.HealingFailed('x', 'no more'): (
        'share x: healing failed unexpectedly: no more; see the log of '
        'manila-share'
    ),
    healing.OptionsReset('manila-x'): (
        'volume manila-x: stopped, and its options were reset. In a later '
        'maintenance pass or at the next start of manila-share, the driver '
        'sets the access lists and then starts the volume'
    ),
}


@pytest.mark.parametrize(
    'error', SENTENCES, ids=lambda error: type(error).__name__
)
def test_sentence(error: errors.Error) -> None:
    assert str(error) == SENTENCES[error]
