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
"""Shares and snapshots without faults."""

import contextlib
import pathlib
import time
from typing import Any

from manila import exception
import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.cluster import replica_heal
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from tests.functional import manila_stand_in
from tests import lab as lab_module

GIB = 1 << 30


def pool_of(manila: manila_stand_in.ManilaStandIn) -> dict[str, Any]:
    stats = manila.driver.get_share_stats(refresh=True)
    found: dict[str, Any] = stats['pools'][0]
    assert found['pool_name'] == manila_stand_in.POOL
    return found


def test_share_is_made_grown_and_gone(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    before = pool_of(manila)
    share = manila.create(1)
    # The node with the most free space is the first.
    assert {location['path'] for location in share.locations} == {
        f'{host}:/{share.volume}' for host in ('gl1', 'gl2', 'gl3')
    }
    client = lab.client('c1')
    assert not client.can_mount(share.host, share.volume)

    manila.allow(share, client.address)
    for location in share.locations:
        assert client.can_mount(
            location['path'].partition(':')[0],
            share.volume,
            location['metadata']['mount_options'],
        )
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    client.write_tree('/mnt/share/tree', 5, 10, seed=1)
    written = client.checksum_tree('/mnt/share')
    size, _ = client.df('/mnt/share')
    assert 0.9 * GIB < size <= GIB

    # While it is mounted, and twice, as a retry would.
    manila.extend(share, 2)
    manila.extend(share, 2)
    size, _ = client.df('/mnt/share')
    assert 1.9 * GIB < size <= 2 * GIB
    assert client.checksum_tree('/mnt/share') == written
    # The statistics are what LVM says.
    after = pool_of(manila)
    said = lab.node('gl1').succeed(
        'lvs --noheadings --units g --nosuffix -o lv_size gvg/pool'
    )
    assert after['total_capacity_gb'] == pytest.approx(float(said), 0.01)
    key = 'provisioned_capacity_gb'
    assert after[key] - before[key] == pytest.approx(2)
    key = 'free_capacity_gb'
    assert before[key] - 0.5 < after[key] < before[key]

    # Deleted in use, and again, as a retry would.
    manila.delete(share)
    manila.delete(share)
    assert lab_is_clean(lab)


@pytest.mark.any_release
def test_share_outlives_any_one_node(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """The first node is away: clients and rules go on with the others."""
    share = manila.create(1)
    client, other = lab.client('c1'), lab.client('c2')
    manila.allow(share, client.address)
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    client.write_tree('/mnt/share', 2, 2, seed=1)
    before = client.checksum_tree('/mnt/share')
    first = lab.node('gl1')
    first.shutdown()
    try:
        assert client.checksum_tree('/mnt/share') == before
        manila.allow(share, other.address)
        assert other.can_mount(share.host, share.volume, share.options)
        # What would leave something on the node that is away is refused,
        # and leaves nothing on the others.
        with pytest.raises(exception.ShareBackendException) as caught:
            manila.create(1)
        assert 'gl1' in str(caught.value) or first.address in str(caught.value)
    finally:
        first.boot()
        lab.wait_connected()
    lab.node('gl2').wait_until_succeeds(
        f'test "$(gluster volume heal {share.volume} info summary | '
        f'grep -c "Status: Connected")" = 3',
        timeout=120,
    )
    client.umount('/mnt/share')
    manila.delete(share)
    manila_stand_in.end_stray_self_heal(lab)


@pytest.mark.any_release('10.3')
def test_single_brick_layout(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1, layout='single')
    assert len(share.locations) == 1
    snapshot = manila.snapshot(share)
    clone = manila.clone(snapshot, 2)
    client = lab.client('c1')
    manila.allow(clone, client.address)
    client.mount(clone.host, clone.volume, '/mnt/clone', clone.options)
    assert client.df('/mnt/clone')[0] > 1.9 * GIB


@pytest.mark.any_release
def test_snapshot_is_refused_while_copies_differ(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
) -> None:
    """A clone would forget which copy is the right one."""
    share = manila.create(1)
    client = lab.client('c1')
    manila.allow(share, client.address)
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    away = lab.node('gl3')
    pattern = f'{share.volume}.gl3'
    # Neither the daemon nor the client may heal what is to be found.
    away.succeed(f'pkill -9 -f "[g]lusterfsd.*{pattern}"')
    client.write_tree('/mnt/share', 1, 4, seed=7)
    with pytest.raises(exception.ShareBackendException) as caught:
        manila.snapshot(share)
    found = caught.value.__cause__
    assert isinstance(found, replica_heal.CopiesDiffer)
    (silent,) = found.bricks
    assert silent.startswith('gl3:')
    # Starting what is down is what the driver does when it starts.
    manila.driver.ensure_shares(None, [manila.model(share)])
    # What it missed is healed at once, not within ten minutes.
    begun = time.monotonic()
    assert manila.snapshot(share)
    assert time.monotonic() - begun < 40


@pytest.mark.any_release
def test_a_snapshot_soon_after_writes(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """A client that unmounts at once leaves marks on equal copies."""
    share = manila.create(1)
    client = lab.client('c1')
    manila.allow(share, client.address)
    for number in range(2):
        client.mount(share.host, share.volume, '/mnt/share', share.options)
        client.succeed(
            f'mkdir /mnt/share/d{number}; '
            f'for n in 1 2 3; do dd if=/dev/urandom bs=256k count=4 '
            f'of=/mnt/share/d{number}/$n conv=fsync status=none; done; '
            f'umount /mnt/share'
        )
        begun = time.monotonic()
        manila.snapshot(share)
        assert time.monotonic() - begun < 30


@pytest.mark.any_release
def test_misconfiguration_is_told_whole(
    lab: lab_module.Lab, conf: str, tmp_path: pathlib.Path
) -> None:
    # The first node as somebody else.
    first, second, *rest = lab.known_hosts.read_text().splitlines()
    forged = ' '.join([first.split()[0], *second.split()[1:3]])
    strange = tmp_path / 'known_hosts'
    strange.write_text('\n'.join([forged, second, *rest]) + '\n')
    driver = manila_stand_in.open_driver(
        conf,
        manila_stand_in.IP,
        glusterfs_clone_pools=['gvg/pool', 'gvg/nosuch', 'bad'],
        glusterfs_clone_ssh_known_hosts=str(strange),
        glusterfs_clone_tls=True,
    )
    node = lab.node('gl3')
    node.succeed(f'systemctl -q disable {node_files.UNIT}')
    with (
        contextlib.ExitStack() as after,
        pytest.raises(exception.ShareBackendException) as caught,
    ):
        after.callback(node.succeed, f'systemctl -q enable {node_files.UNIT}')
        after.callback(driver._services.close)
        driver.check_for_setup_error()
    found = caught.value.__cause__
    assert isinstance(found, findings.Misconfigured)
    assert {(m.subject, m.kind) for m in found.mistakes} == {
        ('glusterfs_clone_pools', 'invalid'),
        ('glusterfs_clone_tls_server_names', 'empty'),
        ('thin pool gvg/nosuch', 'missing'),
        (f'node {lab.nodes[0].address}', 'unreachable'),
        (f'node {node.address}', 'boot unit'),
        ('thin pool bad', 'missing'),
    }


@pytest.mark.any_release
def test_full_pool_is_refused_before_anything_is_made(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    pool = 'tight/pool'
    share = manila.create(1, pool=pool)
    snapshot = manila.snapshot(share)
    lab.node('gl2').fill_pool(pool, 97)
    try:
        for refused in (
            lambda: manila.create(1, pool=pool),
            lambda: manila.snapshot(share),
            lambda: manila.clone(snapshot),
            lambda: manila.extend(share, 2),
        ):
            with pytest.raises(exception.NoValidHost) as caught:
                refused()
            error = caught.value.__cause__
            assert isinstance(error, placement.InsufficientSpace)
            assert set(error.obstacles) == {lab.node('gl2').address}
    finally:
        lab.node('gl2').drain_pool(pool)
    lab.node('gl3').fill_pool_metadata(pool, 90)
    try:
        for refused in (
            lambda: manila.snapshot(share),
            lambda: manila.clone(snapshot),
        ):
            with pytest.raises(exception.NoValidHost) as caught:
                refused()
            error = caught.value.__cause__
            assert isinstance(error, placement.InsufficientSpace)
            assert set(error.obstacles) == {lab.node('gl3').address}
    finally:
        lab.node('gl3').drain_pool_metadata(pool)
    manila.clone(snapshot)


def lab_is_clean(lab: lab_module.Lab) -> bool:
    return lab.leaks(age=manila_stand_in.CONSOLES) == []
