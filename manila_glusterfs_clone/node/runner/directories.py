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
"""Functions for directories, host names and logs, which run no program.

Each function runs in its own process, which ends with the function. So the
functions close no file, and may hang on a disk. Their arguments are the
settings of the node and checked values.
"""

import contextlib
import ctypes
import errno
import os
import socket
import stat
from typing import List, Optional, Sequence

from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.node.runner import validation

#: The extended attribute of a brick that contains the id of its volume.
VOLUME_ID = 'trusted.glusterfs.volume-id'
GLUSTERD_LOG = '/var/log/glusterfs/glusterd.log'

_FLAGS = os.O_RDONLY | os.O_DIRECTORY


def find_link(place: validation.Place) -> Optional[str]:
    """Return the first symbolic link in the path from a root to a place.

    A part of the path that does not exist or cannot be read is no link.
    """
    path = place.root
    for name in place.names:
        path = f'{path}/{name}'
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return path
    return None


def _open(place: validation.Place, make: bool = False) -> int:
    """Open a directory, following no link below the root.

    :param make: whether to make directories that do not exist.
    """
    if make:
        os.makedirs(place.root, exist_ok=True)
    at = os.open(place.root, _FLAGS)
    for name in place.names:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=at)
                os.fsync(at)
        at = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=at)
    return at


def make_directory(settings: validation.Settings, path: str) -> None:
    """Make a directory and its parents, if they do not exist."""
    _open(validation.place(settings, path), make=True)


def remove_directories(
    settings: validation.Settings, paths: Sequence[str], keep_full: bool
) -> None:
    """Remove empty directories; ignore missing directories.

    :param keep_full: whether to ignore directories that cannot be removed.
    """
    failure = None
    for path in paths:
        place = validation.place(settings, path)
        try:
            os.rmdir(place.names[-1], dir_fd=_open(place.parent))
        except FileNotFoundError:
            continue
        except OSError as error:
            if not keep_full:
                failure = OSError(error.errno, error.strerror, path)
    if failure is not None:
        raise failure


def list_directory(settings: validation.Settings, path: str) -> List[str]:
    """Return the names in a directory; an empty list if it does not exist."""
    try:
        return sorted(os.listdir(_open(validation.place(settings, path))))
    except FileNotFoundError:
        return []


def is_directory(settings: validation.Settings, path: str) -> bool:
    try:
        _open(validation.place(settings, path))
    except FileNotFoundError:
        return False
    return True


def read_volume_id(settings: validation.Settings, path: str) -> Optional[str]:
    """Return the volume id of a brick, in hex.

    :return: None if the brick or its volume id does not exist.
    """
    try:
        return os.getxattr(
            _open(validation.place(settings, path)), VOLUME_ID
        ).hex()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODATA):
            raise
        return None


def write_volume_id(
    settings: validation.Settings, path: str, volume_id: str
) -> None:
    """Write the volume id of a brick.

    :param volume_id: in hex.
    """
    at = _open(validation.place(settings, path))
    os.setxattr(at, VOLUME_ID, bytes.fromhex(volume_id))
    os.fsync(at)


def sync(settings: validation.Settings, paths: Sequence[str]) -> None:
    """Write all pending data of file systems to disk."""
    library = ctypes.CDLL(None, use_errno=True)
    for path in paths:
        if library.syncfs(_open(validation.place(settings, path))):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)


def resolve(settings: validation.Settings, name: str) -> List[str]:
    """Return the addresses of a host name; an empty list if it has none."""
    try:
        found = socket.getaddrinfo(name, None)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            raise
        return []
    return sorted({str(address[4][0]) for address in found})


def read_glusterd_log(settings: validation.Settings) -> str:
    """Return the end of glusterd's log."""
    with open(GLUSTERD_LOG, 'rb') as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - frames.EXCERPT))
        return file.read().decode('utf-8', 'replace')
