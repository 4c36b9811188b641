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
"""Two manila-share services work on one cluster at the same time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent import futures

import pytest

from tests.cloud.project import LONG, Project
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import settings

#: Somebody's share or snapshot.
Thing = tuple[Project, str]
Job = Callable[[], Thing]


@pytest.fixture
def projects(manila: manila_module.Manila) -> Iterator[list[Project]]:
    """A user of each of two services."""
    manila.share_out({'one': (backends.IP,), 'two': (backends.CERT,)})
    yield [Project(manila, kind) for kind in backends.BACKENDS]
    manila.clean()
    manila.share_out({settings.SHARE: backends.BACKENDS})


def _share(project: Project, *more: str) -> Job:
    return lambda: (project, project.share('x', 1, *more))


def _snapshot(thing: Thing) -> Job:
    project, share = thing
    return lambda: (project, project.snapshot(share))


def _extend(thing: Thing) -> Job:
    project, share = thing

    def extend() -> Thing:
        project.demo.run('share', 'resize', share, '2', '--wait', timeout=LONG)
        return thing

    return extend


def _delete(thing: Thing) -> Job:
    project, share = thing

    def delete() -> Thing:
        project.delete(share)
        return thing

    return delete


def _delete_snapshot(thing: Thing) -> Job:
    project, snapshot = thing

    def delete() -> Thing:
        project.delete_snapshot(snapshot)
        return thing

    return delete


def _messages(project: Project) -> object:
    """What Manila has told the user of what went wrong."""
    return project.demo('share', 'message', 'list')


@pytest.mark.timeout(1800)
def test_fifty_operations(
    manila: manila_module.Manila, projects: list[Project]
) -> None:
    """All succeed, and no user hears that others were in the way."""
    before = [_messages(project) for project in projects]
    services = manila.share_services
    marks = [service.bookmark() for service in services]
    done: list[Thing] = []

    def at_once(*jobs: Iterable[Job]) -> list[list[Thing]]:
        """Do it all at once; give what came of each of the groups."""
        groups = [list(group) for group in jobs]
        with futures.ThreadPoolExecutor(16) as threads:
            began = [
                [threads.submit(job) for job in group] for group in groups
            ]
            found = [[each.result() for each in group] for group in began]
        for group in found:
            done.extend(group)
        return found

    (shares,) = at_once(_share(each) for each in projects * 4)
    lone, kept = shares[:2], shares[2:]
    snapshots, _, fresh = at_once(
        (_snapshot(share) for share in kept),
        (_delete(share) for share in lone),
        (_share(each) for each in projects),
    )
    clones, _, _ = at_once(
        (
            _share(project, '--snapshot-id', snapshot)
            for project, snapshot in snapshots
        ),
        (_delete(share) for share in fresh),
        (_extend(share) for share in kept[:2]),
    )
    *_, fresh = at_once(
        (_delete_snapshot(snapshot) for snapshot in snapshots),
        (_delete(clone) for clone in clones),
        (_share(each) for each in projects),
    )
    at_once(_delete(share) for share in kept + fresh)
    assert len(done) == 50

    assert before == [_messages(project) for project in projects]
    for service, mark in zip(services, marks, strict=True):
        said = service.log(mark).splitlines()
        wrong = [line for line in said if ' ERROR ' in line]
        assert not wrong, '\n'.join(wrong)
