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
"""What a control plane keeps its things in: MariaDB, RabbitMQ and etcd.

The programs are Debian's; nothing of the host's own services is used or
touched, neither their settings nor their data. MariaDB is reached by a
socket in the lab's directory, the others on the loopback of its network.
"""

import os
from pathlib import Path
import pwd
import shutil
import subprocess

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.manila.service import Service, Spec
from tests.lab.network import Network

_PASSWORD = 'in-the-lab'
_RABBIT = Path('/usr/lib/rabbitmq/bin/rabbitmq-server')
_MYSQL = 'mysql'

#: The programs from Debian, and their packages.
PROGRAMS = {
    'etcd': 'etcd-server',
    'etcdctl': 'etcd-client',
    'mariadbd': 'mariadb-server',
    'mariadb-install-db': 'mariadb-server',
    str(_RABBIT): 'rabbitmq-server',
}

MESSAGES = f'rabbit://lab:{_PASSWORD}@127.0.0.1:5672/'

#: A whole handshake: who we are, and that there is somewhere to go.
_PROBE = f"""
import amqp
with amqp.Connection('127.0.0.1:5672', 'lab', '{_PASSWORD}',
                     connect_timeout=5, read_timeout=5) as connection:
    connection.channel().close()
"""


#: The address of etcd for tooz and etcdctl.
ETCD = 'http://127.0.0.1:2379'
ETCDCTL = {'PATH': os.defpath, 'ETCDCTL_API': '3'}


def check() -> None:
    """Raise a LabError that lists all programs this host lacks."""
    missing = {
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=f'{os.defpath}:/usr/sbin:/sbin') is None
    }
    if missing:
        raise LabError(
            f'these Debian packages are missing: {" ".join(sorted(missing))}'
        )


class Database:
    """MariaDB, with a database for each service that needs one."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / 'mariadb'
        self._socket = self._data / 'socket'
        self.spec = Spec(
            'mariadb',
            (
                *('mariadbd', '--no-defaults', f'--user={_MYSQL}'),
                *(f'--datadir={self._data}', f'--socket={self._socket}'),
                *('--skip-networking', '--character-set-server=utf8mb4'),
                # Small and quick: what a power cut of the host leaves of a
                # lab is no one's concern.
                *('--innodb-buffer-pool-size=64M', '--sync-binlog=0'),
                *('--innodb-log-file-size=16M', '--innodb-doublewrite=0'),
                '--innodb-flush-log-at-trx-commit=0',
                *('--performance-schema=OFF', '--max-connections=300'),
            ),
            lambda _service: self._probe(),
        )

    def prepare(self, log: Path) -> None:
        """Make an empty directory for it."""
        self._data.mkdir(mode=0o755)
        entry = pwd.getpwnam(_MYSQL)
        os.chown(self._data, entry.pw_uid, entry.pw_gid)
        host.run_logged(
            [
                *('mariadb-install-db', '--no-defaults', f'--user={_MYSQL}'),
                *(f'--datadir={self._data}', '--skip-test-db'),
                '--auth-root-authentication-method=socket',
            ],
            log,
            120,
        )

    def add(self, name: str) -> None:
        """Make a database, and a user of the same name who owns it."""
        self.run(
            f'CREATE DATABASE {name} CHARACTER SET utf8mb3;'
            f'CREATE USER {name}@localhost IDENTIFIED BY "{_PASSWORD}";'
            f'GRANT ALL ON {name}.* TO {name}@localhost;'
        )

    def url(self, name: str) -> str:
        """Return the URL of a database for SQLAlchemy."""
        return (
            f'mysql+pymysql://{name}:{_PASSWORD}@localhost/{name}'
            f'?charset=utf8&unix_socket={self._socket}'
        )

    def coordinator(self, name: str) -> str:
        """Return the URL of a database for tooz."""
        return (
            f'mysql://{name}:{_PASSWORD}@localhost/{name}'
            f'?unix_socket={self._socket}'
        )

    def run(self, statements: str) -> str:
        """Run SQL as the administrator; return its output."""
        return host.run(
            [
                *('mariadb', '--no-defaults', f'--socket={self._socket}'),
                *('--user=root', '--batch', f'--execute={statements}'),
            ]
        )

    def _probe(self) -> str:
        if not self._socket.exists():
            return 'no socket'
        try:
            self.run('SELECT 1')
        except LabError as error:
            return str(error)
        return ''


def queue(directory: Path, network: Network, python: str) -> Spec:
    """RabbitMQ.

    :param python: one that has the library amqp.
    """
    home = directory / 'rabbitmq'
    argv = network.inside(python, '-c', _PROBE)

    def probe(_service: Service) -> str:
        done = subprocess.run(argv, capture_output=True, timeout=60)
        return done.stderr.decode(errors='replace').strip()[-200:]

    return Spec(
        'rabbitmq',
        (str(_RABBIT),),
        probe,
        {
            'HOME': str(home),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODENAME': 'lab@localhost',
            'RABBITMQ_CONF_ENV_FILE': '/dev/null',
            'RABBITMQ_CONFIG_FILE': str(home / 'rabbitmq.conf'),
            'RABBITMQ_ADVANCED_CONFIG_FILE': str(home / 'none'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(home / 'enabled_plugins'),
            'RABBITMQ_MNESIA_BASE': str(home / 'mnesia'),
            'RABBITMQ_GENERATED_CONFIG_DIR': str(home / 'generated'),
            'RABBITMQ_SCHEMA_DIR': str(home / 'schema'),
            'RABBITMQ_LOG_BASE': str(home),
            'RABBITMQ_LOGS': '-',
            'RABBITMQ_PID_FILE': str(home / 'pid'),
            # One scheduler, and it does not spin: there are two cores.
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
                '-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none'
            ),
        },
    )


def prepare_queue(directory: Path) -> None:
    """Write the configuration of RabbitMQ."""
    home = directory / 'rabbitmq'
    home.mkdir(mode=0o700)
    (home / 'enabled_plugins').write_text('[].\n')
    (home / 'rabbitmq.conf').write_text(
        f"""listeners.tcp.1 = 127.0.0.1:5672
loopback_users = none
default_user = lab
default_pass = {_PASSWORD}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
log.console.level = warning
# Labs are many, and their host's disk may be quite full.
disk_free_limit.absolute = 50MB
"""
    )


def etcd(directory: Path, network: Network) -> Spec:
    """Return etcd, for locks between hosts; it is started on demand."""
    peer = 'http://127.0.0.1:2380'
    argv = network.inside('etcdctl', f'--endpoints={ETCD}', 'get', 'x')

    def probe(_service: Service) -> str:
        done = subprocess.run(
            argv, capture_output=True, timeout=60, env=ETCDCTL
        )
        return done.stderr.decode(errors='replace').strip()[-200:]

    return Spec(
        'etcd',
        (
            *('etcd', '--data-dir', str(directory / 'etcd')),
            *('--listen-client-urls', ETCD, '--advertise-client-urls', ETCD),
            *('--listen-peer-urls', peer),
            *('--initial-advertise-peer-urls', peer),
            *('--initial-cluster', f'default={peer}'),
        ),
        probe,
    )
