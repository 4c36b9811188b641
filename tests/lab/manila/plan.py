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
"""Make the settings and the services of a control plane from its record.

No service is started here. Two processes with the same record make the same
plan, so one can restart, or take down, what the other has started.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.manila import backends
from tests.lab.manila.contents import Contents
from tests.lab.manila.environment import CHECKOUT, Environment
from tests.lab.manila.health import Health
from tests.lab.manila import ini
from tests.lab.manila import keystone
from tests.lab.manila.openstack import Client, OpenStack
from tests.lab.manila import rest
from tests.lab.manila.service import Service, Spec
from tests.lab.manila import settings
from tests.lab.manila import stores
from tests.lab.manila import users

API, SCHEDULER = 'manila-api', 'manila-scheduler'


class Plan:
    """The services of a lab, and the files that each reads.

    :param openstack: the client of all users.
    :param service: finds the service of a name.
    """

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        record: settings.Record,
        openstack: Client,
        service: Callable[[str], Service],
    ) -> None:
        self.lab = lab
        self.directory = directory
        self.record = record
        #: Of keystone and the client; of Manila and the driver.
        self.for_keystone = Environment(Path(record.keystone))
        self.for_manila = Environment(Path(record.manila))
        self.admin = rest.Rest(lab.network, users.ADMIN)
        self.contents = Contents(self.admin)
        self.database = stores.Database(directory)
        self.keystone = keystone.Keystone(
            *(self.for_keystone, directory, self.database.url('keystone')),
            self.admin,
        )
        self._openstack = openstack
        self._service = service
        self._health = Health(self.admin)
        self._conf = directory / 'manila.conf'

    def client(self, user: users.User) -> OpenStack:
        """Return the client of one of the lab's users."""
        return OpenStack(user, self._openstack)

    def specs(self) -> Iterator[Spec]:
        """Return the services, in the order in which they need each other."""
        python = self.for_manila.program('python')
        yield self.database.spec
        yield stores.queue(self.directory, self.lab.network, python)
        yield stores.etcd(self.directory, self.lab.network)
        yield self.keystone.spec
        conf = ('--config-file', str(self._conf))
        env = {'PYTHONPATH': str(CHECKOUT)}
        serve = keystone.gunicorn(self.for_manila, 8786, f'manila{conf}')
        yield Spec(API, tuple(serve), self._health.api, env)
        program = self.for_manila.program(SCHEDULER)
        yield Spec(SCHEDULER, (program, *conf), self._scheduler_is, env)
        program = self.for_manila.program('manila-share')
        for name in self.record.shares:
            own = ('--config-file', str(self.directory / f'{name}.conf'))
            yield Spec(name, (program, *conf, *own), self._share_is, env)

    def write(self) -> None:
        """Write the settings of Manila and of a user's shell."""
        lab, record = self.lab, self.record
        sections = backends.sections(
            [node.address for node in lab.nodes],
            [node.name for node in lab.nodes],
            lab.manila_key,
            lab.known_hosts,
        )
        conf = settings.manila(
            *(record, self.for_manila, self.directory),
            *(self.database.url('manila'), sections),
        )
        self._conf.write_text(ini.text(conf))
        for name, served in record.shares.items():
            text = ini.text(settings.of_share(name, self.directory, served))
            (self.directory / f'{name}.conf').write_text(text)
        for user in users.PEOPLE:
            path = self.directory / f'{user.name}.rc'
            path.write_text(self.client(user).openrc())

    def coordinator(self, kind: str) -> str:
        """Return the URL of a kind of coordinator for manila.conf."""
        urls = {
            'etcd': f'etcd3+{stores.ETCD}?api_version=v3',
            'mysql': self.database.coordinator('manila'),
        }
        return urls[kind]

    def prepare_manila(self) -> None:
        """Fill Manila's database."""
        self.for_manila.run(
            *(self.directory / 'manila-manage.log', 'manila-manage'),
            *('--config-file', str(self._conf), 'db', 'sync'),
        )

    def make_types(self) -> None:
        """Make a share type for each back end, with the back end's name."""
        for backend in backends.BACKENDS:
            body = {
                'name': backend,
                'share_type_access:is_public': True,
                'extra_specs': {
                    'driver_handles_share_servers': False,
                    'snapshot_support': True,
                    'create_share_from_snapshot_support': True,
                    'share_backend_name': backend,
                },
            }
            self.admin.post(f'{rest.MANILA}/types', {'share_type': body})

    def _scheduler_is(self, scheduler: Service) -> str:
        return self._health.scheduler(
            scheduler,
            [
                backend
                for name, served in self.record.shares.items()
                for backend in served
                if self._service(name).running()
            ],
        )

    def _share_is(self, share: Service) -> str:
        served = self.record.shares[share.name]
        return self._health.share(share, served, self._service(SCHEDULER))
