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
glusterd. The runner (:mod:`manila_glusterfs_clone.node.runner`) runs the
commands of the driver. The sudo rule allows the login user to start the runner
as root.
"""

import base64
from collections.abc import Iterable
from importlib import resources
import json
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
RUNNER_PATH = '/usr/local/lib/manila-glusterfs-clone/runner'
#: The brick roots and volume groups that the runner allows.
SETTINGS_PATH = '/etc/manila-glusterfs-clone/runner.json'

_END = 'END-OF-FILE'
#: The user name in the sudo rule.
_SUDO_USER = re.compile(r'^manila ', re.MULTILINE)
#: The possible paths of Python. Enterprise Linux 8 may have only the second.
_PYTHONS = ('/usr/bin/python3', '/usr/libexec/platform-python')


def text(name: str) -> str:
    """Return the content of a file of this package."""
    return resources.files(__name__).joinpath(name).read_text()


def sudoers(user: str) -> str:
    """Return the sudo rule that allows a user to start the runner."""
    return _SUDO_USER.sub(f'{user} ', text(SUDOERS))


def settings(brick_roots: Iterable[str], volume_groups: Iterable[str]) -> str:
    """Return the settings of the runner."""
    values = {
        'brick_roots': sorted(set(brick_roots)),
        'volume_groups': sorted(set(volume_groups)),
    }
    return json.dumps(values, indent=2) + '\n'


def installer(
    user: str, public_key: str, runner: bytes, runner_settings: str
) -> str:
    """Return a POSIX shell script that prepares a storage node.

    The script is idempotent, and may run while the driver uses the node. It
    checks the sudo rule before the installation, because a rule with an error
    would disable sudo for all users.

    :param user: the login user of the driver.
    :param public_key: the public key to authorize, as one line; empty for
        none.
    :param runner: the archive of :mod:`manila_glusterfs_clone.node.archive`.
    :param runner_settings: the result of :func:`settings`.
    """
    rule = shlex.quote(f'{SUDOERS_PATH}.new')
    lines = [
        '#!/bin/sh',
        'set -eu',
        'umask 022',
        *_file(SCRIPT_PATH, '0755', text(SCRIPT)),
        *_file(UNIT_PATH, '0644', text(UNIT)),
        *_file(DROP_IN_PATH, '0644', text(DROP_IN)),
        *_file(SETTINGS_PATH, '0644', runner_settings),
        'python=',
        f'for path in {" ".join(_PYTHONS)}; do',
        '    if [ -z "$python" ] && [ -x "$path" ]; then python=$path; fi',
        'done',
        'if [ -z "$python" ]; then',
        '    echo "install python3, and rerun this script" >&2',
        '    exit 1',
        'fi',
        '{',
        # -IS: neither users nor the environment can add modules to Python.
        '    printf "#!%s -IS\\n" "$python"',
        f"    base64 -d <<'{_END}'",
        base64.encodebytes(runner).decode().rstrip('\n'),
        _END,
        f'}} >{RUNNER_PATH}.new',
        f'chmod 0755 {RUNNER_PATH}.new',
        # A runner that is running keeps the old file.
        f'mv -f {RUNNER_PATH}.new {RUNNER_PATH}',
        *_file(f'{SUDOERS_PATH}.new', '0440', sudoers(user)),
        f'if ! visudo -c -q -f {rule}; then',
        f'    rm -f {rule}',
        '    echo "sudo on this node rejects the rule for the runner;" \\',
        '        "update sudo, and rerun this script" >&2',
        '    exit 1',
        'fi',
        # Not every sudo knows this setting. The setting of a command overrides
        # the settings of users and hosts, in any order.
        f'echo "Defaults!{RUNNER_PATH} !requiretty" >>{rule}',
        f'if ! visudo -c -q -f {rule}; then',
        f"    sed -i '$d' {rule}",
        'fi',
        f'mv -f {rule} {SUDOERS_PATH}',
        f'if ! id {user} >/dev/null 2>&1; then',
        # By default useradd locks the account, and sshd without PAM refuses a
        # locked account. With '*' as its hash, the account is not locked, and
        # no password is valid.
        f"    useradd --system --create-home --shell /bin/sh --password '*' "
        f'{user}',
        'fi',
        # sshd runs commands with the login shell of the user.
        f'case $(getent passwd {user} | cut -d: -f7) in',
        f'*/nologin | */false) usermod --shell /bin/sh {user} ;;',
        'esac',
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
