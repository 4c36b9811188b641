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
"""The identity of each guest: keys, certificates, names.

A guest receives it as a tar archive, written raw on a small disk and unpacked
at the first boot (see ``guest/seed``).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
import io
from pathlib import Path
import tarfile
import time

from tests.lab import host
from tests.lab.network import HOST, Port

#: The uid of the user that the driver logs in as; see recipe.customise().
_MANILA = 1000

#: Where Debian's OpenSSL has its files, and its gluster looks for ours:
#: GlusterFS's own manual says /etc/ssl.
_OPENSSL = 'usr/lib/ssl'


def create(directory: Path, ports: list[Port]) -> None:
    """Make the keys and certificates of a lab, and its known_hosts."""
    (directory / 'keys').mkdir()
    keys = [directory / 'root_key', directory / 'manila_key']
    keys += [directory / 'keys' / port.name for port in ports]
    _tls_authority(directory)
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(_ssh_key, key) for key in keys]
        made += [
            pool.submit(_tls_certificate, directory, port.name)
            for port in ports
        ]
        for future in made:
            future.result()
    lines = [
        f'{port.address},{port.name} '
        f'{(directory / "keys" / f"{port.name}.pub").read_text().strip()}\n'
        for port in ports
    ]
    (directory / 'known_hosts').write_text(''.join(lines))


def _ssh_key(path: Path) -> None:
    host.run(
        [
            *('ssh-keygen', '-q', '-t', 'ed25519', '-N', ''),
            *('-C', path.name, '-f', str(path)),
        ]
    )


def _tls_authority(directory: Path) -> None:
    host.run(
        [
            *('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-noenc'),
            *('-subj', '/CN=lab-ca', '-days', '30'),
            *('-keyout', str(directory / 'ca.key')),
            *('-out', str(directory / 'ca.pem')),
        ]
    )


def _tls_certificate(directory: Path, name: str) -> None:
    """Make a key and a certificate of the lab's authority, with CN *name*."""
    base = directory / 'keys' / name
    host.run(
        [
            *('openssl', 'req', '-newkey', 'rsa:2048', '-noenc'),
            *('-subj', f'/CN={name}', '-keyout', f'{base}.tls.key'),
            *('-out', f'{base}.csr'),
        ]
    )
    host.run(
        [
            *('openssl', 'x509', '-req', '-in', f'{base}.csr'),
            *('-CA', str(directory / 'ca.pem')),
            *('-CAkey', str(directory / 'ca.key')),
            *('-days', '30', '-out', f'{base}.tls.pem'),
        ]
    )


def hosts(ports: Iterable[Port]) -> str:
    """Return the text of /etc/hosts."""
    lines = ['127.0.0.1 localhost', f'{HOST.address} {HOST.name}']
    lines += [f'{port.address} {port.name}' for port in ports]
    return '\n'.join(lines) + '\n'


def write_seed(
    directory: Path, port: Port, ports: list[Port], role: str
) -> Path:
    """Write the archive that makes a guest the node at *port*."""
    path = directory / f'{port.name}.seed'
    base = directory / 'keys' / port.name
    now = int(time.time())
    with tarfile.open(path, 'w') as tar:

        def add(name: str, data: bytes, mode: int, uid: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = mode
            info.uid = info.gid = uid
            info.mtime = now
            tar.addfile(info, io.BytesIO(data))

        def add_directory(name: str, uid: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            info.mode = 0o700
            info.uid = info.gid = uid
            tar.addfile(info)

        def add_link(name: str, into: str) -> None:
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = f'{into}/{Path(name).name}'
            tar.addfile(info)

        def own(suffix: str) -> bytes:
            return Path(f'{base}{suffix}').read_bytes()

        add('etc/hosts', hosts(ports).encode(), 0o644)
        add('etc/ssh/ssh_host_ed25519_key', own(''), 0o600)
        add('etc/ssh/ssh_host_ed25519_key.pub', own('.pub'), 0o644)
        add('etc/ssl/glusterfs.key', own('.tls.key'), 0o600)
        add('etc/ssl/glusterfs.pem', own('.tls.pem'), 0o644)
        authority = (directory / 'ca.pem').read_bytes()
        add('etc/ssl/glusterfs.ca', authority, 0o644)
        for suffix in ('key', 'pem', 'ca'):
            add_link(f'{_OPENSSL}/glusterfs.{suffix}', '/etc/ssl')
        key = (directory / 'root_key.pub').read_bytes()
        add_directory('root/.ssh')
        add('root/.ssh/authorized_keys', key, 0o600)
        if role == 'storage':
            key = (directory / 'manila_key.pub').read_bytes()
            add_directory('home/manila/.ssh', _MANILA)
            name = 'home/manila/.ssh/authorized_keys'
            add(name, key, 0o600, _MANILA)
    return path
