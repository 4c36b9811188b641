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
"""The model prints what real clusters printed.

The steps of the recordings of both releases are run on the model too, and the
output is compared: an XML answer except for values that differ from run to
run, and the status and messages of other tools.
"""

import json
import re
import shlex
from xml.etree import ElementTree

from tests.golden import record
from tests.model import link
from tests.model import model_cluster
from tests.model import shell
from tests.unit import fakes

_VARIES = re.compile(
    r'[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}'
    r'|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000|\d+\.\d+\.\d+\.\d+:\d+'
    r'|Did you mean .*'
)
#: Elements whose text differs from run to run.
_LOOSE = {
    *('port', 'tcp', 'pid', 'bytesRead', 'bytesWrite', 'opVersion'),
    'path',
}
#: … and keys whose values do.
_LOOSE_KEYS = {'data_percent', 'metadata_percent', 'options', 'vg_free'}
#: The process that keeps the mount busy is a shell there.
_OTHERWISE = {'umount-busy', 'volume-unknown-command', 'version'}


def test_same_answers_as_recorded(release: str) -> None:
    pool = model_cluster.ModelCluster(3, release)
    remote = link.Process(pool).connect_to('gl1')
    recorded = fakes.golden_names(release)
    differences = []
    for name, command in record.STEPS:
        if command == 'make bricks':
            _make_bricks(pool)
            continue
        if command == '!sleep 3':
            pool.time.advance(3)
            continue
        if command == 'make a profile':
            pool.nodes['gl1'].lvm.profiles['golden'] = record.PROFILE
            continue
        if command == 'kill a brick':
            (brick, *_) = pool.state.volumes['golden'].bricks
            pool.nodes['gl1'].files.users[brick.path] = pool.time.now
            continue
        if name in _OTHERWISE or (name and name not in recorded):
            continue
        argv = shlex.split(command.removeprefix('!'))
        if not command.startswith('!'):
            argv = [*link.CONSOLE, *argv]
        found = remote.answer(argv)
        if not name:
            continue
        wanted = fakes.golden(release, name).answer
        difference = _difference(found, wanted)
        if difference:
            differences.append(f'{name}: {difference}')
    assert not differences, '\n'.join(differences)


def _make_bricks(pool: model_cluster.ModelCluster) -> None:
    process = link.Process(pool)
    for name in pool.nodes:
        remote = process.connect_to(name)
        for line in (
            'lvcreate --yes --type=thin --virtualsize=1g --thinpool=pool '
            '--name=manila-golden --addtag=manila.brick '
            '--addtag=manila.share=u1 '
            '--addtag=manila.mount=/srv/golden/manila-golden gvg',
            'mkfs.xfs -q -K -i size=512 /dev/gvg/manila-golden',
            'make_directory /srv/golden/manila-golden',
            'mount --options=nouuid,noatime /dev/gvg/manila-golden '
            '/srv/golden/manila-golden',
        ):
            remote.answer(shlex.split(line))


def _difference(found: shell.Answer, wanted: fakes.Answer) -> str:
    if found.status != wanted.status:
        return f'status {found.status}, not {wanted.status}'
    if _VARIES.sub('', found.stderr) != _VARIES.sub('', wanted.stderr):
        return f'{found.stderr!r}, not {wanted.stderr!r}'
    here, there = _shape(found.stdout), _shape(wanted.stdout)
    return '' if here == there else f'\n{here}\n{there}'


def _shape(text: str) -> object:
    """Give what of an answer is the same in each run."""
    if text.startswith('<?xml'):
        return _element(ElementTree.fromstring(text))
    if text.strip().startswith('{'):
        answer = json.loads(text)
        answer.pop('log', None)
        return _json(answer)
    return _VARIES.sub('', text)


def _element(element: ElementTree.Element) -> object:
    children = [_element(child) for child in element]
    if element.tag in ('options', 'volList', 'peerStatus', 'clientsStatus'):
        children.sort(key=repr)
    if element.tag == 'volumes':
        # The daemons stand in an order that varies.
        children.sort(key=repr)
    text = (element.text or '').strip()
    return (
        element.tag,
        '' if element.tag in _LOOSE else _VARIES.sub('', text),
        children,
    )


def _json(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: _json(value[key])
            for key in sorted(value)
            if key not in _LOOSE_KEYS
        }
    if isinstance(value, list):
        return sorted(
            # The thin pools are not the same.
            (_json(item) for item in value if not _is_pool(item)),
            key=repr,
        )
    return _VARIES.sub('', value) if isinstance(value, str) else value


def _is_pool(row: object) -> bool:
    return isinstance(row, dict) and row.get('lv_layout') == 'thin,pool'
