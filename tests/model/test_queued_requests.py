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
"""Requests that wait in the message queue while manila-share is down.

Whatever the request, and whatever is wrong with a node meanwhile: the start
of the service does not touch it, it is carried out afterwards, and neither
disturbs a client that keeps its rule.
"""

from collections.abc import Callable
import contextlib
import dataclasses

from manila import db
from manila import exception
from manila.share import rpcapi
import pytest

from tests.model import link
from tests.model import test_share_manager

cloud = test_share_manager.cloud
share_type = test_share_manager.share_type

STAYS, STAYS_TOO, GOES, COMES = (f'10.0.0.{n}' for n in range(5, 9))
#: Seconds that a start may take: a node that does not answer costs a
#: constant.
START = 90.0


@dataclasses.dataclass(frozen=True)
class Scene:
    """What there is while requests come."""

    cloud: test_share_manager.Cloud
    share: str
    snapshot: str
    spare: str
    rule: str

    def states(self) -> dict[str, str]:
        """Return the status of everything, and of the rules of the share."""
        return self.things() | self.cloud.rules(self.share)

    def things(self) -> dict[str, str]:
        """Return the status of all shares and snapshots."""
        found: dict[str, str] = {}
        for rows in (db.share_get_all, db.share_snapshot_get_all):
            found |= {
                row['id']: row['status'] for row in rows(self.cloud.context)
            }
        return found

    def rules_statuses(self) -> set[str]:
        """Return what Manila shows as the status of the rules of shares."""
        return {
            row['access_rules_status']
            for row in db.share_get_all(self.cloud.context)
        }

    def mounted(self) -> set[str]:
        volume = f'manila-{self.cloud.instance(self.share)}'
        return self.cloud.pool.mounted(volume)


@dataclasses.dataclass(frozen=True)
class Request:
    """Something that is asked for, and what it is in the end."""

    ask: Callable[[Scene], object]
    #: Makes sure of it.
    done: Callable[[Scene], bool]


def _available(scene: Scene) -> bool:
    return set(scene.states().values()) == {'available', 'active'}


REQUESTS = {
    'create': Request(
        lambda s: s.cloud.create(),
        lambda s: (
            _available(s) and len(db.share_get_all(s.cloud.context)) == 3
        ),
    ),
    'clone': Request(
        lambda s: s.cloud.create(2, s.snapshot),
        lambda s: (
            _available(s) and len(db.share_get_all(s.cloud.context)) == 3
        ),
    ),
    'snapshot': Request(
        lambda s: s.cloud.snapshot(s.share),
        lambda s: _available(s) and len(s.things()) == 4,
    ),
    'extend': Request(
        lambda s: s.cloud.extend(s.share, 3),
        lambda s: _available(s) and s.cloud.share(s.share)['size'] == 3,
    ),
    'allow': Request(
        lambda s: s.cloud.allow(s.share, 'ip', COMES),
        lambda s: set(s.cloud.rules(s.share).values()) == {'active'},
    ),
    'deny': Request(
        lambda s: s.cloud.deny(s.share, s.rule),
        lambda s: GOES not in s.mounted(),
    ),
    'delete': Request(
        lambda s: s.cloud.delete(s.spare),
        lambda s: s.spare not in s.states(),
    ),
    'delete snapshot': Request(
        lambda s: s.cloud.delete_snapshot(s.snapshot),
        lambda s: s.snapshot not in s.states(),
    ),
}


@pytest.fixture
def scene(cloud: test_share_manager.Cloud) -> Scene:
    share = cloud.create()
    for address in (STAYS, STAYS_TOO):
        cloud.allow(share, 'ip', address)
    rule = cloud.allow(share, 'ip', GOES)
    return Scene(cloud, share, cloud.snapshot(share), cloud.create(), rule)


def start(scene: Scene) -> None:
    begun = scene.cloud.pool.time.now
    scene.cloud.start()
    assert scene.cloud.pool.time.now - begun <= START


@pytest.mark.parametrize('name', REQUESTS)
def test_a_request_that_waits_is_carried_out_after_the_start(
    scene: Scene, name: str
) -> None:
    manila, request = scene.cloud, REQUESTS[name]
    manila.stop()
    request.ask(scene)
    waiting = scene.things()
    start(scene)
    assert scene.things() == waiting
    manila.deliver()
    assert request.done(scene)
    assert scene.mounted() >= {STAYS, STAYS_TOO}
    assert not manila.pool.observer.disturbances


@pytest.mark.parametrize('name', REQUESTS)
def test_a_request_that_a_stopping_service_loses_comes_to_an_end(
    scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken from the queue, and the driver never hears of it."""
    manila, request = scene.cloud, REQUESTS[name]
    asked: list[tuple[str, str]] = []
    for verb in ('update_access', 'delete_share_instance', 'delete_snapshot'):
        monkeypatch.setattr(
            rpcapi.ShareAPI,
            verb,
            lambda api, context, row, *host, verb=verb: asked.append(
                (verb, row['id'])
            ),
        )
    manila.stop()
    request.ask(scene)
    lost, manila.queue = manila.queue, None
    assert lost
    start(scene)
    is_repeated = name in ('allow', 'deny', 'delete', 'delete snapshot')
    for _ in range(8 if is_repeated else 65):
        manila.pool.time.advance(60.0)
        manila.manager.driver._backend.maintenance.run_pass()
        while asked:
            verb, row_id = asked.pop()
            getattr(manila.manager, verb)(manila.context, row_id)
    if is_repeated:
        assert request.done(scene)
    assert {*scene.states().values()} <= {'available', 'active', 'error'}
    assert scene.rules_statuses() <= {'active', 'error'}
    assert scene.mounted() >= {STAYS, STAYS_TOO}
    assert not manila.pool.observer.disturbances


@pytest.mark.parametrize('node', ['gl1', 'gl3'])
@pytest.mark.parametrize('name', ['allow', 'deny'])
def test_rules_are_changed_with_a_node_away(
    scene: Scene, name: str, node: str
) -> None:
    manila, request = scene.cloud, REQUESTS[name]
    manila.stop()
    request.ask(scene)
    manila.pool.cut(node)
    manila.pool.time.advance(60.0)
    waiting = scene.things()
    start(scene)
    assert scene.things() == waiting
    manila.deliver()
    assert request.done(scene)
    assert scene.mounted() >= {STAYS, STAYS_TOO}
    manila.pool.boot()
    assert not manila.pool.observer.disturbances


@pytest.mark.parametrize('times', [1, 3])
def test_a_start_alone_disturbs_nobody(scene: Scene, times: int) -> None:
    for _ in range(times):
        start(scene)
    assert scene.mounted() == {STAYS, STAYS_TOO, GOES}
    assert set(scene.states().values()) == {'available', 'active'}
    assert not scene.cloud.pool.observer.disturbances


@pytest.mark.parametrize('has_pending_rule', [False, True])
def test_a_start_after_a_change_of_rules_that_failed(
    scene: Scene, has_pending_rule: bool
) -> None:
    """The status shows again that a user has something to do."""
    manila = scene.cloud
    manila.process.fail_when(link.Fault.REFUSED, 'set')
    with contextlib.suppress(exception.ManilaException):
        REQUESTS['deny'].ask(scene)
    assert 'error' in manila.rules(scene.share).values()
    manila.stop()
    if has_pending_rule:
        # Manila refuses this for the share with the rule in error.
        manila.allow(scene.spare, 'ip', COMES)
    start(scene)
    manila.deliver()
    for _ in range(3):
        manila.pool.time.advance(60.0)
        manila.manager.driver._backend.maintenance.run_pass()
    assert scene.rules_statuses() == {'active', 'error'}
    REQUESTS['deny'].ask(scene)
    assert scene.rules_statuses() == {'active'}
    assert GOES not in scene.mounted() >= {STAYS, STAYS_TOO}
    assert not manila.pool.observer.disturbances


@pytest.mark.parametrize('grown', [False, True])
def test_extension_that_failed_ends_in_one_size(
    scene: Scene, grown: bool
) -> None:
    """A user cannot even delete a share in extending_error."""
    manila = scene.cloud
    if grown:
        manila.process.fail_when(link.Fault.REFUSED, 'lvextend', 'gl3')
    else:
        manila.pool.cut('gl3')
    with pytest.raises(exception.ShareExtendingError):
        manila.extend(scene.share, 3)
    assert manila.share(scene.share)['status'] == 'extending_error'
    if not grown:
        manila.pool.boot()
    start(scene)
    assert _available(scene)
    assert manila.share(scene.share)['size'] == (3 if grown else 1)
    manila.extend(scene.share, 4)
    manila.delete_snapshot(scene.snapshot)
    manila.delete(scene.share)
    manila.check(scene.spare)


def test_interrupted_extension_of_a_volume_that_is_gone(scene: Scene) -> None:
    """An operator has given the volume to somebody else meanwhile."""
    manila = scene.cloud
    manila.process.fail_when(link.Fault.KILLED_BEFORE, 'lvextend', 'gl2')
    with pytest.raises(link.Killed):
        manila.extend(scene.spare, 3)
    volume = f'manila-{manila.instance(scene.spare)}'
    manila.pool.state.volumes[volume].options['user.manila.share'] = (
        'unmanaged'
    )
    start(scene)
    assert manila.share(scene.spare)['status'] == 'error'
