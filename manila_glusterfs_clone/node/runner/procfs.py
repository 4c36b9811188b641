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
"""Read mounts, addresses and the age of glusterd from /proc.

Reading /proc never hangs, and does not depend on the configuration of the
node.
"""

import contextlib
import os
import re
import socket
from typing import Dict, List, Optional

from manila_glusterfs_clone.node.runner import validation

PROC = '/proc'
#: The end of the name of the socket on which glusterd gets commands, and the
#: flags of a socket that listens.
_SOCKET, _LISTENING = '/glusterd.socket', '00010000'

Mount = Dict[str, str]


def list_mounts(settings: validation.Settings) -> List[Mount]:
    """Return the mounted XFS, in the order of mounting.

    A mount point below a root begins with the configured path of the root,
    even if the root is a link.
    """
    roots = (*settings.brick_roots, validation.SNAPS_ROOT)
    spelled = {os.path.realpath(root): root for root in roots}
    found = []
    with open(f'{PROC}/self/mountinfo', encoding='utf-8') as file:
        for line in file:
            left, _, right = line.partition(' - ')
            target, options = left.split()[4:6]
            fstype, source, more = right.split()[:3]
            if fstype != 'xfs':
                continue
            target = _unescaped(target)
            for real, root in spelled.items():
                if target.startswith(f'{real}/'):
                    target = root + target[len(real) :]
                    break
            found.append(
                {
                    'target': target,
                    'source': _unescaped(source),
                    'fstype': fstype,
                    'options': f'{options},{more}',
                }
            )
    return found


def addresses(settings: validation.Settings) -> List[str]:
    """Return the IP addresses of the node.

    Omit loopback addresses and link-local addresses.
    """
    found = set()
    with open(f'{PROC}/net/fib_trie', encoding='ascii') as file:
        address = ''
        for line in file:
            words = line.split()
            if words[0] == '|--':
                address = words[1]
            elif words == ['/32', 'host', 'LOCAL']:
                found.add(address)
    # The node may have no IPv6.
    with contextlib.suppress(FileNotFoundError):
        with open(f'{PROC}/net/if_inet6', encoding='ascii') as file:
            for line in file:
                packed = bytes.fromhex(line.split()[0])
                found.add(socket.inet_ntop(socket.AF_INET6, packed))
    local = ('127.', 'fe80:')
    return sorted(a for a in found if not a.startswith(local) and a != '::1')


def glusterd_age(settings: validation.Settings) -> Optional[float]:
    """Return how long glusterd has been running, in seconds.

    If several processes have the name glusterd, the oldest is the daemon: it
    forks to run programs.

    :return: None if glusterd is not running.
    """
    with open(f'{PROC}/uptime', encoding='ascii') as file:
        now = float(file.read().split()[0])
    ages = []
    for process in filter(str.isdigit, os.listdir(PROC)):
        # The process may end meanwhile.
        with contextlib.suppress(OSError):
            with open(f'{PROC}/{process}/stat', 'rb') as file:
                head, _, rest = file.read().rpartition(b') ')
            if head.partition(b' (')[2] == b'glusterd':
                ticks = int(rest.split()[19])
                ages.append(now - ticks / os.sysconf('SC_CLK_TCK'))
    return max(ages, default=None)


def is_glusterd_down(settings: validation.Settings) -> bool:
    """Return whether glusterd is down: a console would wait for it."""
    with contextlib.suppress(OSError):
        with open(f'{PROC}/net/unix', encoding='utf-8') as file:
            for line in file:
                words = line.split()
                if words[-1].endswith(_SOCKET) and words[3] == _LISTENING:
                    return False
    # glusterd may run in another network namespace.
    return glusterd_age(settings) is None


def _unescaped(text: str) -> str:
    return re.sub(r'\\(\d{3})', lambda match: chr(int(match[1], 8)), text)
