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
"""The one file that nodes get runs anywhere, and is the same in each build."""

import ast
import io
import sys
import zipfile

import pytest

from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone.node import runner

SOURCES = archive.sources()
MODULES = sorted(path for path in SOURCES if 'runner/' in path)


def test_what_is_in_it() -> None:
    data = archive.build(SOURCES)
    assert data == archive.build(archive.sources())
    assert all(text.encode() in data for text in SOURCES.values())
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert {*file.namelist()} == {*SOURCES}
        assert file.testzip() is None
    name = runner.__name__.replace('.', '/')
    assert f'{name}/service.py' in MODULES
    assert len(SOURCES) == len(MODULES) + 3


@pytest.mark.parametrize('path', MODULES)
def test_a_module_runs_on_the_oldest_python(path: str) -> None:
    tree = ast.parse(SOURCES[path], feature_version=(3, 6))
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            modules = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            modules = [statement.module or '']
        else:
            continue
        for module in modules:
            first = module.partition('.')[0]
            assert first in sys.stdlib_module_names or module.startswith(
                ('manila_glusterfs_clone.node', runner.__name__)
            )
