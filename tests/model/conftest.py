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
"""Fixtures of the tests over the model."""

from collections.abc import Iterator
import itertools
import logging
import pathlib
import uuid

import hypothesis
from hypothesis import database
from manila.common import config as manila_config  # noqa: F401
from oslo_concurrency import lockutils
import pytest

from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import neighbours

#: Where the examples of --random-seeds are kept.
EXAMPLES = pathlib.Path(__file__).parents[2] / '.hypothesis' / 'examples'

hypothesis.settings.register_profile(
    'model',
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def pytest_configure(config: pytest.Config) -> None:
    """Use new seeds, and keep the examples that fail, if that is wanted.

    The test files read the profile while they are imported, which is later.
    """
    if config.getoption('--random-seeds'):
        hypothesis.settings.register_profile(
            'model',
            hypothesis.settings.get_profile('model'),
            derandomize=False,
            database=database.DirectoryBasedExampleDatabase(EXAMPLES),
            print_blob=True,
        )


@pytest.fixture(scope='session', autouse=True)
def lock_path(tmp_path_factory: pytest.TempPathFactory) -> None:
    lockutils.set_defaults(str(tmp_path_factory.mktemp('locks')))


@pytest.fixture(scope='module')
def quiet() -> Iterator[None]:
    """Keep what goes wrong on purpose, thousands of times, out of logs."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=['10.3', '11.1'])
def release(request: pytest.FixtureRequest) -> str:
    """Each release whose behaviour is modelled."""
    return str(request.param)


@pytest.fixture
def pool(release: str) -> model_cluster.ModelCluster:
    return neighbours.pool(release)


@pytest.fixture
def manila(
    pool: model_cluster.ModelCluster,
) -> Iterator[model_backend.ModelBackend]:
    """A back end over a pool, in its time."""
    with model_backend.in_time_of(pool):
        yield model_backend.ModelBackend(link.Process(pool))


@pytest.fixture
def ids() -> Iterator[str]:
    """Ids of shares and snapshots, the same in each run."""
    return (str(uuid.UUID(int=n)) for n in itertools.count(1))
