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
"""Access rules: which clients can mount a share."""

from collections.abc import Iterator
import contextlib
import time

import pytest

from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import protocols
from tests.functional import manila_stand_in
from tests import lab as lab_module
from tests.lab import dresses


def test_address_rule(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    allowed, other = lab.client('c1'), lab.client('c2')
    # With the very prefix that admits everyone if it reaches GlusterFS.
    rule = f'{allowed.address}/32'
    assert manila.allow(share, rule) == {rule: 'active'}
    allowed.mount(share.host, share.volume, '/mnt/share', share.options)
    assert not other.can_mount(share.host, share.volume)

    manila.allow(share, other.address)
    assert other.can_mount(share.host, share.volume)

    # Revoked while it is mounted: the mount is lost, and only this one.
    other.mount(share.host, share.volume, '/mnt/share', share.options)
    manila.deny(share, rule)
    allowed.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    assert not allowed.can_mount(share.host, share.volume)
    other.succeed('touch /mnt/share/still-here')


#: A network, an address in it, and one that is not.
NETWORKS = (
    ('10.88.40.0/25', '10.88.40.127', '10.88.40.128'),
    ('10.88.40.0/22', '10.88.43.250', '10.88.44.1'),
    ('10.88.40.8/30', '10.88.40.11', '10.88.40.12'),
    ('10.64.0.0/11', '10.88.40.200', None),
    ('0.0.0.0/0', '10.88.41.1', None),
    ('10.96.0.0/11', None, '10.88.40.1'),
)


@pytest.mark.any_release('10.3')
def test_network_rules_are_exact(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    client = lab.client('c3')
    share = manila.create(1, layout='single')
    addresses = {address for row in NETWORKS for address in row[1:] if address}
    for address in addresses:
        client.add_address(address)
    try:
        for network, inside, outside in NETWORKS:
            assert manila.allow(share, network) == {network: 'active'}
            if inside:
                assert client.can_mount(
                    share.host, share.volume, src=inside
                ), network
            if outside:
                assert not client.can_mount(
                    share.host, share.volume, src=outside
                ), network
            manila.deny(share, network)
    finally:
        client.prefer_address()
        for address in addresses:
            client.succeed(f'ip address del {address}/16 dev vec0')


@pytest.mark.any_release
def test_rules_that_cannot_hold_fail_alone(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1, layout='single')
    client = lab.client('c1')
    assert manila.allow(share, client.address, 'fe80::/64') == {
        client.address: 'active',
        'fe80::/64': 'error',
    }
    assert manila.allow(share, 'somebody', kind='user') == {
        'somebody': 'error'
    }
    assert manila.allow(share, '10.88.2.1', level='ro') == {
        '10.88.2.1': 'error'
    }
    assert client.can_mount(share.host, share.volume)
    assert not lab.client('c2').can_mount(share.host, share.volume)
    # Taking away a rule that never held is nothing special.
    manila.deny(share, 'fe80::/64')


@pytest.mark.any_release
def test_certificate_rule(
    lab: lab_module.Lab, tls_manila: manila_stand_in.ManilaStandIn
) -> None:
    share = tls_manila.create(1)
    allowed, other = lab.client('c1'), lab.client('c2')
    assert not allowed.can_mount(share.host, share.volume)

    assert tls_manila.allow(share, 'c1', 'gl1', 'a,b', '*') == {
        'c1': 'active',
        'gl1': 'error',
        'a,b': 'error',
        '*': 'error',
    }
    allowed.mount(share.host, share.volume, '/mnt/share', share.options)
    allowed.write_tree('/mnt/share', 2, 2, seed=1)
    assert not other.can_mount(share.host, share.volume)

    tls_manila.allow(share, 'c2')
    other.mount(share.host, share.volume, '/mnt/share', share.options)
    assert other.checksum_tree('/mnt/share') == allowed.checksum_tree(
        '/mnt/share'
    )

    tls_manila.deny(share, 'c1')
    allowed.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    assert not allowed.can_mount(share.host, share.volume)
    other.succeed('touch /mnt/share/still-here')


@pytest.mark.any_release('10.3')
def test_clone_of_a_share_with_certificates(
    lab: lab_module.Lab, tls_manila: manila_stand_in.ManilaStandIn
) -> None:
    share = tls_manila.create(1)
    first, second = lab.client('c1'), lab.client('c2')
    tls_manila.allow(share, 'c1')
    first.mount(share.host, share.volume, '/mnt/share', share.options)
    first.write_tree('/mnt/share', 2, 2, seed=1)
    clone = tls_manila.clone(tls_manila.snapshot(share))
    assert not first.can_mount(clone.host, clone.volume)
    tls_manila.allow(clone, 'c2')
    second.mount(clone.host, clone.volume, '/mnt/clone', clone.options)
    assert second.checksum_tree('/mnt/clone') == first.checksum_tree(
        '/mnt/share'
    )
    assert not first.can_mount(clone.host, clone.volume)


@pytest.fixture
def loopback_names(lab: lab_module.Lab) -> Iterator[None]:
    """Have each node find its own name at 127.0.1.1, as Debian sets it up."""
    with contextlib.ExitStack() as stack:
        for node in lab.nodes:
            stack.callback(dresses.put_on(lab, node, 'debian'))
        yield


def test_nodes_that_find_their_names_at_a_loopback_address(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    loopback_names: None,
) -> None:
    """Their bricks list their own daemons as 127.0.0.1."""
    share = manila.create(1)
    kept, revoked = lab.client('c1'), lab.client('c2')
    for client in (kept, revoked):
        manila.allow(share, client.address)
        client.mount(share.host, share.volume, '/mnt/share', share.options)
    listed = lab.node('gl1').gluster(f'volume status {share.volume} clients')
    assert '127.0.0.1:' in listed
    begun = time.monotonic()
    manila.deny(share, revoked.address)
    assert time.monotonic() - begun <= 15
    revoked.wait_until_succeeds(manila_stand_in.OUT, timeout=30)
    kept.succeed('touch /mnt/share/still-here')


#: Writes ten times a second until it is told to stop; fails at an error.
_WRITER = """
exec >/tmp/writer.log 2>&1
n=0
while [ ! -e /tmp/writer.stop ]; do
    n=$((n + 1)); echo $n >/mnt/share/n && sync /mnt/share/n || exit 1
    sleep 0.1
done
echo done $n
"""


@pytest.mark.parametrize(
    'damage',
    [
        'volume reset {}',
        'volume reset {} force',
        'volume reset {} auth.allow',
        'volume set {} auth.allow "*"',
    ],
)
def test_access_list_that_an_operator_changed(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    share = manila.create(1)
    kept, stranger = lab.client('c1'), lab.client('c2')
    manila.allow(share, kept.address)
    kept.mount(share.host, share.volume, '/mnt/share', share.options)
    kept.succeed(
        f"rm -f /tmp/writer.stop; cat >/tmp/writer <<'EOF'\n{_WRITER}EOF\n"
        f'setsid -f bash /tmp/writer </dev/null >/dev/null 2>&1'
    )
    lab.node('gl1').gluster(damage.format(share.volume))
    stranger.mount(share.host, share.volume, '/mnt/share', share.options)

    wanted = {
        share.id: protocols.Rules(
            (protocols.Rule('a1', 'ip', kept.address, 'rw'),),
            (protocols.Rule('a2', 'ip', '10.88.9.9', 'rw'),),
        )
    }
    # Manila's database is played.
    monkeypatch.setattr(manila_db, 'rules', lambda *_: wanted)
    ours = manila.driver._services
    audit = access_audit.AccessAudit(
        ours, backoff.Backoff(), service_host='h@b'
    )
    begun = time.monotonic()
    audit.audit(
        cluster_state.read(ours.cluster, ours.settings.backend_mark), wanted
    )
    assert time.monotonic() - begun <= 20
    stranger.wait_until_succeeds(manila_stand_in.OUT, timeout=10)
    assert not stranger.can_mount(share.host, share.volume)
    time.sleep(1)
    kept.succeed('touch /tmp/writer.stop')
    kept.wait_until_succeeds('grep done /tmp/writer.log', timeout=10)
    seen = cluster_state.read(ours.cluster, ours.settings.backend_mark)
    volume = ours.volumes.get_finished(share.id)
    for view in (volume, *seen.views_of(share.id)):
        standing = ours.volumes.permanent_options(share.id, volume)
        assert standing.items() <= dict(view.options).items()
        assert ours.protocol.has_rules(view, wanted[share.id].active)
