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
"""What the runner is asked beside its verbs is refused, and changes nothing.

Most is refused by its values alone, before a program is started. The rest is
refused by what LVM reports, or by where directories lead.
"""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest

from tests.unit import runner_process
from tests.unit.runner_process import step

Node = runner_process.Node
Talk = runner_process.Talk
VOLUME = runner_process.VOLUME
SNAPSHOT = runner_process.SNAPSHOT
HEX = runner_process.HEX
MIB = runner_process.MIB
SHARE = runner_process.SHARE
LV = f'gvg/{VOLUME}'

#: In place of an LV.
LVS: tuple[Any, ...] = (
    '',
    'gvg',
    'gvg/',
    f'/{VOLUME}',
    f'root/{VOLUME}',
    f'gvg/{VOLUME}/x',
    f'gvg/{VOLUME}\n',
    'gvg/-f',
    'gvg/..',
    'gvg/$(id)',
    'gvg/a b',
    f'-f/{VOLUME}',
    f'/dev/gvg/{VOLUME}',
    '--all',
    '@manila.brick',
    {'name': f'gvg/{VOLUME}'},
    None,
    7,
    [f'gvg/{VOLUME}'],
)
#: Below a brick root, in place of a mount point.
BELOW_ROOT = (
    '',
    '/',
    '/..',
    f'/../{VOLUME}',
    f'/{VOLUME}/..',
    f'/{VOLUME}/',
    f'//{VOLUME}',
    f'/./{VOLUME}',
    f'/{VOLUME}/x',
    f'/{VOLUME}\n',
    f'/{VOLUME.upper()}',
    '/manila-',
    '/other',
    f'/{SNAPSHOT}',
    '/$(id)',
    f'x/{VOLUME}',
)
#: In place of any path.
PATHS: tuple[Any, ...] = (
    '',
    '/',
    '/etc',
    '/etc/passwd',
    f'/srv/{VOLUME}',
    VOLUME,
    '-a',
    '--all',
    '/run/gluster/snaps/../../../etc',
    None,
    0,
    ['/etc'],
)
#: In place of a tag of the driver.
TAGS: tuple[Any, ...] = (
    '',
    'manila',
    'manila.brick ',
    'manila.brick,other',
    'manila.share=x',
    f'manila.share={SHARE.upper()}',
    'manila.mount=/etc',
    'manila.mount=/../etc',
    'other.brick',
    '--yes',
    3,
)
SIZES: tuple[Any, ...] = (
    0,
    -1,
    MIB - 1,
    1 << 61,
    1.5 * MIB,
    f'{MIB}',
    f'{MIB} -f',
    True,
    None,
)
#: In place of a gluster command.
COMMANDS: tuple[Any, ...] = (
    [],
    'volume list',
    ['volume list'],
    ['volume'],
    ['help'],
    ['system::', 'execute', 'gsec_create'],
    ['peer', 'detach', 'gl2', 'force'],
    ['peer', 'probe', 'gl9'],
    ['volume', 'delete', 'other'],
    ['volume', 'stop', 'other', 'force'],
    ['volume', 'stop', VOLUME],
    ['volume', 'stop', SNAPSHOT, 'force'],
    ['volume', 'start', VOLUME, '--xml'],
    ['volume', 'info', '--remote-host=evil'],
    ['volume', 'info', '--log-file=/etc/passwd'],
    ['volume', 'info', 'a\nvolume delete other'],
    ['volume', 'info', 'a;id'],
    ['volume', 'info', ''],
    ['volume', 'info', 7],
    ['volume', 'set', 'other', 'auth.allow', '*'],
    ['volume', 'set', 'all', 'cluster.brick-multiplex', 'on'],
    ['volume', 'set', VOLUME, 'auth.allow'],
    ['volume', 'set', VOLUME, 'auth.allow', '*', 'nfs.disable', 'off'],
    ['volume', 'set', VOLUME, 'server.ssl', '/etc/x'],
    ['volume', 'set', VOLUME, 'auth.allow', '--log-file=/etc/x'],
    ['volume', 'set', VOLUME, 'user.manila.share', 'x y'],
    ['volume', 'set', VOLUME, 'user.manila.share', '--version'],
    ['volume', 'set', VOLUME, '--version', 'user.manila.backend', 'x'],
    ['volume', 'set', VOLUME, 'user.manila.backend', 'x', '--version'],
    ['volume', 'set', VOLUME, 'user.other', 'x'],
    ['volume', 'reset', VOLUME],
    ['volume', 'reset', VOLUME, 'all'],
    ['volume', 'reset', VOLUME, 'auth.allow', 'force'],
    ['volume', 'reset', 'other', 'auth.allow'],
    ['volume', 'create', VOLUME, 'gl1:/etc/x'],
    ['volume', 'create', VOLUME, 'gl1:/', 'force'],
    ['volume', 'create', 'other', 'gl1:/srv/x'],
    ['volume', 'heal', 'other', 'full'],
    ['volume', 'heal', VOLUME, 'full'],
    ['volume', 'replace-brick', VOLUME, 'a:/b', 'c:/d', 'commit', 'force'],
    ['volume', 'profile', VOLUME, 'info'],
    ['volume', 'get', VOLUME, 'all'],
    ['volume', 'get', 'all', 'all', '--log-file=/etc/x'],
    ['snapshot', 'delete', 'all'],
    ['snapshot', 'delete', 'volume', VOLUME],
    ['snapshot', 'delete', 'other'],
    ['snapshot', 'restore', SNAPSHOT],
    ['snapshot', 'create', SNAPSHOT, 'other', 'no-timestamp'],
    ['snapshot', 'create', SNAPSHOT, VOLUME],
    ['snapshot', 'clone', 'other', SNAPSHOT],
    ['snapshot', 'clone', VOLUME, 'other'],
    ['snapshot', 'activate', SNAPSHOT, '-f'],
    ['snapshot', 'config', 'activate-on-create', 'enable'],
    ['snapshot', 'config', VOLUME, 'snap-max-hard-limit', '1'],
)


#: In place of a verb, and of its values.
VERBS: tuple[Any, ...] = ('', 'run', 'sh', '__init__', 'Hello', None, 1, [])
VALUES: tuple[Any, ...] = (None, [], 'x', 0)


def hostile_steps(node: runner_process.Place) -> Iterator[dict[str, Any]]:
    """Go through steps each of which is wrong in one way."""

    def make(verb: str, **values: Any) -> dict[str, Any]:
        return {'verb': verb, 'seconds': 5, 'values': values}

    root, target = node.bricks, f'{node.bricks}/{VOLUME}'
    brick = f'{target}/brick'
    new = {'pool': 'pool', 'size': MIB, 'tags': ['manila.brick']}
    for lv in LVS:
        yield make('create_lv', lv=lv, **new)
        yield make('remove_lvs', lvs=[lv])
        yield make('extend_lv', lv=lv, size=MIB)
        yield make('make_xfs', lv=lv)
        yield make('mount', lv=lv, path=target)
        yield make('tag_lvs', lvs=[LV, lv], tags=['manila.brick'])
        yield make('activate_lv', lv=lv)
        if lv != '@manila.brick':
            yield make('list_lvs', names=[lv])
    for lv in ('gvg/other', f'gvg/{HEX}_0', 'gvg/pool'):
        yield make('create_lv', lv=lv, **new)
        yield make('make_xfs', lv=lv)
    for path in (*PATHS, *(f'{root}{below}' for below in BELOW_ROOT)):
        yield make('make_directory', path=path)
        yield make('mount', lv=LV, path=path)
        yield make('unmount', path=path)
        yield make('grow_xfs', path=path)
        yield make('sync', paths=[path])
        yield make('read_volume_id', path=path)
        yield make('is_directory', path=path)
        yield make('write_volume_id', path=path, volume_id=HEX)
        yield make('remove_directories', paths=[f'{path}/'], keep_full=False)
        yield make('list_directory', path=f'{path}/')
    for path in (f'{node.snaps}/../x', f'{node.snaps}/{HEX}/../../x'):
        yield make('remove_directories', paths=[path], keep_full=True)
        yield make('list_directory', path=path)
        yield make('mount', lv=LV, path=path)
    for path in (f'{node.run}/other', f'{node.run}/vols/other'):
        yield make('remove_directories', paths=[path], keep_full=True)
    for tag in TAGS:
        yield make('create_lv', lv=LV, **{**new, 'tags': [tag]})
        yield make('tag_lvs', lvs=[LV], tags=[tag])
        yield make('untag_lvs', lvs=[LV], tags=[tag])
        yield make('list_lvs', names=[f'@{tag}'])
    for size in SIZES:
        yield make('create_lv', lv=LV, **{**new, 'size': size})
        yield make('extend_lv', lv=LV, size=size)
    for pool in ('', '--all', 'a/b', 'a b', '..', 'x;id', None):
        yield make('create_lv', lv=LV, **{**new, 'pool': pool})
    for volume_id in ('', '0x' + HEX, HEX.upper(), HEX + '0', -1, None):
        yield make('write_volume_id', path=brick, volume_id=volume_id)
    for name in ('', '-a', '--help', 'a b', 'a;id', 'a\n', '$(id)', None):
        yield make('resolve', name=name)
    for words in COMMANDS:
        yield make('gluster', words=words)
    yield make('remove_lvs', lvs=[])
    yield make('remove_lvs', lvs=LV)
    yield make('unmount', path=target, options='-l')
    yield make('unmount')
    yield make('sync', paths=[])
    yield make('mount', lv=LV, path=target, options='suid')
    yield make('hello', versions='x')
    yield make('list_lvs')
    yield make('list_lvs', names=['--all'])
    for verb in VERBS:
        yield {'verb': verb, 'seconds': 5, 'values': {}}
    for seconds in (0, -1, 901, 1e300, True, '5', None):
        yield {**make('list_lvs', names=[]), 'seconds': seconds}
    for wrong in VALUES:
        yield {'verb': 'list_lvs', 'seconds': 5, 'values': wrong}
    yield {'verb': 'list_lvs', 'seconds': 5}
    yield {'verb': 'list_lvs', 'seconds': 5, 'values': {}, 'stdin': 'x'}


def everything_below(root: pathlib.Path) -> dict[str, object]:
    """Return all files, with times of change, but for notes of calls."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_mode)
        for path in root.rglob('*')
        if 'state' not in path.parts
    }


def assert_refused(node: runner_process.Place, talk: Talk) -> None:
    """Ask for each of the steps, one at a time."""
    asked = list(hostile_steps(node))
    assert len(asked) >= 200
    for number, hostile in enumerate(asked):
        talk.send({'id': number, 'steps': [hostile]})
        (answer,) = talk.read()
        outcome = runner_process.outcomes([answer])
        assert outcome == ['refused invalid'], (hostile, answer)
        assert answer['reason']


def test_hundreds_of_requests_are_refused(node: Node, talk: Talk) -> None:
    (node.bricks / VOLUME / 'brick').mkdir(parents=True)
    talk.one(step('list_mounts'))
    before = everything_below(node.root)
    assert_refused(node, talk)
    assert not node.calls()
    assert everything_below(node.root) == before


@pytest.mark.parametrize(
    'row',
    [
        runner_process.lv(VOLUME, lv_layout='linear', pool=''),
        runner_process.lv(VOLUME, lv_layout='thin,pool', pool=''),
        runner_process.lv(VOLUME, lv_layout='thin,pool', pool='pool'),
        runner_process.lv('customer'),
        runner_process.lv('customer', lv_tags='other.brick,manila'),
        runner_process.lv(f'{VOLUME}x'),
        runner_process.lv(VOLUME, vg='root'),
    ],
    ids=lambda row: str((row['vg_name'], row['lv_name'], row['lv_layout'])),
)
def test_lvs_that_are_not_the_drivers(
    node: Node, talk: Talk, row: dict[str, str]
) -> None:
    """What LVM reports counts, and not only the name."""
    target = f'{node.bricks}/{VOLUME}'
    node.lvs(row)
    lv = f'gvg/{row["lv_name"]}'
    for asked in (
        step('remove_lvs', lvs=[lv]),
        step('extend_lv', lv=lv, size=128 * MIB),
        step('activate_lv', lv=lv),
        step('tag_lvs', lvs=[lv], tags=['manila.brick']),
        step('untag_lvs', lvs=[lv], tags=['manila.brick']),
        step('mount', lv=lv, path=target),
    ):
        # LVM reports another LV than it was asked for: nothing is proven.
        expected = (
            'refused status' if row['vg_name'] == 'root' else 'refused invalid'
        )
        answer = talk.one(asked)
        assert runner_process.outcomes([answer]) == [expected]
    programs = {call.split()[0] for call in node.calls()}
    assert programs == {'lvs'}


def test_a_tag_makes_an_lv_the_drivers(node: Node, talk: Talk) -> None:
    """An operator may have renamed it."""
    node.lvs(runner_process.lv('renamed', lv_tags=f'x,manila.share={SHARE}'))
    answer = talk.one(step('remove_lvs', lvs=['gvg/renamed']))
    assert answer['outcome'] == 'done'


def test_an_lv_at_the_mount_point_of_another(node: Node, talk: Talk) -> None:
    clone, target = runner_process.CLONE_LV, f'{node.bricks}/{VOLUME}'
    own = f'{node.snaps}/{HEX}/brick1'
    for path in (target, own):
        pathlib.Path(path).mkdir(parents=True)
    for tags, path, expected in (
        ('', target, 'refused invalid'),
        (f'manila.mount={own}', target, 'refused invalid'),
        (f'manila.mount={target}', target, 'done'),
        ('', own, 'done'),
    ):
        node.lvs(runner_process.lv(clone, lv_tags=tags))
        answer = talk.one(step('mount', lv=f'gvg/{clone}', path=path))
        assert runner_process.outcomes([answer]) == [expected]


@pytest.mark.parametrize('where', ['mount point', 'brick'])
def test_links_that_lead_elsewhere(node: Node, talk: Talk, where: str) -> None:
    elsewhere = node.root / 'elsewhere'
    (elsewhere / 'brick').mkdir(parents=True)
    target = node.bricks / VOLUME
    brick = target / 'brick'
    steps = [
        step('read_volume_id', path=str(brick)),
        step('is_directory', path=str(brick / '.glusterfs')),
        step('write_volume_id', path=str(brick), volume_id=HEX),
        step('sync', paths=[str(brick)]),
    ]
    if where == 'mount point':
        target.symlink_to(elsewhere)
        steps += [
            step('make_directory', path=str(target)),
            step('mount', lv=LV, path=str(target)),
            step('unmount', path=str(target)),
            step('grow_xfs', path=str(target)),
            step('list_directory', path=str(target)),
            step('remove_directories', paths=[str(target)], keep_full=False),
        ]
    else:
        target.mkdir()
        brick.symlink_to(elsewhere / 'brick')
    before = everything_below(node.root)
    for asked in steps:
        answer = talk.one(asked)
        assert answer['outcome'] == 'refused', asked
        assert 'Not a directory' in answer.get('stderr', '') or (
            'is a symbolic link' in answer.get('reason', '')
        )
    assert {call.split()[0] for call in node.calls()} <= {'lvs'}
    assert everything_below(node.root) == before


def test_each_command_of_the_driver_is_allowed(node: Node, talk: Talk) -> None:
    bricks = [f'gl{n}:{node.bricks}/{VOLUME}/brick' for n in (1, 2, 3)]
    clone = f'gl1:{node.snaps}/{HEX}/brick1/brick'
    for line in (
        'pool list',
        'volume list',
        'volume info',
        'volume info foreign_volume',
        'volume status all',
        f'volume status {VOLUME} {bricks[0]} clients',
        f'volume status {VOLUME} {clone} clients',
        f'volume heal {VOLUME} info summary',
        f'volume heal {VOLUME}',
        f'volume create {VOLUME} {bricks[0]}',
        f'volume create {VOLUME} replica 3 {" ".join(bricks)}',
        f'volume start {VOLUME}',
        f'volume start {VOLUME} force',
        f'volume stop {VOLUME} force',
        f'volume delete {VOLUME}',
        f'volume profile {VOLUME} start',
        f'volume profile {VOLUME} stop',
        f'volume set {VOLUME} auth.allow 10.0.0.1,10.0.1.* client.ssl on '
        f'user.manila.backend a%20b@x#y',
        f'volume set {VOLUME} features.read-only off server.ssl off',
        f'volume reset {VOLUME} auth.reject',
        f'volume set {VOLUME} cluster.data-self-heal-algorithm full',
        'snapshot info',
        f'snapshot info {SNAPSHOT}',
        'snapshot config',
        f'snapshot config {VOLUME}',
        f'snapshot create {SNAPSHOT} {VOLUME} no-timestamp',
        f'snapshot activate {SNAPSHOT}',
        f'snapshot activate {SNAPSHOT} force',
        f'snapshot deactivate {SNAPSHOT}',
        f'snapshot clone {VOLUME} {SNAPSHOT}',
        f'snapshot delete {SNAPSHOT}',
    ):
        answer = talk.one(step('gluster', words=line.split()))
        assert answer['outcome'] == 'done', (line, answer)
