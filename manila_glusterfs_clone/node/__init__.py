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
"""What a storage node needs, and the script that puts it in place."""

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
#: Whom a line of the sudo rules is for.
_OWNER = re.compile(r'^(Defaults:)?manila([ !])', re.MULTILINE)


def text(name: str) -> str:
    """Give one of the files that a node needs."""
    return resources.files(__name__).joinpath(name).read_text()


def sudoers(user: str) -> str:
    """Give the sudo rules for a user."""
    return _OWNER.sub(rf'\g<1>{user}\g<2>', text(SUDOERS))


def installer(user: str, public_key: str) -> str:
    """Give a POSIX shell script that makes a node ready.

    It may be run again. The sudo rules are checked before they are put in
    place: a broken file there would lock everybody out of sudo.

    :param user: the user that the driver logs in as.
    :param public_key: a key to let in, as one line; may be empty.
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
        '    echo "sudo on this node does not understand the rules;" \\',
        '        "it must be 1.9.10 or later" >&2',
        '    exit 1',
        'fi',
        f'mv -f {SUDOERS_PATH}.new {SUDOERS_PATH}',
        f'if ! id {user} >/dev/null 2>&1; then',
        # Locked, as it would be else, an sshd without PAM lets nobody in.
        f"    useradd --system --create-home --shell /bin/sh --password '*' "
        f'{user}',
        'fi',
    ]
    if public_key:
        key = shlex.quote(public_key)
        lines += [
            f'home=$(getent passwd {user} | cut -d: -f6)',
            f'install -d -m 0700 -o {user} "$home/.ssh"',
            f'if ! grep -qxF {key} "$home/.ssh/authorized_keys" '
            f'2>/dev/null; then',
            # On a line of its own, whatever the file ends with.
            f'    printf "\\n%s\\n" {key} >>"$home/.ssh/authorized_keys"',
            f'    chown {user} "$home/.ssh/authorized_keys"',
            '    chmod 0600 "$home/.ssh/authorized_keys"',
            'fi',
        ]
    lines += [
        'systemctl daemon-reload',
        f'systemctl enable {UNIT}',
        'echo "this node is ready for the Manila driver for GlusterFS"',
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
