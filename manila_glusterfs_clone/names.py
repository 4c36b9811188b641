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
"""Build and parse the names, tags, marks and paths of the driver's objects.

All are built from Manila's instance ids, which never change and are never
used twice. Share names are not used: an administrator can change the template
of these names.

Names that glusterd chooses (``<volume id in hex>_<k>`` for the LVs of a clone)
are discovered, never computed.

Limits of the tools: the name of a gluster volume or snapshot is shorter than
255 characters of letters, digits, ``-`` and ``_``. An LV name has at most 127
characters, and each ``-`` is doubled in the device-mapper name of VG and LV.
An LVM tag has at most 1,024 characters of letters, digits and
``_+.-/=!:&#``.
"""

import dataclasses
import re
import string
from urllib import parse
import uuid

from manila_glusterfs_clone import errors

VOLUME_PREFIX = 'manila-'
SNAPSHOT_PREFIX = 'manila-snap-'

#: Directory of a brick inside its file system. A brick is never the mount
#: point itself: without the mount the brick does not exist either, and nothing
#: is written below the mount point.
BRICK_DIRECTORY = 'brick'

#: The tag by which a node finds the bricks that it has to mount at boot.
TAG_BRICK = 'manila.brick'
TAG_SHARE = 'manila.share='
TAG_SNAPSHOT = 'manila.snapshot='
TAG_MOUNT = 'manila.mount='
#: The tag of a snapshot that is unmanaged: its name cannot be changed.
TAG_UNMANAGED = 'manila.unmanaged'

#: Volume options that name the owner of a volume. A clone inherits them.
OPTION_SHARE = 'user.manila.share'
OPTION_BACKEND = 'user.manila.backend'
#: The value of both options for a share that is unmanaged.
UNMANAGED = 'unmanaged'

#: The characters that are not quoted in the mark of a back end.
_MARK = ''.join(set(string.punctuation) - {'%'})
#: The limit of a mark: glusterd stores an option and its value on one line.
LONGEST_MARK = 255
_TAG_VALUE = re.compile(r'[A-Za-z0-9_+.\-/=!:&#]{1,900}')
_PATH = re.compile(r'(/[A-Za-z0-9_+.\-]{1,200})+')
_POOL = re.compile(
    r'(?P<vg>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
    r'/(?P<pool>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
)


@dataclasses.dataclass(eq=False)
class NotAnId(errors.NotPossible):
    """A text is not the id of a share or snapshot instance."""

    text: str

    def __str__(self) -> str:
        return f'{self.text!r} is not the id of a share or snapshot instance'


@dataclasses.dataclass(eq=False)
class NotATagValue(errors.NotPossible):
    """A mount point has characters that LVM tags cannot have."""

    mount_point: str

    def __str__(self) -> str:
        return (
            f'mount point {self.mount_point!r} cannot be stored in an LVM tag'
        )


@dataclasses.dataclass(eq=False)
class NotAPoolName(errors.NotPossible):
    """A text is not the name of a thin pool."""

    text: str

    def __str__(self) -> str:
        return f'{self.text!r} does not name a thin pool as vg/thinpool'


def canonical_id(instance_id: str) -> str:
    """Return an instance id in the form that names contain.

    :raises NotAnId: it is not a UUID.
    """
    try:
        return str(uuid.UUID(instance_id))
    except (ValueError, AttributeError, TypeError) as error:
        raise NotAnId(instance_id) from error


def is_id(text: str) -> bool:
    """Return whether a text is an instance id in its canonical form."""
    return _id_or_none(text) is not None


def volume(share_id: str) -> str:
    """Return the name of a share's volume, and of the LVs of its bricks."""
    return VOLUME_PREFIX + canonical_id(share_id)


def snapshot(snapshot_id: str) -> str:
    """Return the name of a snapshot on the cluster."""
    return SNAPSHOT_PREFIX + canonical_id(snapshot_id)


def snapshot_id_from_name(name: str) -> str | None:
    """Return the id in the name of a snapshot of this driver, or None."""
    if not name.startswith(SNAPSHOT_PREFIX):
        return None
    return _id_or_none(name[len(SNAPSHOT_PREFIX) :])


def share_id_from_name(volume_name: str) -> str | None:
    """Return the id in the name of a share's volume, or None."""
    if not volume_name.startswith(VOLUME_PREFIX):
        return None
    return _id_or_none(volume_name[len(VOLUME_PREFIX) :])


def _id_or_none(text: str) -> str | None:
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        return None
    return canonical if canonical == text else None


def backend_mark(backend: str) -> str:
    """Return the mark of a back end, the value of an option of its volumes.

    The value of a gluster option is one word: blanks and characters beyond
    ASCII in the name of the back end are percent-encoded, as in URLs.
    """
    return parse.quote(backend, safe=_MARK)


def mount_point(brick_root: str, share_id: str) -> str:
    """Return where the brick of a created share is mounted."""
    return f'{brick_root}/{volume(share_id)}'


def brick_path(mount: str) -> str:
    """Return the path of the brick inside a mounted file system."""
    return f'{mount}/{BRICK_DIRECTORY}'


def share_tag(share_id: str) -> str:
    """Return the tag of the LVs of a share."""
    return TAG_SHARE + canonical_id(share_id)


def snapshot_tag(snapshot_id: str) -> str:
    """Return the tag of the LVs of a snapshot."""
    return TAG_SNAPSHOT + canonical_id(snapshot_id)


def mount_tag(mount: str) -> str:
    """Return the tag with the mount point of a brick's LV.

    :raises NotATagValue: a tag cannot hold the mount point.
    """
    if not _TAG_VALUE.fullmatch(mount):
        raise NotATagValue(mount)
    return TAG_MOUNT + mount


def brick_tags(share_id: str, mount: str) -> frozenset[str]:
    """Return all tags of an LV with a brick of a share."""
    return frozenset({TAG_BRICK, share_tag(share_id), mount_tag(mount)})


def is_plain_path(path: str) -> bool:
    """Return whether a path is absolute and safe in tags and brick paths."""
    # findmnt lists mount points without "." and "..".
    return bool(_PATH.fullmatch(path)) and not (
        {'.', '..'} & {*path.split('/')}
    )


def split_pool(name: str) -> tuple[str, str]:
    """Split ``vg/thinpool`` into its two names.

    :raises NotAPoolName: the name does not have that form.
    """
    match = _POOL.fullmatch(name)
    if match is None:
        raise NotAPoolName(name)
    return match['vg'], match['pool']
