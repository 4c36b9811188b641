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
"""Start and break real coordinators: Debian's programs, without root."""

import base64
from collections.abc import Callable
import getpass
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import pymemcache
import pymysql
import redis

#: Seconds that a lock outlives the last sign of life of its holder.
LEASE = 2

_PATH = f'{os.environ["PATH"]}:/usr/sbin:/sbin'


def free_port() -> int:
    """Return an unused port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


class Server:
    """A coordinator of one kind."""

    #: Whether a lock ends by itself some time after its holder has died.
    leases = True

    def __init__(self, directory: pathlib.Path) -> None:
        self.port = free_port()
        self._peer_port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return its URL for manila.conf."""
        raise NotImplementedError

    def break_lock(self, instance: str) -> None:
        """End the lock of a share without its holder."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._directory / 'log').open('ab') as log:
            self._process = subprocess.Popen(
                self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, 'PATH': _PATH},
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self._probe()
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def key(self, instance: str) -> str:
        """Return the name of the lock of a share."""
        return f'manila-gfs-clone-share-{instance}'

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _probe(self) -> None:
        """Raise an error unless it answers."""
        raise NotImplementedError


class Etcd(Server):
    """etcd, by its HTTP gateway."""

    @property
    def url(self) -> str:
        return (
            f'etcd3+http://127.0.0.1:{self.port}?api_version=v3'
            f'&lock_timeout={LEASE}'
        )

    def break_lock(self, instance: str) -> None:
        key = f'/tooz/locks{self.key(instance)}'.encode()
        (entry,) = self.post('kv/range', key=_base64(key))['kvs']
        self.post('lease/revoke', ID=entry['lease'])

    def locks(self) -> list[str]:
        """Return the names of all locks that are held."""
        path = b'/tooz/locks'
        after = path[:-1] + bytes([path[-1] + 1])
        found = self.post(
            'kv/range', key=_base64(path), range_end=_base64(after)
        )
        keys = [base64.b64decode(entry['key']) for entry in found['kvs']]
        return [key.removeprefix(path).decode() for key in keys]

    def post(
        self, path: str, **body: object
    ) -> dict[str, list[dict[str, str]]]:
        """Ask it something."""
        request = urllib.request.Request(
            f'http://127.0.0.1:{self.port}/v3/{path}',
            json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, list[dict[str, str]]] = json.load(answer)
        return found

    def _argv(self) -> list[str]:
        client = f'http://127.0.0.1:{self.port}'
        peer = f'http://127.0.0.1:{self._peer_port}'
        return [
            *('etcd', '--data-dir', str(self._directory / 'data')),
            *('--listen-client-urls', client),
            *('--advertise-client-urls', client),
            *('--listen-peer-urls', peer),
            *('--initial-advertise-peer-urls', peer),
            *('--initial-cluster', f'default={peer}'),
        ]

    def _probe(self) -> None:
        self.post('kv/range', key=_base64(b'x'))


class MariaDB(Server):
    """MariaDB, whose locks are bound to connections."""

    leases = False

    @property
    def url(self) -> str:
        return f'mysql://root@127.0.0.1:{self.port}/mysql'

    def break_lock(self, instance: str) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute('SELECT IS_USED_LOCK(%s)', (self.key(instance),))
            (row,) = cursor.fetchall()
            cursor.execute('KILL %s', row)

    def start(self) -> None:
        data = self._directory / 'data'
        if not data.exists():
            subprocess.run(
                [
                    *('mariadb-install-db', '--no-defaults'),
                    f'--user={getpass.getuser()}',
                    *(f'--datadir={data}', '--skip-test-db'),
                    '--auth-root-authentication-method=normal',
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, 'PATH': _PATH},
            )
        super().start()

    def _argv(self) -> list[str]:
        return [
            *('mariadbd', '--no-defaults', f'--user={getpass.getuser()}'),
            f'--datadir={self._directory / "data"}',
            f'--socket={self._directory / "socket"}',
            *(f'--port={self.port}', '--bind-address=127.0.0.1'),
            *('--performance-schema=OFF', '--innodb-buffer-pool-size=16M'),
        ]

    def _connect(self) -> 'pymysql.Connection[pymysql.cursors.Cursor]':
        return pymysql.connect(
            host='127.0.0.1', port=self.port, user='root', connect_timeout=5
        )

    def _probe(self) -> None:
        self._connect().close()


class Redis(Server):
    """Redis, without any persistence."""

    @property
    def url(self) -> str:
        return (
            f'redis://127.0.0.1:{self.port}?lock_timeout={LEASE}'
            f'&membership_timeout={LEASE}'
        )

    def break_lock(self, instance: str) -> None:
        assert self._client().delete(f'_tooz_{self.key(instance)}_lock')

    def _argv(self) -> list[str]:
        return [
            *('redis-server', '--bind', '127.0.0.1', '--save', ''),
            *('--port', str(self.port), '--dir', str(self._directory)),
        ]

    def _client(self) -> 'redis.Redis':
        return redis.Redis(port=self.port, socket_timeout=5)

    def _probe(self) -> None:
        self._client().ping()


class Memcached(Server):
    """memcached."""

    @property
    def url(self) -> str:
        return f'memcached://127.0.0.1:{self.port}?lock_timeout={LEASE}'

    def break_lock(self, instance: str) -> None:
        key = f'__TOOZ_LOCK_{self.key(instance)}'
        assert self._client().delete(key, noreply=False)

    def _argv(self) -> list[str]:
        # Asked for by root, it wants to know whom else to be.
        user = ('-u', getpass.getuser())
        return [*('memcached', '-l', '127.0.0.1', '-p', str(self.port), *user)]

    def _client(self) -> 'pymemcache.Client':
        return pymemcache.Client(('127.0.0.1', self.port), timeout=5)

    def _probe(self) -> None:
        self._client().version()


KINDS: dict[str, Callable[[pathlib.Path], Server]] = {
    'etcd': Etcd,
    'mariadb': MariaDB,
    'redis': Redis,
    'memcached': Memcached,
}


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()
