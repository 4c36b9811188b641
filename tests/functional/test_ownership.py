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
"""An operator changes the objects of shares by hand."""

from collections.abc import Mapping
import time

import pytest

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from tests.functional import manila_stand_in
from tests.functional import test_clone
from tests import lab as lab_module


def maintain(manila: manila_stand_in.ManilaStandIn) -> None:
    """Make the part of a maintenance pass that corrects tags."""
    ours = manila.driver._services
    the_backoff = backoff.Backoff()
    the_backoff.begin_pass()
    shares: Mapping[str, manila_db.Row] = {
        share: manila_db.Row(share, 'host', 'available', None, share)
        for share in manila.shares
    }
    brick_tag_repair.BrickTags(ours.cluster, ours.locks, the_backoff).correct(
        cluster_state.read(ours.cluster, ours.settings.backend_mark), shares
    )


def restore(
    lab: lab_module.Lab, snapshot: manila_stand_in.Snapshot, *, start: bool
) -> None:
    """Restore a snapshot as an operator does, which consumes it."""
    node, volume = lab.node('gl1'), snapshot.share.volume
    lab.client('c1').umount('/mnt/origin')
    node.gluster(f'volume stop {volume}')
    node.gluster(f'snapshot restore manila-snap-{snapshot.id}')
    if start:
        node.gluster(f'volume start {volume}')
        time.sleep(3)


@pytest.mark.parametrize('how', ['stopped', 'adopted', 'booted'])
def test_a_share_outlives_the_snapshot_that_was_restored_into_it(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn, how: str
) -> None:
    share = manila.create(1)
    wanted = test_clone.fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    lab.client('c1').write_tree('/mnt/origin/late', 2, 3, seed='late')
    restore(lab, snapshot, start=how != 'stopped')
    if how == 'booted':
        # No tag says yet where to mount the brick, and glusterd 11 finds it
        # only through the former one.
        node, former = lab.node('gl2'), share.volume
        node.succeed(
            f'umount /srv/manila-glusterfs-clone/{former} && '
            f'rmdir /srv/manila-glusterfs-clone/{former} && '
            f'lvremove -y gvg/{former}'
        )
        node.crash()
        node.boot()
        lab.wait_connected(120)
    if how == 'adopted':
        maintain(manila)
    manila.delete(snapshot)
    if how == 'stopped':
        lab.node('gl1').gluster(f'volume start {share.volume}')
    test_clone.bricks_are_online(lab, share)
    assert test_clone.look(lab, manila, share) == wanted

    for node in lab.nodes:
        node.crash()
    for node in lab.nodes:
        node.boot()
    lab.wait_connected(120)
    manila.driver.ensure_shares(None, [manila.model(share)])
    test_clone.bricks_are_online(lab, share)
    assert test_clone.look(lab, manila, share) == wanted
    clone = manila.clone(manila.snapshot(share), 2)
    assert test_clone.look(lab, manila, manila.extend(share, 2)) == wanted
    assert test_clone.look(lab, manila, clone) == wanted


@pytest.mark.any_release
def test_a_brick_stays_that_was_tagged_as_of_another_share(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share, deleted = manila.create(1), manila.create(1)
    wanted = test_clone.fill(lab, manila, share)
    lab.client('c1').umount('/mnt/origin')
    lab.node('gl3').succeed(
        f'lvchange --deltag manila.share={share.id} '
        f'--addtag manila.share={deleted.id} gvg/{share.volume}'
    )
    manila.delete(deleted)
    test_clone.bricks_are_online(lab, share)
    assert test_clone.look(lab, manila, share) == wanted


def test_nothing_is_left_on_nodes_without_a_brick(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """All nodes are looked at when all is deleted."""
    share = manila.create(1, layout='single')
    manila.snapshot(share)
    clone = manila.clone(manila.snapshot(share))
    manila.clean()
    for node in lab.nodes:
        for thing in (share, clone):
            node.succeed(
                f'! find /run/gluster /var/lib/glusterd | grep {thing.id}'
            )
