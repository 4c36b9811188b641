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
"""Keystone: the users of a control plane, and the address of Manila."""

import base64
import os
from pathlib import Path
from typing import Any

from tests.lab.manila.environment import Environment
from tests.lab.manila import ini
from tests.lab.manila import rest
from tests.lab.manila.service import Spec
from tests.lab.manila import users

NAME = 'keystone'

#: Where gunicorn finds lab_wsgi.
WSGI = Path(__file__).parent / 'wsgi'


def gunicorn(environment: Environment, port: int, what: str) -> list[str]:
    """Return the command line that serves a WSGI application.

    :param what: the call of a function of lab_wsgi.
    """
    return [
        *(environment.program('gunicorn'), f'--bind=127.0.0.1:{port}'),
        # Threads, and one process: what is cached is cached for all.
        *('--workers=1', '--threads=8', '--timeout=120', '--keep-alive=75'),
        *('--graceful-timeout=3', f'--pythonpath={WSGI}'),
        *('--no-control-socket', f'lab_wsgi:{what}'),
    ]


class Keystone:
    """Keystone of one lab.

    :param database: the URL of an empty database.
    :param admin: who asks whether it is well.
    """

    def __init__(
        self,
        environment: Environment,
        directory: Path,
        database: str,
        admin: rest.Rest,
    ) -> None:
        self._environment = environment
        self._admin = admin
        self._database = database
        self._conf = directory / 'keystone.conf'
        self._keys = directory / 'fernet'
        self.spec = Spec(
            NAME,
            tuple(gunicorn(environment, 5000, 'keystone()')),
            lambda _service: self._probe(),
            {'OS_KEYSTONE_CONFIG_FILES': str(self._conf)},
        )

    def prepare(self, log: Path) -> None:
        """Write the configuration, and fill the database."""
        self._conf.write_text(ini.text(settings(self._database, self._keys)))
        self._keys.mkdir(mode=0o700)
        for number in range(2):
            key = base64.urlsafe_b64encode(os.urandom(32))
            (self._keys / str(number)).write_bytes(key)
        conf = ('--config-file', str(self._conf))
        manage = 'keystone-manage'
        self._environment.run(log, manage, *conf, 'db_sync')
        admin = users.ADMIN
        self._environment.run(
            *(log, manage, *conf, 'bootstrap'),
            *('--bootstrap-username', admin.name),
            *('--bootstrap-password', admin.password),
            *('--bootstrap-project-name', admin.project),
            *('--bootstrap-region-id', users.REGION),
            *('--bootstrap-public-url', rest.KEYSTONE),
            *('--bootstrap-internal-url', rest.KEYSTONE),
            *('--bootstrap-admin-url', rest.KEYSTONE),
        )

    def _probe(self) -> str:
        try:
            self._admin.authenticate()
        except rest.Refused as error:
            return str(error)
        return ''


def settings(database: str, keys: Path) -> ini.Sections:
    """Return the content of keystone.conf."""
    return {
        'DEFAULT': {'use_stderr': True},
        'database': {'connection': database},
        'token': {'provider': 'fernet', 'expiration': 86400},
        'fernet_tokens': {'key_repository': keys},
        'fernet_receipts': {'key_repository': keys},
        'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'},
        # The passwords are no secret, and each token costs one check.
        'identity': {'password_hash_rounds': 4},
    }


def register(admin: rest.Rest) -> None:
    """Create the lab's users, and register the address of Manila."""
    found = admin.get(f'{rest.KEYSTONE}/roles')['roles']
    roles = {role['name']: role['id'] for role in found}
    for user in (users.SERVICE, users.DEMO, users.OTHER):
        project = _made(
            admin, 'project', name=user.project, domain_id='default'
        )
        made = _made(
            *(admin, 'user'),
            name=user.name,
            password=user.password,
            domain_id='default',
        )
        for role in user.roles:
            admin.put(
                f'{rest.KEYSTONE}/projects/{project}/users/{made}'
                f'/roles/{roles[role]}'
            )
    service = _made(
        admin, 'service', name='manilav2', type='shared-file-system'
    )
    for interface in ('public', 'internal', 'admin'):
        _made(
            *(admin, 'endpoint'),
            service_id=service,
            interface=interface,
            region_id=users.REGION,
            url=rest.MANILA,
        )


def _made(admin: rest.Rest, what: str, **how: Any) -> str:
    said = admin.post(f'{rest.KEYSTONE}/{what}s', {what: how})
    return str(said[what]['id'])
