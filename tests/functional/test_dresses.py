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
"""The short form on nodes as they are outside of the lab.

Each dress changes something else of a node; see :mod:`tests.lab.dresses`.
"""

from collections.abc import Sequence
import contextlib
import pathlib

import pytest

from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from tests.functional import manila_stand_in
from tests.functional import short_form
from tests import lab as lab_module
from tests.lab import dresses

#: Which dresses the nodes wear, in their order; a single one is for all nodes.
WORN = {
    'debian': [['debian']],
    'noisy': [['noisy']],
    'hardened': [['hardened']],
    'shells': [['shells']],
    'ubuntu': [['ubuntu']],
    'fqdn': [['fqdn']],
    'ipv6': [['ipv6']],
    'each another': [['ubuntu'], ['noisy', 'fqdn'], ['hardened', 'ipv6']],
    'each two others': [
        ['debian', 'ipv6'],
        ['shells', 'hardened'],
        ['fqdn', 'noisy'],
    ],
}
#: Bookworm has no sudo-rs.
_ON_10_3 = ('debian', 'noisy', 'hardened', 'shells', 'each two others')


def wear(
    lab: lab_module.Lab, worn: Sequence[Sequence[str]]
) -> tuple[contextlib.ExitStack, list[str]]:
    """Dress the nodes; return what undoes it, and the addresses to use."""
    addresses = []
    with contextlib.ExitStack() as stack:
        for at, node in enumerate(lab.nodes):
            names = worn[at % len(worn)]
            for name in names:
                stack.callback(dresses.put_on(lab, node, name))
            addresses.append(
                dresses.ipv6_address(node.port)
                if 'ipv6' in names
                else node.address
            )
        return stack.pop_all(), addresses


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(
            name,
            marks=pytest.mark.any_release(
                '10.3' if name in _ON_10_3 else '11.1'
            ),
        )
        for name in WORN
    ],
)
def test_short_form(
    lab: lab_module.Lab, tmp_path: pathlib.Path, name: str
) -> None:
    undo, addresses = wear(lab, WORN[name])
    with undo:
        conf = manila_stand_in.write_configuration(
            lab, tmp_path, addresses=addresses
        )
        driver = manila_stand_in.open_driver(conf, manila_stand_in.IP)
        undo.callback(driver._services.close)
        driver.check_for_setup_error()
        assert driver._services.health.faults == ()
        manila = manila_stand_in.ManilaStandIn(driver, manila_stand_in.IP)
        try:
            short_form.run(lab, manila)
        finally:
            for client in lab.clients:
                client.succeed('umount -a -l -t fuse.glusterfs || true')
            manila.clean()


#: What keeps the runner from starting, what undoes it, and the words of the
#: node for it.
CAUSES = {
    'no sudo rule': (
        f'mv {node_files.SUDOERS_PATH} /root/rule',
        f'mv /root/rule {node_files.SUDOERS_PATH}',
        'a password is required',
    ),
    'no runner': (
        f'mv {node_files.RUNNER_PATH} /root/runner',
        f'mv /root/runner {node_files.RUNNER_PATH}',
        # sudo allows only what exists.
        'sudo: ',
    ),
    'no shell': (
        'usermod -s /usr/sbin/nologin manila',
        'usermod -s /bin/sh manila',
        'This account is currently not available',
    ),
    'no logins': (
        'echo "Closed for maintenance." >/etc/nologin',
        'rm /etc/nologin',
        'Closed for maintenance.',
    ),
    'no sudo': (
        'chmod 0755 /usr/bin/sudo',
        'chmod 4755 /usr/bin/sudo',
        'setuid bit',
    ),
}


@pytest.mark.any_release
@pytest.mark.parametrize('cause', CAUSES)
def test_cause_is_named_among_noise(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn, cause: str
) -> None:
    """The words of the node are shown, and no second, wrong cause."""
    node = lab.nodes[-1]
    plant, undo, words = CAUSES[cause]
    with contextlib.ExitStack() as stack:
        stack.callback(manila.driver._services.close)
        stack.callback(dresses.put_on(lab, node, 'noisy'))
        node.succeed(plant)
        stack.callback(node.succeed, undo)
        manila.driver._services.close()
        with pytest.raises(findings.Misconfigured) as caught:
            manila.driver._backend.check()
        (mistake,) = caught.value.mistakes
        assert (mistake.node, mistake.kind) == (node.address, 'runner')
        assert words in mistake.message
    manila.driver._backend.check()
