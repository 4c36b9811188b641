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
"""Facts about the node for checks by an operator: clock, kernel, TLS files.

A fact that cannot be read is None.
"""

import math
import os
import re
import socket
import struct
import time
from typing import Any, Dict, List, Optional

from manila_glusterfs_clone.node.runner import procfs
from manila_glusterfs_clone.node.runner import validation

MTAB = '/etc/mtab'
MODULES = '/lib/modules'
LOADED_MODULES = '/sys/module'
#: The possible directories of the TLS files. The build of GlusterFS determines
#: the directory (``SSL_CERT_PATH``): Debian and Ubuntu, most others, Fedora
#: and RHEL.
TLS_DIRECTORIES = ('/usr/lib/ssl', '/etc/ssl', '/etc/pki/tls')
GLUSTERD_PORT = 24007

KEY, CERTIFICATE = 'glusterfs.key', 'glusterfs.pem'
AUTHORITY = 'glusterfs.ca'
#: The state LISTEN in /proc/net/tcp.
_LISTEN = '0A'
_PEM = re.compile(
    b'-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]*-----END CERTIFICATE-----'
)
#: How many bytes to read from a file with certificates, at most.
_LONGEST_PEM = 1 << 20


def node_facts(settings: validation.Settings) -> Dict[str, Any]:
    """Return facts about the node; see the functions below."""
    return {
        'clock': time.time(),
        'mtab': _link(MTAB),
        'kernel': os.uname().release,
        'has_dm_thin_pool': _has_module('dm_thin_pool'),
        'has_xfs': _has_module('xfs'),
        'glusterd_addresses': _glusterd_addresses(),
        'state_percent': _used_percent(validation.GLUSTERD),
        'tls': _tls(),
    }


def _link(path: str) -> Optional[str]:
    """Return the target of a symbolic link; None if the path is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _has_module(name: str) -> Optional[bool]:
    """Return whether the kernel has a module, or can load it.

    :return: None if the list of modules does not exist.
    """
    if os.path.isdir(f'{LOADED_MODULES}/{name}'):
        return True
    found = None
    for file_name in ('modules.builtin', 'modules.dep'):
        path = f'{MODULES}/{os.uname().release}/{file_name}'
        try:
            with open(path, encoding='utf-8', errors='replace') as file:
                for line in file:
                    module = line.split(':')[0].split('/')[-1].strip()
                    if module.split('.')[0].replace('-', '_') == name:
                        return True
        except OSError:
            continue
        found = False
    return found


def _glusterd_addresses() -> Optional[List[str]]:
    """Return the addresses on which something listens on glusterd's port."""
    found = set()
    is_read = False
    for name, family, size in (
        ('tcp', socket.AF_INET, 1),
        ('tcp6', socket.AF_INET6, 4),
    ):
        try:
            with open(f'{procfs.PROC}/net/{name}', encoding='ascii') as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        is_read = True
        for line in lines:
            words = line.split()
            address, _, port = words[1].partition(':')
            if words[3] == _LISTEN and int(port, 16) == GLUSTERD_PORT:
                # Words of 32 bits, in the byte order of the host.
                numbers = [
                    int(address[8 * at : 8 * at + 8], 16) for at in range(size)
                ]
                packed = struct.pack(f'={size}I', *numbers)
                found.add(socket.inet_ntop(family, packed))
    return sorted(found) if is_read else None


def _used_percent(path: str) -> Optional[int]:
    """Return how full a file system is, as ``df`` calculates it."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    used = found.f_blocks - found.f_bfree
    total = used + found.f_bavail
    return math.ceil(100 * used / total) if total else None


def _tls() -> Optional[Dict[str, Any]]:
    """Return facts about the TLS files of GlusterFS; None if none exist."""
    for directory in TLS_DIRECTORIES:
        paths = {
            name: f'{directory}/{name}'
            for name in (KEY, CERTIFICATE, AUTHORITY)
        }
        if any(map(os.path.exists, paths.values())):
            return {
                'directory': directory,
                'has_key': os.path.exists(paths[KEY]),
                'certificates': _certificates(paths[CERTIFICATE]),
                'authorities': _certificates(paths[AUTHORITY]),
            }
    return None


def _certificates(path: str) -> Optional[List[str]]:
    """Return only the certificates in a file, not its other content.

    :return: each in the format PEM; an empty list if the file cannot be read;
        None if it does not exist.
    """
    if not os.path.exists(path):
        return None
    try:
        with open(path, 'rb') as file:
            text = file.read(_LONGEST_PEM)
    except OSError:
        return []
    return [block.decode('ascii') for block in _PEM.findall(text)]
