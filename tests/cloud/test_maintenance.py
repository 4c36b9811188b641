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
"""Maintenance in a real manila-share: it corrects what others changed."""

from collections.abc import Iterator
from concurrent import futures
import re
import types

import pytest

from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import healing
from tests.cloud.project import LONG, Project, wait_for
from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends

#: Seconds.
INTERVAL = 15


@pytest.fixture
def hasty(manila: manila_module.Manila) -> Iterator[manila_module.Manila]:
    """A manila-share that looks after its shares all the time."""
    options = {
        'glusterfs_clone_reconcile_interval': INTERVAL,
        # They are removed after an hour at the earliest.
        'glusterfs_clone_orphans': 'report',
    }
    for name, value in options.items():
        manila.set_option(backends.IP, name, value)
    manila.service().restart()
    yield manila
    for name in options:
        manila.set_option(backends.IP, name, None)
    manila.service().restart()


@pytest.mark.timeout(1800)
def test_maintenance(lab: lab_module.Lab, hasty: manila_module.Manila) -> None:
    project = Project(hasty, backends.IP)
    client = lab.client('c1')
    first, away = lab.nodes[0], lab.nodes[-1]
    with futures.ThreadPoolExecutor() as threads:
        kept, gone, late, given = threads.map(
            lambda name: project.share(name, 1),
            ('kept', 'gone', 'late', 'given'),
        )
    project.admit(kept, client)
    volumes = {
        share: project.place(share)[1] for share in (kept, gone, late, given)
    }
    snapshot = project.snapshot(gone)
    hasty.admin.run('share', 'abandon', given, '--wait', timeout=LONG)

    def listed(share: str) -> bool:
        return volumes[share] in first.gluster('volume list')

    def warnings(module: types.ModuleType, *names: str) -> list[str]:
        """Return the warnings of a module that contain all names."""
        return [
            line
            for line in hasty.service().said().splitlines()
            if f' WARNING {module.__name__} ' in line
            and all(name in line for name in names)
        ]

    assert not warnings(access_audit)
    assert not warnings(healing)
    away.stop_glusterd()
    away.crash()
    wait_for(lambda: first.connected_peers() == len(lab.nodes) - 1)
    project.demo.run('share', 'delete', late)
    admin = hasty.admin
    admin.run('share', 'snapshot', 'delete', '--force', snapshot, timeout=LONG)
    wait_for(lambda: not project.demo('share', 'snapshot', 'list'))
    admin.run('share', 'delete', '--force', gone, '--wait', timeout=LONG)
    wait_for(
        lambda: (
            project.demo('share', 'show', late)['status'] == 'error_deleting'
        )
    )
    assert listed(gone)
    away.boot()
    lab.wait_connected(120)

    wait_for(lambda: not listed(late), LONG)
    # Orphans are reported through the backoff.
    wait_for(lambda: warnings(backoff, volumes[gone]), LONG)
    assert listed(kept)
    assert listed(gone)

    first.gluster(f'volume set {volumes[kept]} auth.allow "*"')
    wait_for(lambda: warnings(access_audit, volumes[kept]), LONG)
    info = first.gluster(f'volume info {volumes[kept]}')
    assert f'auth.allow: {client.address}' in info

    assert first.wait_for_bricks() == []
    first.succeed(f'pkill -9 -f "[g]lusterfsd.*{volumes[kept]}"')
    here = volumes[kept], f' {first.address}:'
    wait_for(lambda: warnings(healing, *here), LONG)
    # Those of the node that was away may have been down when it was back.
    there = warnings(healing, f' {away.address}:')
    assert {*warnings(healing)} == {*warnings(healing, *here), *there}
    assert len(warnings(healing, *here)) == 1
    assert len(warnings(access_audit)) == 1
    assert len(warnings(backoff, volumes[gone])) == 1
    snapshot_lines = warnings(backoff, 'manila-snap-')
    assert len(snapshot_lines) == 1

    # What is Manila's no more is the operator's.
    assert listed(given)
    info = first.gluster(f'volume info {volumes[given]}')
    assert info.count('unmanaged') == 2
    for snapshot_line in snapshot_lines:
        (name,) = set(re.findall(r'manila-snap-[0-9a-f-]{36}', snapshot_line))
        first.gluster(f'snapshot delete {name}')
    for volume in (volumes[given], volumes[gone]):
        first.gluster(f'volume stop {volume} force')
        first.gluster(f'volume delete {volume}')
        for node in lab.nodes:
            node.succeed(
                f'umount /srv/manila-glusterfs-clone/{volume} && '
                f'rmdir /srv/manila-glusterfs-clone/{volume} && '
                f'lvremove -y gvg/{volume}'
            )
            # glusterd leaves them to whoever deletes a volume.
            node.succeed(f'rmdir /run/gluster/vols/{volume}')
            node.execute(f'rmdir /run/gluster/shd/{volume}')
