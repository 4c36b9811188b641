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
"""Build the file that contains the runner.

The file is an archive of Python modules, as :mod:`zipapp` makes it. The
modules are not compressed, so an administrator can read them with a pager.
"""

from collections.abc import Mapping
from importlib import resources
import io
import zipfile

from manila_glusterfs_clone.node import runner

_NAME = runner.__name__
_MAIN = f"""from {_NAME} import service

service.main()
"""
#: A fixed date, so that every build makes the same archive.
_DATE = (1980, 1, 1, 0, 0, 0)


def sources() -> dict[str, str]:
    """Return the modules, by their paths in the archive."""
    parts = _NAME.split('.')
    found = {'__main__.py': _MAIN}
    for count in range(1, len(parts)):
        found['/'.join([*parts[:count], '__init__.py'])] = ''
    for module in resources.files(_NAME).iterdir():
        if module.name.endswith('.py'):
            found['/'.join([*parts, module.name])] = module.read_text()
    return found


def build(texts: Mapping[str, str]) -> bytes:
    """Return the archive, without a line that names the interpreter."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
        for path, text in sorted(texts.items()):
            archive.writestr(zipfile.ZipInfo(path, _DATE), text)
    return file.getvalue()
