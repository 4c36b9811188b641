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
"""A restart of manila-share disturbs no client that keeps its rule.

Clients write without pause. While the service is down a rule is denied, a
node loses power, or both; the request waits in the message queue. Whoever
keeps a rule sees no error; whoever lost it is disconnected each time.
"""

import pytest

from tests.cloud.project import LONG, Project, wait_for
from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab import self_heal
from tests.lab.writer import Writer

AT = '/mnt/share'


@pytest.mark.timeout(3600)
def test_clients_write_through_restarts(
    lab: lab_module.Lab,
    manila: manila_module.Manila,
    pytestconfig: pytest.Config,
) -> None:
    project = Project(manila, backends.IP)
    share = project.share('written', 1)
    *stay, goes = lab.clients
    rules = {client: project.admit(share, client) for client in lab.clients}
    writers = [Writer(client, AT, 'stays') for client in stay]
    for writer in writers:
        project.mount(share, writer.client, AT)
        writer.start()
    place = project.place(share)
    for number in range(pytestconfig.getoption('--restarts')):
        loser = Writer(goes, AT, f'goes-{number}')
        project.mount(share, goes, AT)
        loser.start()
        _restart(lab, manila, number, share, rules[goes])
        wait_for(lambda: len(_rules(project, share)) == len(stay), LONG)
        assert set(_rules(project, share).values()) == {'active'}
        assert not goes.can_mount(*place)
        wait_for(loser.failures, 60)
        loser.stop()
        goes.umount(AT)
        assert [writer.failures() for writer in writers] == [[], []], number
        rules[goes] = project.admit(share, goes)
    for writer in writers:
        writer.stop()
        assert writer.failures() == []
        assert writer.lost() == 0
        writer.client.umount(AT)
    manila.clean()
    # glusterd of a node that was away has lost sight of it.
    self_heal.end_stray(lab)


def _restart(
    lab: lab_module.Lab,
    manila: manila_module.Manila,
    number: int,
    share: str,
    rule: str,
) -> None:
    """Restart manila-share; deny a rule meanwhile.

    It is killed and stopped in turn; every third time a node is away, until
    the service is up again.
    """
    service = manila.service()
    away = lab.nodes[-1] if number % 3 == 1 else None
    (service.kill if number % 2 else service.stop)()
    if away:
        # The others are told, so that they do not wait for it.
        away.stop_glusterd()
        away.crash()
        left = len(lab.nodes) - 1
        wait_for(lambda: lab.nodes[0].connected_peers() == left, LONG)
    try:
        manila.demo.run('share', 'access', 'delete', share, rule)
        service.start()
        service.wait_ready(300)
    finally:
        if away:
            away.boot()
            lab.wait_connected(240)


def _rules(project: Project, share: str) -> dict[str, str]:
    listed = project.demo('share', 'access', 'list', share)
    return {rule['Access To']: rule['State'] for rule in listed}
