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
"""JSON over HTTP to the services of a lab, without a client library.

For the lab itself. Tests use the real client: see
:mod:`tests.lab.manila.openstack`.
"""

from collections.abc import Mapping
import http.client
import json
from typing import Any
import urllib.error
import urllib.request

from tests.lab.errors import LabError
from tests.lab.manila import users
from tests.lab.network import Network

KEYSTONE = 'http://127.0.0.1:5000/v3'
MANILA = 'http://127.0.0.1:8786/v2'

#: Of Manila's API: what any release that can be installed today speaks.
_MICROVERSION = '2.24'


class Refused(LabError):
    """An unsuccessful answer of a service, or no answer."""

    def __init__(self, method: str, url: str, status: int, said: str) -> None:
        super().__init__(method, url, status, said)
        self.status = status
        self.said = said

    def __str__(self) -> str:
        method, url, status, said = self.args
        return f'{method} {url}: {status or "no answer"}: {said[:500]}'


class Rest:
    """A user who sends HTTP requests in the lab's network."""

    def __init__(self, network: Network, user: users.User) -> None:
        self._network = network
        self._user = user
        self._token: str | None = None

    def get(self, url: str) -> Any:
        return self._authorised('GET', url)

    def post(self, url: str, body: object) -> Any:
        return self._authorised('POST', url, body)

    def delete(self, url: str) -> Any:
        return self._authorised('DELETE', url)

    def put(self, url: str) -> Any:
        return self._authorised('PUT', url)

    def authenticate(self) -> None:
        """Get a token.

        :raises Refused: when there is none to be had.
        """
        headers, _ = self._ask(
            'POST', f'{KEYSTONE}/auth/tokens', self._user.credentials(), {}
        )
        self._token = headers['X-Subject-Token']

    def _authorised(self, method: str, url: str, body: object = None) -> Any:
        if self._token is None:
            self.authenticate()
        headers = {
            'X-Auth-Token': str(self._token),
            'X-OpenStack-Manila-API-Version': _MICROVERSION,
        }
        return self._ask(method, url, body, headers)[1]

    def _ask(
        self, method: str, url: str, body: object, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Any]:
        request = urllib.request.Request(
            url,
            None if body is None else json.dumps(body).encode(),
            {'Content-Type': 'application/json', **headers},
            method=method,
        )
        # Nothing of the host's proxies.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with self._network.inside_here():
                with opener.open(request, timeout=30) as answer:
                    text = answer.read()
                    return answer.headers, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors='replace')
            raise Refused(method, url, error.code, said) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(method, url, 0, str(error)) from error
