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
"""Check whether a service of Manila works.

A service reports a heartbeat, which stays in the database after its death. So
a heartbeat counts only if it is younger than the process. The scheduler must
also know the pools of each back end: before that it places no share there. The
log of the scheduler shows this. The API that lists pools does not: it returns
what was known when it was first asked.
"""

from collections.abc import Iterable, Mapping
import datetime
import math
import re
from typing import Any

from tests.lab.manila import rest
from tests.lab.manila.service import Service
from tests.lab.manila import settings

#: The scheduler's log line on a report of a back end.
#: Two hosts of one name report heartbeats for each other.
_BEGUN = 'Finished initialization of driver'

_HEARD = 'Received share service update from {}:'


class Health:
    """Asks Manila's API as an administrator."""

    def __init__(self, admin: rest.Rest) -> None:
        self._admin = admin

    def api(self, _service: Service) -> str:
        """Check the API, its access to keystone, and the database."""
        try:
            self._services()
        except rest.Refused as error:
            return str(error)
        return ''

    def scheduler(self, scheduler: Service, backends: Iterable[str]) -> str:
        """Return what the scheduler still lacks, or an empty string.

        :param backends: those whose manila-share runs by now.
        """
        missing = self._beats('manila-scheduler', settings.HOST, scheduler)
        return missing or self._heard(scheduler, backends)

    def share(
        self,
        share: Service,
        backends: Iterable[str],
        scheduler: Service,
    ) -> str:
        """Return what a manila-share with these back ends still lacks."""
        for backend in backends:
            where = settings.place(backend)
            if missing := self._beats('manila-share', where, share):
                return missing
            if not re.search(f'{_BEGUN}.*@{where}', share.said()):
                return f'{share.name} has not set {where} up'
        return self._heard(scheduler, backends) if scheduler.running() else ''

    def _beats(self, binary: str, where: str, service: Service) -> str:
        try:
            return beats(self._services(), binary, where, service.begun)
        except rest.Refused as error:
            return str(error)

    def _services(self) -> list[dict[str, Any]]:
        found = self._admin.get(f'{rest.MANILA}/services')['services']
        assert isinstance(found, list)
        return found

    @staticmethod
    def _heard(scheduler: Service, backends: Iterable[str]) -> str:
        said = scheduler.said()
        for backend in backends:
            where = settings.place(backend)
            if _HEARD.format(where) not in said:
                return f'the scheduler has not heard from {where}'
        return ''


def beats(
    services: Iterable[Mapping[str, Any]],
    binary: str,
    host: str,
    since: float,
) -> str:
    """Return what a recent heartbeat lacks, or an empty string.

    :param services: as Manila's API lists them.
    :param since: seconds since the epoch.
    """
    who = f'{binary} of {host}'
    for service in services:
        if (service['binary'], service['host']) == (binary, host):
            if service['state'] != 'up':
                return f'{who} is {service["state"]}'
            # Whole seconds are what the database has of it.
            if _seconds(service.get('updated_at')) < math.ceil(since):
                return f'{who} has given no sign of life yet'
            return ''
    return f'{who} is not known'


def _seconds(stamp: str | None) -> float:
    """Return one of Manila's UTC times in seconds since the epoch."""
    if not stamp:
        return 0
    moment = datetime.datetime.fromisoformat(stamp)
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()
