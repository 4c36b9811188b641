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
"""What the tests over the model share."""

from collections.abc import Iterator
import itertools
import logging
import uuid

import hypothesis
from manila.common import config  # noqa: F401
from oslo_concurrency import lockutils
import pytest

from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import neighbours

hypothesis.settings.register_profile(
    'model',
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=list(hypothesis.HealthCheck),
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
