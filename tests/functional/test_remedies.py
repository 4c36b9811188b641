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
"""Set-up names each mistake of the nodes; its remedies make it pass."""

import contextlib
import io
import re
import shlex

import pytest

from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.preflight import node_requirements
from tests.functional import manila_stand_in
from tests import lab as lab_module

pytestmark = pytest.mark.any_release

#: Stands for a package that is not installed.
_AWAY = '/var/lib/lab-away'


def break_nodes(lab: lab_module.Lab) -> None:
    """Make a mistake of each kind."""
    first, last = lab.nodes[0], lab.nodes[-1]
    first.succeed(f'rm {node_files.SUDOERS_PATH}')
    last.succeed(
        f'mkdir {_AWAY}; mv "$(command -v xfs_growfs)" {_AWAY}/; '
        f'systemctl -q disable {node_files.UNIT}; '
        f'lvchange -qq --zero n {manila_stand_in.POOL}; '
        f'gluster --mode=script snapshot config auto-delete enable'
    )
    last.put(
        node_files.settings(['/srv/other'], ['other']),
        node_files.SETTINGS_PATH,
    )


def mend_nodes(lab: lab_module.Lab) -> None:
    """Undo what was not undone."""
    for node in lab.nodes:
        node.install_runner()
        node.install_boot_unit()
        node.succeed(f'lvchange -qq --zero y {manila_stand_in.POOL} || true')
    lab.nodes[-1].succeed(
        f'[ ! -e {_AWAY} ] || {{ mv {_AWAY}/* /usr/sbin/; rmdir {_AWAY}; }}; '
        f'gluster --mode=script snapshot config auto-delete disable || true'
    )


def follow(lab: lab_module.Lab, mistake: findings.Finding) -> None:
    """Do what a message says, and nothing else."""
    node = next(
        (each for each in lab.nodes if each.address == mistake.node),
        lab.nodes[0],
    )
    if match := re.search('install (.*) on the node', mistake.message):
        # There is nowhere to install a package from.
        assert node_requirements.PACKAGES['xfs_growfs'] in match[1]
        node.succeed(f'mv {_AWAY}/* /usr/sbin/; rmdir {_AWAY}')
        return
    (line,) = re.findall('run [^"]*"([^"]*)"', mistake.message)
    program, *arguments = shlex.split(line)
    if program != 'manila-glusterfs-clone':
        node.succeed(line)
        return
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main.main(arguments) == 0
    node.succeed('sh -s', stdin=output.getvalue().encode(), timeout=120)


def set_up(manila: manila_stand_in.ManilaStandIn) -> None:
    """Check the back end, as Manila does again and again."""
    manila.driver.do_setup(None)
    manila.driver._backend.check()


def test_remedies_are_followed_to_the_letter(
    lab: lab_module.Lab, manila: manila_stand_in.ManilaStandIn
) -> None:
    first, last = lab.nodes[0].address, lab.nodes[-1].address
    try:
        break_nodes(lab)
        with pytest.raises(findings.Misconfigured) as caught:
            set_up(manila)
        mistakes = caught.value.mistakes
        assert {(m.node, m.kind) for m in mistakes} == {
            (first, 'runner'),
            (last, 'runner'),
            (last, 'missing'),
            (last, 'boot unit'),
            (last, 'not zeroing'),
            ('', 'enabled'),
        }
        for mistake in mistakes:
            follow(lab, mistake)
        set_up(manila)
        assert manila.driver._services.health.faults == ()
    finally:
        mend_nodes(lab)
    manila.delete(manila.create(1))
