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
"""Set-up names each mistake of the nodes at once, and what to do about it.

Each test follows the remedies as an operator would who knows nothing else:
only the words of the message count.
"""

from collections.abc import Callable
import itertools
import re
import shlex

import pytest

from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.preflight import node_requirements
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster
from tests.model import model_node

ModelCluster = model_cluster.ModelCluster
Node = model_node.ModelNode


def program_missing(_pool: ModelCluster, node: Node) -> None:
    node.absent |= {'xfs_growfs', 'lvcreate'}


def not_mounted_at_boot(_pool: ModelCluster, node: Node) -> None:
    node.boot_unit = False


def not_zeroing(_pool: ModelCluster, node: Node) -> None:
    for each in node.lvm.pools.values():
        each.zero = False


def snapshots_deleted(pool: ModelCluster, _node: Node) -> None:
    pool.state.auto_delete = 'enable'


#: What is wrong, and the kind of the finding.
MISTAKES: dict[Callable[[ModelCluster, Node], None], str] = {
    program_missing: 'missing',
    not_mounted_at_boot: 'boot unit',
    not_zeroing: 'not zeroing',
    snapshots_deleted: 'enabled',
}


def follow(pool: ModelCluster, mistake: findings.Finding) -> None:
    """Do what a message says, and nothing else."""
    node = pool.nodes.get(mistake.node)
    if match := re.search('install (.*) on the node', mistake.message):
        assert node
        node.absent -= {
            program
            for program, package in node_requirements.PACKAGES.items()
            if package in match[1].split(', ')
        }
        return
    (line,) = re.findall('run [^"]*"([^"]*)"', mistake.message)
    words = shlex.split(line)
    match words:
        case ['manila-glusterfs-clone', *arguments]:
            # The command accepts them.
            assert main.main(arguments) == 0
            assert node
            node.boot_unit = True
        case ['lvchange', '--zero', 'y', name]:
            assert node
            node.lvm.pools[name.partition('/')[2]].zero = True
        case ['gluster', 'snapshot', 'config', 'auto-delete', 'disable']:
            pool.state.auto_delete = 'disable'
        case _:
            raise AssertionError(f'the test cannot follow {line!r}')


CASES = [
    case
    for count in range(1, len(MISTAKES) + 1)
    for case in itertools.combinations(MISTAKES, count)
]


@pytest.mark.parametrize(
    'mistakes', CASES, ids=lambda case: ', '.join(f.__name__ for f in case)
)
def test_remedies_are_followed_to_the_letter(
    pool: ModelCluster,
    mistakes: tuple[Callable[[ModelCluster, Node], None], ...],
) -> None:
    nodes = itertools.cycle(pool.nodes.values())
    for make in mistakes:
        make(pool, next(nodes))
    with model_backend.in_time_of(pool):
        made = model_backend.ModelBackend(link.Process(pool))
        with pytest.raises(findings.Misconfigured) as caught:
            made.backend.check()
        found = caught.value.mistakes
        assert {m.kind for m in found} == {MISTAKES[m] for m in mistakes}
        for mistake in found:
            follow(pool, mistake)
        made.backend.check()
        assert made.services.health.faults == ()
