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
"""What a control plane remembers on disk, and the settings of Manila.

The record is what another process needs to take the control plane over:
everything else is made from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
import json
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.manila.backends import BACKENDS, IP, PROTOCOL
from tests.lab.manila.environment import Environment
from tests.lab.manila import ini
from tests.lab.manila import rest
from tests.lab.manila import stores
from tests.lab.manila import users

#: Seconds between two heartbeats of a service.
REPORT = 2

#: The manila-share that serves all back ends, unless it is told otherwise.
SHARE = 'manila-share'

#: What Manila calls the host of each manila-share; one and the same, so
#: that a back end can move from one to another.
HOST = 'lab'

#: What is logged besides warnings: also what the scheduler hears, which is
#: how it is known to be ready.
_LEVELS = (
    *('amqp=WARNING', 'sqlalchemy=WARNING', 'stevedore=WARNING'),
    *('urllib3=WARNING', 'requests=WARNING', 'keystonemiddleware=WARNING'),
    *('keystoneauth=WARNING', 'routes.middleware=WARNING'),
    *('oslo_messaging=INFO', 'oslo_policy=INFO', 'dogpile=INFO'),
    'manila.scheduler.host_manager=DEBUG',
)


def place(backend: str) -> str:
    """Return Manila's name for the manila-share of a back end."""
    return f'{HOST}@{backend}'


@dataclass(frozen=True)
class Record:
    """The stored description of a control plane.

    :param shares: the back ends of each manila-share, by its name.
    :param changes: options that were set otherwise, by section.
    """

    version: str
    keystone: str
    manila: str
    debug: bool = False
    shares: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {SHARE: BACKENDS}
    )
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        host.write_atomically(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> 'Record':
        """Read a record.

        :raises LabError: when there is none.
        """
        try:
            said = json.loads(path.read_text())
            said['shares'] = {
                name: tuple(backends)
                for name, backends in said['shares'].items()
            }
            return cls(**said)
        except FileNotFoundError:
            raise LabError(f'there is no control plane: no {path}') from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise LabError(f'{path} cannot be understood: {error}') from error


def manila(
    record: Record,
    environment: Environment,
    directory: Path,
    database: str,
    backends: ini.Sections,
) -> ini.Sections:
    """Return the content of manila.conf.

    :param backends: the back end sections.
    """
    state = directory / 'state'
    etc = environment.directory / 'etc' / 'manila'
    sections: dict[str, dict[str, object]] = {
        'DEFAULT': {
            'use_stderr': True,
            'debug': record.debug,
            'default_log_levels': ','.join(_LEVELS),
            'host': HOST,
            'my_ip': '127.0.0.1',
            'state_path': state,
            'transport_url': stores.MESSAGES,
            'auth_strategy': 'keystone',
            'api_paste_config': etc / 'api-paste.ini',
            'rootwrap_config': etc / 'rootwrap.conf',
            'enabled_share_backends': ','.join(BACKENDS),
            'enabled_share_protocols': PROTOCOL,
            'default_share_type': IP,
            'report_interval': REPORT,
            'service_down_time': 30,
            # Capacities are asked for sooner than in life, and services do
            # not wait for a chance moment before they do it first.
            'periodic_interval': 20,
            'periodic_fuzzy_delay': 0,
        },
        'database': {'connection': database},
        'oslo_concurrency': {'lock_path': directory / 'locks'},
        'coordination': {'backend_url': f'file://{directory}/coordination'},
        'keystone_authtoken': {
            'auth_type': 'password',
            'auth_url': rest.KEYSTONE,
            'www_authenticate_uri': rest.KEYSTONE,
            'username': users.SERVICE.name,
            'password': users.SERVICE.password,
            'project_name': users.SERVICE.project,
            'user_domain_name': users.DOMAIN,
            'project_domain_name': users.DOMAIN,
            'service_token_roles_required': True,
        },
    }
    for more in (backends, record.changes):
        for section, options in more.items():
            sections.setdefault(section, {}).update(options)
    return sections


def of_share(
    name: str, directory: Path, backends: tuple[str, ...]
) -> ini.Sections:
    """Return the additional settings of one manila-share.

    The back ends that are its own, and what no other host could see.
    """
    return {
        'DEFAULT': {
            'enabled_share_backends': ','.join(backends),
            'state_path': directory / f'{name}-state',
        },
        'oslo_concurrency': {'lock_path': locks(name, directory)},
    }


def locks(name: str, directory: Path) -> Path:
    """Return the directory of the lock files of a manila-share."""
    return directory / f'{name}-locks'
