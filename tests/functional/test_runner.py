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
"""The runner on real nodes: killed, replaced, and asked for too much."""

from collections.abc import Callable, Iterator
from concurrent import futures
import contextlib
import threading
import time
import uuid

from manila import exception
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone.ssh import commands
from tests.functional import manila_stand_in
from tests import lab as lab_module

pytestmark = pytest.mark.any_release

#: Seconds between two disturbances.
_PACE = 2.0


@contextlib.contextmanager
def repeating(action: Callable[[], object]) -> Iterator[None]:
    """Repeat an action in another thread until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(_PACE):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_killed_runners_leave_nothing(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """The driver does not guess, and starts a new runner."""

    def kill() -> None:
        for node in lab.nodes:
            node.execute('pkill -9 -x runner')

    share = manila.create(1)
    clones, snapshots = [], []
    with repeating(kill):
        until = time.monotonic() + 90
        while time.monotonic() < until:
            snapshot = manila_stand_in.Snapshot(str(uuid.uuid4()), share)
            clone = manila_stand_in.Share(
                str(uuid.uuid4()), 2, share.pool, cloned=True
            )
            snapshots.append(snapshot)
            with contextlib.suppress(exception.ManilaException):
                manila.snapshot(share, snapshot.id)
                clones.append(clone)
                manila.clone(snapshot, 2, clone.id)
                manila.delete(clone, snapshot)
    # A user deletes what is in error. The fixture looks for leaks.
    manila.delete(*clones, *snapshots)
    manila.create(1)


def test_runner_is_installed_again_while_work_goes_on(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    def install() -> None:
        for node in lab.nodes:
            node.install_runner()

    with repeating(install):
        for _ in range(3):
            share = manila.create(1)
            snapshot = manila.snapshot(share)
            manila.delete(manila.clone(snapshot, 1), snapshot, share)


def test_one_session_is_enough(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    node = lab.node('gl2')
    node.put('MaxSessions 1\n', '/etc/ssh/sshd_config.d/sessions.conf')
    try:
        node.succeed('systemctl reload ssh || systemctl reload sshd')
        manila.driver._services.close()
        with futures.ThreadPoolExecutor(5) as threads:
            shares = [threads.submit(manila.create, 1) for _ in range(5)]
            for share in shares:
                share.result()
    finally:
        node.succeed(
            'rm /etc/ssh/sshd_config.d/sessions.conf; '
            'systemctl reload ssh || systemctl reload sshd'
        )


@pytest.mark.parametrize(
    ('runner_release', 'remedy'),
    [(0, 'node-installer'), (1000, 'update the driver')],
)
def test_runner_of_another_release(
    lab: lab_module.Lab,
    manila: manila_stand_in.ManilaStandIn,
    runner_release: int,
    remedy: str,
) -> None:
    """Following the remedy makes the set-up pass."""
    node = lab.node('gl3')
    texts = archive.sources()
    path = 'manila_glusterfs_clone/node/runner/__init__.py'
    texts[path] += (
        f'\nRELEASE = {runner_release}\nOLDEST_SERVED = {runner_release}\n'
    )
    program = b'#!/usr/bin/python3 -IS\n' + archive.build(texts)
    node.put(program, f'{node_files.RUNNER_PATH}.new', 0o755)
    node.succeed(
        f'mv -f {node_files.RUNNER_PATH}.new {node_files.RUNNER_PATH}'
    )
    manila.driver._services.close()
    try:
        with pytest.raises(findings.Misconfigured) as caught:
            manila.driver._backend.check()
        (mistake,) = caught.value.mistakes
        assert mistake.kind == 'runner'
        assert remedy in mistake.message
    finally:
        node.install_runner()
    manila.driver._backend.check()


def test_runner_refuses_what_is_not_the_drivers(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    node = lab.node('gl1')
    share = manila.create(1)
    remote = commands.Remote(
        commands.Address(node.address, 22, 'manila'),
        commands.Credentials(str(lab.manila_key), str(lab.known_hosts)),
    )
    node.succeed('lvcreate -qq -y -V 1g -T gvg/pool -n stranger')
    listing = (
        'lvs --noheadings -o lv_full_name,lv_size,lv_tags; findmnt -l -t xfs'
    )
    before = node.succeed(listing)
    mount_point = f'/srv/manila-glusterfs-clone/{share.volume}'
    try:
        for verb, values in (
            ('remove_lvs', {'lvs': ['gvg/stranger']}),
            ('remove_lvs', {'lvs': ['gvg/pool']}),
            ('extend_lv', {'lv': 'gvg/stranger', 'size': 2 << 30}),
            ('tag_lvs', {'lvs': ['gvg/stranger'], 'tags': ['manila.brick']}),
            ('mount', {'lv': 'gvg/stranger', 'path': mount_point}),
            ('unmount', {'path': '/'}),
            ('remove_directories', {'paths': ['/srv'], 'keep_full': False}),
            ('gluster', {'words': ['volume', 'stop', 'other', 'force']}),
            ('gluster', {'words': ['peer', 'detach', 'gl2', 'force']}),
        ):
            with pytest.raises(errors.Refused):
                remote.run(commands.Step(verb, values))
        assert node.succeed(listing) == before
    finally:
        remote.close()
        node.succeed('lvremove -qq -f -y gvg/stranger')
