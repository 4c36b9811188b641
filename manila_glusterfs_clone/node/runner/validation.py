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
"""The values that the runner accepts.

A check takes the settings of the node and a value, and raises
:class:`Invalid` if the value is not allowed. The checks read only the values;
:mod:`manila_glusterfs_clone.node.runner.steps` checks LVs and directories.
"""

import json
import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

#: Where glusterd mounts the bricks of snapshots and clones.
SNAPS_ROOT = '/run/gluster/snaps'
#: Where glusterd keeps the files of running processes.
RUN_ROOT = '/run/gluster'
#: Where glusterd keeps its state.
GLUSTERD = '/var/lib/glusterd'

_UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
_HEX = '[0-9a-f]{32}'
_VOLUME, _SNAPSHOT = f'manila-{_UUID}', f'manila-snap-{_UUID}'
_COMPONENT = '[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,254}'
_SNAPS = f'(?:{_COMPONENT}/)?{_HEX}/brick[0-9]{{1,4}}'
_HOST = '[A-Za-z0-9_][A-Za-z0-9_.:%-]{0,252}'
_TAG = f'manila[.](?:brick|unmanaged|(?:share|snapshot)={_UUID})'
_LVM_NAME = '(?![.]{1,2}(?:/|$))[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}'


class NotDone(Exception):
    """A step is not done; ``answer`` contains the outcome and details."""

    def __init__(self, outcome: str, kind: str, **evidence: Any) -> None:
        super().__init__(outcome, kind, evidence)
        self.answer = {'outcome': outcome, 'kind': kind, **evidence}


class Invalid(NotDone):
    """A value is not allowed."""

    def __init__(self, reason: str) -> None:
        super().__init__('refused', 'invalid', reason=reason)


class Settings(NamedTuple):
    """The settings that the installer wrote to the node."""

    brick_roots: Tuple[str, ...] = ()
    volume_groups: Tuple[str, ...] = ()
    #: Why the runner accepts only a greeting; empty if there is no problem.
    problem: str = ''


Check = Callable[[Settings, Any], None]


def read_settings(path: str) -> Settings:
    """Read ``{"brick_roots": […], "volume_groups": […]}``.

    Only the user of the runner may have permission to write the file.
    """
    try:
        with open(path, encoding='utf-8') as file:
            status = os.fstat(file.fileno())
            content = json.load(file)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ValueError('other users can write the file')
        settings = Settings(
            tuple(content['brick_roots']), tuple(content['volume_groups'])
        )
        for root in settings.brick_roots:
            brick_root(settings, root)
        for group in settings.volume_groups:
            lvm_name(settings, group)
        if not settings.brick_roots or not settings.volume_groups:
            raise ValueError('no brick root, or no volume group')
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Settings(problem=f'{path}: {error!r}')
    except Invalid as error:
        return Settings(problem=f'{path}: {error.answer["reason"]}')
    return settings


class Place(NamedTuple):
    """A path below a root; the root itself may be a link."""

    root: str
    names: Tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return '/'.join((self.root, *self.names))

    @property
    def parent(self) -> 'Place':
        return Place(self.root, self.names[:-1])


def place(settings: Settings, path: str) -> Place:
    """Split a checked path into its root and the names below the root."""
    for root in (*settings.brick_roots, SNAPS_ROOT, RUN_ROOT):
        if path.startswith(f'{root}/'):
            return Place(root, tuple(path[len(root) + 1 :].split('/')))
    return Place(path)


def _matching(pattern: str, what: str) -> Check:
    compiled = re.compile(pattern)

    def check(settings: Settings, value: Any) -> None:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Invalid(f'{value!r:.200} is not {what}')

    return check


lvm_name = _matching(_LVM_NAME, 'a name of LVM')
brick_root = _matching(
    '(?:/(?![.]{1,2}(?:/|$))[A-Za-z0-9_+.-]{1,200})+', 'a plain absolute path'
)
host_name = _matching(_HOST, 'a host name')
volume_id = _matching(_HEX, 'a volume id')
_volume_name = _matching(_VOLUME, 'the name of a share')
_lv = _matching(f'{_LVM_NAME}/{_LVM_NAME}', 'the name of an LV, as vg/lv')


def profile(settings: Settings, value: Any) -> None:
    """Check the name of a metadata profile of LVM, or ``''`` for none."""
    if value != '':
        lvm_name(settings, value)


def flag(settings: Settings, value: Any) -> None:
    if not isinstance(value, bool):
        raise Invalid(f'{value!r:.200} is neither true nor false')


def size(settings: Settings, value: Any) -> None:
    """Check a number of bytes, from a MiB to an EiB."""
    if type(value) is not int or not 1 << 20 <= value <= 1 << 60:
        raise Invalid(f'{value!r:.200} is not a size in bytes')


def list_of(check: Check, least: int = 1) -> Check:
    def check_all(settings: Settings, value: Any) -> None:
        if not isinstance(value, list) or not least <= len(value) <= 4096:
            raise Invalid(f'{value!r:.200} is not a list of {least} or more')
        for item in value:
            check(settings, item)

    return check_all


def volume_group(settings: Settings, value: Any) -> None:
    if not isinstance(value, str) or value not in settings.volume_groups:
        raise Invalid(
            f'{value!r:.200} is not a volume group of the driver; the node '
            f'allows {", ".join(settings.volume_groups)}'
        )


def lv(settings: Settings, value: Any) -> None:
    """Check the name of an LV in one of the volume groups."""
    _lv(settings, value)
    volume_group(settings, value.partition('/')[0])


def new_lv(settings: Settings, value: Any) -> None:
    """Check the name of an LV that the driver makes."""
    lv(settings, value)
    _volume_name(settings, value.partition('/')[2])


def _path(what: str, own: str, snaps: str, run: str = '(?!)') -> Check:
    """Return a check of paths; each root has a pattern for the path below."""

    def check(settings: Settings, value: Any) -> None:
        path = value if isinstance(value, str) else ''
        roots = [(root, own) for root in settings.brick_roots]
        for root, pattern in [*roots, (SNAPS_ROOT, snaps), (RUN_ROOT, run)]:
            if path.startswith(f'{root}/') and re.fullmatch(
                pattern, path[len(root) + 1 :]
            ):
                return
        raise Invalid(f'{value!r:.200} is not {what}')

    return check


mount_point = _path('a mount point of bricks', _VOLUME, _SNAPS)
brick = _path('a brick', f'{_VOLUME}/brick', f'{_SNAPS}/{_COMPONENT}')
in_brick = _path(
    'a directory of GlusterFS in a brick',
    f'{_VOLUME}/brick/[.]glusterfs',
    f'{_SNAPS}/{_COMPONENT}/[.]glusterfs',
)
directory = _path(
    'a directory that may be removed',
    _VOLUME,
    f'{_COMPONENT}(?:/{_COMPONENT}){{0,2}}',
    f'(?:vols|shd)/{_VOLUME}',
)


def synced(settings: Settings, value: Any) -> None:
    """Check a brick, or the directory of glusterd's state."""
    if value != GLUSTERD:
        brick(settings, value)


_own_tag = _matching(_TAG, 'a tag of the driver')


def tag(settings: Settings, value: Any) -> None:
    if isinstance(value, str) and value.startswith('manila.mount='):
        mount_point(settings, value.partition('=')[2])
    else:
        _own_tag(settings, value)


def selection(settings: Settings, value: Any) -> None:
    """Check what to list: a tag as ``@tag``, or an LV."""
    if isinstance(value, str) and value.startswith('@'):
        _own_tag(settings, value[1:])
    else:
        lv(settings, value)


def require_own(settings: Settings, row: Dict[str, str]) -> None:
    """Check that LVM reports a thin volume of the driver."""
    name = f'{row["vg_name"]}/{row["lv_name"]}'
    volume_group(settings, row['vg_name'])
    layout = row['lv_layout'].split(',')
    if not row['pool_lv'] or 'thin' not in layout or 'pool' in layout:
        raise Invalid(f'{name} is not a thin volume')
    tags = row['lv_tags'].split(',')
    if not re.fullmatch(
        f'{_VOLUME}|{_HEX}_[0-9]{{1,4}}', row['lv_name']
    ) and not any(re.fullmatch(_TAG, tag) for tag in tags):
        raise Invalid(f'{name} has no name and no tag of the driver')


def require_mount_point(row: Dict[str, str], path: str) -> None:
    """Check that an LV belongs to a mount point, by its tags or its name."""
    if f'manila.mount={path}' not in row['lv_tags'].split(',') and (
        row['lv_name'].partition('_')[0] not in path.split('/')
    ):
        raise Invalid(f'{row["lv_name"]} does not belong at {path}')


#: The allowed gluster commands: those that only read, and the others.
_READS = re.compile(
    f'pool list|volume list|volume get all all'
    f'|(?:volume|snapshot) info(?: {_COMPONENT})?'
    f'|snapshot config(?: {_COMPONENT})?'
    f'|volume status {_COMPONENT}(?: {_HOST}:/[^ ]+)?(?: clients)?'
    f'|volume heal {_VOLUME} info summary'
)
_CHANGES = re.compile(
    f'volume create {_VOLUME}(?: replica [2-9])?(?: {_HOST}:/[^ ]+)+'
    f'|volume (?:start {_VOLUME}(?: force)?|stop {_VOLUME} force)'
    f'|volume (?:delete|heal) {_VOLUME}'
    f'|volume profile {_VOLUME} (?:start|stop)'
    f'|volume set {_VOLUME}(?: '
    f'(?:(?:(?:client|server)[.]ssl|features[.]read-only) (?:on|off)'
    f'|cluster[.]data-self-heal-algorithm full'
    f'|(?:auth[.](?:allow|reject|ssl-allow)|user[.]manila[.]share) (?!-)[^ ]+'
    # The name of a back end may begin with "-".
    f'|user[.]manila[.]backend [^ ]+))+'
    f'|volume reset {_VOLUME} [a-z0-9-]+[.][a-z0-9._-]+'
    f'|snapshot create {_SNAPSHOT} {_VOLUME} no-timestamp'
    f'|snapshot activate {_SNAPSHOT}(?: force)?'
    f'|snapshot (?:deactivate|delete) {_SNAPSHOT}'
    f'|snapshot clone {_VOLUME} {_SNAPSHOT}'
)
_is_word = re.compile('[!-~]+').fullmatch


def gluster_changes(words: List[str]) -> bool:
    """Return whether a gluster command changes something."""
    return not _READS.fullmatch(' '.join(words))


def gluster_words(settings: Settings, value: Any) -> None:
    """Check a gluster command, word by word and as a whole."""
    words = value if isinstance(value, list) else []
    if not all(isinstance(word, str) and _is_word(word) for word in words) or (
        gluster_changes(words) and not _CHANGES.fullmatch(' '.join(words))
    ):
        raise Invalid(f'{value!r:.200} is not a gluster command of the driver')
    if words[:2] == ['volume', 'create']:
        for text in (word for word in words[3:] if '/' in word):
            path = text[text.index('/') :]
            brick(settings, path)
            if words[2] not in path.split('/'):
                raise Invalid(f'{text!r:.200} is not a brick of {words[2]}')
