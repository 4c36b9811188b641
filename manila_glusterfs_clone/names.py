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
"""Every name, tag and path that the driver gives to something.

All are made from Manila's instance ids, which never change and are never
used twice; share names are not used, since an administrator can change
the template that they are made from.

Names that are *not* made here (glusterd calls the LVs of a clone
``<volume id in hex>_<k>``) are discovered, never computed.

Limits, from the tools: a gluster volume or snapshot name is shorter than
255 characters of letters, digits, ``-`` and ``_``; an LV name has at most
127 characters, and ``-`` counts twice in the device-mapper name that is
made of VG and LV; an LVM tag has at most 1,024 characters of letters,
digits and ``_+.-/=!:&#``.
"""

import re
import string
from urllib import parse
import uuid

from manila_glusterfs_clone import errors

VOLUME_PREFIX = 'manila-'
SNAPSHOT_PREFIX = 'manila-snap-'

#: Directory of a brick inside its file system. A brick is never the mount
#: point itself: when the mount is missing, so is the brick, and nothing is
#: written below the mount point.
BRICK_DIRECTORY = 'brick'

#: The tag by which a node finds, at boot, the bricks that it must mount.
TAG_BRICK = 'manila.brick'
TAG_SHARE = 'manila.share='
TAG_SNAPSHOT = 'manila.snapshot='
TAG_MOUNT = 'manila.mount='
#: Of a snapshot that Manila manages no more: its name stays ours.
TAG_UNMANAGED = 'manila.unmanaged'

#: Volume options that say whose a volume is. A clone inherits them.
OPTION_SHARE = 'user.manila.share'
OPTION_BACKEND = 'user.manila.backend'
#: What they are where Manila manages a share no more.
UNMANAGED = 'unmanaged'

#: What stands for itself in the mark of a back end.
_MARK = ''.join(set(string.punctuation) - {'%'})
#: glusterd keeps an option and its value on one line of its store.
LONGEST_MARK = 255
_TAG_VALUE = re.compile(r'[A-Za-z0-9_+.\-/=!:&#]{1,900}')
_PATH = re.compile(r'(/[A-Za-z0-9_+.\-]{1,200})+')
_POOL = re.compile(
    r'(?P<vg>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
    r'/(?P<pool>[A-Za-z0-9_+.][A-Za-z0-9_+.\-]{0,62})'
)


def canonical_id(instance_id: str) -> str:
    """Give back an instance id in the one form that names are made of.

    :raises errors.NotPossible: it is not a UUID.
    """
    try:
        return str(uuid.UUID(instance_id))
    except (ValueError, AttributeError, TypeError) as error:
        raise errors.NotPossible(
            f'{instance_id!r} is not the id of a share or snapshot instance'
        ) from error


def is_id(text: str) -> bool:
    """Return whether a text is an instance id, in the one form of ids."""
    return _id_or_none(text) is not None


def volume(share_id: str) -> str:
    """Name of a share's volume, and of the LVs made for its bricks."""
    return VOLUME_PREFIX + canonical_id(share_id)


def snapshot(snapshot_id: str) -> str:
    """Name of a snapshot on the cluster."""
    return SNAPSHOT_PREFIX + canonical_id(snapshot_id)


def snapshot_id_from_name(name: str) -> str | None:
    """Give the snapshot id that a snapshot's name was made of, if ours."""
    if not name.startswith(SNAPSHOT_PREFIX):
        return None
    return _id_or_none(name[len(SNAPSHOT_PREFIX) :])


def share_id_from_name(volume_name: str) -> str | None:
    """Give the share id that a volume's name was made of, if ours."""
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
    """Return a back end's name as volumes are marked with it.

    The value of a gluster option is one word: blanks and letters beyond
    ASCII are written as ``%`` and their number, as in addresses of web
    pages. A name without them is its own mark.
    """
    return parse.quote(backend, safe=_MARK)


def mount_point(brick_root: str, share_id: str) -> str:
    """Where the file system of a created share's brick is mounted."""
    return f'{brick_root}/{volume(share_id)}'


def brick_path(mount: str) -> str:
    """Path of the brick inside a mounted file system."""
    return f'{mount}/{BRICK_DIRECTORY}'


def share_tag(share_id: str) -> str:
    """Tag of the LVs that belong to a share."""
    return TAG_SHARE + canonical_id(share_id)


def snapshot_tag(snapshot_id: str) -> str:
    """Tag of the LVs that belong to a snapshot."""
    return TAG_SNAPSHOT + canonical_id(snapshot_id)


def mount_tag(mount: str) -> str:
    """Tag that says where a brick's LV is to be mounted."""
    if not _TAG_VALUE.fullmatch(mount):
        raise errors.NotPossible(f'{mount!r} cannot be put into an LVM tag')
    return TAG_MOUNT + mount


def brick_tags(share_id: str, mount: str) -> frozenset[str]:
    """All tags of an LV that holds a brick of a share."""
    return frozenset({TAG_BRICK, share_tag(share_id), mount_tag(mount)})


def is_plain_path(path: str) -> bool:
    """Whether a path is absolute and safe as a tag and a brick path."""
    # findmnt tells mount points without "." and "..", and so must we.
    return bool(_PATH.fullmatch(path)) and not (
        {'.', '..'} & {*path.split('/')}
    )


def split_pool(name: str) -> tuple[str, str]:
    """Split ``vg/thinpool`` into its two names.

    :raises errors.NotPossible: it is not of that form.
    """
    match = _POOL.fullmatch(name)
    if match is None:
        raise errors.NotPossible(
            f'{name!r} does not name a thin pool as vg/thinpool'
        )
    return match['vg'], match['pool']
