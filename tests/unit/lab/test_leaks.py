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
"""Objects of existing shares are no leaks; all others are leaks, by kind."""

import copy
from typing import Any

import pytest

from tests.lab import leaks

SHARE = '11111111-1111-4111-8111-111111111111'
CLONE = '22222222-2222-4222-8222-222222222222'
SNAPSHOT = '33333333-3333-4333-8333-333333333333'
HEX = 'a' * 32
SNAP_HEX = 'b' * 32

EMPTY: dict[str, Any] = {
    'cli': {'volumes': [], 'snapshots': []},
    'volumes': {},
    'snapshots': {},
    'lvs': [{'vg_name': 'gvg', 'lv_name': 'pool', 'lv_tags': ''}],
    'thin_devices': {'gvg/pool': ['9']},
    'mounts': {'/': '/dev/root'},
    'directories': [],
    'files': ['/run/gluster'],
    'processes': [],
    'units': [],
}


def _lv(name: str, tags: str = '') -> dict[str, str]:
    return {'vg_name': 'gvg', 'lv_name': name, 'lv_tags': tags}


def _process(name: str, volfile: str = '', **more: Any) -> dict[str, Any]:
    return {
        'pid': 7,
        'name': name,
        'volfile': volfile,
        'manila': False,
        'age': 0.0,
        'command': name,
        **more,
    }


def _full() -> dict[str, Any]:
    """A node with a share, a snapshot of it, and a clone of that."""
    now = copy.deepcopy(EMPTY)
    volumes = {f'manila-{SHARE}': ['c' * 32], f'manila-{CLONE}': [HEX]}
    brick = f'/srv/manila-glusterfs-clone/manila-{SHARE}'
    now['cli'] = {
        'volumes': list(volumes),
        'snapshots': [f'manila-snap-{SNAPSHOT}'],
    }
    now['volumes'] = volumes
    now['snapshots'] = {
        f'manila-snap-{SNAPSHOT}': {'hexes': [SNAP_HEX], 'active': False}
    }
    now['lvs'] += [
        _lv(
            f'manila-{SHARE}',
            f'manila.brick,manila.mount={brick},manila.share={SHARE}',
        ),
        _lv(
            f'{HEX}_0',
            f'manila.brick,manila.mount=/run/gluster/snaps/{HEX}/brick1,'
            f'manila.share={CLONE}',
        ),
        _lv(f'{SNAP_HEX}_0', f'manila.snapshot={SNAPSHOT}'),
    ]
    now['mounts'] |= {
        brick: '/dev/x',
        f'/run/gluster/snaps/{HEX}/brick1': '/dev/y',
    }
    now['directories'] = [
        brick,
        f'/run/gluster/snaps/{HEX}',
        f'/run/gluster/snaps/{HEX}/brick1',
        f'/run/gluster/snaps/manila-snap-{SNAPSHOT}',
    ]
    now['files'] += [
        '/run/gluster/0123456789abcdef.socket',
        f'/var/lib/glusterd/vols/manila-{SHARE}',
    ]
    now['processes'] = [
        _process('glusterfsd', f'manila-{SHARE}.gl1.srv-brick'),
        _process('glusterfs', f'shd/manila-{SHARE}'),
    ]
    return now


def _leaks(
    now: dict[str, Any],
    shares: tuple[str, ...],
    snapshots: tuple[str, ...],
    activated: tuple[str, ...] = (),
) -> list[leaks.Leak]:
    living = leaks.alive([now], shares, snapshots, activated)
    return list(leaks.compare('gl1', EMPTY, now, living, 60))


def _kinds(now: dict[str, Any], *living: tuple[str, ...]) -> set[str]:
    return {leak.kind for leak in _leaks(now, *living)}


def test_the_living_leak_nothing() -> None:
    assert _kinds(_full(), (SHARE, CLONE), (SNAPSHOT,)) == set()


def test_nothing_leaks_nothing() -> None:
    assert _kinds(EMPTY, (), ()) == set()


def test_a_dead_share_leaves_all_kinds() -> None:
    assert _kinds(_full(), (CLONE,), (SNAPSHOT,)) == {
        'volume',
        'lv',
        'tag',
        'mount',
        'directory',
        'process',
    }


def test_a_dead_clone_is_found_by_its_hex() -> None:
    assert _kinds(_full(), (SHARE,), (SNAPSHOT,)) == {
        'volume',
        'lv',
        'tag',
        'mount',
        'directory',
    }


def test_a_dead_snapshot() -> None:
    found = _kinds(_full(), (SHARE, CLONE), ())
    assert found == {'snapshot', 'lv', 'tag', 'directory'}


@pytest.mark.parametrize('name', [f'manila-{SHARE}', f'{HEX}_0'])
@pytest.mark.parametrize(
    'tag', ['manila.brick', 'manila.share', 'manila.mount']
)
def test_a_brick_without_one_of_its_tags(name: str, tag: str) -> None:
    now = _full()
    (lv,) = (lv for lv in now['lvs'] if lv['lv_name'] == name)
    tags = lv['lv_tags'].split(',')
    lv['lv_tags'] = ','.join(t for t in tags if not t.startswith(tag))
    (leak,) = _leaks(now, (SHARE, CLONE), (SNAPSHOT,))
    assert (leak.kind, leak.name) == ('untagged', f'gvg/{name}')
    assert tag in leak.detail
    # One that is dead is found as that.
    assert 'untagged' not in _kinds(now, (), (SNAPSHOT,))


def test_a_brick_with_the_tag_of_another_share() -> None:
    now = _full()
    (lv,) = (lv for lv in now['lvs'] if lv['lv_name'] == f'{HEX}_0')
    lv['lv_tags'] = lv['lv_tags'].replace(CLONE, SHARE)
    assert _leaks(now, (SHARE, CLONE), (SNAPSHOT,)) == [
        leaks.Leak(
            'gl1', 'untagged', f'gvg/{HEX}_0', f'no manila.share={CLONE}'
        )
    ]


def test_the_lv_of_a_snapshot_needs_no_tags() -> None:
    now = _full()
    now['lvs'][-1]['lv_tags'] = ''
    assert _kinds(now, (SHARE, CLONE), (SNAPSHOT,)) == set()


def test_a_snapshot_left_active_is_one_unless_told() -> None:
    now = _full()
    now['snapshots'][f'manila-snap-{SNAPSHOT}']['active'] = True
    alive = (SHARE, CLONE), (SNAPSHOT,)
    assert _kinds(now, *alive) == {'activated'}
    assert _kinds(now, *alive, (SNAPSHOT,)) == set()


def test_a_brick_of_an_activated_snapshot_is_alive() -> None:
    now = _full()
    volfile = f'/snaps/manila-snap-{SNAPSHOT}/{SNAP_HEX}.gl1.run-gluster'
    now['processes'].append(_process('glusterfsd', volfile))
    assert _kinds(now, (SHARE, CLONE), (SNAPSHOT,)) == set()
    assert 'process' in _kinds(now, (SHARE, CLONE), ())


def test_commands_of_the_driver_only_when_old() -> None:
    now = _full()
    now['processes'].append(_process('gluster', manila=True, age=59))
    assert _kinds(now, (SHARE, CLONE), (SNAPSHOT,)) == set()
    now['processes'][-1]['age'] = 61
    assert _kinds(now, (SHARE, CLONE), (SNAPSHOT,)) == {'process'}


def test_a_self_heal_daemon_of_no_volume() -> None:
    now = copy.deepcopy(EMPTY)
    now['processes'] = [_process('glusterfs', f'shd/manila-{SHARE}')]
    assert _kinds(now, (), ()) == {'process'}


def test_files_units_and_silence() -> None:
    now = copy.deepcopy(EMPTY)
    now['files'].append('/tmp/left')
    now['units'].append('x.service')
    now['cli'] = None
    now['lvs'] = None
    assert _kinds(now, (), ()) == {'file', 'unit', 'silent'}


def test_a_thin_device_that_lvm_does_not_know() -> None:
    now = copy.deepcopy(EMPTY)
    now['thin_devices'] = {'gvg/pool': ['9', '3']}
    assert _kinds(now, (), ()) == {'thin device'}
    now['thin_devices'] = {'gvg/pool': None}
    assert _kinds(now, (), ()) == {'silent'}
