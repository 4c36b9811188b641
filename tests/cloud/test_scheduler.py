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
"""The scheduler receives the true capacities and places shares by them."""

from collections.abc import Iterator

import pytest

from tests.cloud.project import Project, wait_for
from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import plan
from tests.lab.manila import settings

POOL = 'tight/pool'


@pytest.fixture
def project(manila: manila_module.Manila) -> Iterator[Project]:
    """A user of shares that can be in one small pool alone."""
    manila.admin.run(
        *('share', 'type', 'create', 'tight', 'false'),
        *('--snapshot-support', 'true'),
        *('--create-share-from-snapshot-support', 'true'),
        *('--extra-specs', f'pool_name={POOL}'),
        f'share_backend_name={backends.IP}',
    )
    made = Project(manila, backends.IP, 'tight')
    yield made
    manila.clean()
    manila.admin.run('share', 'type', 'delete', 'tight')


def _wait_for_news(manila: manila_module.Manila) -> None:
    """Wait until the scheduler knows what is so from now on.

    What is under way may be of before. The API that lists pools does not
    tell: it goes on showing what it was first asked for.
    """
    scheduler = manila.service(plan.SCHEDULER)
    mark = scheduler.bookmark()
    heard = f'service update from {settings.place(backends.IP)}:'
    wait_for(lambda: scheduler.log(mark).count(heard) >= 2, 120)


def _messages(project: Project, share: str) -> str:
    listed = project.demo(
        'share', 'message', 'list', '--resource-id', share, '-c', 'ID'
    )
    return '\n'.join(
        project.demo('share', 'message', 'show', each['ID'])['user_message']
        for each in listed
    )


def test_full_pool(
    lab: lab_module.Lab, manila: manila_module.Manila, project: Project
) -> None:
    """No share goes there, and no clone is begun there."""
    snapshot = project.snapshot(project.share('origin', 1))
    node = lab.node('gl2')
    # One node suffices: a brick is needed on each.
    node.fill_pool(POOL, 96)
    try:
        _wait_for_news(manila)
        refused = str(project.ask_share('refused', 1)['id'])
        wait_for(lambda: _status(project, refused) == 'error', 60)
        said = _messages(project, refused)
        assert 'No storage could be allocated' in said, said

        # A clone is not the scheduler's: it has to be where its origin is.
        before = [
            each.succeed('lvs --noheadings -o name') for each in lab.nodes
        ]
        service = manila.service()
        mark = service.bookmark()
        clone = str(
            project.ask_share('clone', 2, '--snapshot-id', snapshot)['id']
        )
        wait_for(lambda: _status(project, clone) == 'error', 60)
        (line,) = [
            line
            for line in service.log(mark).splitlines()
            if 'manila_glusterfs_clone.manila_api.exceptions' in line
            and ' ERROR ' in line
        ]
        assert POOL in line and node.address in line, line
        assert before == [
            each.succeed('lvs --noheadings -o name') for each in lab.nodes
        ]
    finally:
        node.drain_pool(POOL)
    _wait_for_news(manila)
    project.share('allowed', 1)


def _status(project: Project, share: str) -> str:
    return str(project.demo('share', 'show', share)['status'])
