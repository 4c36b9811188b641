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
"""Locks that glusterd holds, snapshots that it keeps, shares that reappear."""

from collections.abc import Iterable, Sequence
import re
import threading
import uuid

from manila import exception
import pytest

from manila_glusterfs_clone.cluster import deletion_on_nodes
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.operations import snapshot_limits
from manila_glusterfs_clone.tools import gluster
from tests.functional import manila_stand_in
from tests.functional import test_storage_faults as faults
from tests import lab as lab_module


def forget(node: lab_module.StorageNode, volume: str) -> None:
    """Have a node forget a volume, bricks and all, behind every back."""
    node.stop_glusterd()
    info = f'/var/lib/glusterd/vols/{volume}/info'
    named = node.succeed(f"sed -n 's/^volume-id=//p' {info}").strip()
    hex_id = named.replace('-', '')
    node.succeed(
        f"""
        for lv in $(lvs --noheadings -o lv_full_name \
                -S 'lv_name=~"{volume}|{hex_id}"'); do
            at=$(findmnt -n -o TARGET /dev/$lv) && umount $at && rmdir $at
            lvremove -q -f -y $lv
        done
        rm -rf /run/gluster/snaps/{hex_id} $(dirname {info})
        """
    )


def bring_back(lab: lab_module.Lab, volume: str) -> None:
    """Cut the power of a node; the volume goes meanwhile on the others."""
    away, *others = reversed(lab.nodes)
    away.succeed('sync')
    away.crash()
    for node in others:
        forget(node, volume)
    for node in others:
        node.start_glusterd()
    assert volume not in others[0].gluster('volume list')
    away.boot()
    lab.wait_connected(180)
    for node in others:
        node.wait_until_succeeds(f'gluster volume list | grep {volume}')


@pytest.mark.any_release
@pytest.mark.parametrize('node_name', ['gl1', 'gl2'])
def test_volfiles_lost_right_after_the_creation_of_a_volume(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    monkeypatch: pytest.MonkeyPatch,
    node_name: str,
) -> None:
    """As by a power cut: each change of the options fails on that node."""
    node = lab.node(node_name)
    create = gluster.Gluster.create_volume

    def lose_volfiles(
        self: gluster.Gluster,
        name: str,
        layout: Iterable[str],
        bricks: Sequence[str],
    ) -> None:
        create(self, name, layout, bricks)
        node.succeed(f'rm /var/lib/glusterd/vols/{name}/*.vol')

    monkeypatch.setattr(gluster.Gluster, 'create_volume', lose_volfiles)
    share = manila.create(1)
    faults.online(lab, share)


@pytest.mark.any_release('10.3')
def test_share_that_a_peer_brings_back(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """It was down while the share was deleted: deleting again ends it."""
    share = manila.create(1)
    bring_back(lab, share.volume)
    manila.delete(share)
    manila_stand_in.end_stray_self_heal(lab)


def test_half_made_clone_that_a_peer_brings_back(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    snapshot = manila.snapshot(share)
    half = manila_stand_in.Share(str(uuid.uuid4()), 1, share.pool, cloned=True)
    node, name = lab.node('gl1'), f'manila-snap-{snapshot.id}'
    node.gluster(f'snapshot activate {name}')
    node.gluster(f'snapshot clone {half.volume} {name}')
    node.gluster(f'snapshot deactivate {name}')
    bring_back(lab, half.volume)
    # It has the marks of its origin: maintenance does not bring it online.
    assert faults.ensure(manila, half) == {half.id: 'error'}
    assert 'Status: Created' in node.gluster(f'volume info {half.volume}')
    manila.delete(half)
    manila.clone(snapshot)
    manila.clean()
    manila_stand_in.end_stray_self_heal(lab)


# glusterd 10 starts all the same.
@pytest.mark.any_release
def test_clone_that_power_cut_short_before_its_lv(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """The node boots, and glusterd starts, as it would not by itself."""
    share = manila.create(1)
    snapshot = manila.snapshot(share)
    half = manila_stand_in.Share(str(uuid.uuid4()), 1, share.pool, cloned=True)
    node, name = lab.node('gl3'), f'manila-snap-{snapshot.id}'
    node.gluster(f'snapshot activate {name}')
    node.gluster(f'snapshot clone {half.volume} {name}')
    node.gluster(f'snapshot deactivate {name}')
    found = re.search(
        r'snaps/(\w+)/brick3', node.gluster(f'volume info {half.volume}')
    )
    assert found is not None
    node.succeed(
        f'umount /run/gluster/snaps/{found[1]}/brick3; '
        f'lvremove -q --yes gvg/{found[1]}_2; sync -f /var/lib/glusterd'
    )
    node.crash()
    node.boot()
    said = node.succeed('journalctl -b -u manila-glusterfs-clone-bricks')
    assert f'removed the clone {half.volume} ' in said
    lab.wait_connected(120)
    # The others have it, and tell; when that is killed, systemd starts it.
    known = f'gluster volume list | grep {half.volume}'
    node.wait_until_succeeds(known)
    node.kill_glusterd()
    node.wait_until_succeeds(known, timeout=150)
    lab.wait_connected(120)
    manila.delete(half)
    manila.clone(snapshot)
    manila.clean()
    manila_stand_in.end_stray_self_heal(lab)


@pytest.mark.any_release('10.3')
def test_brick_that_cannot_be_unmounted(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    node, at = lab.node('gl2'), faults.mount_of(share)
    node.succeed(f'cd {at}; setsid -f sleep 4321 </dev/null >/dev/null 2>&1')
    error = faults.refused(manila.delete, share)
    assert node.address in str(error)
    remedy = re.search('"(fuser [^"]*)"', str(error))
    assert remedy is not None
    assert remedy[1].endswith(at)
    assert 'sleep' in node.succeed(f'{remedy[1]} 2>&1')
    # Nothing is left where nobody holds it.
    lab.node('gl3').fail(f'lvs gvg/{share.volume}')
    node.succeed('pkill -f "sleep 432[1]"')
    manila.delete(share)


@pytest.mark.any_release
def test_snapshot_whose_lv_is_held(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """11.1 reports it deleted, and it is not; 10.3 keeps it on that node."""
    snapshot = manila.snapshot(manila.create(1))
    node = lab.node('gl2')
    lv = node.succeed(
        f'lvs --noheadings -o lv_full_name @manila.snapshot={snapshot.id}'
    ).strip()
    node.succeed(
        f'lvchange -K -a y {lv}; '
        f'setsid -f sleep 4321 3</dev/{lv} </dev/null >/dev/null 2>&1'
    )
    error = faults.refused(manila.delete, snapshot)
    assert node.address in str(error)
    assert lv in str(error)
    remedy = re.search('"(fuser [^"]*)"', str(error))
    assert remedy is not None
    assert 'sleep' in node.succeed(f'{remedy[1]} 2>&1')
    node.succeed('pkill -f "sleep 432[1]"')
    if any(
        isinstance(part, deletion_on_nodes.StillKnown)
        for part in errors.parts_of(error)
    ):
        node.stop_glusterd()
        node.start_glusterd()
        lab.wait_connected(120)
    manila.delete(snapshot)


@pytest.mark.any_release('10.3')
def test_lock_that_stays(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    conf: str,
    drivers: list[object],
) -> None:
    """A glusterd that hangs keeps a transaction from its end."""
    share = manila.create(1)
    hasty = manila_stand_in.open_driver(
        conf, manila_stand_in.IP, glusterfs_clone_settle_timeout=30
    )
    drivers.append(hasty)
    impatient = manila_stand_in.ManilaStandIn(hasty, manila_stand_in.IP)
    hung, node = lab.node('gl2'), lab.node('gl1')
    client = lab.client('c1')
    hung.succeed('kill -STOP $(cat /run/glusterd.pid)')
    try:
        setting = threading.Thread(
            target=node.execute,
            args=(
                f'gluster --mode=script volume set {share.volume} user.x 1',
                150,
            ),
        )
        setting.start()
        node.wait_until_succeeds('pgrep -f "[v]olume set"', every=0.2)
        # Should this one come before it, it is what hangs with the lock.
        node.wait_until_succeeds(
            f'(timeout 10 gluster volume status {share.volume} 2>&1 || :) | '
            f'grep "Another transaction is in progress"',
            every=0.2,
        )
        error = faults.refused(impatient.allow, share, client.address)
        assert node.address in str(error)
        assert any(
            isinstance(part, errors.Busy) for part in errors.parts_of(error)
        )
    finally:
        hung.succeed('kill -CONT $(cat /run/glusterd.pid)')
        setting.join()
    # And who is patient gets through.
    manila.allow(share, client.address)
    assert client.can_mount(share.host, share.volume)


@pytest.mark.any_release('10.3')
@pytest.mark.parametrize('whose', ['the volume\'s', 'the cluster\'s'])
def test_as_many_snapshots_as_there_may_be(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn, whose: str
) -> None:
    share = manila.create(1)
    node = lab.node('gl1')
    of = f'{share.volume} ' if 'volume' in whose else ''
    manila.snapshot(share)
    try:
        node.gluster(f'snapshot config {of}snap-max-hard-limit 1')
        error = faults.refused(manila.snapshot, share)
        assert isinstance(error, snapshot_limits.SnapshotLimitReached)
        assert error.args == (share.volume, 1, 1)
        remedy = re.search('"gluster (snapshot config [^"]*)"', str(error))
        assert remedy is not None
        command = remedy[1].replace('NUMBER', '2')
        if not of:
            command = command.replace(f'{share.volume} ', '')
        node.gluster(command)
        manila.snapshot(share)
    finally:
        node.gluster('snapshot config snap-max-hard-limit 256')


@pytest.mark.any_release('10.3')
def test_snapshots_that_the_cluster_would_delete(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    node = lab.node('gl1')
    node.gluster('snapshot config auto-delete enable')
    try:
        error = faults.refused(manila.snapshot, share)
        assert isinstance(error, snapshot_limits.AutoDeleteEnabled)
        remedy = re.search('"gluster (snapshot config [^"]*)"', str(error))
        assert remedy is not None
        node.gluster(remedy[1])
        manila.snapshot(share)
    finally:
        # It fails where it is so already.
        node.execute(
            'gluster --mode=script snapshot config auto-delete disable'
        )


@pytest.mark.any_release
def test_all_ports_of_bricks_are_in_use(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """The message has what glusterd logged, and nothing is left."""
    path = '/etc/glusterfs/glusterd.vol'

    def limit(node: lab_module.StorageNode) -> None:
        node.stop_glusterd()
        node.succeed(
            f'cp {path} {path}.kept; '
            f'sed -i "s/option max-port .*/option max-port 49152/" {path}'
        )
        node.start_glusterd()

    def unlimit(node: lab_module.StorageNode) -> None:
        node.stop_glusterd()
        node.succeed(f'mv {path}.kept {path}')
        node.start_glusterd()

    try:
        lab_module.side_by_side(limit, lab.nodes)
        lab.wait_connected(120)
        # One of them gets the only port.
        created = []
        with pytest.raises(exception.ShareBackendException) as caught:
            for _ in range(1 + len(lab.nodes)):
                created.append(manila.create(1))
        assert len(created) >= 1
        assert 'All the ports in the range are exhausted' in str(caught.value)
        leaks = lab.leaks(
            [share.id for share in created], age=manila_stand_in.CONSOLES
        )
        assert not leaks, '\n'.join(map(str, leaks))
    finally:
        lab_module.side_by_side(unlimit, lab.nodes)
        lab.wait_connected(120)
    manila.create(1)
