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
"""Build and parse names, tags, marks and paths of volumes, snapshots and LVs.

The names of volumes and snapshots contain Manila's instance ids, which never
change and are never reused. Manila's share names are not used, because an
administrator can change their template.

glusterd chooses the names of the LVs of clones and snapshots:
``<volume id in hex>_<number>``. The driver reads these names, and never
computes them.

The maximum lengths and the allowed characters are:

* gluster volume or snapshot: 254 letters, digits, ``-`` and ``_``.
* LV: 127 characters. The device-mapper name of an LV doubles each ``-`` in the
  names of VG and LV.
* LVM tag: 1,024 letters, digits and ``_+.-/=!:&#``.
"""

import dataclasses
import re
import string
from urllib import parse
import uuid

from manila_glusterfs_clone import errors

VOLUME_PREFIX = 'manila-'
SNAPSHOT_PREFIX = 'manila-snap-'

#: The brick is this directory in a mounted file system. Without the mount, the
#: directory does not exist, so glusterd cannot write to the root file system.
BRICK_DIRECTORY = 'brick'

#: The tag of LVs that contain a brick; nodes mount these LVs at boot.
TAG_BRICK = 'manila.brick'
#: The prefix of the tag with the id of the share that an LV belongs to.
TAG_SHARE = 'manila.share='
#: The prefix of the tag with the id of the snapshot that an LV belongs to.
TAG_SNAPSHOT = 'manila.snapshot='
#: The prefix of the tag with the mount point of an LV.
TAG_MOUNT = 'manila.mount='
#: The tag of the LVs of an unmanaged snapshot. Only this tag shows that the
#: snapshot is unmanaged: gluster cannot rename the snapshot.
TAG_UNMANAGED = 'manila.unmanaged'

#: The marks of a volume: options with the id of its share, and with its back
#: end. A clone inherits the marks of its origin.
OPTION_SHARE = 'user.manila.share'
OPTION_BACKEND = 'user.manila.backend'
#: The value of both marks after the share was unmanaged.
UNMANAGED = 'unmanaged'

#: The characters that :func:`backend_mark` does not percent-encode.
_UNQUOTED_CHARACTERS = ''.join(set(string.punctuation) - {'%'})
#: The maximum length of a :func:`backend_mark`, in characters. glusterd stores
#: an option and its value on one line, whose length is limited.
MAX_MARK_LENGTH = 255
_TAG_VALUE = re.compile(r'[A-Za-z0-9_+.\-/=!:&#]{1,900}')
_PATH = re.compile(r'(/[A-Za-z0-9_+.\-]{1,200})+')
_POOL = re.compile(
    r'(?P<vg>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
    r'/(?P<pool>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
)


@dataclasses.dataclass(eq=False)
class NotAnId(errors.NotPossible):
    """The text is not the id of a share or snapshot instance."""

    text: str

    def __str__(self) -> str:
        return f'{self.text!r}: not the id of a share or snapshot instance'


@dataclasses.dataclass(eq=False)
class NotATagValue(errors.NotPossible):
    """The mount point cannot be part of an LVM tag."""

    mount_point: str

    def __str__(self) -> str:
        return (
            f'mount point {self.mount_point!r}: too long for an LVM tag, or '
            f'has characters that a tag cannot contain; choose another '
            f'glusterfs_clone_brick_root'
        )


@dataclasses.dataclass(eq=False)
class NotAPoolName(errors.NotPossible):
    """The text is not the name of a thin pool, ``vg/thinpool``."""

    text: str

    def __str__(self) -> str:
        return f'{self.text!r}: not a thin pool; use the form vg/thinpool'


def canonical_id(instance_id: str) -> str:
    """Return an instance id in canonical form: in lower case, with dashes.

    :raises NotAnId: the id is not a UUID.
    """
    try:
        return str(uuid.UUID(instance_id))
    except (ValueError, AttributeError, TypeError) as error:
        raise NotAnId(instance_id) from error


def is_id(text: str) -> bool:
    """Return whether a text is an instance id in canonical form."""
    return _id_or_none(text) is not None


def volume(share_id: str) -> str:
    """Return the name of the volume of a share.

    If the share was not created from a snapshot, its LVs have this name, too.
    """
    return VOLUME_PREFIX + canonical_id(share_id)


def snapshot(snapshot_id: str) -> str:
    """Return the name of a snapshot in glusterd."""
    return SNAPSHOT_PREFIX + canonical_id(snapshot_id)


def snapshot_id_from_name(name: str) -> str | None:
    """Return the snapshot id in a name.

    :return: None if the name is not that of a snapshot of this driver.
    """
    if not name.startswith(SNAPSHOT_PREFIX):
        return None
    return _id_or_none(name[len(SNAPSHOT_PREFIX) :])


def share_id_from_name(volume_name: str) -> str | None:
    """Return the share id in a name.

    :return: None if the name is not that of a volume of this driver.
    """
    if not volume_name.startswith(VOLUME_PREFIX):
        return None
    return _id_or_none(volume_name[len(VOLUME_PREFIX) :])


def _id_or_none(text: str) -> str | None:
    try:
        canonical_text = str(uuid.UUID(text))
    except ValueError:
        return None
    return canonical_text if canonical_text == text else None


def backend_mark(backend: str) -> str:
    """Return the value of :data:`OPTION_BACKEND` for a back end.

    Percent-encode the name of the back end, because the value of a gluster
    option is one word.
    """
    return parse.quote(backend, safe=_UNQUOTED_CHARACTERS)


def mount_point(brick_root: str, share_id: str) -> str:
    """Return the mount point of the bricks of a share that is not a clone.

    :param brick_root: the option ``glusterfs_clone_brick_root``.
    """
    return f'{brick_root}/{volume(share_id)}'


def brick_path(path: str) -> str:
    """Return the path of the brick below a mount point.

    :param path: the mount point.
    """
    return f'{path}/{BRICK_DIRECTORY}'


def share_tag(share_id: str) -> str:
    """Return the tag of the LVs of a share."""
    return TAG_SHARE + canonical_id(share_id)


def snapshot_tag(snapshot_id: str) -> str:
    """Return the tag of the LVs of a snapshot."""
    return TAG_SNAPSHOT + canonical_id(snapshot_id)


def mount_tag(path: str) -> str:
    """Return the tag with the mount point of an LV.

    :param path: the mount point.
    :raises NotATagValue: a tag cannot contain the mount point.
    """
    if not _TAG_VALUE.fullmatch(path):
        raise NotATagValue(path)
    return TAG_MOUNT + path


def brick_tags(share_id: str, path: str) -> frozenset[str]:
    """Return all tags of an LV that contains a brick of a share.

    :param path: the mount point of the LV.
    """
    return frozenset({TAG_BRICK, share_tag(share_id), mount_tag(path)})


def is_plain_path(path: str) -> bool:
    """Return whether a path is absolute, with characters valid in tags."""
    # Reject "." and "..": the kernel removes them from mount points.
    return bool(_PATH.fullmatch(path)) and not (
        {'.', '..'} & {*path.split('/')}
    )


def split_pool(name: str) -> tuple[str, str]:
    """Split the name of a thin pool, ``vg/thinpool``, at the slash.

    :raises NotAPoolName: the name is not of the form ``vg/thinpool``.
    """
    match = _POOL.fullmatch(name)
    if match is None:
        raise NotAPoolName(name)
    return match['vg'], match['pool']
