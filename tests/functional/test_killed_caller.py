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
"""A driver that was killed during an operation, and a cut network."""

from concurrent import futures
import time
import uuid

from manila import exception
import pytest

from tests.functional import manila_stand_in
from tests import lab as lab_module

#: Ends while LVM takes a snapshot, or once it has activated it.
_TAKEN = """\
before=$(echo /dev/mapper/*)
echo watching >/run/watching
until pgrep -x lvcreate || [ "$(echo /dev/mapper/*)" != "$before" ]; do
    sleep 0.02
done
rm /run/watching
"""


def test_half_made_clone_stays_closed(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """Killed before it was closed; then somebody has it looked at."""
    share = manila.create(1)
    client = lab.client('c1')
    manila.allow(share, client.address)
    snapshot = manila.snapshot(share)
    half = manila_stand_in.Share(str(uuid.uuid4()), 1, share.pool, cloned=True)
    node, name = lab.node('gl1'), f'manila-snap-{snapshot.id}'
    node.gluster(f'snapshot activate {name}')
    node.gluster(f'snapshot clone {half.volume} {name}')
    manila.adopt(half)

    states = manila.driver.ensure_shares(
        None, [manila.model(share), manila.model(half)]
    )
    assert states[share.id]['status'] == 'available'
    assert states[half.id]['status'] == 'error'
    assert not client.can_mount('gl1', half.volume)
    assert client.can_mount('gl1', share.volume)
    # And the snapshot was deactivated.
    assert 'Stopped' in node.gluster(f'snapshot info {name}')


@pytest.mark.any_release('10.3')
def test_snapshot_is_deleted_while_it_is_taken(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """As when its caller was killed: glusterd goes on with it."""
    share = manila.create(1)
    node = lab.node('gl1')
    snapshot = manila_stand_in.Snapshot(str(uuid.uuid4()), share)
    node.succeed('rm -f /run/watching')
    with futures.ThreadPoolExecutor() as threads:
        taken = threads.submit(node.succeed, _TAKEN, 120)
        node.wait_until_succeeds('test -e /run/watching', every=0.2)
        taking = threads.submit(
            node.execute,
            f'gluster --mode=script snapshot create '
            f'manila-snap-{snapshot.id} {share.volume} no-timestamp',
            130,
        )
        # From its first moment on, LVM is at work for it.
        taken.result()
        manila.delete(snapshot)
        taking.result()
    assert snapshot.id not in node.gluster('snapshot list')


@pytest.mark.any_release
def test_rule_is_not_taken_for_revoked_where_the_network_is_cut(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """The first node is alone, and its brick still admits the client.

    No node has noticed yet, so the first node begins the change, and reports
    its peers as connected for minutes.
    """
    share = manila.create(1)
    client = lab.client('c1')
    manila.allow(share, client.address)
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    alone, *others = lab.nodes
    for other in others:
        alone.cut(other)
    try:
        begun = time.monotonic()
        with pytest.raises(exception.ShareBackendException) as caught:
            manila.deny(share, client.address)
        assert alone.address in str(caught.value)
        # A change that hangs is given up after two minutes. Only the limit for
        # nodes that do come back is longer: ten minutes.
        assert time.monotonic() - begun < 300
    finally:
        for other in others:
            alone.heal(other)
        lab.wait_connected(180)
    # Manila has it tried again; the rule is gone from ours already.
    manila.deny_all(share)
    client.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    assert not client.can_mount(share.host, share.volume)
    manila.delete(share)
    manila_stand_in.end_stray_self_heal(lab)
