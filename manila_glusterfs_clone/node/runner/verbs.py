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
"""The verbs of the runner: all actions that the driver can request on a node.

A verb has typed values. Most verbs run a program: a function below, with the
name of the verb, returns the command line. The other verbs call a function
of :mod:`~manila_glusterfs_clone.node.runner.directories`,
:mod:`~manila_glusterfs_clone.node.runner.facts` or
:mod:`~manila_glusterfs_clone.node.runner.procfs`, and answer with its result
as JSON.

The driver uses this module, too: its messages contain the command lines.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import directories
from manila_glusterfs_clone.node.runner import facts
from manila_glusterfs_clone.node.runner import procfs
from manila_glusterfs_clone.node.runner import validation

BOOT_UNIT = 'manila-glusterfs-clone-bricks.service'
GLUSTERD_UNIT = 'glusterd.service'

#: The programs that the verbs run.
PROGRAMS = (
    'gluster',
    'lvs',
    'lvcreate',
    'lvchange',
    'lvextend',
    'lvmconfig',
    'lvremove',
    'mkfs.xfs',
    'xfs_growfs',
    'mount',
    'umount',
    'systemctl',
)

LV_FIELDS = (
    'vg_name',
    'lv_name',
    'lv_size',
    'lv_layout',
    'lv_role',
    'lv_active',
    'lv_health_status',
    'zero',
    'pool_lv',
    'origin',
    'data_percent',
    'metadata_percent',
    'lv_tags',
    'lv_dm_path',
    'lv_metadata_size',
    'lv_device_open',
    'lv_profile',
    'vg_profile',
    'vg_free',
)
#: The settings of LVM that limit new thin LVs.
LVM_SETTINGS = (
    'activation/thin_pool_autoextend_threshold',
    'activation/thin_pool_autoextend_percent',
    'activation/monitoring',
)

Words = List[str]


class Verb(NamedTuple):
    """One action that a step can request."""

    #: The checks of the values, by name.
    checks: Dict[str, validation.Check]
    #: Returns the command line of the program. For a function, returns words
    #: that describe the step in messages.
    words: Callable[..., Words]
    #: The function, which takes the settings and the values; None for a
    #: program.
    function: Optional[Callable[..., Any]]
    #: Whether the verb changes something. "gluster" can do both.
    changes: bool
    #: The name of the value whose LVs must belong to the driver; empty for
    #: none.
    own: str
    #: Whether any exit status is accepted: the output contains the outcome.
    accepts_any_status: bool


VERBS: Dict[str, Verb] = {}


def check(settings: validation.Settings, name: str, given: Any) -> Verb:
    """Return a verb whose values are allowed.

    :raises Invalid: the verb does not exist; or a value is missing, unknown
        or not allowed.
    """
    if not isinstance(name, str) or name not in VERBS:
        raise validation.Invalid(f'there is no verb {name!r:.200}')
    verb = VERBS[name]
    if not isinstance(given, dict) or given.keys() != verb.checks.keys():
        raise validation.Invalid(
            f'the values are not {", ".join(verb.checks) or "empty"}: '
            f'{given!r:.200}'
        )
    for value_name, check_value in verb.checks.items():
        check_value(settings, given[value_name])
    return verb


def _program(
    *,
    changes: bool,
    own: str = '',
    accepts_any_status: bool = False,
    **checks: validation.Check,
) -> Callable[[Callable[..., Words]], Callable[..., Words]]:
    """Register a function as the verb with the name of the function."""

    def register(words: Callable[..., Words]) -> Callable[..., Words]:
        VERBS[words.__name__] = Verb(
            checks, words, None, changes, own, accepts_any_status
        )
        return words

    return register


def _function(
    function: Callable[..., Any], *, changes: bool, **checks: validation.Check
) -> None:
    name = function.__name__

    def words(**given: Any) -> Words:
        found = [name]
        for key, value in given.items():
            if isinstance(value, list):
                found += value
            elif value is True:
                found.append(key)
            elif value is not False:
                found.append(str(value))
        return found

    VERBS[name] = Verb(checks, words, function, changes, '', False)


# -- LVM


@_program(
    changes=False, names=validation.list_of(validation.selection, least=0)
)
def list_lvs(names: List[str]) -> Words:
    return [
        'lvs',
        '--reportformat=json',
        '--units=b',
        '--nosuffix',
        # The settings of reports in lvm.conf must not change the output.
        '--config=report/list_item_separator="," '
        'report/binary_values_as_numeric=0 report/compact_output=0 '
        'report/compact_output_cols=""',
        f'--options={",".join(LV_FIELDS)}',
        *names,
    ]


@_program(changes=False, profile=validation.profile)
def lvm_settings(profile: str) -> Words:
    options = [f'--metadataprofile={profile}'] if profile else []
    return ['lvmconfig', '--typeconfig=full', *options, *LVM_SETTINGS]


@_program(
    changes=True,
    lv=validation.new_lv,
    pool=validation.lvm_name,
    size=validation.size,
    tags=validation.list_of(validation.tag),
)
def create_lv(lv: str, pool: str, size: int, tags: List[str]) -> Words:
    group, _, name = lv.partition('/')
    return [
        'lvcreate',
        '--yes',
        '--wipesignatures=y',
        '--type=thin',
        f'--virtualsize={size}b',
        f'--thinpool={pool}',
        f'--name={name}',
        *(f'--addtag={tag}' for tag in tags),
        group,
    ]


@_program(
    changes=True,
    own='lvs',
    lvs=validation.list_of(validation.lv),
    tags=validation.list_of(validation.tag),
)
def tag_lvs(lvs: List[str], tags: List[str]) -> Words:
    return ['lvchange', *(f'--addtag={tag}' for tag in tags), *lvs]


@_program(
    changes=True,
    own='lvs',
    lvs=validation.list_of(validation.lv),
    tags=validation.list_of(validation.tag),
)
def untag_lvs(lvs: List[str], tags: List[str]) -> Words:
    return ['lvchange', *(f'--deltag={tag}' for tag in tags), *lvs]


@_program(changes=True, own='lv', lv=validation.lv)
def activate_lv(lv: str) -> Words:
    return ['lvchange', '--activate=y', '--ignoreactivationskip', lv]


@_program(changes=True, own='lv', lv=validation.lv, size=validation.size)
def extend_lv(lv: str, size: int) -> Words:
    return ['lvextend', f'--size={size}b', lv]


@_program(changes=True, own='lvs', lvs=validation.list_of(validation.lv))
def remove_lvs(lvs: List[str]) -> Words:
    return ['lvremove', '--force', '--yes', *lvs]


# -- file systems


@_program(changes=True, own='lv', lv=validation.new_lv)
def make_xfs(lv: str) -> Words:
    # Without -f, mkfs.xfs refuses a device that has a file system. An inode of
    # 512 bytes has space for the extended attributes of GlusterFS.
    return ['mkfs.xfs', '-q', '-K', '-i', 'size=512', f'/dev/{lv}']


@_program(
    changes=True, own='lv', lv=validation.lv, path=validation.mount_point
)
def mount(lv: str, path: str) -> Words:
    # nouuid: the XFS of a clone has the UUID of the XFS of its origin.
    options = ['--types=xfs', '--options=nouuid,noatime']
    return ['mount', *options, f'/dev/{lv}', path]


@_program(changes=True, path=validation.mount_point)
def unmount(path: str) -> Words:
    return ['umount', path]


@_program(changes=True, path=validation.mount_point)
def grow_xfs(path: str) -> Words:
    return ['xfs_growfs', '-d', path]


_function(procfs.list_mounts, changes=False)
_function(
    directories.make_directory, changes=True, path=validation.mount_point
)
_function(
    directories.remove_directories,
    changes=True,
    paths=validation.list_of(validation.directory),
    keep_full=validation.flag,
)
_function(directories.list_directory, changes=False, path=validation.directory)
_function(directories.is_directory, changes=False, path=validation.in_brick)
_function(directories.read_volume_id, changes=False, path=validation.brick)
_function(
    directories.write_volume_id,
    changes=True,
    path=validation.brick,
    volume_id=validation.volume_id,
)
_function(
    directories.sync, changes=True, paths=validation.list_of(validation.synced)
)

# -- the node, and gluster


def hello(settings: validation.Settings) -> None:
    """Do nothing: the service itself answers this verb with the greeting."""


_function(hello, changes=False)
_function(procfs.addresses, changes=False)
_function(procfs.glusterd_age, changes=False)
_function(directories.resolve, changes=False, name=validation.host_name)
_function(directories.read_glusterd_log, changes=False)
_function(facts.node_facts, changes=False)


@_program(changes=False, accepts_any_status=True)
def boot_unit() -> Words:
    return ['systemctl', 'is-enabled', BOOT_UNIT]


@_program(changes=False, accepts_any_status=True)
def glusterd_unit() -> Words:
    return ['systemctl', 'is-enabled', GLUSTERD_UNIT]


@_program(changes=False, accepts_any_status=True)
def gluster_version() -> Words:
    return ['gluster', '--version']


@_program(changes=False, accepts_any_status=True)
def lvm_version() -> Words:
    return ['lvs', '--version']


@_program(
    changes=True, accepts_any_status=True, words=validation.gluster_words
)
def gluster(words: List[str]) -> Words:
    return [*child_processes.CONSOLE, *words]
