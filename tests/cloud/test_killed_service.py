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
"""A manila-share that is killed or stopped in the middle of an operation.

It ends at the first change on a storage node. Then it is started again, and
the user continues as the status of the share allows.
"""

from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cloud.project import LONG, Project, wait_for
from tests import lab as lab_module
from tests.lab import CommandFailed
from tests.lab import manila as manila_module
from tests.lab.manila import backends

#: Prints what an operation changes, as soon as it is no more what it was.
_CHANGED = """\
look() {
    # What LVs there are and their sizes, and what glusterd has; there may be
    # none of a kind.
    cat /sys/block/dm-*/{dm/name,size} \
        /var/lib/glusterd/{vols,snaps}/*/info || :
} 2>/dev/null
before=$(look)
echo watching >/run/watching
while [ "$(look)" = "$before" ]; do sleep 0.05; done
rm /run/watching
"""

#: States in which users can do nothing.
_TRANSITIONS = {
    *('creating', 'deleting', 'extending', 'ensuring', 'syncing'),
    # Those of rules.
    *('queued_to_apply', 'applying', 'queued_to_deny', 'denying'),
}


@dataclass(frozen=True)
class Scene:
    """What there is before it happens."""

    project: Project
    share: str
    snapshot: str
    spare: str
    rule: str
    client: lab_module.Client
    content: str

    def ask(self, *argv: str) -> Callable[[], Any]:
        """A request, not waited for."""
        return lambda: self.project.demo.run('share', *argv, timeout=LONG)


#: What is asked for.
VERBS: dict[str, Callable[[Scene], Callable[[], Any]]] = {
    'create': lambda scene: lambda: scene.project.ask_share('new', 1),
    'clone': lambda scene: (
        lambda: scene.project.ask_share(
            'new', 2, '--snapshot-id', scene.snapshot
        )
    ),
    'snapshot': lambda scene: scene.ask(
        'snapshot', 'create', scene.share, '--name', 'new'
    ),
    'extend': lambda scene: scene.ask('resize', scene.share, '2'),
    'allow': lambda scene: scene.ask(
        *('access', 'create', scene.share, 'ip', scene.client.address)
    ),
    'deny': lambda scene: scene.ask(
        'access', 'delete', scene.share, scene.rule
    ),
    'delete_snapshot': lambda scene: scene.ask(
        'snapshot', 'delete', scene.snapshot
    ),
    'delete': lambda scene: scene.ask('delete', scene.spare),
}


@pytest.fixture(scope='module')
def scene(lab: lab_module.Lab, plane: manila_module.Manila) -> Iterator[Scene]:
    """A share with data, mounted, its snapshot, and a spare share."""
    project = Project(plane, backends.IP)
    with futures.ThreadPoolExecutor() as threads:
        origin, spare = threads.map(
            lambda name: project.share(name, 1), ('origin', 'spare')
        )
    first = lab.client('c1')
    rule = project.admit(origin, first)
    project.mount(origin, first, '/mnt/origin')
    first.write_tree('/mnt/origin', 8, 4, seed='a')
    first.succeed('sync -f /mnt/origin')
    content = first.checksum_tree('/mnt/origin')
    yield Scene(
        *(project, origin, project.snapshot(origin), spare, rule),
        *(lab.client('c2'), content),
    )
    for client in lab.clients:
        client.succeed('umount -a -l -t fuse.glusterfs || true')
    plane.clean()
    assert plane.leaks() == []


def _interrupt(
    lab: lab_module.Lab, ask: Callable[[], Any], end: Callable[[], None]
) -> None:
    """Ask for something, and end manila-share once a node has begun it."""
    node = lab.nodes[0]
    node.succeed('rm -f /run/watching')
    with futures.ThreadPoolExecutor() as threads:
        changed = threads.submit(node.succeed, _CHANGED, 120)
        node.wait_until_succeeds('test -e /run/watching', every=0.2)
        asked = threads.submit(ask)
        changed.result()
        end()
        asked.result()


def _listed(project: Project, *what: str) -> dict[str, str]:
    """Ids and states of what the user has of a kind."""
    more = '--detail' if what else '--long'
    listed = project.demo('share', *what, 'list', more)
    return {each['ID']: each['Status'] for each in listed}


def _rules(scene: Scene) -> dict[str, str]:
    """Whom the share is to admit, and the states of these rules."""
    listed = scene.project.demo('share', 'access', 'list', scene.share)
    return {rule['Access To']: rule['State'] for rule in listed}


def _settled(scene: Scene) -> bool:
    # One after the other: each of them is a process that takes seconds.
    looks: tuple[Callable[[], dict[str, str]], ...] = (
        lambda: _listed(scene.project),
        lambda: _listed(scene.project, 'snapshot'),
        lambda: _rules(scene),
    )
    return not any(_TRANSITIONS & set(look().values()) for look in looks)


#: What happens, in an order in which what is needed is still there. To be
#: stopped is to come to an end of what is under way.
HAPPENS = (
    ('create', 'kill'),
    ('clone', 'kill'),
    ('clone', 'stop'),
    ('snapshot', 'kill'),
    ('extend', 'kill'),
    ('allow', 'kill'),
    ('delete_snapshot', 'kill'),
    ('delete', 'kill'),
    ('deny', 'kill'),
)


@pytest.mark.parametrize(('verb', 'end'), HAPPENS)
def test_ended_in_the_middle(
    lab: lab_module.Lab,
    plane: manila_module.Manila,
    scene: Scene,
    verb: str,
    end: str,
) -> None:
    service = plane.service()
    _interrupt(lab, VERBS[verb](scene), getattr(service, end))
    service.start()
    service.wait_ready()
    _goes_on(lab, scene, verb)
    assert plane.leaks() == []


def _goes_on(lab: lab_module.Lab, scene: Scene, verb: str) -> None:
    """The user goes on."""
    project, first = scene.project, lab.client('c1')
    wait_for(lambda: _settled(scene))
    shares = _listed(project)
    snapshots = _listed(project, 'snapshot')
    assert shares.pop(scene.share) == 'available'
    if verb not in ('delete', 'deny'):
        assert shares.pop(scene.spare) == 'available'
    if verb not in ('delete_snapshot', 'delete', 'deny'):
        assert snapshots.pop(scene.snapshot) == 'available'

    # What was asked for is whole, or in error and lets itself be deleted.
    assert set(shares.values()) <= {'available', 'error'}
    assert set(snapshots.values()) <= {'available', 'error'}
    assert len(shares) == (verb in ('create', 'clone'))
    assert len(snapshots) == (verb == 'snapshot')
    for share, status in shares.items():
        if status == 'available':
            _expect(scene, share, scene.content if verb == 'clone' else None)
        project.delete(share)
    for snapshot in snapshots:
        project.delete_snapshot(snapshot)

    # What was there is as it was, and can do what was asked for.
    if verb in ('allow', 'deny'):
        _expect_rules(lab, scene, verb)
    else:
        assert first.checksum_tree('/mnt/origin') == scene.content
    if verb == 'extend':
        project.demo.run(
            'share', 'resize', scene.share, '3', '--wait', timeout=LONG
        )
        assert first.df('/mnt/origin')[0] > 2.9 * (1 << 30)
    if verb == 'clone':
        clone = project.share('again', 2, '--snapshot-id', scene.snapshot)
        _expect(scene, clone, scene.content)
        project.delete(clone)


def _expect(scene: Scene, share: str, content: str | None) -> None:
    """Expect that a share lets itself be used; None: whatever is in it."""
    project, client = scene.project, scene.client
    project.admit(share, client)
    project.mount(share, client, '/mnt/new')
    if content:
        assert client.checksum_tree('/mnt/new') == content
    client.umount('/mnt/new')


def _expect_rules(lab: lab_module.Lab, scene: Scene, verb: str) -> None:
    first, second = lab.client('c1'), scene.client
    place = scene.project.place(scene.share)
    wanted = {second.address: 'active'}
    if verb == 'allow':
        wanted[first.address] = 'active'
    assert _rules(scene) == wanted
    assert second.can_mount(*place)
    assert first.can_mount(*place) == (verb == 'allow')


def test_a_request_in_the_queue_is_left_alone_by_a_restart(
    plane: manila_module.Manila,
) -> None:
    """No service was at work on it; its user can do nothing meanwhile."""
    project = Project(plane, backends.IP)
    share = project.share('queued', 1)
    plane.admin.run('share', 'set', share, '--status', 'creating')
    with pytest.raises(CommandFailed):
        project.delete(share)
    plane.service().restart()
    assert _listed(project)[share] == 'creating'
    plane.admin.run('share', 'set', share, '--status', 'available')
    project.delete(share)
