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
"""Fixtures of the tests of the checks."""

from collections.abc import Iterator
import pathlib

# Imported for the option that it registers.
from oslo_concurrency import lockutils as lockutils
from oslo_config import cfg
import pytest

from manila_glusterfs_clone import options
from tests import key_files


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> Iterator[options.Settings]:
    cfg.CONF.set_override('lock_path', str(tmp_path), group='oslo_concurrency')
    yield options.Settings(
        backend='gold',
        nodes=('gl1', 'gl2', 'gl3'),
        ssh_port=22,
        ssh_user='manila',
        ssh_private_key=key_files.private_key(),
        ssh_known_hosts=key_files.known_hosts(),
        pools=('gvg/pool',),
        layout='auto',
        brick_root=options.DEFAULT_BRICK_ROOT,
        tls=False,
        tls_server_names=(),
        limits=options.Limits(95, 85, 20.0),
        settle_timeout=30,
        lock_timeout=30,
        reconcile_interval=0,
        orphan_grace=3600,
        orphans='remove',
    )
    cfg.CONF.clear_override('lock_path', group='oslo_concurrency')
