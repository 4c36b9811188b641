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
"""The driver waits for a busy glusterd and does not take it as down."""

from collections.abc import Callable, Iterator
import logging
import threading

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import cluster_state
from manila_glusterfs_clone.tools import gluster
import pytest

from tests.model import model_backend
from tests.model.test_share_manager import Cloud
from tests.model.test_share_manager import cloud  # noqa: F401
from tests.model.test_share_manager import share_type  # noqa: F401

#: Seconds for which it is stopped; and within which all must be over.
STOPPED = 30.0
CLIENT = '10.0.0.5'


def operations(
    manila: model_backend.ModelBackend, ids: Iterator[str]
) -> list[Callable[[], object]]:
    """Make one of everything that is done, each on objects of its own."""
    backend = manila.services
    shares = [next(ids) for _ in range(6)]
    snapshots = [next(ids) for _ in range(3)]
    for share in shares:
        manila.create(share)
    manila.allow(shares[3], CLIENT)
    for snapshot in snapshots[:2]:
        manila.snapshot(snapshot, shares[0])
    new = [next(ids) for _ in range(3)]
    return [
        lambda: manila.create(new[0]),
        lambda: manila.clone(new[1], snapshots[0]),
        lambda: manila.snapshot(snapshots[2], shares[1]),
        lambda: manila.extend(shares[2], 2),
        lambda: manila.allow(shares[3]),
        lambda: manila.allow(shares[4], CLIENT),
        lambda: manila.delete(shares[5]),
        lambda: manila.delete_snapshot(snapshots[1]),
        lambda: backend.cluster.read(lambda line: line.volumes()),
        lambda: backend.capacities(),
        lambda: cluster_state.read(
            backend.cluster, backend.settings.backend_mark
        ),
        lambda: manila.healer.heal(shares[:1]),
    ]


@pytest.mark.parametrize('name', ['gl1', 'gl2'])
@pytest.mark.parametrize('number', range(12))
def test_each_operation_waits_for_it(
    manila: model_backend.ModelBackend,
    ids: Iterator[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    number: int,
) -> None:
    act = operations(manila, ids)[number]
    begun = manila.pool.time.now
    act()
    usual = manila.pool.time.now - begun
    other = operations(manila, ids)[number]
    manila.pool.stop_glusterd(name, STOPPED)
    begun = manila.pool.time.now
    caplog.clear()
    other()
    # Threads that ask side by side take a moment more or less.
    assert manila.pool.time.now - begun <= usual + STOPPED + 5
    assert manila.services.cluster.writer().name == 'gl1'
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    manila.check()


@pytest.mark.parametrize('name', ['gl1', 'gl2'])
def test_64_threads_wait_for_it(
    manila: model_backend.ModelBackend, ids: Iterator[str], name: str
) -> None:
    actions = [act for _ in range(6) for act in operations(manila, ids)][:64]
    failed: list[Exception] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            failed.append(error)

    manila.pool.stop_glusterd(name, STOPPED)
    threads = [threading.Thread(target=run, args=(a,)) for a in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not failed
    assert manila.services.cluster.writer().name == 'gl1'
    manila.check()


def test_a_volume_that_is_busy_is_not_off_line(
    cloud: Cloud,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    share = cloud.create()

    def busy(*args: object, **more: object) -> None:
        raise errors.Busy('gl1', ('gluster', 'volume', 'status'), 30802, '')

    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr(gluster.Gluster, 'brick_status', busy)
        answer = cloud.manager.driver.ensure_shares(
            cloud.context, [{'id': cloud.instance(share)}]
        )
    (found,) = answer.values()
    assert found.get('status', 'available') == 'available'
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
