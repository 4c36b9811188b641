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
"""Who there is in a control plane, and how each says who he is.

The passwords are no secret: all that they open listens inside of a lab.
"""

from dataclasses import dataclass
from typing import Any

DOMAIN = 'Default'
REGION = 'RegionOne'


@dataclass(frozen=True)
class User:
    """A user of keystone, in one project."""

    name: str
    project: str
    roles: tuple[str, ...]

    @property
    def password(self) -> str:
        return f'{self.name}-of-the-lab'

    def credentials(self) -> dict[str, Any]:
        """Return the credentials that keystone's API needs for a token."""
        domain = {'name': DOMAIN}
        return {
            'auth': {
                'identity': {
                    'methods': ['password'],
                    'password': {
                        'user': {
                            'name': self.name,
                            'password': self.password,
                            'domain': domain,
                        }
                    },
                },
                'scope': {'project': {'name': self.project, 'domain': domain}},
            }
        }

    def variables(self, auth_url: str) -> dict[str, str]:
        """Return the environment variables that the client needs."""
        return {
            'OS_AUTH_TYPE': 'password',
            'OS_AUTH_URL': auth_url,
            'OS_USERNAME': self.name,
            'OS_PASSWORD': self.password,
            'OS_PROJECT_NAME': self.project,
            'OS_USER_DOMAIN_NAME': DOMAIN,
            'OS_PROJECT_DOMAIN_NAME': DOMAIN,
            'OS_IDENTITY_API_VERSION': '3',
            'OS_REGION_NAME': REGION,
        }


ADMIN = User('admin', 'admin', ('admin',))
#: Manila itself.
SERVICE = User('manila', 'service', ('admin', 'service'))
#: Two who have nothing to do with each other.
DEMO = User('demo', 'demo', ('member',))
OTHER = User('other', 'other', ('member',))

#: Those that are no service.
PEOPLE = (ADMIN, DEMO, OTHER)
