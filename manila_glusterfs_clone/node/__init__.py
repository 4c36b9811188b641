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
"""The files to install on storage nodes, and a script that installs them.

One of the files is the script ``mount-bricks``. A systemd unit runs it at
boot, and a drop-in file for the glusterd unit runs it before each start of
glusterd. The sudo rules allow the login user to run the driver's commands as
root.
"""

from importlib import resources
import re
import shlex

SCRIPT = 'mount-bricks'
UNIT = 'manila-glusterfs-clone-bricks.service'
DROP_IN = 'glusterd.conf'
SUDOERS = 'sudoers'

SCRIPT_PATH = f'/usr/local/lib/manila-glusterfs-clone/{SCRIPT}'
UNIT_PATH = f'/etc/systemd/system/{UNIT}'
DROP_IN_PATH = (
    '/etc/systemd/system/glusterd.service.d/manila-glusterfs-clone.conf'
)
SUDOERS_PATH = '/etc/sudoers.d/manila-glusterfs-clone'

_END = 'END-OF-FILE'
#: The user name in each line of the sudo rules.
_SUDO_USER = re.compile(r'^(Defaults:)?manila([ !])', re.MULTILINE)


def text(name: str) -> str:
    """Return the content of a file of this package."""
    return resources.files(__name__).joinpath(name).read_text()


def sudoers(user: str) -> str:
    """Return sudo rules that allow a user to run the driver's commands."""
    return _SUDO_USER.sub(rf'\g<1>{user}\g<2>', text(SUDOERS))


def installer(user: str, public_key: str) -> str:
    """Return a POSIX shell script that prepares a storage node.

    The script is idempotent. It checks the sudo rules before it installs
    them, because sudo before 1.9.10 does not support them.

    :param user: the login user of the driver.
    :param public_key: the public key to authorize, as one line; empty for
        none.
    """
    lines = [
        '#!/bin/sh',
        'set -eu',
        'umask 022',
        *_file(SCRIPT_PATH, '0755', text(SCRIPT)),
        *_file(UNIT_PATH, '0644', text(UNIT)),
        *_file(DROP_IN_PATH, '0644', text(DROP_IN)),
        *_file(f'{SUDOERS_PATH}.new', '0440', sudoers(user)),
        f'if ! visudo -c -q -f {SUDOERS_PATH}.new; then',
        f'    rm -f {SUDOERS_PATH}.new',
        '    echo "sudo on this node rejects the sudo rules of the Manila '
        'driver;" \\',
        '        "install sudo 1.9.10 or later, and rerun this script" >&2',
        '    exit 1',
        'fi',
        f'mv -f {SUDOERS_PATH}.new {SUDOERS_PATH}',
        f'if ! id {user} >/dev/null 2>&1; then',
        # By default useradd locks the account, and sshd without PAM refuses a
        # locked account. With '*' as its hash, the account is not locked, and
        # no password is valid.
        f"    useradd --system --create-home --shell /bin/sh --password '*' "
        f'{user}',
        'fi',
    ]
    if public_key:
        quoted_key = shlex.quote(public_key)
        lines += [
            f'home=$(getent passwd {user} | cut -d: -f6)',
            f'install -d -m 0700 -o {user} "$home/.ssh"',
            f'if ! grep -qxF {quoted_key} "$home/.ssh/authorized_keys" '
            f'2>/dev/null; then',
            # Begin with a newline, in case the file does not end with one.
            f'    printf "\\n%s\\n" {quoted_key} '
            f'>>"$home/.ssh/authorized_keys"',
            f'    chown {user} "$home/.ssh/authorized_keys"',
            '    chmod 0600 "$home/.ssh/authorized_keys"',
            'fi',
        ]
    lines += [
        'systemctl daemon-reload',
        f'systemctl enable {UNIT}',
        'echo "The node is prepared for the Manila driver for GlusterFS."',
    ]
    return '\n'.join(lines) + '\n'


def _file(path: str, mode: str, content: str) -> list[str]:
    return [
        f'install -d -m 0755 "$(dirname {path})"',
        f"cat >{path} <<'{_END}'",
        content.rstrip('\n'),
        _END,
        f'chmod {mode} {path}',
    ]
