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
"""The control plane of a lab: bring it up, use it, take it down."""

from collections.abc import Callable, Mapping
import contextlib
import dataclasses
from pathlib import Path
import shutil
import time
from types import TracebackType
from typing import Any

from tests.lab.errors import LabError, Unexpected
from tests.lab.lab import Lab
from tests.lab.leaks import Leak
from tests.lab.machine import side_by_side
from tests.lab.manila import environment
from tests.lab.manila import keystone
from tests.lab.manila.openstack import Client, OpenStack
from tests.lab.manila.plan import API, Plan, SCHEDULER
from tests.lab.manila.service import Service
from tests.lab.manila import settings
from tests.lab.manila import stores
from tests.lab.manila import users


def _silent(_text: str) -> None:
    pass


class Manila:
    """Keystone and Manila on the cluster of a lab, and all they need.

    A context manager: up at its start, down at its end. There are two back
    ends, 'ip' and 'cert', and a share type of the name of each.

    It installs what it runs, so it has to be brought up, or at least
    :meth:`install` called, where the registries can be reached: before
    :meth:`Lab.enter`.

    :param version: of Manila; see environment.VERSIONS.
    :param debug: have Manila log all it does.
    :param say: what is called with a line about each step.
    """

    def __init__(
        self,
        lab: Lab,
        version: str = environment.VERSIONS[0],
        *,
        debug: bool = False,
        say: Callable[[str], None] = _silent,
    ) -> None:
        self.lab = lab
        self.version = version
        self.directory = lab.directory / 'manila'
        self._debug = debug
        self._say = say
        self._plan: Plan | None = None
        self._client: Client | None = None
        self._services: dict[str, Service] = {}

    # -- up and down

    def __enter__(self) -> 'Manila':
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def install(self) -> settings.Record:
        """Install what is not installed yet."""
        stores.check()
        of_keystone = environment.of_keystone(self._say)
        of_manila = environment.of_manila(self.version, self._say)
        for made in (of_keystone, of_manila):
            made.use(self.lab.name, self.lab.directory)
        return settings.Record(
            self.version,
            str(of_keystone.directory),
            str(of_manila.directory),
            self._debug,
        )

    def up(self) -> None:
        """Bring the services up, and return when all of them work.

        :raises LabError: when that fails; nothing is left then.
        """
        record = self.install()
        if self._path.exists():
            raise LabError(f'lab {self.lab.name} has a control plane already')
        begun = time.monotonic()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        try:
            self._follow(record)
            self._bring_up()
        except BaseException:
            self.down()
            raise
        self._say(
            f'Manila {self.version} is up: {time.monotonic() - begun:.0f} s'
        )

    def down(self) -> None:
        """Remove everything but the environments; do nothing if it is down.

        Processes of the driver on the nodes end too.
        """
        if self._plan is None:
            return
        with contextlib.suppress(LabError, Unexpected):
            side_by_side(Service.stop, self.share_services)
        if self._client:
            self._client.close()
        for service in self._services.values():
            service.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._plan = None
        self._services = {}

    @classmethod
    def there(cls, lab: Lab) -> bool:
        """Return whether a lab has a control plane."""
        return cls(lab)._path.exists()

    @classmethod
    def attach(cls, lab: Lab) -> 'Manila':
        """Return the control plane of a lab that another process brought up.

        :raises LabError: when there is none.
        """
        plane = cls(lab)
        record = settings.Record.load(plane._path)
        plane.version = record.version
        plane._furnish(record)
        return plane

    # -- what is in it

    @property
    def series(self) -> int:
        """Return the number of Manila's series, also that of a release."""
        return int(self.version.partition('.')[0])

    @property
    def services(self) -> list[Service]:
        """Return all services, in the order in which they need each other."""
        return list(self._services.values())

    @property
    def share_services(self) -> list[Service]:
        """Return the manila-share services."""
        return [self._services[name] for name in self._known.record.shares]

    def service(self, name: str = settings.SHARE) -> Service:
        """Return a service by its name."""
        try:
            return self._services[name]
        except KeyError:
            raise LabError(
                f'there is no service {name!r}; there are: '
                f'{", ".join(self._services)}'
            ) from None

    @property
    def admin(self) -> OpenStack:
        """Return the client of an administrator."""
        return self._known.client(users.ADMIN)

    @property
    def demo(self) -> OpenStack:
        """Return the client of a user who may make shares in a project."""
        return self._known.client(users.DEMO)

    @property
    def other(self) -> OpenStack:
        """Return the client of a user of another project."""
        return self._known.client(users.OTHER)

    def openrc(self, name: str = users.DEMO.name) -> Path:
        """Return the file to source in a shell in the lab's network."""
        return self.directory / f'{name}.rc'

    def shell(self, name: str = users.DEMO.name) -> list[str]:
        """Return the command line of a shell of a user."""
        return self.lab.network.inside(
            'bash', '--rcfile', str(self.openrc(name))
        )

    # -- words

    def share_out(self, shares: Mapping[str, tuple[str, ...]]) -> None:
        """Replace the manila-share services; give each its back ends.

        ::

            manila.share_out({'one': ('ip',), 'two': ('cert',)})

        Those that run are stopped, and the others are started.
        """
        side_by_side(Service.stop, self.share_services)
        self._follow(
            dataclasses.replace(self._known.record, shares=dict(shares))
        )
        self.start_share_services()

    def start_share_services(self) -> None:
        """Start every manila-share, and wait until it works."""
        for service in self.share_services:
            service.start()
        side_by_side(Service.wait_ready, self.share_services)

    def set_option(self, section: str, option: str, value: object) -> None:
        """Set an option of manila.conf, from the next restart on.

        :param value: None: what it was in the beginning.
        """
        record = self._known.record
        changes = {name: dict(those) for name, those in record.changes.items()}
        changes.setdefault(section, {}).pop(option, None)
        if value is not None:
            changes[section][option] = str(value)
        self._follow(dataclasses.replace(record, changes=changes))

    def coordinate_by(self, kind: str | None) -> None:
        """Use a coordinator for locks between hosts, from a restart on.

        :param kind: ``etcd``, which is started, or ``mysql``; None: they
            reach over this host, as in the beginning.
        """
        if kind == 'etcd':
            self.service('etcd').start()
            self.service('etcd').wait_ready()
        else:
            self.service('etcd').stop()
        url = self._known.coordinator(kind) if kind else None
        self.set_option('coordination', 'backend_url', url)

    def sql(self, statement: str) -> str:
        """Run SQL as the administrator of the database; return its output."""
        return self._known.database.run(statement)

    def living(self) -> tuple[list[str], list[str]]:
        """Return the ids of all share and snapshot instances in Manila."""
        return self._known.contents.instances()

    def leaks(self, **how: Any) -> list[Leak]:
        """Return the objects on the nodes that belong to nothing in Manila.

        A driver that is in use has gluster consoles open on the nodes, so
        these are no leaks here, unless an *age* is given; see Lab.leaks.
        """
        return self.lab.leaks(*self.living(), **{'age': 1e9, **how})

    def clean(self, timeout: float = 300) -> None:
        """Delete all shares and snapshots of all projects, by force.

        :raises Unexpected: when some are still there after so many seconds.
        """
        self._known.contents.delete(timeout)

    # -- the steps of up()

    @property
    def _path(self) -> Path:
        return self.directory / 'manila.json'

    @property
    def _known(self) -> Plan:
        if self._plan is None:
            raise LabError('the control plane is not up')
        return self._plan

    def _follow(self, record: settings.Record) -> None:
        """Use a new record from now on."""
        record.save(self._path)
        self._furnish(record).write()

    def _furnish(self, record: settings.Record) -> Plan:
        self._client = self._client or Client(
            environment.Environment(Path(record.keystone)),
            self.lab.network,
            self.directory / 'home',
        )
        plan = Plan(
            *(self.lab, self.directory, record),
            *(self._client, self.service),
        )
        before, self._services, self._plan = self._services, {}, plan
        for spec in plan.specs():
            service = before.get(spec.name)
            if service is None:
                service = Service(
                    *(spec, self.lab.network, str(self.lab.directory)),
                    self.directory,
                )
            # One that runs goes on, and is this process's child for ever.
            service.spec = spec
            self._services[spec.name] = service
        return plan

    def _bring_up(self) -> None:
        plan = self._known
        self._say('making the databases')
        plan.database.prepare(self.directory / 'mariadb-install-db.log')
        stores.prepare_queue(self.directory)
        for name in ('mariadb', 'rabbitmq'):
            self.service(name).start()
        self.service('mariadb').wait_ready()
        for name in ('keystone', 'manila'):
            plan.database.add(name)
        side_by_side(
            lambda step: step(),
            [
                self._bring_up_keystone,
                plan.prepare_manila,
                self.service('rabbitmq').wait_ready,
            ],
        )
        self._say('starting Manila')
        services = [
            *(self.service(API), self.service(SCHEDULER)),
            *self.share_services,
        ]
        for service in services:
            service.start()
        side_by_side(Service.wait_ready, services)
        plan.make_types()

    def _bring_up_keystone(self) -> None:
        plan = self._known
        plan.keystone.prepare(self.directory / 'keystone-manage.log')
        self.service('keystone').start()
        self.service('keystone').wait_ready()
        keystone.register(plan.admin)
