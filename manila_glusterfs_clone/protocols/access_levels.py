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
"""The access level of a volume: read and write, or read only.

GlusterFS cannot make a volume read-only for single clients: the volume option
``features.read-only`` makes bricks refuse the writes of all clients, but not
of gluster's own daemons. So all granted rules of a volume have the same level.

Bricks apply the option while clients stay connected. Clients can still read
the files that they have opened.
"""

from collections.abc import Mapping
import dataclasses

from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

READ_ONLY = 'features.read-only'
ON, OFF = 'on', 'off'

RW, RO = protocols.RW, 'ro'

#: The values that GlusterFS reads as true, in lower case.
_TRUE_VALUES = frozenset({'1', 'on', 'yes', 'true', 'enable'})


@dataclasses.dataclass(eq=False)
class AccessLevelNotSupported(protocols.AccessNotSupported):
    """The access level of a rule is neither ``rw`` nor ``ro``."""

    access_level: str

    def __str__(self) -> str:
        return (
            f'access level "{self.access_level}": not supported; use "rw" or '
            f'"ro"'
        )


@dataclasses.dataclass(eq=False)
class AccessLevelsDiffer(protocols.AccessNotSupported):
    """The access level of a rule differs from the level of other rules."""

    access_level: str
    #: The access level of the other rules.
    granted_level: str

    def __str__(self) -> str:
        return (
            f'access level "{self.access_level}": other rules of the share '
            f'have the level "{self.granted_level}", and GlusterFS cannot '
            f'grant both levels on one volume; use the level '
            f'"{self.granted_level}", or delete all rules of the share and '
            f'add this rule again'
        )


def require_supported(access_level: str) -> None:
    """Raise AccessLevelNotSupported unless a level is ``rw`` or ``ro``."""
    if access_level not in (RW, RO):
        raise AccessLevelNotSupported(access_level)


def require_same(access_level: str, granted_level: str | None) -> None:
    """Raise AccessLevelsDiffer if other rules have another level.

    :param granted_level: the level of the other rules; None if there are none.
    """
    if granted_level not in (None, access_level):
        raise AccessLevelsDiffer(access_level, str(granted_level))


def options(level: str | None) -> dict[str, str]:
    """Return the options for an access level; an empty dict without a level.

    A volume without rules denies all clients, and keeps its level.
    """
    return {} if level is None else {READ_ONLY: ON if level == RO else OFF}


def writable_options(volume: gluster.Volume | None) -> dict[str, str]:
    """Return the options that make a read-only volume writable."""
    is_writable = volume is None or not is_read_only(volume)
    return options(None if is_writable else RW)


def is_read_only(volume: gluster.Volume) -> bool:
    """Return whether a volume is read-only for clients."""
    value = volume.options.get(READ_ONLY, OFF)
    return value.lower() in _TRUE_VALUES


def of_volume(volume: gluster.Volume) -> str:
    """Return the access level of the clients of a volume."""
    return RO if is_read_only(volume) else RW


def have_options(
    volume: gluster.Volume, planned_options: Mapping[str, str]
) -> bool:
    """Return whether a volume has the access level in planned options.

    An option that is not set counts as ``off``. Without rules, a volume may
    have either level.
    """
    planned = planned_options.get(READ_ONLY)
    return planned is None or (planned == ON) == is_read_only(volume)
