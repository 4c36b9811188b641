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
"""Read the files of SSH keys, and report what is wrong with them.

``private_keys`` and ``known_hosts`` read their files here. The error contains
the path of the file, the problem and the remedy, but never the content.
"""

import dataclasses
import os
import pwd
import stat

from manila_glusterfs_clone import errors

#: The kinds of problems.
MISSING, UNREADABLE, EMPTY = 'missing', 'unreadable', 'empty'
MALFORMED, UNSUPPORTED, ENCRYPTED = 'malformed', 'unsupported', 'encrypted'
NOT_PRIVATE, PERMISSIONS = 'not a private key', 'permissions'


@dataclasses.dataclass(eq=False)
class Unusable(errors.Refused):
    """The driver cannot use a key file.

    :param role: what the file is: ``private key`` or ``known_hosts file``.
    :param kind: one of the constants of this module.
    """

    role: str
    path: str
    kind: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f'{self.role} {self.path} {self.problem}; {self.remedy}'


def read(role: str, path: str, remedy_if_missing: str) -> bytes:
    """Return the content of a key file.

    :raises Unusable: the file does not exist, is not a regular file, or
        cannot be read.
    """
    try:
        # A pipe would block the open call.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Unusable(
                role, path, UNREADABLE, 'is not a file', remedy_if_missing
            )
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError as error:
        raise Unusable(
            role, path, MISSING, 'does not exist', remedy_if_missing
        ) from error
    except PermissionError as error:
        raise Unusable(
            role,
            path,
            UNREADABLE,
            f'cannot be read by the user {_user_name()}',
            'let this user read the file and search its directories',
        ) from error
    except (OSError, ValueError) as error:
        # For example, the path contains a NUL.
        text = getattr(error, 'strerror', None) or str(error)
        raise Unusable(
            role,
            path,
            UNREADABLE,
            f'cannot be read: {text}',
            remedy_if_missing,
        ) from error


def _user_name() -> str:
    """Return the name of the user of this process, or else the user id."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
