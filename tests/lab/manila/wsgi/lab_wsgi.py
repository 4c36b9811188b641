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
"""What gunicorn serves; it runs in the environments of the services.

Keystone's and Manila's applications read the command line of the process
that imports them, and that is gunicorn's.
"""

import sys
from typing import Any


def keystone() -> Any:
    sys.argv = ['keystone']
    from keystone.wsgi.api import application

    return application


def manila(*arguments: str) -> Any:
    sys.argv = ['manila-api', *arguments]
    try:
        from manila.wsgi.api import application
    except ImportError:
        from manila.wsgi import wsgi

        return wsgi.initialize_application()
    return application
