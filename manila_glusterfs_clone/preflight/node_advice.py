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
"""Check the facts about one node that a start of the service does not read."""

from collections.abc import Iterator
import datetime

from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import severity
from manila_glusterfs_clone.preflight import tls_advice
from manila_glusterfs_clone.tools import node_facts

Level = severity.Level
Problem = severity.Problem

#: The greatest allowed difference between clocks, in seconds. Synchronized
#: clocks differ by milliseconds.
MAX_CLOCK_DIFFERENCE = 5.0
#: How full the file system of glusterd's state may be, in percent.
MAX_STATE_PERCENT = 90

_OLDEST_LVM = (2, 3)
_MTAB_LINKS = ('/proc/self/mounts', '/proc/mounts')


def find(
    settings: options.Settings,
    node_name: str,
    facts: node_facts.Facts,
    clock_difference: float,
    now: datetime.datetime,
    is_glusterd_up: bool,
) -> Iterator[Problem]:
    """Yield the problems of a node.

    :param clock_difference: how much the clock of the node is ahead of the
        clock of this host, in seconds.
    :param now: the time, in UTC.
    :param is_glusterd_up: whether glusterd answers on the node.
    """
    for level, kind, message in (
        *_find_in_programs(facts),
        *_find_in_system(facts, clock_difference, is_glusterd_up),
        *(tls_advice.find(settings, facts, now) if settings.tls else ()),
    ):
        yield severity.node_problem(level, node_name, kind, message)


def _find_in_programs(
    facts: node_facts.Facts,
) -> Iterator[tuple[Level, str, str]]:
    if () < facts.lvm < _OLDEST_LVM:
        yield (
            Level.WARNING,
            'lvm release',
            f'LVM is {_dotted(facts.lvm)}, which was never tested with the '
            f'driver; upgrade lvm2 on the node to 2.03 or later',
        )
    for has_target, name, module in (
        (facts.has_thin_pools, 'thin pools', 'dm_thin_pool'),
        (facts.has_xfs, 'XFS', 'xfs'),
    ):
        if has_target is False:
            yield (
                Level.MISTAKE,
                f'kernel {module}',
                f'kernel {facts.kernel} has no {name}; run "modprobe '
                f'{module}" on the node, and install the modules of this '
                f'kernel if that fails',
            )


def _find_in_system(
    facts: node_facts.Facts, clock_difference: float, is_glusterd_up: bool
) -> Iterator[tuple[Level, str, str]]:
    if abs(clock_difference) > MAX_CLOCK_DIFFERENCE:
        direction = 'ahead of' if clock_difference > 0 else 'behind'
        yield (
            Level.WARNING,
            'clock',
            f'its clock is {abs(clock_difference):.0f} s {direction} the '
            f'clock of this host; run a time service such as chrony on both',
        )
    if not facts.mtab.endswith(_MTAB_LINKS):
        yield (
            Level.MISTAKE,
            'mtab',
            'glusterd finds the devices of bricks in /etc/mtab, which is no '
            'link to the mounts of the kernel; run "ln -sf '
            '../proc/self/mounts /etc/mtab" on the node',
        )
    if facts.glusterd_unit in ('disabled', 'masked'):
        yield (
            Level.WARNING,
            'glusterd unit',
            f'glusterd.service is {facts.glusterd_unit}, so glusterd does not '
            f'start at boot; run "systemctl unmask glusterd; systemctl enable '
            f'glusterd" on the node',
        )
    if is_glusterd_up and facts.is_listening is False:
        yield (
            Level.FAULT,
            'port',
            'glusterd does not listen on port 24007 of an address that other '
            'hosts reach; remove transport.socket.bind-address from '
            '/etc/glusterfs/glusterd.vol, and run "systemctl restart '
            'glusterd" on the node',
        )
    if (facts.state_percent or 0) >= MAX_STATE_PERCENT:
        yield (
            Level.WARNING,
            'state directory',
            f'the file system of /var/lib/glusterd is {facts.state_percent} % '
            f'full; free space there: without space, glusterd loses changes',
        )


def _dotted(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))
