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
"""Access rules with the level ``ro``: clients read, and cannot write."""

from collections.abc import Iterator
import time

import pytest

from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.maintenance import manila_db
from manila_glusterfs_clone import protocols
from tests.functional import manila_stand_in
from tests import lab as lab_module

#: Holds a file open, and writes and reads it ten times a second; logs what
#: became of each. A write is done when it is on the bricks.
_HOLDER = """
import errno, os, time
fd = os.open('/mnt/share/held', os.O_RDWR | os.O_CREAT)
os.write(fd, b'begin')
os.fsync(fd)
with open('/tmp/holder.log', 'w') as log:
    while not os.path.exists('/tmp/holder.stop'):
        try:
            os.pwrite(fd, b'%017.6f' % time.time(), 5)
            os.fsync(fd)
            written = 'written'
        except OSError as error:
            written = errno.errorcode[error.errno]
        read = 'read' if os.pread(fd, 5, 0) == b'begin' else 'lost'
        print(time.time(), written, read, file=log, flush=True)
        time.sleep(0.1)
"""


class Holder:
    """A client that has a file of a share open all the time."""

    def __init__(self, client: lab_module.Client) -> None:
        self._client = client
        client.succeed(
            f"rm -f /tmp/holder.*; cat >/tmp/holder.py <<'EOF'\n{_HOLDER}EOF\n"
            f'setsid -f python3 /tmp/holder.py '
            f'</dev/null >/tmp/holder.err 2>&1'
        )
        self.wait_for('written')

    def wait_for(self, outcome: str) -> None:
        """Wait until the last writes ended like this, and reads went well."""
        self._client.wait_until_succeeds(
            f'[ "$(tail -n 3 /tmp/holder.log | cut -d " " -f 2- | sort -u)" = '
            f'"{outcome} read" ]',
            timeout=20,
        )

    def stop(self) -> list[list[str]]:
        """Return the time and the outcomes of all attempts."""
        self._client.succeed('touch /tmp/holder.stop; sleep 1')
        assert not self._client.succeed('cat /tmp/holder.err').strip()
        log = self._client.succeed('cat /tmp/holder.log')
        return [line.split() for line in log.splitlines()]


@pytest.fixture(params=['single', 'replica-3'])
def share(
    request: pytest.FixtureRequest,
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
) -> Iterator[manila_stand_in.Share]:
    """Create a share that c1 has mounted, with a tree of files."""
    made = manila.create(1, layout=request.param)
    client = lab.client('c1')
    manila.allow(made, client.address)
    client.mount(made.host, made.volume, '/mnt/share', made.options)
    client.write_tree('/mnt/share/tree', 1, 4, seed=7)
    yield made
    client.umount('/mnt/share')


def test_client_with_an_open_file(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    share: manila_stand_in.Share,
) -> None:
    client = lab.client('c1')
    tree = client.checksum_tree('/mnt/share/tree')
    holder = Holder(client)
    level_changed_at = []
    for level, outcome in (('ro', 'EROFS'), ('rw', 'written')) * 2:
        assert manila.set_level(share, client.address, level) == 'active'
        level_changed_at.append(time.time())
        holder.wait_for(outcome)
        if level == 'ro':
            for command in (
                'touch /mnt/share/new',
                'mkdir /mnt/share/new',
                'rm -r /mnt/share/tree',
                'mv /mnt/share/tree /mnt/share/moved',
                'chmod 0 /mnt/share/held',
                'truncate -s 0 /mnt/share/held',
                'setfattr -n user.x -v 1 /mnt/share/held',
                'ln -s x /mnt/share/link',
            ):
                said = client.execute(f'LC_ALL=C {command}')
                assert 'Read-only file system' in said.err, command
        assert client.checksum_tree('/mnt/share/tree') == tree
    attempts = holder.stop()
    # The answer to Manila comes when writes are refused.
    begun, ended = level_changed_at[:2]
    late = [
        when
        for when, written, _ in attempts
        if written == 'written' and begun + 0.2 < float(when) < ended - 10
    ]
    assert not late
    assert {read for _, _, read in attempts} == {'read'}
    assert {written for _, written, _ in attempts} == {'written', 'EROFS'}
    # It was the same mount all the time.
    client.succeed('touch /mnt/share/new')


def test_first_mount_of_an_empty_share_is_read_only(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1)
    client = lab.client('c1')
    assert manila.allow(share, client.address, level='ro') == {
        client.address: 'active'
    }
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    client.succeed('[ -z "$(ls /mnt/share)" ]')
    client.fail('touch /mnt/share/new')
    assert manila.set_level(share, client.address, 'rw') == 'active'
    client.wait_until_succeeds('touch /mnt/share/new', timeout=10)


@pytest.mark.any_release
def test_of_rules_with_both_levels_one_is_granted(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    first, second = lab.client('c1'), lab.client('c2')
    for level, other in (('rw', 'ro'), ('ro', 'rw')):
        share = manila.create(1, layout='single')
        manila.allow(share, first.address, level=level)
        first.mount(share.host, share.volume, '/mnt/share', share.options)
        assert manila.allow(share, second.address, level=other) == {
            second.address: 'error'
        }
        assert not second.can_mount(share.host, share.volume)
        can_write = first.execute('touch /mnt/share/new').status == 0
        assert can_write == (level == 'rw')
        first.umount('/mnt/share')


def test_clone_of_a_read_only_share_is_writable(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    share: manila_stand_in.Share,
) -> None:
    origin, other = lab.client('c1'), lab.client('c2')
    assert manila.set_level(share, origin.address, 'ro') == 'active'
    clone = manila.clone(manila.snapshot(share))
    assert not other.can_mount(clone.host, clone.volume)
    manila.allow(clone, other.address)
    other.mount(clone.host, clone.volume, '/mnt/clone', clone.options)
    assert other.checksum_tree('/mnt/clone/tree') == origin.checksum_tree(
        '/mnt/share/tree'
    )
    other.succeed('touch /mnt/clone/new; rm -r /mnt/clone/tree')
    other.umount('/mnt/clone')
    origin.fail('touch /mnt/share/new')


def test_bricks_of_a_read_only_share_heal(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    share = manila.create(1, layout='replica-3')
    client, node = lab.client('c1'), lab.node('gl2')
    manila.allow(share, client.address)
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    node.succeed(f'pkill -9 -f "[g]lusterfsd.*{share.volume}"')
    client.write_tree('/mnt/share/tree', 1, 4, seed=8)
    assert manila.set_level(share, client.address, 'ro') == 'active'
    node.gluster(f'volume start {share.volume} force')
    node.wait_until_succeeds(
        f'gluster volume heal {share.volume} info summary '
        "| awk -F: '/Total Number/ { sum += $2 } END { exit sum != 0 }'",
        timeout=120,
    )
    client.fail('touch /mnt/share/new')
    client.umount('/mnt/share')


@pytest.mark.parametrize(
    'damage',
    [
        'volume reset {}',
        'volume reset {} features.read-only',
        'volume set {} features.read-only off',
    ],
)
def test_level_that_an_operator_changed(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    share = manila.create(1)
    client = lab.client('c1')
    manila.allow(share, client.address, level='ro')
    client.mount(share.host, share.volume, '/mnt/share', share.options)
    client.fail('touch /mnt/share/new')
    lab.node('gl1').gluster(damage.format(share.volume))
    client.wait_until_succeeds('touch /mnt/share/new', timeout=10)
    wanted = {share.id: protocols.Rules(active=manila.wanted(share.id))}
    # Manila's database is played.
    monkeypatch.setattr(manila_db, 'rules', lambda *_: wanted)
    ours = manila.driver._services
    access_audit.AccessAudit(
        ours, backoff.Backoff(), service_host='h@b'
    ).audit(
        cluster_state.read(ours.cluster, ours.settings.backend_mark), wanted
    )
    client.fail('touch /mnt/share/newer')
    client.succeed('ls /mnt/share/new')
    seen = cluster_state.read(ours.cluster, ours.settings.backend_mark)
    for view in seen.views_of(share.id):
        assert ours.protocol.has_rules(view, wanted[share.id].active)
    client.umount('/mnt/share')
