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
"""Tests of the control plane of the lab itself, without the driver."""

from collections.abc import Iterator
import contextlib

import pytest

from tests.cloud.project import wait_for
from tests.lab import LabError
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import settings


def _up(manila: manila_module.Manila) -> set[tuple[str, str]]:
    """Binary and host of each service that Manila takes for alive."""
    return {
        (each['Binary'], each['Host'])
        for each in manila.admin('share', 'service', 'list')
        if each['State'] == 'up'
    }


ALL = {
    ('manila-scheduler', settings.HOST),
    *(('manila-share', settings.place(each)) for each in backends.BACKENDS),
}


@pytest.mark.parametrize('name', ['manila-api', 'manila-scheduler'])
def test_restart(manila: manila_module.Manila, name: str) -> None:
    service = manila.service(name)
    before = set(service.pids())
    service.restart()
    assert before.isdisjoint(service.pids())
    assert _up(manila) == ALL


def test_kill(manila: manila_module.Manila) -> None:
    share = manila.service()
    # The master, and a worker for each back end.
    assert len(share.pids()) == 1 + len(backends.BACKENDS)
    share.kill()
    assert not share.running()
    with pytest.raises(LabError, match='has died'):
        share.wait_ready(5)
    share.start()
    share.wait_ready()
    assert _up(manila) == ALL


@contextlib.contextmanager
def _otherwise(
    manila: manila_module.Manila, section: str, option: str, value: object
) -> Iterator[None]:
    manila.set_option(section, option, value)
    try:
        yield
    finally:
        manila.set_option(section, option, None)


def test_option(manila: manila_module.Manila) -> None:
    share = manila.service()
    with _otherwise(manila, 'ip', 'glusterfs_clone_pools', 'gvg/none'):
        share.stop()
        share.start()
        wait_for(lambda: 'gvg/none' in share.said(), share.spec.ready_in)
        with pytest.raises(LabError, match='lab@ip'):
            share.wait_ready(5)
    share.restart()
    assert 'gvg/none' not in share.said()
    assert _up(manila) == ALL


def test_two_services(manila: manila_module.Manila) -> None:
    try:
        manila.share_out({'one': ('ip',), 'two': ('cert',)})
        assert [each.name for each in manila.share_services] == ['one', 'two']
        assert len(manila.service('one').pids()) == 2
        assert _up(manila) == ALL
        manila.service('two').kill()
        assert manila.service('one').running()
    finally:
        manila.share_out({settings.SHARE: backends.BACKENDS})
    assert _up(manila) == ALL


def test_users(manila: manila_module.Manila) -> None:
    manila.demo.fail('share', 'service', 'list')
    manila.demo.run('share', 'type', 'list')
    for who in (manila.demo, manila.other):
        assert who('share', 'list') == []
