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
import pathlib
import subprocess
import threading
import time
import uuid

from manila import exception
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone.node.runner import validation
from manila_glusterfs_clone import options
from manila_glusterfs_clone.ssh import commands
from tests.functional import manila_stand_in
from tests import lab as lab_module
from tests.unit.node import test_runner_refusals
from tests.unit import runner_process

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
        for verb, given in (
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
                remote.run(commands.Step(verb, given))
        assert node.succeed(listing) == before
    finally:
        remote.close()
        node.succeed('lvremove -qq -f -y gvg/stranger')


class RealNode:
    """A node as the login user of the driver reaches it."""

    bricks = pathlib.Path(options.DEFAULT_BRICK_ROOT)
    run = pathlib.Path(validation.RUN_ROOT)
    snaps = pathlib.Path(validation.SNAPS_ROOT)

    def __init__(self, node: lab_module.StorageNode) -> None:
        self._node = node

    def start(self) -> 'subprocess.Popen[bytes]':
        """Start the runner with sudo."""
        sudo = f'"sudo -n {node_files.RUNNER_PATH}"'
        return subprocess.Popen(
            self._node.link.argv('su', 'manila', '-c', sudo),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )


def test_hundreds_of_requests_are_refused(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    """Nothing is changed on a node with a share and a link that leads away."""
    node = lab.node('gl1')
    share = manila.create(1)
    manila.snapshot(share)
    volume = runner_process.VOLUME
    root, elsewhere = options.DEFAULT_BRICK_ROOT, '/var/lib/lab-elsewhere'
    node.succeed(
        f'mkdir -p {elsewhere}/brick/.glusterfs; echo x >{elsewhere}/x; '
        f'ln -s {elsewhere} {root}/{volume}'
    )
    state = (
        f'lvs --noheadings -o lv_full_name,lv_size,lv_tags,lv_active; '
        f'findmnt -l -o TARGET,SOURCE,OPTIONS; gluster volume info; '
        f'gluster snapshot list; gluster snapshot config; '
        f'find {root} {elsewhere} /run/gluster /etc -xdev '
        f'-not -name ".glusterfs" -printf "%p %m %s %T@\\n" | sort | '
        f'grep -v -e /run/gluster/snaps -e glusterd'
    )
    before = node.succeed(state)
    real = RealNode(node)
    talk = runner_process.Talk(real)
    try:
        test_runner_refusals.assert_refused(real, talk)
        target = f'{root}/{volume}'
        for verb, given in (
            ('unmount', {'path': target}),
            ('make_directory', {'path': target}),
            ('list_directory', {'path': target}),
            ('remove_directories', {'paths': [target], 'keep_full': False}),
            ('sync', {'paths': [f'{target}/brick']}),
            ('read_volume_id', {'path': f'{target}/brick'}),
            (
                'write_volume_id',
                {'path': f'{target}/brick', 'volume_id': runner_process.HEX},
            ),
        ):
            answer = talk.one(runner_process.step(verb, **given))
            assert answer['outcome'] == 'refused', (verb, answer)
        assert node.succeed(state) == before
    finally:
        talk.stop()
        node.succeed(f'rm {root}/{volume}; rm -r {elsewhere}')
