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
"""Clones: their data, size, blocks and independence of their origin."""

from collections.abc import Callable
from concurrent import futures
import json
import subprocess
import sys
import threading
import time
import uuid

import pytest

from tests.functional import manila_stand_in
from tests import lab as lab_module

GIB = 1 << 30


def fill(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    share: manila_stand_in.Share,
    mib: int = 5,
) -> str:
    """Have c1 write to a share; give the sum of what is there then."""
    client = lab.client('c1')
    manila.allow(share, client.address)
    client.mount(share.host, share.volume, '/mnt/origin', share.options)
    client.write_tree('/mnt/origin/tree', mib, 10, seed=share.id)
    client.succeed('sync -f /mnt/origin')
    return client.checksum_tree('/mnt/origin')


def look(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    share: manila_stand_in.Share,
    also: Callable[[lab_module.Client, str], None] | None = None,
) -> str:
    """Have c2 mount a share; give the sum of what it sees."""
    client = lab.client('c2')
    manila.allow(share, client.address)
    at = f'/mnt/{share.id}'
    client.mount(share.host, share.volume, at, share.options)
    seen = client.checksum_tree(at)
    if also:
        also(client, at)
    client.umount(at)
    return seen


def test_clone_holds_the_snapshot_and_is_on_its_own(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    as_of_snapshot = fill(lab, manila, share, 60)
    snapshot = manila.snapshot(share)
    origin = lab.client('c1')
    origin.succeed('rm -r /mnt/origin/tree; echo later > /mnt/origin/later')
    changed = origin.checksum_tree('/mnt/origin')

    used = lab.node('gl1').pool_usage('gvg/pool')[0]
    same = manila.clone(snapshot)
    larger = manila.clone(snapshot, 2)
    # 20 GiB are the pool's: two copies of 60 MiB would be 0.6 %.
    assert lab.node('gl1').pool_usage('gvg/pool')[0] - used < 0.3

    def write(client: lab_module.Client, at: str) -> None:
        client.succeed(f'echo clone > {at}/clone; sync -f {at}')

    def size_is(
        low: float, high: float
    ) -> Callable[[lab_module.Client, str], None]:
        def check(client: lab_module.Client, at: str) -> None:
            assert low * GIB < client.df(at)[0] <= high * GIB
            write(client, at)

        return check

    assert look(lab, manila, larger, size_is(1.9, 2)) == as_of_snapshot
    # None sees what is written to another.
    assert origin.checksum_tree('/mnt/origin') == changed
    assert look(lab, manila, same, size_is(0.9, 1)) == as_of_snapshot
    manila.extend(larger, 3)
    look(lab, manila, larger, size_is(2.9, 3))


def test_clone_of_a_clone_of_a_clone(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    wanted = fill(lab, manila, share)
    generations = [share]
    for size in (1, 2, 2):
        snapshot = manila.snapshot(generations[-1])
        generations.append(manila.clone(snapshot, size))
    assert look(lab, manila, generations[-1]) == wanted
    # The middle goes first.
    for snapshot in list(manila.snapshots.values()):
        manila.delete(snapshot)
    manila.delete(generations[1], generations[0], generations[2])
    assert look(lab, manila, generations[3]) == wanted


def test_clone_outlives_its_parent_and_every_reboot(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn, release: str
) -> None:
    """By the boot unit: the control is a node without it."""
    share = manila.create(1)
    wanted = fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot, 2)
    lab.client('c1').umount('/mnt/origin')
    manila.delete(snapshot, share)
    assert look(lab, manila, clone) == wanted

    for node in lab.nodes:
        node.shutdown()
    for node in lab.nodes:
        node.switch_on()
    for node in lab.nodes:
        node.wait_ready()
        node.unit_is('glusterd.service')
    lab.wait_connected()
    bricks_are_online(lab, clone)
    assert look(lab, manila, clone) == wanted

    node = lab.node('gl3')
    node.remove_boot_unit()
    try:
        node.shutdown()
        node.boot(expect_glusterd=False)
        if release == '11.1':
            # glusterd cannot find what the clone was made from.
            node.wait_until_succeeds(
                'systemctl is-failed glusterd', timeout=90
            )
        else:
            # glusterd mounts clones itself, from the path that it noted.
            node.wait_until_succeeds('pidof glusterd', timeout=90)
    finally:
        node.install_boot_unit()
        node.succeed('/usr/local/lib/manila-glusterfs-clone/mount-bricks')
        node.succeed('systemctl reset-failed glusterd || true')
        node.start_glusterd()
        lab.wait_connected()
    manila.driver.ensure_shares(None, [manila.model(clone)])
    bricks_are_online(lab, clone)
    assert look(lab, manila, clone) == wanted


@pytest.mark.any_release
def test_power_cut_right_after_the_clone_is_reported(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    wanted = fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    node = lab.node('gl2')
    clone = manila.clone(snapshot, 2)
    time.sleep(1)
    node.crash()
    node.boot()
    lab.wait_connected(120)
    bricks_are_online(lab, clone)
    bricks_are_online(lab, share)
    assert look(lab, manila, clone) == wanted


@pytest.mark.any_release('10.3')
def test_clone_never_admits_a_client_of_its_parent(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """A client that tries all the time does not get in once."""
    share = manila.create(1)
    fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    client = lab.client('c1')
    share_id = str(uuid.uuid4())
    volume = f'manila-{share_id}'
    # The name of the volume is known to it beforehand, which is more than
    # any client knows.
    client.put(
        f"""#!/bin/bash
mkdir -p /mnt/burglar
while [ ! -e /tmp/enough ]; do
    for host in gl1 gl2 gl3; do
        mount -t glusterfs $host:/{volume} /mnt/burglar 2>/dev/null
        if ls /mnt/burglar/tree >/dev/null 2>&1; then
            echo got in through $host >>/tmp/burglary
        fi
        umount -l /mnt/burglar 2>/dev/null
        echo tried >>/tmp/tries
    done
done
""",
        '/tmp/mount-for-ever',
        0o755,
    )
    client.succeed('rm -f /tmp/enough /tmp/burglary /tmp/tries')
    client.succeed('setsid -f /tmp/mount-for-ever </dev/null >/dev/null 2>&1')
    try:
        # It is at it before, and goes on for a while after.
        client.wait_until_succeeds('test -s /tmp/tries', timeout=180)
        clone = manila.clone(snapshot, 2, share_id=share_id)
        tried = int(client.succeed('wc -l </tmp/tries'))
        client.wait_until_succeeds(
            f'[ "$(wc -l </tmp/tries)" -gt {tried + 3} ]', timeout=180
        )
    finally:
        client.succeed('touch /tmp/enough')
        client.wait_until_succeeds('! pgrep -f "[m]ount-for-ever"', timeout=60)
    assert client.execute('cat /tmp/burglary').out == ''
    # And the loop does get in where it may.
    client.succeed('rm -f /tmp/enough')
    manila.allow(clone, client.address)
    client.succeed('setsid -f /tmp/mount-for-ever </dev/null >/dev/null 2>&1')
    client.wait_until_succeeds('grep -q in /tmp/burglary', timeout=60)
    client.succeed('touch /tmp/enough')
    client.wait_until_succeeds('! pgrep -f "[m]ount-for-ever"', timeout=60)
    client.succeed('rm -f /tmp/enough /tmp/burglary /tmp/tries')


@pytest.mark.any_release
def test_eight_clones_of_one_snapshot_at_once(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn, conf: str
) -> None:
    """By two processes, as two manila-share of one host would."""
    share = manila.create(1)
    wanted = fill(lab, manila, share)
    snapshot = manila.snapshot(share)
    ids = [str(uuid.uuid4()) for _ in range(8)]
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                '-W',
                'ignore',
                '-m',
                'tests.functional.clone_worker',
                conf,
                snapshot.id,
                share.id,
                *part,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in (ids[:4], ids[4:])
    ]
    outcomes: dict[str, str] = {}
    for worker in workers:
        said, _ = worker.communicate(timeout=600)
        outcomes.update(json.loads(said.splitlines()[-1]))
    made = [manila_stand_in.Share(share_id, 1, share.pool) for share_id in ids]
    for clone in made:
        manila.adopt(clone)
    assert outcomes == dict.fromkeys(ids, 'made')
    healed = manila.driver.ensure_shares(
        None, [manila.model(clone) for clone in made]
    )
    last = made[-1]
    located = manila_stand_in.Share(
        last.id, 1, last.pool, healed[last.id]['export_locations']
    )
    assert look(lab, manila, located) == wanted
    manila.delete_side_by_side(*made)


@pytest.mark.any_release('10.3')
def test_clones_of_several_snapshots_at_once(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    one, two = manila.create(1), manila.create(1)
    wanted = fill(lab, manila, one)
    snapshots = [
        manila.snapshot(one),
        manila.snapshot(two),
        manila.snapshot(one),
    ]
    start = threading.Barrier(len(snapshots))

    def clone(snapshot: manila_stand_in.Snapshot) -> manila_stand_in.Share:
        start.wait()
        return manila.clone(snapshot)

    with futures.ThreadPoolExecutor(len(snapshots)) as threads:
        made = list(threads.map(clone, snapshots))
    assert look(lab, manila, made[0]) == wanted
    assert look(lab, manila, made[2]) == wanted
    assert look(lab, manila, made[1]) != wanted
    manila.delete_side_by_side(*made)


def bricks_are_online(
    lab: lab_module.Lab, share: manila_stand_in.Share
) -> None:
    """Ask gluster itself, on a node, for the bricks that are up."""
    lab.node('gl1').wait_until_succeeds(
        f'test "$(gluster volume status {share.volume} detail | '
        f'grep -c "^Online *: Y")" = 3',
        timeout=120,
    )
