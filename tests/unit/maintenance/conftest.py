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
"""Manila's database, for the tests of what maintenance reads and writes."""

from collections.abc import Iterator
from typing import Any

from manila.common import config as manila_config
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from manila.share import rpcapi
from oslo_config import cfg
import pytest

from tests.unit.maintenance import manila_database

assert manila_config  # it registers Manila's options


@pytest.fixture(scope='session')
def engine() -> Iterator[Any]:
    """SQLite in memory, with Manila's tables."""
    cfg.CONF.set_default('connection', 'sqlite://', group='database')
    engine = db_api.get_engine()
    models.BASE.metadata.create_all(engine)
    yield engine
    cfg.CONF.clear_default('connection', group='database')


@pytest.fixture
def database(engine: Any) -> Iterator[manila_database.Database]:
    """Manila's real database functions, with empty tables."""
    yield manila_database.Database()
    with engine.begin() as connection:
        for table in reversed(models.BASE.metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> manila_database.Asked:
    """Return what manila-share is asked for."""
    monkeypatch.setattr(manila_database.ShareAPI, 'asked', [])
    monkeypatch.setattr(rpcapi, 'ShareAPI', manila_database.ShareAPI)
    return manila_database.ShareAPI.asked
